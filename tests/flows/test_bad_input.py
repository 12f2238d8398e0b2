"""Bad input as a user meets it: `toto run` ends in one line, with the right exit code.

What each message says in full is tested where it is made; here the whole way to the terminal is.
"""

import random
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from small_project import change_params, run_module, write_project

pytestmark = pytest.mark.slow


def hourly(num_rows: int, *, words: int = 0, other_format: bool = False, value: str = "") -> str:
    """CSV of a rhythm; every ``words``-th value is a word."""
    lines = ["timestamp,value"]
    for row in range(num_rows):
        time = datetime(2025, 1, 1) + timedelta(hours=row)
        stamp = time.strftime("%d/%m/%Y %H:%M") if other_format and row % 2 else str(time)
        number = value or str(row * 7919 % 101)
        lines.append(f"{stamp},{'oops' if words and row % words == 0 else number}")
    return "\n".join(lines) + "\n"


NONE_VALID = r"validate: valid series = 0 of 1, at least 1 is needed; the worst rules are "
CASES: Mapping[str, tuple[str | bytes | None, str]] = {
    "missing folder": (None, r"ingest\.paths: data/raw/x\.csv = not found, a file, folder or gl"),
    "empty file": ("", r"data/raw/x\.csv: 0 bytes, rows are needed; remove the file or fill it"),
    "header alone": ("timestamp,value\n", r"data/raw/x\.csv: a header and 0 rows, at least one"),
    "binary": (random.Random(0).randbytes(4000), r"data/raw/x\.csv: .* text is needed; export it"),
    "mixed separators": (
        "timestamp,value\n2025-01-01,1\n2025-01-02;2\n",
        r"data/raw/x\.csv: separator = ';' in line 3 but ',' in line 1, one is needed",
    ),
    "text among numbers": (
        hourly(600, words=3),
        NONE_VALID + r"not_a_number .*, for example in x/value: value = 'oops' in .*, a number is",
    ),
    "two formats": (
        hourly(1500, other_format=True),
        r"validate: quarantined = 0\.5 of 1500 rows, at most .*, for example in x/value: time "
        r"stamp = '01/01/2025 01:00' in data/raw/x\.csv, a time is needed; see",
    ),
    "3 points": (hourly(3), NONE_VALID + r"too_short .*: 3 points, at least 128; see"),
    "constant": (hourly(1500, value="5"), NONE_VALID + r"constant \(1 series\), for example in x"),
    "short history": (
        hourly(300),
        r"split: history = 300 steps of 1h, at least 334 are needed .* 35 test origins fit beside",
    ),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that reads data/raw/x.csv."""
    root = write_project(tmp_path_factory.mktemp("bad"))
    change_params(
        root,
        {
            "ingest": {"source": "files", "paths": ["data/raw/x.csv"]},
            "validate": {"bounds": {}, "min_length": 128},
        },
    )
    return root


@pytest.mark.parametrize("name", CASES)
def test_run_refuses_bad_input_in_one_line(project: Path, name: str) -> None:
    content, message = CASES[name]
    raw = project / "data/raw/x.csv"
    raw.unlink(missing_ok=True)
    if content is not None:
        raw.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run_module(project, "flows.cli", "run")
    assert done.returncode == 3, done.stderr
    prefect, line = done.stderr.splitlines()
    assert prefect == "prefect: TOTO_PREFECT = off; running without it"
    assert re.match(message, line), line
    assert not list((project / "data").glob(".*.tmp"))


def test_run_refuses_a_column_that_is_not_there(project: Path) -> None:
    (project / "data/raw/x.csv").write_text(hourly(10))
    change_params(project, {"ingest": {"targets": ["cpu"]}})
    done = run_module(project, "flows.cli", "run")
    change_params(project, {"ingest": {"targets": []}})
    assert done.returncode == 3
    assert done.stderr.splitlines()[1:] == [
        "data/raw/x.csv: ingest.targets = 'cpu', one of ['timestamp', 'value'] is needed; "
        "mend params.yaml"
    ]


def test_run_refuses_bounds_of_variates_that_do_not_exist(project: Path) -> None:
    (project / "data/raw/x.csv").write_text(hourly(1500))
    change_params(project, {"validate": {"bounds": {"cpu": [0, 100]}}})
    done = run_module(project, "flows.cli", "run")
    change_params(project, {"validate": {"bounds": {}}})
    assert done.returncode == 2
    assert done.stderr.splitlines()[1:] == [
        "params.yaml: validate.bounds.cpu names no variate, the variates are value; mend the name "
        "or remove it"
    ]


def test_run_without_room_for_the_output_is_told(project: Path) -> None:
    (project / "data/raw/x.csv").write_text(hourly(1500))
    (project / "models").write_text("a file where a folder must be")
    done = run_module(project, "flows.cli", "run")
    (project / "models").unlink()
    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert line.startswith("train: failed to reproduce 'train': [Errno 20] Not a directory: ")
    assert line.endswith("; mend what it names and run again")
