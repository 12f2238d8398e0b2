"""JSON over HTTP from a server that may be slow, busy or cut off."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

ATTEMPTS: Final = 5
# Seconds before the second attempt; each further pause is twice as long.
FIRST_PAUSE_S: Final = 1.0
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_CHUNK_BYTES: Final = 1 << 20


class WebError(Exception):
    """A server that gave no usable answer; the text says what it did."""


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Attributes:
        status: the HTTP status.
        body: the parsed JSON, or None if the body of a refusal is none.
    """

    status: int
    body: Any


def post_form(
    url: str, fields: Mapping[str, str], *, timeout_s: float, authorization_env: str
) -> Answer:
    """Post a form and return the answer, after further attempts where the server was busy.

    Broken connections, time-outs, torn bodies and the statuses 429 and 5xx are tried again.

    Args:
        url: http or https, without a password.
        fields: of the form.
        timeout_s: of each attempt as a whole, so a body that trickles in does not last for ever.
        authorization_env: the environment variable that holds the Authorization header, if set.
            The header is not sent on to where a server redirects.

    Raises:
        WebError: if the last attempt failed as well.
    """
    request = Request(url, data=urlencode(fields).encode(), method="POST")
    header = os.environ.get(authorization_env)
    if header:
        request.add_unredirected_header("Authorization", header)
    fault = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1))
        try:
            answer = _once(request, timeout_s)
        except _TornError as error:
            fault = str(error)
            continue
        if answer.status not in _BUSY:
            return answer
        fault = f"status {answer.status}{_reason(answer.body)}"
    raise WebError(f"{fault} in {ATTEMPTS} attempts")


class _TornError(Exception):
    """An attempt without a whole answer."""


def _once(request: Request, timeout_s: float) -> Answer:
    deadline = time.monotonic() + timeout_s
    try:
        with urlopen(request, timeout=timeout_s) as response:
            body = _read(response, deadline, timeout_s)
            status = response.status
    except HTTPError as error:
        with error:
            return _refusal(error)
    except URLError as error:
        reason = error.reason
        if isinstance(reason, TimeoutError):
            raise _TornError(_no_answer(timeout_s)) from None
        raise _TornError(f"no connection ({_text(reason)})") from None
    except TimeoutError:
        raise _TornError(_no_answer(timeout_s)) from None
    except (HTTPException, OSError) as error:
        raise _TornError(f"a torn answer ({type(error).__name__})") from None
    try:
        return Answer(status, json.loads(body))
    except ValueError:
        raise _TornError(f"an answer of {len(body)} bytes that is not whole JSON") from None


def _read(response: HTTPResponse, deadline: float, timeout_s: float) -> bytes:
    chunks = []
    while chunk := response.read1(_CHUNK_BYTES):
        chunks.append(chunk)
        if time.monotonic() > deadline:
            raise _TornError(_no_answer(timeout_s))
    left = response.length
    if left:
        raise _TornError(f"a torn answer ({left} bytes are missing)")
    return b"".join(chunks)


def _refusal(error: HTTPError) -> Answer:
    try:
        return Answer(error.code, json.loads(error.read(_CHUNK_BYTES)))
    except (ValueError, HTTPException, OSError):
        return Answer(error.code, None)


def _no_answer(timeout_s: float) -> str:
    return f"no whole answer within {timeout_s:g} s"


def _text(reason: object) -> str:
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    return str(reason).lower()


def _reason(body: object) -> str:
    message = body.get("error") if isinstance(body, dict) else None
    return f" ({message})" if message else ""
