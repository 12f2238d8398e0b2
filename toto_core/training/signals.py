"""Ctrl-C and SIGTERM, put off until the state has been saved."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from toto_core.errors import TotoError


class StoppedError(TotoError):
    """Training stopped at the user's wish, after its state had been saved."""

    exit_code = 128 + signal.SIGINT


class TerminatedError(StoppedError):
    """Training stopped because the process was asked to end, after its state had been saved."""

    exit_code = 128 + signal.SIGTERM


_ERRORS: dict[int, type[StoppedError]] = {
    signal.SIGINT: StoppedError,
    signal.SIGTERM: TerminatedError,
}


class PendingSignal:
    """The signal that arrived, if one did.

    Attributes:
        number: of the signal; 0 while there is nothing to heed.
    """

    number: int = 0


def stopped_by(number: int) -> type[StoppedError]:
    """Return what to raise for a signal once the state is safe."""
    return _ERRORS[number]


@contextmanager
def deferred_signals(then: Callable[[], None] = lambda: None) -> Iterator[PendingSignal]:
    """Note SIGINT and SIGTERM, and call ``then``, instead of acting on them.

    A second one acts at once, as it did before. Outside the main thread, where Python allows no
    handlers, signals act as they did before.
    """
    pending = PendingSignal()
    if threading.current_thread() is not threading.main_thread():
        yield pending
        return
    previous = {number: signal.getsignal(number) for number in _ERRORS}

    def note(number: int, _frame: FrameType | None) -> None:
        pending.number = number
        restore()
        then()

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number in _ERRORS:
        signal.signal(number, note)
    try:
        yield pending
    finally:
        restore()
