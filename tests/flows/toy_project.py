"""A small pipeline of its own, run for real: two kinds of stages, a matrix and a plain command."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

STAGES = {
    "make": """
import os, signal, sys, time
from pathlib import Path
from flows.stage import Summary, run_stage
from toto_core.errors import DataError

def run(params, root):
    way = os.environ.get("TOY", "")
    if way == "rejected":
        raise DataError("make: max_quarantined = 0.2, 0.1 at most; see data/quarantine")
    if way == "full":
        with open("/dev/full", "w") as file:
            file.write("x" * 10**6)
    if way == "denied":
        Path("stages").write_text("a folder cannot be written to")
    if way == "fault":
        raise ZeroDivisionError("division by zero in the body")
    if way == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "modules":
        print(sorted({"prefect", "wandb", "dvc", "torch"} & set(sys.modules)))
    if way == "slow":
        Path("runs").mkdir(exist_ok=True)
        Path("runs/pid").write_text(str(os.getpid()))
        print("ready", flush=True)
        time.sleep(60)
    if way.startswith("end "):
        os.killpg(int(way[4:]), signal.SIGKILL)
    (root / "data").mkdir(exist_ok=True)
    (root / "data/numbers.txt").write_text(f"{params.seed}\\n")
    return Summary(
        "3 numbers",
        metrics={"numbers": 3.0},
        tables={"rows": [{"n": 1}]},
        markdown={"Note_1": "# note"},
    )

if __name__ == "__main__":
    run_stage("make", run)
""",
    "copy": """
import sys
from flows.stage import Summary, run_stage

def run(params, root):
    numbers = (root / "data/numbers.txt").read_text()
    (root / f"data/copy-{sys.argv[1]}.txt").write_text(sys.argv[1] + numbers)
    return Summary("copied")

if __name__ == "__main__":
    run_stage(f"copy@{sys.argv[1]}", run)
""",
}

GRAPH = """
stages:
  make:
    cmd: python -m stages.make
    deps: [stages/make.py]
    params: [seed, ingest, validate, split, augment, model, train, calibrate, crossval,
      evaluate, register]
    outs: [data/numbers.txt]
  copy:
    matrix:
      fold: [0, 1]
    cmd: python -m stages.copy ${item.fold}
    deps: [stages/copy.py, data/numbers.txt]
    outs:
      - data/copy-${item.fold}.txt
  end:
    cmd: cat data/copy-0.txt data/copy-1.txt > data/end.txt
    deps: [data/copy-0.txt, data/copy-1.txt]
    outs: [data/end.txt]
"""


def environment(**changes: str) -> dict[str, str]:
    """Return an environment in which this interpreter and this repository come first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    git = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "toy"), ("EMAIL", "toy@example.invalid"))
    }
    return {**os.environ, **git, "PATH": path, "PYTHONPATH": str(REPOSITORY), **changes}


def command(root: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m`` with ``arguments`` in ``root``."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=root,
        env=environment(**changes),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
