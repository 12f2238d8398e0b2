"""Start the processes of a training run with torchrun, follow them, and say how they ended.

The workers (``flows.worker``) write one JSON object a line to the pipe that is their stdout. Their
stdin is a pipe that only this process holds open: a byte in it asks one worker to save and stop,
which all then agree on, and its end, which also comes when this process is killed, ends them all.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from flows.terminal import warn
from toto_core.errors import (
    BatchTooLargeError,
    CheckpointError,
    ConfigError,
    DataError,
    TotoError,
    TrainingError,
)
from toto_core.training.signals import StoppedError, TerminatedError, deferred_signals, stopped_by

Log = Callable[[Mapping[str, float | str]], None]

_ERRORS: dict[str, type[TotoError]] = {
    kind.__name__: kind
    for kind in (
        BatchTooLargeError,
        CheckpointError,
        ConfigError,
        DataError,
        StoppedError,
        TerminatedError,
        TotoError,
        TrainingError,
    )
}
_RELAYED = "TOTO_RELAYED"


def launch(
    name: str,
    arguments: Sequence[str],
    *,
    processes: int,
    threads: int,
    root: Path,
    log: Log,
) -> None:
    """Run ``python -m flows.worker <arguments>`` in several processes until all have ended.

    Args:
        name: of the run, for people.
        threads: of each process, where OMP_NUM_THREADS does not say.
        root: the project.
        log: called with what the first process tells of each step.

    Raises:
        StoppedError: on SIGINT or SIGTERM, which are passed on once.
        TotoError: what a process refused, in its words; for one that died, which and how.
    """
    torchrun = ["--standalone", f"--nproc-per-node={processes}", "-m", "flows.worker"]
    # torchrun's page about a failure, and a warning of DDP's where nothing is amiss
    quiet = {"LOGLEVEL": "CRITICAL", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    environment = {"OMP_NUM_THREADS": str(threads), **quiet, **os.environ, _RELAYED: "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "flows.launch", *torchrun, *arguments],
        cwd=root,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # so that Ctrl-C comes from here alone, once
    ) as torchrun_process:
        lifeline, lines = torchrun_process.stdin, torchrun_process.stdout
        assert lifeline is not None
        assert lines is not None

        def ask_to_stop() -> None:
            with suppress(OSError):  # they have just ended
                os.write(lifeline.fileno(), b"s")

        with deferred_signals(ask_to_stop) as pending:
            reports = [told for line in lines if (told := _heed(line, log))]
            code = torchrun_process.wait()
    if pending.number:
        stops = [told["message"] for told in reports if told["kind"] in _STOPS]
        text = stops[0] if stops else f"{name}: stopped; run dvc repro to go on"
        raise stopped_by(pending.number)(text)
    if code:
        raise _why(name, reports, processes=processes, code=code)


_STOPS = (StoppedError.__name__, TerminatedError.__name__)


def _heed(line: bytes, log: Log) -> dict[str, Any] | None:
    """Pass on what a process tells; return it if it is the report of an end."""
    try:
        told = json.loads(line)
        kind = told["kind"]
    except (ValueError, TypeError, KeyError):
        warn(line.decode(errors="replace").rstrip())  # some library's print
        return None
    if kind == "record":
        log(told["record"])
        return None
    return told


def _why(name: str, reports: Sequence[dict], *, processes: int, code: int) -> TotoError:
    """Choose the report that explains the others: those who lose a peer fail as well."""
    for told in reports:
        if told["kind"] in _ERRORS:
            return _ERRORS[told["kind"]](told["message"])
    dead = [told for told in reports if told["kind"] == "dead"]
    killed = [told for told in dead if told["exit_code"] < 0]
    failed = [told for told in reports if told["kind"] not in ("dead", *_ERRORS)]
    where = f"{name}: one of {processes} processes"
    if killed:
        number = -killed[0]["exit_code"]
        where = f"{name}: process {killed[0]['rank']} of {processes}"
        how = f"killed by {signal.Signals(number).name}"
        if number == signal.SIGKILL:
            how += " (as the kernel does where memory is short)"
    elif failed:
        where = f"{name}: process {failed[0]['rank']} of {processes}"
        how = f"{failed[0]['kind']}: {failed[0]['message']}"
    else:
        how = f"exit code {dead[0]['exit_code'] if dead else code}"
    return TrainingError(
        f"{where} = {how}, all are needed to the end; run dvc repro to go on from the last "
        "checkpoint"
    )


def is_relayed() -> bool:
    """Whether this process was started by ``launch``, to which it then speaks."""
    return _RELAYED in os.environ


def relay(kind: str, **values: object) -> None:
    """Tell ``launch`` something: one short write, which no other process' can interrupt."""
    os.write(1, json.dumps({"kind": kind, **values}).encode() + b"\n")


def follow_lifeline() -> None:
    """End with the process that called ``launch``, and save and stop when it asks for it."""

    def follow() -> None:
        while os.read(0, 1):
            os.kill(os.getpid(), signal.SIGTERM)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def main() -> None:
    """Be torchrun, but report failed processes instead of printing a page about them."""
    from torch.distributed import run  # noqa: PLC0415 - the stage that imports this needs neither
    from torch.distributed.elastic.multiprocessing.errors import (  # noqa: PLC0415
        ChildFailedError,
    )

    try:
        run.main(sys.argv[1:])
    except ChildFailedError as error:
        for rank, failure in error.failures.items():
            relay("dead", rank=rank, exit_code=failure.exitcode)
        sys.exit(1)


if __name__ == "__main__":
    main()
