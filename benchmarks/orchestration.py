"""How long the pipeline takes where there is nothing to do, and what Prefect costs where there is.

``python benchmarks/orchestration.py`` makes a project with as many stages as dvc.yaml, all of
them trivial, and starts a Prefect server of its own for it.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flows.checks import entries, load_stages

ROOT = Path(__file__).parents[1]
STAGE = """
import sys
from flows.stage import Summary, run_stage

def run(params, root):
    (root / "data").mkdir(exist_ok=True)
    (root / f"data/{sys.argv[1]}.txt").write_text(sys.argv[1])
    return Summary("done", metrics={"value": 1.0})

if __name__ == "__main__":
    run_stage(sys.argv[1], run)
"""


def main() -> None:
    """Print a table of wall times, the best of ``--repeats``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        count = make_project(root)
        plain = environment(TOTO_PREFECT="off")
        served = environment(TOTO_PREFECT="auto")
        toto, pipeline, repro = ["flows.cli"], ["flows.pipeline"], ["dvc", "repro", "-q"]
        rows = [
            ("toto --help", timed([*toto, "--help"], root, plain, repeats)),
            ("import toto_core.config", timed(["toto_core.config"], root, plain, repeats)),
            (f"dvc repro, {count} stages run", timed(repro, root, plain, 1)),
            ("dvc repro, nothing to do", timed(repro, root, plain, repeats)),
            ("toto run, nothing to do", timed([*toto, "run"], root, plain, repeats)),
        ]
        try:
            rows += [
                ("toto up", timed([*toto, "up"], root, served, 1)),
                ("flows.pipeline with a server, nothing to do", 0.0),
            ]
            timed(pipeline, root, served, 1)
            rows[-1] = (rows[-1][0], timed(pipeline, root, served, repeats))
            shutil.rmtree(root / ".dvc/cache")
            (root / "dvc.lock").unlink()
            rows.append(
                (
                    f"flows.pipeline with a server, {count} stages run",
                    timed(pipeline, root, served, 1),
                )
            )
        finally:
            rows.append(("toto down", timed([*toto, "down"], root, served, 1)))
    commit = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    revision = subprocess.run(commit, capture_output=True, text=True, check=False).stdout.strip()
    load = os.getloadavg()[0]
    print(f"commit {revision}, {platform.machine()}, {os.cpu_count()} cores, load {load:.1f}")
    for name, seconds in rows:
        print(f"{seconds:7.2f} s  {name}")


def make_project(root: Path) -> int:
    """Write a project whose graph has the stages and edges of dvc.yaml; return their number."""
    stages = load_stages(ROOT)
    names = {name: name.replace("@", "-") for name in stages}
    made = {
        out: names[name]
        for name, stage in stages.items()
        for kind in ("outs", "metrics", "plots")
        for out in entries(stage, kind)
    }
    lines = ["stages:"]
    for index, (name, stage) in enumerate(stages.items()):
        needs = sorted({made[dep] for dep in entries(stage, "deps") if dep in made})
        lines += [
            f"  {names[name]}:",
            f"    cmd: python -m stages.stage {names[name]}",
            f"    deps: [stages/stage.py{''.join(f', data/{need}.txt' for need in needs)}]",
            f"    outs: [data/{names[name]}.txt]",
        ]
        if index == 0:
            sections = load_stages(ROOT).values()
            used = {key for section in sections for key in entries(section, "params")}
            lines.append(f"    params: [{', '.join(sorted(used))}]")
    (root / "stages").mkdir(parents=True)
    (root / "stages/stage.py").write_text(STAGE, encoding="utf-8")
    (root / "dvc.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / ".gitignore").write_text("/data/\n/runs/\n__pycache__\n", encoding="utf-8")
    for file in ("params.yaml", "prefect.yaml"):
        shutil.copy(ROOT / file, root)
    (root / "flows").symlink_to(ROOT / "flows")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=root, env=environment(), check=True)
    return len(stages)


def environment(**changes: str) -> dict[str, str]:
    """Return this environment, with this interpreter and this repository first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "WANDB_MODE": "disabled",
        **changes,
    }


def timed(module: list[str], root: Path, environ: dict[str, str], repeats: int) -> float:
    """Return the shortest wall time of ``python -m module`` in seconds."""
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", *module], cwd=root, env=environ, capture_output=True, check=True
        )
        best = min(best, time.perf_counter() - began)
    return best


if __name__ == "__main__":
    main()
