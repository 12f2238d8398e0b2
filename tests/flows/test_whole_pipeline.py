"""The real stages under real DVC on a small fleet: repeatable, interruptible, never half-written.

Each test works in a copy of the project as a fresh clone would hold it.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_project import environment, run_module, write_project

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of its own with small parameters, and git and DVC as a clone has them."""
    return write_project(tmp_path)


def dvc(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_module(project, "dvc", *arguments)


def repro(project: Path, *arguments: str) -> str:
    """Bring everything up to date and return the lock, which holds the hash of every output."""
    done = dvc(project, "repro", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return (project / "dvc.lock").read_text()


def forget_everything(project: Path) -> None:
    for name in ["data/series", "data/valid", "data/quarantine", "data/corpus", "data/forecasts"]:
        shutil.rmtree(project / name)
    for name in ["models", "reports", "runs", ".dvc/cache"]:
        shutil.rmtree(project / name, ignore_errors=True)
    for name in ["splits.json", "targets.parquet", "fingerprints.npz", "losses.parquet"]:
        (project / "data" / name).unlink()
    (project / "dvc.lock").unlink()


def test_same_inputs_give_the_same_bytes_and_nothing_reruns(project: Path) -> None:
    lock = repro(project)
    assert "Running stage" not in dvc(project, "repro").stdout
    assert (project / "reports/index.html").stat().st_size > 20_000
    forget_everything(project)
    assert repro(project) == lock


def test_training_killed_on_the_way_resumes_to_the_same_bytes(project: Path) -> None:
    undisturbed = repro(project)
    forget_everything(project)
    repro(project, "protocol")  # the lock lists stages in the order in which they first ran
    repro(project, "augment")
    with subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "train"],
        cwd=project,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as running:
        deadline = time.monotonic() + 120
        while not list(project.glob("runs/*/state-*/state.json")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGKILL)
    assert list(project.glob("runs/*/state-*/state.json")), "killed before the first checkpoint"
    assert not (project / "models/candidate").exists()
    resumed = dvc(project, "repro", "train")
    assert "goes on from step" in resumed.stdout + resumed.stderr
    assert repro(project) == undisturbed


def test_disk_that_is_full_ends_in_one_line_and_keeps_the_good_output(project: Path) -> None:
    repro(project, "validate")
    before = {path.name: path.read_bytes() for path in (project / "data/valid").iterdir()}
    done = subprocess.run(
        [sys.executable, "-m", "flows.validate"],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "Prefect" not in line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("validate: data/")
    assert "= file too large, readable inputs and room to write are needed" in lines[0]
    assert {path.name: path.read_bytes() for path in (project / "data/valid").iterdir()} == before
    assert not list((project / "data").glob(".*.tmp"))
