import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_project import environment

from flows import tracking

KEY = "0" * 40
DEAD = "http://127.0.0.1:9"
TRACK = """
from pathlib import Path
from flows import tracking
Path("model").mkdir()
Path("model/config.json").write_text("{}")
run = tracking.start("train", {"lr": 0.1, "seed": 0})
for step in range(3):
    run.log({"loss": 1.0 / (step + 1)}, step=step)
run.log_model(Path("model"), "candidate")
run.finish()
run.log({"loss": 0.0})
"""


def track(root: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Track a run of three steps in ``root``, with a home folder of its own."""
    (root / "home").mkdir()
    return subprocess.run(
        [sys.executable, "-c", TRACK],
        cwd=root,
        env=environment(HOME=str(root / "home"), **changes),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_mode_is_offline_without_an_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert tracking.choose_mode({}) == "offline"


@pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
def test_mode_of_the_environment_is_respected(mode: str) -> None:
    assert tracking.choose_mode({"WANDB_MODE": mode, "WANDB_API_KEY": KEY}) == mode


@pytest.mark.parametrize("source", ["environment", "netrc"])
def test_mode_is_online_with_an_account_whose_host_answers(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    environ = {"WANDB_API_KEY": KEY} if source == "environment" else {}
    if source == "netrc":
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login user password {KEY}\n")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        host = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert tracking.choose_mode({"WANDB_BASE_URL": host, **environ}) == "online"


def test_mode_is_offline_where_the_host_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tracking.choose_mode({"WANDB_BASE_URL": DEAD, "WANDB_API_KEY": KEY}) == "offline"
    assert capsys.readouterr().err == (
        f"wandb: {DEAD} = no answer within 2 s, online needs one; tracking offline "
        "(`wandb sync` sends it later)\n"
    )


def test_run_without_an_account_is_tracked_in_the_project_only(tmp_path: Path) -> None:
    done = track(tmp_path, WANDB_MODE="")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    [run] = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    assert run.stat().st_size > 0
    assert [path.name for path in (tmp_path / "home").rglob("*") if path.is_file()] == []


def test_run_with_an_account_that_cannot_be_reached_ends_soon_with_one_warning(
    tmp_path: Path,
) -> None:
    began = time.monotonic()
    done = track(
        tmp_path,
        WANDB_MODE="online",
        WANDB_API_KEY=KEY,
        WANDB_BASE_URL=DEAD,
        WANDB_INIT_TIMEOUT="1",
    )
    assert (done.returncode, done.stdout) == (0, "")
    [warning] = done.stderr.splitlines()
    assert warning.startswith("wandb: CommError: ")
    assert re.search(r"[^.]; going on without tracking$", warning)
    assert time.monotonic() - began < 30


def test_stages_of_one_run_warn_once_of_an_account_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for run, warned in (("run 1", 1), ("run 1", 0), ("run 2", 1), ("", 1), ("", 0)):
        monkeypatch.setenv("TOTO_RUN", run)
        host = {"WANDB_BASE_URL": DEAD, "WANDB_API_KEY": KEY}
        assert tracking.choose_mode(host) == "offline"
        assert capsys.readouterr().err.count("no answer within") == warned


def test_run_with_a_mode_that_wandb_does_not_know_is_not_tracked(tmp_path: Path) -> None:
    done = track(tmp_path, WANDB_MODE="onlin")
    assert (done.returncode, done.stdout) == (0, "")
    [warning] = done.stderr.splitlines()
    assert "onlin" in warning


def test_run_that_is_disabled_leaves_no_trace(tmp_path: Path) -> None:
    assert os.environ["WANDB_MODE"] == "disabled"
    assert track(tmp_path).returncode == 0
    assert not (tmp_path / "wandb").exists()
