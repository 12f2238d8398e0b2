"""Raw data under DVC's control, as docs/data.md shows it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_raw_data_is_added_imported_updated_pushed_and_pulled(tmp_path: Path) -> None:
    dvc = str(Path(sys.executable).with_name("dvc"))
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere.csv"
    raw = project / "data/raw"
    (raw / "metrics").mkdir(parents=True)
    shutil.copy(ROOT / ".gitignore", project)
    shutil.copy(ROOT / ".dvcignore", project)
    (raw / "metrics/web-1.csv").write_text("date,value\n2025-01-01,1\n")
    elsewhere.write_text("date,value\n2025-01-01,1\n")
    run(project, "git", "init", "-q")
    run(project, dvc, "init", "-q")
    run(project, dvc, "add", "-q", "data/raw/metrics")
    run(project, dvc, "import-url", "-q", str(elsewhere), "data/raw/web-2.csv")
    elsewhere.write_text("date,value\n2025-01-01,2\n")
    run(project, dvc, "update", "-q", "data/raw/web-2.csv.dvc")
    assert (raw / "web-2.csv").read_text() == elsewhere.read_text()
    run(project, dvc, "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    run(project, dvc, "push", "-q")
    run(project, "git", "add", "-A")
    assert set(run(project, "git", "ls-files", "data").split()) == {
        "data/raw/metrics.dvc",
        "data/raw/web-2.csv.dvc",
    }
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(raw / "metrics")
    run(project, dvc, "pull", "-q")
    assert (raw / "metrics/web-1.csv").read_text() == "date,value\n2025-01-01,1\n"
