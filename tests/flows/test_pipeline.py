"""The pipeline under a real Prefect server, worker and deployment."""

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from toy_project import REPOSITORY, command, environment

pytestmark = pytest.mark.slow

ORDER = ["make", "copy@0", "copy@1", "end"]


def ask(url: str, path: str, **body: object) -> list[dict[str, Any]]:
    request = urllib.request.Request(
        f"{url}{path}", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def runs_of(url: str, flow: str) -> list[dict[str, Any]]:
    """Return the flow runs of ``flow`` that have started, oldest first."""
    runs = ask(
        url, "/flow_runs/filter", flows={"name": {"any_": [flow]}}, sort="EXPECTED_START_TIME_ASC"
    )
    return [run for run in runs if run["start_time"]]


def tasks_of(url: str, run: dict[str, Any]) -> list[dict[str, Any]]:
    return ask(
        url,
        "/task_runs/filter",
        flow_runs={"id": {"any_": [run["id"]]}},
        sort="EXPECTED_START_TIME_ASC",
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pipeline(root: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return command(root, "flows.pipeline", TOTO_PREFECT="auto", **changes)


@pytest.fixture(scope="session")
def served(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The small pipeline with `toto up`: its root and the API's URL."""
    root = Path(shutil.copytree(template, tmp_path_factory.mktemp("served") / "project"))
    (root / "flows").symlink_to(REPOSITORY / "flows")
    shutil.copy(REPOSITORY / "prefect.yaml", root)
    done = command(root, "flows.cli", "up", "--port", str(free_port()), TOTO_PREFECT="auto")
    assert done.returncode == 0, done.stderr
    state = json.loads((root / "runs/prefect/state.json").read_text())
    family = [
        process
        for role in ("server", "worker")
        for parent in [psutil.Process(state[role]["pid"])]
        for process in [parent, *parent.children(recursive=True)]
    ]
    yield root, state["url"]
    assert command(root, "flows.cli", "down").stdout == "prefect: stopped worker and server\n"
    assert [process for process in family if process.is_running()] == []
    assert not (root / "runs/prefect/state.json").exists()


def test_up_again_leaves_what_runs_alone(served: tuple[Path, str]) -> None:
    root, url = served
    before = (root / "runs/prefect/state.json").read_text()
    done = command(root, "flows.cli", "up", TOTO_PREFECT="auto")
    assert f"prefect: {url.removesuffix('/api')} shows the runs" in done.stdout
    assert (root / "runs/prefect/state.json").read_text() == before


def test_up_refuses_a_port_that_is_taken(served: tuple[Path, str], project: Path) -> None:
    port = served[1].rpartition(":")[2].removesuffix("/api")
    shutil.copy(REPOSITORY / "prefect.yaml", project)
    done = command(project, "flows.cli", "up", "--port", port)
    assert done.returncode == 2
    assert done.stderr == (f"toto up: port = {port}, a free port is needed; name one with --port\n")


def test_pipeline_shows_each_stage_with_edges_runs_and_artifacts(
    served: tuple[Path, str], finished: Path
) -> None:
    root, url = served
    done = pipeline(root)
    assert (done.returncode, done.stderr) == (0, "")
    assert (root / "dvc.lock").read_bytes() == (finished / "dvc.lock").read_bytes()

    parent = runs_of(url, "pipeline")[-1]
    assert (parent["state"]["type"], parent["state"]["message"]) == (
        "COMPLETED",
        "4 stages, 4 ran, 0 cached",
    )
    tasks = tasks_of(url, parent)
    stages = {task["name"]: task for task in tasks if "__parents__" not in task["task_inputs"]}
    assert list(stages) == ORDER
    needs = {
        name: sorted(
            other
            for entry in task["task_inputs"].get("wait_for", [])
            for other in stages
            if stages[other]["id"] == entry["id"]
        )
        for name, task in stages.items()
    }
    assert needs == {
        "make": [],
        "copy@0": ["make"],
        "copy@1": ["make"],
        "end": ["copy@0", "copy@1"],
    }

    holders = {task["id"]: task for task in tasks if "__parents__" in task["task_inputs"]}
    [make] = runs_of(url, "make")
    assert make["state"]["message"] == "3 numbers"
    assert sorted(make["tags"]) == ["dvc", "stage:make"]
    [above] = holders[make["parent_task_run_id"]]["task_inputs"]["__parents__"]
    assert above["id"] == stages["make"]["id"]
    assert [run["name"] for run in runs_of(url, "copy")] == ["copy@0", "copy@1"]

    logs = ask(url, "/logs/filter", logs={"flow_run_id": {"any_": [make["id"]]}})
    assert "3 numbers" in [line["message"] for line in logs]
    artifacts = {item["key"]: item["type"] for item in ask(url, "/artifacts/latest/filter")}
    assert artifacts == {
        "make-metrics": "table",
        "make-rows": "table",
        "make-note-1": "markdown",
        "pipeline-stages": "table",
    }


def test_pipeline_marks_what_is_up_to_date_as_cached(served: tuple[Path, str]) -> None:
    root, url = served
    assert pipeline(root).returncode == 0
    lock = (root / "dvc.lock").read_bytes()
    assert pipeline(root).returncode == 0
    tasks = tasks_of(url, runs_of(url, "pipeline")[-1])
    assert [(task["name"], task["state"]["name"]) for task in tasks] == [
        (name, "Cached") for name in ORDER
    ]
    assert (root / "dvc.lock").read_bytes() == lock


def test_pipeline_shows_why_a_stage_failed(served: tuple[Path, str]) -> None:
    root, url = served
    stage = root / "stages/make.py"
    before = stage.read_text()
    stage.write_text(before + "\n# changed\n")
    done = pipeline(root, TOY="rejected")
    stage.write_text(before)
    message = "make: max_quarantined = 0.2, 0.1 at most; see data/quarantine"
    assert done.returncode == 3
    assert done.stderr.count(message) == 1
    assert "Traceback" not in done.stderr
    for flow in ("pipeline", "make"):
        state = runs_of(url, flow)[-1]["state"]
        assert (state["type"], state["message"]) == ("FAILED", message)


def test_deployment_leaves_the_lock_of_dvc_repro(served: tuple[Path, str], finished: Path) -> None:
    root, url = served
    (root / "dvc.lock").unlink(missing_ok=True)
    shutil.rmtree(root / "data", ignore_errors=True)
    shutil.rmtree(root / ".dvc/cache", ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "deployment", "run", "pipeline/nightly", "--watch"],
        cwd=root,
        env=environment(PREFECT_API_URL=url),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (root / "dvc.lock").read_bytes() == (finished / "dvc.lock").read_bytes()
    run = runs_of(url, "pipeline")[-1]
    assert run["name"].startswith("deployment-")
    assert run["state"]["message"] == "4 stages, 4 ran, 0 cached"
    assert run["deployment_id"]


@pytest.mark.parametrize("module", ["flows.pipeline", "stages.make"])
def test_server_that_dies_on_the_way_fails_nothing(
    project: Path, tmp_path: Path, module: str
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environ = {"PREFECT_HOME": str(tmp_path / "home"), "PREFECT_API_URL": url}
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            env=environment(**environ),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait = "from pathlib import Path; from flows.local import wait_healthy; "
        wait += f"wait_healthy({url!r})"
        subprocess.run([sys.executable, "-c", wait], env=environment(), check=True, timeout=120)
        toy = f"end {server.pid}"
        done = command(project, module, TOTO_PREFECT="auto", TOY=toy, **environ)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, 9)
        server.wait()
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("make: 3 numbers\n")
    told = done.stderr.splitlines()
    assert told
    assert all(line.startswith("prefect: ConnectError: ") for line in told)
    assert sum("without it" in line for line in told) <= 2
    assert "Traceback" not in done.stderr
