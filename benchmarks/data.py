"""The speed of the data engine: every table, and what pandas takes for the same work.

    python -m benchmarks.data

Ingest and validation are compared with a plain pandas program that does what they do to this input:
read, sort, drop repeated and infinite values, lay each series on its regular grid, leave out those
that are too short, too gappy or constant, write Parquet. It needs pandas, which the project does
not; ``pip install pandas`` first, or its rows are left out. The other tables are those of
``benchmarks/synthesis.py``, ``augmentation.py`` and ``loader.py``.
"""

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ingest
from toto_core.config import load_params

_STEPS = 10_000  # points of each series
_OTHERS = ("synthesis", "augmentation", "loader")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, default=10, help="of rows")
    parser.add_argument("--repeats", type=int, default=3, help="the median counts")
    parser.add_argument("--child", nargs=2, metavar=("CASE", "ROOT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        case, root = options.child
        print(json.dumps(measure(case, Path(root))))
        return
    print("| ingest and validate | rows | wall, s | rows/s | peak memory, MiB | times pandas |")
    print("|---|--:|--:|--:|--:|--:|")
    for file_type in ("parquet", "csv"):
        compare(file_type, options.millions * 1_000_000, options.repeats)
    for name in _OTHERS:
        print(f"\n{name}", flush=True)
        subprocess.run([sys.executable, f"benchmarks/{name}.py"], check=True)


def compare(file_type: str, num_rows: int, repeats: int) -> None:
    """Print a row for each side, measured in turn on the same files."""
    sides = ["here"] + ["pandas"] * (importlib.util.find_spec("pandas") is not None)
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        ingest.write_raw(Path(folder) / "raw", file_type, num_rows=num_rows, steps=_STEPS)
        for _ in range(repeats):
            for side in sides:
                command = [sys.executable, "-m", "benchmarks.data", "--child", side, folder]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[side].append(json.loads(done.stdout.splitlines()[-1]))
    medians = {side: np.median([run["wall_s"] for run in runs]) for side, runs in found.items()}
    for side, runs in found.items():
        rate, memory = num_rows / medians[side] / 1e6, max(run["memory_mib"] for run in runs)
        times = f"{medians['pandas'] / medians[side]:.1f}" if "pandas" in medians else "-"
        print(
            f"| {file_type}, {side} | {num_rows:,} | {medians[side]:.1f} | {rate:.2f} M "
            f"| {memory:.0f} | {times} |",
            flush=True,
        )


def measure(side: str, root: Path) -> dict[str, float]:
    """Run one side in this process and say what it took."""
    if side == "here":
        return ingest.measure("all files + validate", root)
    start_s = time.perf_counter()
    run_pandas(root)
    return {
        "wall_s": time.perf_counter() - start_s,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def run_pandas(root: Path) -> None:
    """Do the same with pandas, as a careful user would write it."""
    import pandas as pd  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    rules = load_params(Path("params.yaml")).validate_
    files = sorted((root / "raw").iterdir())
    read: Any = pd.read_parquet if files[0].suffix == ".parquet" else _read_csv
    frame = pd.concat([read(file) for file in files], ignore_index=True)
    frame["target"] = frame["target"].astype(np.float32)
    frame = frame.sort_values(["item_id", "timestamp"], kind="stable")
    infinite = np.isinf(frame["target"])
    repeated = frame.duplicated(["item_id", "timestamp"])
    bad = infinite | repeated
    quarantine = frame[bad].assign(rule=np.where(infinite[bad], "infinite", "repeated"))
    valid, rejected = [], []
    for item_id, part in frame[~bad].groupby("item_id", sort=False):
        step = part["timestamp"].diff().mode().iloc[0]
        series = part.set_index("timestamp")["target"]
        whole = pd.date_range(series.index[0], series.index[-1], freq=step)
        series = series.reindex(whole)
        too_gappy = series.isna().mean() > rules.max_missing_share
        if len(series) < rules.min_length or too_gappy or series.nunique() < 2:
            rejected.append(item_id)
            continue
        valid.append(series.rename_axis("timestamp").reset_index().assign(item_id=item_id))
    (root / "pandas").mkdir(exist_ok=True)
    pd.concat(valid, ignore_index=True).to_parquet(root / "pandas" / "valid.parquet")
    quarantine.to_parquet(root / "pandas" / "quarantine.parquet")
    pd.DataFrame({"item_id": rejected}).to_parquet(root / "pandas" / "rejected.parquet")


def _read_csv(file: Path) -> Any:  # noqa: ANN401
    import pandas as pd  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    return pd.read_csv(file, parse_dates=["timestamp"])


if __name__ == "__main__":
    main()
