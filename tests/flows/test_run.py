import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from toy_project import command, environment

from flows.graph import Outcome
from flows.run import describe_outcomes, read_verdict


def test_run_says_what_ran_and_ends_with_verdict_and_report(project: Path) -> None:
    (project / "models/registry").mkdir(parents=True)
    (project / "models/registry/verdict.json").write_text(
        json.dumps({"outcome": "FAIL", "headline": "WORSE than no change: 6.1 times its error"})
    )
    (project / "reports").mkdir()
    (project / "reports/index.html").write_text("")
    done = command(project, "flows.cli", "run")
    assert done.returncode == 0
    assert done.stderr == "prefect: TOTO_PREFECT = off; running without it\n"
    *stages, end, verdict, report = done.stdout.splitlines()
    assert stages == ["make: 3 numbers", "copy@0: copied", "copy@1: copied"]
    assert end.startswith("pipeline: 4 stages, 4 ran, 0 cached, ")
    assert verdict == "verdict: FAIL, WORSE than no change: 6.1 times its error"
    assert report == f"report: {project / 'reports/index.html'}"


@pytest.mark.parametrize("module", [("flows.cli", "run"), ("flows.pipeline",)], ids=lambda m: m[0])
def test_run_with_nothing_to_do_says_so(finished_project: Path, module: tuple[str, ...]) -> None:
    done = command(finished_project, *module)
    assert done.returncode == 0
    *stages, end = done.stdout.splitlines()
    assert stages == [f"{name}: cached" for name in ("make", "copy@0", "copy@1", "end")]
    assert end.startswith("pipeline: 4 stages, 0 ran, 4 cached, ")


def test_run_ends_with_the_exit_code_of_the_stage_that_failed(project: Path) -> None:
    done = command(project, "flows.cli", "run", TOY="rejected")
    message = "make: max_quarantined = 0.2, 0.1 at most; see data/quarantine"
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr == f"prefect: TOTO_PREFECT = off; running without it\n{message}\n"


def test_run_finds_a_fault_before_it_starts(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("seed: 0", "seed: -1"))
    done = command(project, "flows.cli", "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "params.yaml: seed = -1, input should be greater than or equal to 0; change it\n"
    )


@pytest.mark.parametrize("module", [("flows.cli", "run"), ("flows.pipeline",)], ids=lambda m: m[0])
def test_run_that_may_not_write_says_where(project: Path, module: tuple[str, ...]) -> None:
    (project / "runs").write_text("a file where a folder must be")
    done = command(project, *module, TOTO_PREFECT="off")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[1:] == [
        "pipeline: runs = file exists, readable inputs and room to write are needed; mend it and "
        "run again"
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_that_is_stopped_takes_its_stage_along(project: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "run"],
        cwd=project,
        env=environment(TOY="slow"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        stage = psutil.Process(int((project / "runs/pid").read_text()))
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "make: stopped by a signal" in err
    assert not stage.is_running()
    again = command(project, "flows.cli", "run")
    assert again.returncode == 0, again.stderr


def test_run_imports_nothing_that_keeps_ctrl_c_to_itself() -> None:
    code = "import sys, flows.run; print(sorted({'polars', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_outcomes_are_counted_by_what_had_to_run() -> None:
    outcomes = {"a": Outcome("ran"), "b": Outcome("restored"), "c": Outcome("unchanged")}
    assert describe_outcomes(outcomes) == "3 stages, 1 ran, 2 cached"


def test_verdict_that_is_not_there_or_torn_is_no_fault(tmp_path: Path) -> None:
    assert read_verdict(tmp_path) == []
    (tmp_path / "models/registry").mkdir(parents=True)
    (tmp_path / "models/registry/verdict.json").write_text("{")
    assert read_verdict(tmp_path) == []
