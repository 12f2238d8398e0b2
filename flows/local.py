"""A Prefect server, a worker and the deployment on this machine: ``toto up`` and ``toto down``."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from flows.api import PATIENCE, STATE
from toto_core.errors import ConfigError, TotoError
from toto_core.files import write_json

POOL = "toto"

_HOST = "127.0.0.1"  # the server has no password, so nobody else may reach it
_DEFAULT_PORT = 4200
_PORTS_TRIED = 50
_HEALTHY_WITHIN_S = 90.0
_GRACE_S = 10.0


def up(root: Path, *, port: int | None = None) -> str:
    """Start server and worker for the project in ``root``, deploy its flows, return the UI's URL.

    What already runs is left alone. Everything lives below runs/prefect: the server's database,
    its log and the worker's, and the process ids. ``port`` None: the default port or the next
    free one.

    Raises:
        ConfigError: ``port`` is taken, or ``root`` has no prefect.yaml.
        TotoError: a process died or did not become healthy; the message names its log.
    """
    if not (root / "prefect.yaml").is_file():
        raise ConfigError("prefect.yaml: not found, a deployment is needed; run from the root")
    state = _read_state(root)
    if state and all(_alive(state[role]) for role in ("server", "worker")):
        return str(state["ui"])
    down(root)
    chosen = _choose_port(port)
    url = f"http://{_HOST}:{chosen}/api"
    (root / STATE.parent).mkdir(parents=True, exist_ok=True)
    environ = _environ(root, url)
    started: dict[str, object] = {"url": url, "ui": f"http://{_HOST}:{chosen}", "port": chosen}
    try:
        server = ["server", "start", "--host", _HOST, "--port", str(chosen)]
        started["server"] = _start(root, "server", server, environ)
        write_json(root / STATE, started)
        wait_healthy(url, alive=lambda: _alive(started["server"]))
        _call(root, ["work-pool", "create", POOL, "--type", "process", "--overwrite"], environ)
        _call(root, ["--no-prompt", "deploy", "--all"], environ)
        worker = ["worker", "start", "--pool", POOL, "--type", "process", "--name", "local"]
        started["worker"] = _start(root, "worker", worker, environ)
        write_json(root / STATE, started)
    except BaseException:
        down(root)
        raise
    return str(started["ui"])


def down(root: Path) -> list[str]:
    """Stop what ``up`` has started in ``root`` and return what was stopped, by role."""
    state = _read_state(root)
    stopped = []
    for role in ("worker", "server"):  # the worker first: it must not see its server vanish
        if state and _alive(state.get(role)):
            _stop(state[role])
            stopped.append(role)
    (root / STATE).unlink(missing_ok=True)
    return stopped


def _environ(root: Path, url: str) -> dict[str, str]:
    home = (root / STATE.parent).resolve()
    env = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return {
        **env,
        **PATIENCE,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)]),
        "PWD": str(root.resolve()),  # prefect.yaml's pull step reads it
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        # The page asks for the API where it came from itself: any port, and through tunnels.
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_CLI_COLORS": "false",
    }


def _choose_port(port: int | None) -> int:
    candidates = [port] if port else range(_DEFAULT_PORT, _DEFAULT_PORT + _PORTS_TRIED)
    for candidate in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, candidate))
            except OSError:
                continue
            return candidate
    taken = f"{port}" if port else f"{candidates[0]} to {candidates[-1]}"
    raise ConfigError(f"toto up: port = {taken}, a free port is needed; name one with --port")


def _start(
    root: Path, role: str, arguments: list[str], environ: dict[str, str]
) -> dict[str, float | int]:
    """Start a Prefect command that outlives this process; its output goes to a log of its own.

    Not ``--background`` of Prefect 3.8: it leaves pipes that nobody reads, and the server dies
    of its first log line.
    """
    with (root / STATE.parent / f"{role}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *arguments],
            cwd=root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return {"pid": process.pid, "started": psutil.Process(process.pid).create_time()}


def wait_healthy(url: str, *, alive: Callable[[], bool] = lambda: True) -> None:
    """Wait until the API at ``url`` is healthy, as long as ``alive`` holds.

    Raises:
        TotoError: it did not become healthy in time, or its process is no longer alive.
    """
    deadline = time.monotonic() + _HEALTHY_WITHIN_S
    while time.monotonic() < deadline and alive():
        with suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2):
            return  # any status but success raises an OSError
        time.sleep(0.2)
    raise TotoError(
        f"prefect server: {url}/health = no answer, a healthy server within "
        f"{_HEALTHY_WITHIN_S:g} s; see runs/prefect/server.log"
    )


def _call(root: Path, arguments: list[str], environ: dict[str, str]) -> None:
    """Run a Prefect command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        cwd=root,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        text = " ".join((done.stdout + done.stderr).split())
        raise TotoError(f"prefect {' '.join(arguments)}: {text[-500:]}")


def _read_state(root: Path) -> dict[str, object] | None:
    try:
        state = json.loads((root / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def _alive(entry: object) -> bool:
    """Whether the process of a state entry still runs; another one with its old id does not."""
    return _process(entry) is not None


def _process(entry: object) -> psutil.Process | None:
    if not isinstance(entry, dict) or "pid" not in entry:
        return None
    try:
        process = psutil.Process(int(entry["pid"]))
        same = abs(process.create_time() - float(entry["started"])) < 1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, KeyError, TypeError, ValueError):
        return None


def _stop(entry: object) -> None:
    """End the process and everything below it, also what has left its group."""
    process = _process(entry)
    if process is None:
        return
    family = [process, *process.children(recursive=True)]
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    _, left = psutil.wait_procs(family, timeout=_GRACE_S)
    for survivor in left:
        with suppress(psutil.Error):
            survivor.kill()
    psutil.wait_procs(left, timeout=_GRACE_S)
