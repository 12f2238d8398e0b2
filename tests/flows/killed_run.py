"""The stage train in a process of its own, killed on the way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[2]


def run_and_kill(project, params, repository=REPOSITORY):
    """SIGKILL ``python -m flows.train`` as soon as it has a checkpoint."""
    values = params.model_dump(mode="json", by_alias=True)
    (project / "params.yaml").write_text(yaml.safe_dump(values))
    environment = os.environ | {"PYTHONPATH": str(repository), "TOTO_PREFECT": "off"}
    with subprocess.Popen(
        [sys.executable, "-m", "flows.train"],
        cwd=project,
        env=environment | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None and not list(project.glob("runs/*/state-*")):
            pass
        process.kill()
    assert process.returncode == -signal.SIGKILL
