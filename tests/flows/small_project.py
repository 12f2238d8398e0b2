"""The real pipeline with small parameters, in a copy of the project as a fresh clone holds it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SMALL: Mapping[str, Mapping[str, object]] = {
    "ingest": {"demo": {"num_services": 8, "num_days": 70, "freq": "1h"}},
    "validate": {"max_quarantined": 0.2},
    "split": {
        "num_test_origins": 41,
        "num_validation_origins": 4,
        "prediction_length": 6,
        "stride": 6,
    },
    "augment": {"num_synthetic": 20},
    "model": {"context_length": 128},
    "train": {"max_steps": 30, "batch_size": 4, "validate_every": 10, "checkpoint_interval_s": 0.0},
    "crossval": {"max_steps": 5},
    "calibrate": {"shrinkage": False, "min_origins": 4, "min_scores": 100},
}
_CLONED = (
    "flows",
    "toto_core",
    "dvc.yaml",
    ".dvc/config",
    ".dvc/plots",
    ".dvcignore",
    ".gitignore",
    "data/raw/README.md",
)


def write_project(root: Path) -> Path:
    """Make ``root`` a project with the parameters of ``SMALL``, under git and DVC."""
    for name in _CLONED:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, target)
    shutil.copy(ROOT / "params.yaml", root)
    change_params(root, SMALL)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def change_params(root: Path, changes: Mapping[str, Mapping[str, object]]) -> None:
    """Overwrite single values of params.yaml, section by section."""
    path = root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for section, values in changes.items():
        params[section] |= values
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def environment() -> dict[str, str]:
    """Return an environment with this interpreter, one thread, no Prefect and no W&B."""
    bin_folder = Path(sys.executable).parent
    return os.environ | {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "TOTO_PREFECT": "off",
        "WANDB_MODE": "disabled",
        "OMP_NUM_THREADS": "1",
    }


def run_module(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m`` with ``arguments`` in ``root``."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
