import fcntl
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_project import environment

from flows.graph import Node, Outcome, StageFailedError, Work, read_graph, read_stale, walk
from toto_core.errors import ConfigError, TotoError

# DVC's own dependencies warn when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in environment().items():
        monkeypatch.setenv(key, value)


def kinds(root: Path) -> list[tuple[str, str]]:
    outcomes = walk(root, lambda _node, work: work({}))
    return [(name, outcome.kind) for name, outcome in outcomes.items()]


def test_graph_is_in_the_order_of_dvc_with_what_each_stage_needs(project: Path) -> None:
    assert read_graph(project) == [
        Node("make", ()),
        Node("copy@0", ("make",)),
        Node("copy@1", ("make",)),
        Node("end", ("copy@0", "copy@1")),
    ]


def test_graph_of_a_frozen_stage_needs_nothing(project: Path) -> None:
    graph = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(graph.replace("  end:\n", "  end:\n    frozen: true\n"))
    assert Node("end", ()) in read_graph(project)


def test_walk_runs_everything_once_and_leaves_the_lock_of_dvc_repro(
    project: Path, finished: Path
) -> None:
    assert kinds(project) == [(name, "ran") for name in ("make", "copy@0", "copy@1", "end")]
    assert (project / "dvc.lock").read_bytes() == (finished / "dvc.lock").read_bytes()
    assert (project / "data/end.txt").read_text() == "00\n10\n"


def test_walk_runs_nothing_that_is_up_to_date(finished_project: Path) -> None:
    unchanged = [(name, "unchanged") for name in ("make", "copy@0", "copy@1", "end")]
    assert kinds(finished_project) == unchanged


def test_walk_stops_where_a_stage_came_to_the_same_output(finished_project: Path) -> None:
    stage = finished_project / "stages/make.py"
    stage.write_text(stage.read_text() + "\n# the code has changed, its output will not\n")
    assert kinds(finished_project) == [
        ("make", "ran"),
        ("copy@0", "unchanged"),
        ("copy@1", "unchanged"),
        ("end", "unchanged"),
    ]


def test_walk_follows_a_change_to_everything_that_it_reaches(finished_project: Path) -> None:
    params = finished_project / "params.yaml"
    params.write_text(params.read_text().replace("seed: 0", "seed: 7"))
    assert kinds(finished_project) == [
        (name, "ran") for name in ("make", "copy@0", "copy@1", "end")
    ]
    assert (finished_project / "data/end.txt").read_text() == "07\n17\n"


def test_walk_restores_what_has_run_before(finished_project: Path) -> None:
    (finished_project / "dvc.lock").unlink()
    (finished_project / "data/copy-1.txt").unlink()
    restored = [(name, "restored") for name in ("make", "copy@0", "copy@1", "end")]
    assert kinds(finished_project) == restored


def test_walk_ends_at_the_stage_that_fails_with_what_it_left(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY", "rejected")
    seen: list[str] = []

    def visit(node: Node, work: Work) -> Outcome:
        seen.append(node.name)
        return work({})

    with pytest.raises(StageFailedError, match="make: max_quarantined = ") as info:
        walk(project, visit)
    assert info.value.code == 3
    assert seen == ["make"]


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])  # one stays above the stage to tell
def test_walk_tells_of_a_stage_that_was_killed(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], shell: str
) -> None:
    monkeypatch.setenv("TOY", "killed")
    monkeypatch.setenv("SHELL", shell)
    with pytest.raises(StageFailedError, match="make: ended by SIGKILL from outside, free") as info:
        kinds(project)
    assert info.value.code == 1
    said = capfd.readouterr().err.splitlines()
    assert [line for line in said if not line.endswith("Killed")] == [str(info.value)]


def test_walk_tells_of_a_command_that_is_no_stage_of_ours(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(text.replace("cmd: cat ", "cmd: exit 7; cat "))
    with pytest.raises(StageFailedError, match=r"end: failed to rep.* exited with 7; mend"):
        kinds(project)
    assert capfd.readouterr().err.count("\n") == 1


def test_walk_refuses_a_second_pipeline_in_the_project(project: Path) -> None:
    (project / "runs").mkdir()
    with (project / "runs/pipeline.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.write("4711")
        handle.flush()
        with pytest.raises(TotoError, match="held by process 4711, one pipeline at a time"):
            kinds(project)


def test_stale_tells_of_a_lock_that_stays_held(project: Path) -> None:
    holder = (
        "import sys, zc.lockfile; lock = zc.lockfile.LockFile('.dvc/tmp/lock'); "
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder],
        cwd=project,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        began = time.monotonic()
        with pytest.raises(TotoError, match=r"dvc: \.dvc/tmp/lock = held for 1 s, it must become"):
            read_stale(project, within_s=1)
        process.communicate("")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (".git", "project: no git repository, DVC needs one; run `git init`"),
        (".dvc", "project: no .dvc folder, a DVC project is needed; run `dvc init`"),
    ],
)
def test_stale_needs_a_project(
    project: Path, lost: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    (project / lost).rename(project / "elsewhere")
    with pytest.raises(ConfigError) as info:
        read_stale(project)
    assert str(info.value) == message


def test_stale_tells_what_dvc_says_of_its_graph(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages:\n  make:\n    cmdd: x\n")
    with pytest.raises(ConfigError, match=r"dvc: '.*dvc.yaml' validation failed.*cmdd"):
        read_stale(project)


def test_stale_tells_what_to_do_about_a_lock_with_a_conflict(finished_project: Path) -> None:
    lock = finished_project / "dvc.lock"
    lock.write_text("<<<<<<< HEAD\n" + lock.read_text())
    with pytest.raises(ConfigError, match=r"dvc\.lock' is invalid .*; settle the conflict") as info:
        read_stale(finished_project)
    assert "\n" not in str(info.value)


def test_run_on_a_full_disk_says_that_room_is_needed(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "run"],
        cwd=project,
        env=environment(TOTO_PREFECT="off"),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert done.returncode == 1
    assert re.search(r"\ndvc: .*, room to write is needed below \.dvc; free some", done.stderr)
    assert done.stderr.count("\n") == 2
