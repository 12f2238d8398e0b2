"""Which Prefect API this project talks to, if any; knows it without importing Prefect."""

import json
import logging
import os
import socket
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flows import paths
from flows.terminal import log_to_terminal
from toto_core.errors import ConfigError

STATE = paths.RUNS / "prefect" / "state.json"

# A server that has gone must cost a run seconds, not the minutes of Prefect's own patience, and
# none may be started by the way.
PATIENCE = {
    "PREFECT_API_REQUEST_TIMEOUT": "15",
    "PREFECT_CLIENT_MAX_RETRIES": "1",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}

_ANSWER_WITHIN_S = 0.5
_MODES = ("auto", "on", "off")


@dataclass(frozen=True)
class Api:
    """What is known of the Prefect API.

    Attributes:
        url: of the API that was configured and answers; None: run plainly.
        why_plain: one line that says why ``url`` is None.
        worth_a_warning: an API was configured and does not answer.
    """

    url: str | None
    why_plain: str = ""
    worth_a_warning: bool = False


def find_api(root: Path, environ: Mapping[str, str]) -> Api:
    """Find the Prefect API to use: it must be configured, and its port must accept a connection.

    ``TOTO_PREFECT`` = auto (the default) runs plainly where there is none, on makes that an
    error, off never looks. Configured is, first found wins: ``PREFECT_API_URL``, a server of
    ``toto up`` in this project, the active profile of Prefect.

    Raises:
        ConfigError: TOTO_PREFECT has another value, or is on and no API answers.
    """
    mode = environ.get("TOTO_PREFECT", "auto")
    if mode not in _MODES:
        raise ConfigError(f"environment: TOTO_PREFECT = {mode}, auto, on or off; set one of them")
    if mode == "off":
        return Api(None, "prefect: TOTO_PREFECT = off; running without it")
    source, url = _configured(root, environ)
    if url is None:
        api = Api(
            None, "prefect: no server is configured; running without it (`toto up` starts one)"
        )
    elif not accepts_connections(url):
        api = Api(
            None,
            f"prefect: {source} = {url}, nothing answers there within {_ANSWER_WITHIN_S} s; "
            "running without it",
            worth_a_warning=True,
        )
    else:
        return Api(url)
    if mode == "on":
        raise ConfigError(
            f"prefect: {source} = {url}, a server that answers is needed where "
            "TOTO_PREFECT = on; start one with `toto up`"
        )
    return api


def prepare_prefect(root: Path) -> None:
    """Set the environment that Prefect reads when it is imported; later calls change nothing."""
    if "prefect" in sys.modules:
        return
    log_to_terminal()
    logging.raiseExceptions = False  # log lines that a lost server does not take are no news
    try:
        url = find_api(root, os.environ).url
    except ConfigError:  # said by whoever asks for the API itself
        return
    if url is not None:
        os.environ["PREFECT_API_URL"] = url
    if url is not None and url == _local_url(root):  # `toto up` leaves the user's home alone
        os.environ.setdefault("PREFECT_HOME", str((root / STATE.parent).resolve()))
    for key, value in PATIENCE.items():
        os.environ.setdefault(key, value)


def accepts_connections(url: str, *, timeout_s: float = _ANSWER_WITHIN_S) -> bool:
    """Whether the host and port of ``url`` accept a TCP connection within ``timeout_s`` seconds."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((parts.hostname or "", port), timeout=timeout_s):
            return True
    except (OSError, ValueError):
        return False


def _configured(root: Path, environ: Mapping[str, str]) -> tuple[str, str | None]:
    if environ.get("PREFECT_API_URL"):
        return "PREFECT_API_URL", environ["PREFECT_API_URL"]
    local = _local_url(root)
    if local:
        return str(STATE), local
    return "PREFECT_API_URL", _profile_url(environ)


def _local_url(root: Path) -> str | None:
    try:
        state = json.loads((root / STATE).read_text(encoding="utf-8"))
        return str(state["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _profile_url(environ: Mapping[str, str]) -> str | None:
    home = Path(environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    file = Path(environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml"))
    try:
        profiles = tomllib.loads(file.read_text(encoding="utf-8"))
        active = environ.get("PREFECT_PROFILE") or profiles["active"]
        return profiles["profiles"][active].get("PREFECT_API_URL")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
