"""The speed of the data engine: every table, and what pandas takes for the same work.

    python -m benchmarks.data

Ingest and validation are compared with a plain pandas program in the same two steps
(``benchmarks/with_pandas.py``). "In one pass" is a shorter pandas program that holds all in memory
and writes no series in between. It needs pandas, which the project does not; ``pip install pandas``
first, or its rows are left out. With "faults", three rows in ten thousand are absent, there twice
or infinite, so that no series is without one. The other tables are those of
``benchmarks/synthesis.py``, ``augmentation.py`` and ``loader.py``.
"""

import argparse
import importlib.util
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import ingest, with_pandas
from toto_core.config import load_params

_STEPS = 10_000  # points of each series
_FAULTS = 0.0003
_CASES = {"parquet": 0.0, "parquet, faults": _FAULTS, "csv": 0.0}
_OTHERS = ("synthesis", "augmentation", "loader")
_TIMES = ("wall_s", "processor_s")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, default=10, help="of rows")
    parser.add_argument("--repeats", type=int, default=3, help="the median counts")
    parser.add_argument("--cases", nargs="+", default=list(_CASES), choices=_CASES)
    parser.add_argument("--alone", action="store_true", help="without the other tables")
    parser.add_argument("--child", nargs=2, metavar=("SIDE", "ROOT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        side, root = options.child
        print(json.dumps(measure(side, Path(root))))
        return
    print(
        "| ingest and validate | rows | wall, s | processor, s | rows/s | peak memory, MiB "
        "| times here |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|")
    for case in options.cases:
        compare(case, options.millions * 1_000_000, options.repeats)
    for name in () if options.alone else _OTHERS:
        print(f"\n{name}", flush=True)
        subprocess.run([sys.executable, f"benchmarks/{name}.py"], check=True)


def compare(case: str, num_rows: int, repeats: int) -> None:
    """Print a row for each side, measured in turn on the same files."""
    sides = ["here"]
    if importlib.util.find_spec("pandas") is not None:
        sides += ["pandas", "pandas in one pass"]
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        ingest.write_raw(
            raw, case.partition(",")[0], num_rows=num_rows, steps=_STEPS, faults=_CASES[case]
        )
        for _ in range(repeats):
            for side in sides:
                command = [sys.executable, "-m", "benchmarks.data", "--child", side, folder]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[side].append(json.loads(done.stdout.splitlines()[-1]))
                shutil.rmtree(Path(folder) / "runs", ignore_errors=True)
    here = np.median([run["wall_s"] for run in found["here"]])
    for side, runs in found.items():
        wall, processor = (np.median([run[name] for run in runs]) for name in _TIMES)
        memory = max(run["memory_mib"] for run in runs)
        print(
            f"| {case}: {side} | {num_rows:,} | {wall:.1f} | {processor:.1f} "
            f"| {num_rows / wall / 1e6:.2f} M | {memory:.0f} | {wall / here:.1f} |",
            flush=True,
        )


def measure(side: str, root: Path) -> dict[str, float]:
    """Run one side in this process and say what it took."""
    if side == "here":
        return ingest.measure("all files + validate", root)
    rules = load_params(Path("params.yaml")).validate_
    importlib.import_module("pandas")
    importlib.import_module("pyarrow.parquet")
    wall, processor = time.perf_counter(), time.process_time()
    if side == "pandas":
        with_pandas.ingest(root)
        with_pandas.validate(root, rules)
    else:
        with_pandas.in_one_pass(root, rules)
    return {
        "wall_s": time.perf_counter() - wall,
        "processor_s": time.process_time() - processor,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
