"""The report stage: what it writes and what it says of a missing file."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from contract_tree import write_tree

from flows import register, report
from toto_core.config import load_params
from toto_core.errors import DataError

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = write_tree(tmp_path_factory.mktemp("project"), num_items=6)
    register.run(PARAMS, root)
    return root


def test_report_writes_one_file_and_says_how_large(project):
    summary = report.run(PARAMS, project)
    size = (project / "reports/index.html").stat().st_size
    assert summary.text == f"reports/index.html ({size / 1024:.0f} KiB)"
    assert sorted(path.name for path in (project / "reports").iterdir()) == [
        "index.html",
        "metrics",
        "plots",
        "protocol.json",
    ]


def test_report_says_which_file_is_unreadable_and_keeps_the_old_page(project, tmp_path):
    root = Path(shutil.copytree(project, tmp_path / "p"))
    report.run(PARAMS, root)
    before = (root / "reports/index.html").read_bytes()
    (root / "reports/metrics/train.json").write_text("{")
    with pytest.raises(DataError, match=r"report: .*train\.json = unreadable \(JSONDecodeError\)"):
        report.run(PARAMS, root)
    assert (root / "reports/index.html").read_bytes() == before


@pytest.mark.parametrize(
    "name",
    ["losses", "forecasts/candidate", "quarantine/rows", "quarantine/series", "valid/part-00000"],
)
def test_report_names_a_torn_table(project, tmp_path, name):
    root = Path(shutil.copytree(project, tmp_path / "p"))
    path = root / f"data/{name}.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=rf"{name}.parquet: \d+ bytes without the marks of a wh"):
        report.run(PARAMS, root)
