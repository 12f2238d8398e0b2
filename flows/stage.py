"""Run one stage: under Prefect where a server answers, plainly where none does."""

import json
import os
import re
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from flows import paths
from flows.api import Api, find_api, prepare_prefect
from flows.terminal import leave, log_to_terminal, one_line, say, warn, warn_once
from toto_core.config import Params, load_params
from toto_core.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, TotoError
from toto_core.files import write_json

LAST_ERROR = paths.RUNS / "last_error.json"
SAID_PLAIN = "TOTO_SAID_PLAIN"

_SAID_BY = paths.RUNS / "said-plain"
# Training tracks its own curves while it runs; of these stages the final numbers are tracked.
_TRACKED_STAGES = frozenset({"crossval", "evaluate", "register"})


@dataclass(frozen=True)
class Summary:
    """What a finished stage tells those who watch it; its files are its real outputs.

    Attributes:
        text: one line for the terminal and the log.
        metrics: what is tracked from run to run, flat names to numbers.
        tables: Prefect table artifacts, key (lower case, digits, dashes) to rows.
        markdown: Prefect markdown artifacts, key to text.
    """

    text: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)
    markdown: Mapping[str, str] = field(default_factory=dict)


class Once:
    """A body that runs at most once, and whose result or error can be asked for later."""

    def __init__(self, body: Callable[[], Summary]) -> None:
        self._body = body
        self._summary: Summary | None = None
        self.error: BaseException | None = None

    def __call__(self) -> Summary:
        """Run the body if it has not run yet; return what it returned or raise what it raised."""
        if self._summary is None and self.error is None:
            try:
                with sigterm_interrupts():
                    self._summary = self._body()
            except BaseException as error:
                self.error = error
                raise
        if self._summary is None:
            raise self.error or AssertionError("a body without a result has an error")
        return self._summary


def run_stage(name: str, body: Callable[[Params, Path], Summary]) -> None:
    """Run ``body(params, root)`` as stage ``name`` and end the process with its exit code.

    Where a Prefect API answers (``flows.api.find_api``), the run is a flow run there, below the
    task of the pipeline that started it. DVC turns every exit code of a stage that fails into
    255, so the code and the message are also left in runs/last_error.json, which a success
    removes.
    """
    log_to_terminal()
    try:
        with sigterm_interrupts():
            summary = _run(name, Once(lambda: body(load_params(paths.PARAMS), Path())))
    except Exception as error:
        code, message = describe(name, error)
        if code is None:
            _leave_error(name, EXIT_FAILED, f"{message}\n{traceback.format_exc()}")
            traceback.print_exc()
            leave(EXIT_FAILED)
        _end(name, code, message)
    except BaseException as error:  # Ctrl-C, SIGTERM, and what Prefect raises for either
        if isinstance(error, SystemExit):
            raise
        _end(name, EXIT_INTERRUPTED, f"{name}: stopped by a signal; the next run does it again")
    else:
        with suppress(OSError):
            LAST_ERROR.unlink(missing_ok=True)
        say(f"{name}: {summary.text}")
        leave(EXIT_OK)


def describe(name: str, error: Exception) -> tuple[int | None, str]:
    """Return exit code and message of a failed stage; code None: a fault of the program."""
    if isinstance(error, TotoError):
        return error.exit_code, str(error)
    if isinstance(error, MemoryError):
        return EXIT_FAILED, f"{name}: out of memory, a smaller batch or series fits; reduce them"
    if isinstance(error, OSError) and error.strerror:
        file = f"{error.filename} = " if error.filename else ""
        return EXIT_FAILED, (
            f"{name}: {file}{error.strerror.lower()}, readable inputs and room to write are "
            "needed; mend it and run again"
        )
    return None, f"{name}: {one_line(error)}"


def _run(name: str, once: Once) -> Summary:
    api = find_api(Path(), os.environ)
    if api.url is None:
        _say_plain(api)
        summary = once()
    else:
        prepare_prefect(Path())
        from flows.observed import run_observed  # noqa: PLC0415 - a second to import

        summary = run_observed(name, once)
    _track(name, summary)
    return summary


def _track(name: str, summary: Summary) -> None:
    if summary.metrics and re.split("[@-]", name)[0] in _TRACKED_STAGES:
        from flows import tracking  # noqa: PLC0415 - most stages are not tracked

        run = tracking.start(name, {})
        run.log(dict(summary.metrics))
        run.finish()


def _say_plain(api: Api) -> None:
    """Warn of a configured server that is gone, once for each pipeline or ``dvc repro``."""
    if not api.worth_a_warning or os.environ.get(SAID_PLAIN):
        return
    warn_once(api.why_plain, _SAID_BY)


def _end(name: str, code: int, message: str) -> NoReturn:
    _leave_error(name, code, message)
    warn(message)
    leave(code)


def _leave_error(name: str, code: int, message: str) -> None:
    with suppress(OSError):  # a full disk is told on the terminal all the same
        write_json(LAST_ERROR, {"stage": name, "exit_code": code, "message": message})


def read_last_error(root: Path) -> tuple[int, str] | None:
    """Return exit code and message that the last failed stage left, or None."""
    try:
        note = json.loads((root / LAST_ERROR).read_text(encoding="utf-8"))
        return int(note["exit_code"]), str(note["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, so that a body needs to handle one of them only."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread, where signals do not arrive
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
