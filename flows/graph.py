"""DVC's graph, what is stale in it, and the one way to bring a stage up to date.

Everything that the project reads from DVC beside ``dvc repro`` itself is here.
"""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from flows import paths
from flows.stage import LAST_ERROR, read_last_error
from flows.terminal import warn
from toto_core.errors import EXIT_FAILED, ConfigError, TotoError

_STATUS_WITHIN_S = 600.0
_GRACE_S = 30.0  # training leaves its state behind in this time
# What DVC says around a stage's own lines.
_DVC_CHATTER = (
    "Running stage ",
    "> ",
    "Updating lock file ",
    "Generating lock file ",
    "Use `dvc push` ",
    "To track the changes with git, run:",
    "\tgit add ",
    "To enable auto staging, run:",
    "\tdvc config core.autostage true",
    "Verifying data sources in stage: ",
    "Data and pipelines are up to date.",
)
# DVC with its own words, not those of the stage, in the file whose descriptor comes first.
_DVC_APART = (
    "import sys; sys.stderr = open(int(sys.argv.pop(1)), 'w', encoding='utf-8', buffering=1); "
    "from dvc.cli import main; sys.exit(main(sys.argv[1:]))"
)

_DVC_ADVERT = re.compile(r"^unexpected error - | Having any troubles\?.*")
_FULL_DISK = ("disk I/O error", "No space left", "File too large", "is full")


@dataclass(frozen=True)
class Node:
    """A stage of the graph and the stages whose outputs it reads, by their DVC names."""

    name: str
    needs: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What bringing a stage up to date came to.

    Attributes:
        kind: ran: its command ran; restored: its outputs came from DVC's cache of earlier runs;
            unchanged: there was nothing to do.
    """

    kind: Literal["ran", "restored", "unchanged"]


Work = Callable[[Mapping[str, str]], Outcome]
"""Brings one stage up to date, given what to add to its environment."""


class StageFailedError(TotoError):
    """A stage has failed, and why stands on the terminal already."""

    def __init__(self, name: str, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.code = exit_code


def walk(root: Path, visit: Callable[[Node, Work], Outcome]) -> dict[str, Outcome]:
    """Bring every stage of ``root`` up to date, in DVC's order, and return what each came to.

    DVC is asked once what is stale; a stage is run if it is, or if a stage that it reads from
    has changed. ``visit(node, work)`` is called for each stage and must call ``work`` once: it
    is the place to show a stage to somebody.

    Raises:
        StageFailedError: a stage failed; nothing after it has run.
        TotoError: DVC cannot read the project, or another pipeline runs in it.
    """
    outcomes: dict[str, Outcome] = {}
    with _only_pipeline(root):
        stale = read_stale(root)
        for node in read_graph(root):
            changed = any(outcomes[need].kind != "unchanged" for need in node.needs)
            work = partial(reproduce, root, node.name)
            to_do = node.name in stale or changed
            outcomes[node.name] = visit(node, work if to_do else lambda _: Outcome("unchanged"))
    return outcomes


def read_graph(root: Path) -> list[Node]:
    """Return the stages in the order in which ``dvc repro`` runs them."""
    from dvc.exceptions import DvcException  # noqa: PLC0415 - a fifth of a second to import
    from dvc.repo import Repo  # noqa: PLC0415
    from dvc.repo.reproduce import get_active_graph, plan_repro  # noqa: PLC0415

    try:
        with Repo(str(root)) as repo:
            graph = get_active_graph(repo.index.graph)
            return [
                Node(_name(stage), tuple(sorted(_name(need) for need in graph.successors(stage))))
                for stage in plan_repro(graph)
            ]
    except DvcException as error:
        raise _dvc_fault(str(error)) from None


def _name(stage: Any) -> str:  # noqa: ANN401 - a stage of DVC, whose import is slow
    """Return the name that ``dvc repro`` knows a stage by in the project's root."""
    file = stage.path_in_repo
    name = getattr(stage, "name", None)
    if name is None:
        return file
    return name if file == "dvc.yaml" else f"{file}:{name}"


def read_stale(root: Path, *, within_s: float = _STATUS_WITHIN_S) -> set[str]:
    """Return the stages that DVC reports as changed, and only those, not what depends on them.

    Raises:
        TotoError: DVC cannot read the project, or its lock stays held for ``within_s`` seconds.
    """
    command = _dvc("--wait-for-lock", "status", "--json")
    process = _start(command, root, stderr=subprocess.PIPE)
    with _stopping(process):
        try:
            out, err = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            raise TotoError(
                f"dvc: .dvc/tmp/lock = held for {within_s:g} s, it must become free; wait for "
                "the other DVC process to end, or stop it"
            ) from None
    if process.returncode:
        raise _dvc_fault(err)
    return set(json.loads(out))


def reproduce(root: Path, name: str, environ: Mapping[str, str]) -> Outcome:
    """Run ``dvc repro -s`` for one stage with ``environ`` added to its environment.

    The stage's own lines go on to the terminal, DVC's do not, unless the stage has failed without
    a word of its own.

    Raises:
        StageFailedError: with the exit code and the message that the stage left.
    """
    (root / LAST_ERROR).unlink(missing_ok=True)
    kind: Literal["ran", "restored", "unchanged"] = "unchanged"
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as words:
        command = [sys.executable, "-c", _DVC_APART, str(words.fileno()), "--wait-for-lock"]
        process = _start(
            [*command, "repro", "-s", name], root, environ=environ, pass_fds=(words.fileno(),)
        )
        with _stopping(process):
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Running stage "):
                    kind = "ran"
                elif "is cached - skipping run" in line:
                    kind = "restored"
                elif (
                    line.strip()
                    and not line.startswith(_DVC_CHATTER)
                    and "didn't change, skipping" not in line
                ):
                    sys.stdout.write(line)
                    sys.stdout.flush()
            code = process.wait()
        words.seek(0)
        said = words.read()
    if code:
        left = read_last_error(root)
        if left is None:
            left = EXIT_FAILED, _wordless(name, code, said)
            warn(left[1])
        raise StageFailedError(name, *left)
    return Outcome(kind)


def _wordless(name: str, code: int, said: str) -> str:
    """Return one line for a stage that has failed without one, from what DVC has said of it."""
    text = " ".join(said.replace("ERROR: ", "").split())
    code_said = re.search(r"exited with (-?\d+)$", text)
    killed = code_said and _signal(int(code_said[1]))
    if killed:
        return (
            f"{name}: ended by {killed.name} from outside, free memory is "
            "needed if the system sent it; run again, and it goes on from here"
        )
    return f"{name}: {text or f'ended with exit code {code}'}; mend what it names and run again"


def _signal(code: int) -> signal.Signals | None:
    """Return the signal that an exit code tells of: -n from a child, 128 + n from its shell."""
    try:
        return signal.Signals(-code if code < 0 else code - 128)
    except ValueError:
        return None


def _dvc(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def _start(
    command: list[str],
    root: Path,
    *,
    environ: Mapping[str, str] | None = None,
    stderr: int | None = None,
    pass_fds: tuple[int, ...] = (),
) -> subprocess.Popen[str]:
    """Start a process group of its own: whoever stops DVC must reach the stage below it."""
    env = {**os.environ, **(environ or {}), "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1"}
    # `python` in a stage's command must be this interpreter, also below a Prefect worker.
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    for key in [key for key in env if key.startswith("PREFECT__")]:
        del env[key]  # they name the parent's flow run as the stage's own
    return subprocess.Popen(
        command,
        cwd=root,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        pass_fds=pass_fds,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )


@contextmanager
def _stopping(process: "subprocess.Popen[str]") -> Iterator[None]:
    """End the process group if the block is left early: as Ctrl-C does, after a grace by force."""
    try:
        yield
    finally:
        if process.poll() is None:
            _stop(process)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _stop(process: "subprocess.Popen[str]") -> None:
    for signal_, wait_s in ((signal.SIGINT, _GRACE_S), (signal.SIGKILL, _GRACE_S)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal_)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C: no grace
            process.wait(wait_s)
            return


@contextmanager
def _only_pipeline(root: Path) -> Iterator[None]:
    """Hold the project's pipeline lock; the system drops it with the process, however it ends."""
    file = root / paths.RUNS / "pipeline.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            raise TotoError(
                f"pipeline: {file} = held by process {handle.read().strip() or 'unknown'}, one "
                "pipeline at a time; wait for it to end, or stop it"
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _dvc_fault(text: str) -> TotoError:
    """Return one clear line for what DVC has said on its way out."""
    text = _DVC_ADVERT.sub("", " ".join(text.replace("ERROR: ", "").split()))
    if "is not a git repository" in text:
        return ConfigError("project: no git repository, DVC needs one; run `git init`")
    if "not inside of a DVC repository" in text:
        return ConfigError("project: no .dvc folder, a DVC project is needed; run `dvc init`")
    if "dvc.lock" in text:
        return ConfigError(
            f"dvc: {text}; settle the conflict, or remove dvc.lock: finished stages then come from "
            "DVC's cache"
        )
    if "dvc.yaml" in text:
        return ConfigError(f"dvc: {text}; mend it")
    if any(sign in text for sign in _FULL_DISK):
        return TotoError(f"dvc: {text}, room to write is needed below .dvc; free some, run again")
    return TotoError(f"dvc: {text}; mend what it names and run again")
