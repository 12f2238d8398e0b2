import errno
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from toy_project import command, environment

from flows.stage import LAST_ERROR, Once, Summary, describe, read_last_error
from toto_core.errors import CheckpointError, ConfigError, DataError


def test_stage_prints_its_summary_and_forgets_the_last_error(project: Path) -> None:
    (project / "runs").mkdir()
    (project / LAST_ERROR).write_text('{"exit_code": 3, "message": "old"}')
    done = command(project, "stages.make")
    assert (done.returncode, done.stdout, done.stderr) == (0, "make: 3 numbers\n", "")
    assert not (project / LAST_ERROR).exists()


def test_stage_without_a_server_imports_neither_prefect_nor_wandb(project: Path) -> None:
    assert command(project, "stages.make", TOY="modules").stdout.startswith("[]\n")


@pytest.mark.parametrize(
    ("way", "code", "message"),
    [
        pytest.param(
            "rejected",
            3,
            "make: max_quarantined = 0.2, 0.1 at most; see data/quarantine",
            id="data rejected",
        ),
        pytest.param(
            "full",
            1,
            "make: no space left on device, readable inputs and room to write are needed; "
            "mend it and run again",
            id="disk full",
        ),
        pytest.param(
            "denied",
            1,
            "make: stages = is a directory, readable inputs and room to write are needed; "
            "mend it and run again",
            id="cannot be written",
        ),
    ],
)
def test_stage_ends_in_one_line_and_its_exit_code(
    project: Path, way: str, code: int, message: str
) -> None:
    done = command(project, "stages.make", TOY=way)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", message + "\n")
    assert read_last_error(project) == (code, message)


def test_stage_refuses_a_typo_in_the_parameters(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("num_folds:", "num_fold:"))
    done = command(project, "stages.make")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "params.yaml: split.num_folds is missing, it must be given; add it",
        "params.yaml: split.num_fold is unknown, no such key exists; remove it or mend its name",
    ]


def test_stage_keeps_the_traceback_of_a_fault_of_the_program(project: Path) -> None:
    done = command(project, "stages.make", TOY="fault")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: division by zero in the body\n")
    note = json.loads((project / LAST_ERROR).read_text())
    assert note["exit_code"] == 1
    assert note["message"].startswith("make: ZeroDivisionError: division by zero in the body\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stage_stopped_by_a_signal_ends_with_130(project: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "stages.make"],
        cwd=project,
        env=environment(TOY="slow"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    message = "make: stopped by a signal; the next run does it again"
    assert (process.returncode, err) == (130, message + "\n")
    assert read_last_error(project) == (130, message)


def test_stage_with_a_dead_server_warns_once_and_runs(project: Path) -> None:
    url = "http://127.0.0.1:9/api"
    done = command(project, "stages.make", TOTO_PREFECT="auto", PREFECT_API_URL=url)
    assert done.returncode == 0
    assert done.stdout == "make: 3 numbers\n"
    assert done.stderr == (
        f"prefect: PREFECT_API_URL = {url}, nothing answers there within 0.5 s; "
        "running without it\n"
    )
    again = command(
        project, "stages.make", TOTO_PREFECT="auto", PREFECT_API_URL=url, TOTO_SAID_PLAIN="1"
    )
    assert again.stderr == ""


def test_stages_of_one_dvc_repro_warn_of_a_dead_server_once(project: Path) -> None:
    done = command(
        project, "dvc", "repro", "-q", TOTO_PREFECT="auto", PREFECT_API_URL="http://127.0.0.1:9"
    )
    assert done.returncode == 0
    assert done.stderr.count("nothing answers there") == 1


def test_stage_with_prefect_on_needs_a_server(project: Path) -> None:
    done = command(project, "stages.make", TOTO_PREFECT="on")
    assert done.returncode == 2
    assert done.stderr == (
        "prefect: PREFECT_API_URL = None, a server that answers is needed where "
        "TOTO_PREFECT = on; start one with `toto up`\n"
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConfigError("a"), (2, "a")),
        (DataError("b"), (3, "b")),
        (CheckpointError("c"), (1, "c")),
        (ValueError("d"), (None, "s: ValueError: d")),
        (OSError("e"), (None, "s: OSError: e")),
        (MemoryError(), (1, "s: out of memory, a smaller batch or series fits; reduce them")),
        (
            PermissionError(errno.EACCES, "Permission denied", "data/x"),
            (
                1,
                "s: data/x = permission denied, readable inputs and room to write are needed; "
                "mend it and run again",
            ),
        ),
    ],
)
def test_describe_tells_exit_code_and_message(
    error: Exception, expected: tuple[int | None, str]
) -> None:
    assert describe("s", error) == expected


def test_once_runs_its_body_once_and_repeats_what_came_of_it() -> None:
    calls: list[int] = []
    once = Once(lambda: calls.append(1) or Summary("done"))
    assert once() is once()
    failing = Once(lambda: calls.append(1) or 1 / 0)  # type: ignore[arg-type,return-value]
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            failing()
    assert len(calls) == 2


def test_last_error_is_none_where_there_is_no_readable_note(tmp_path: Path) -> None:
    assert read_last_error(tmp_path) is None
    (tmp_path / "runs").mkdir()
    (tmp_path / LAST_ERROR).write_text("{torn")
    assert read_last_error(tmp_path) is None
