"""Rows per second and peak memory of ingest: alone, with validation, and after one file changed.

Each case runs in a process of its own. Processor time is printed beside wall time: on a busy
machine only the former means anything. Memory is flat if it is alike for both sizes. The cases
"again" read 1,000 files, change one and read them again; their times are those of the second run,
and the last column is their share of the first run's processor time. "items" are short: three
points each.

python -m benchmarks.ingest [--millions 10 40] [--steps 10000] [--cases parquet csv ...]
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from flows import ingest, validate
from toto_core.config import load_params

CASES = (
    "parquet",
    "parquet shuffled",
    "parquet items",
    "csv",
    "csv.gz",
    "parquet + validate",
    "csv + validate",
    "parquet again",
    "csv again",
)
NUM_FILES_AGAIN = 1000
SHORT_STEPS = 3
START_US = 1_700_000_000_000_000
INTERVAL_US = 60_000_000
ITEMS_PER_FILE = 200


def main() -> None:
    """Print one row for each case and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, nargs="+", default=[10, 40], help="of rows")
    parser.add_argument("--steps", type=int, default=10_000, help="points of each series")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--child", nargs=2, metavar=("CASE", "ROOT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child[0], Path(options.child[1]))))
        return
    print(
        "| case | rows | wall, s | processor, s | rows/s (wall) | peak memory, MiB | of first run |"
    )
    print("|---|---|---|---|---|---|---|")
    for case in options.cases:
        for millions in options.millions:
            print(row(case, millions * 1_000_000, options.steps), flush=True)


def row(case: str, num_rows: int, steps: int) -> str:
    """One line of the table: the case on freshly written files."""
    with tempfile.TemporaryDirectory() as folder:
        file_case = case.removesuffix(" + validate")
        if case.endswith("items"):
            steps = SHORT_STEPS
        write_raw(Path(folder) / "raw", file_case, num_rows=num_rows, steps=steps)
        command = [sys.executable, "-m", "benchmarks.ingest", "--child", case, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    rate = found["rows"] / found["wall_s"] / 1e6
    return (
        f"| {case} | {found['rows']:,} | {found['wall_s']:.1f} | {found['processor_s']:.1f} "
        f"| {rate:.2f} M | {found['memory_mib']:.0f} | {found['share'] or 1:.1%} |"
    )


def write_raw(folder: Path, case: str, *, num_rows: int, steps: int, faults: float = 0.0) -> None:
    """Write long files, each of some items; shuffled ones hold all rows in any order.

    Args:
        faults: share of the rows that are absent, infinite or there twice, each with a third.
    """
    folder.mkdir()
    rng = np.random.default_rng(0)
    num_items = num_rows // steps
    per_file = max(ITEMS_PER_FILE, 1_000_000 // steps)
    if case.endswith("again"):
        per_file = max(1, num_items // NUM_FILES_AGAIN)
    for number, first in enumerate(range(0, num_items, per_file)):
        count = min(per_file, num_items - first)
        times = START_US + np.arange(steps, dtype=np.int64) * INTERVAL_US
        table = pl.DataFrame(
            {
                "item_id": np.repeat([f"service-{first + i:06d}" for i in range(count)], steps),
                "timestamp": np.tile(times, count),
                "target": rng.normal(100, 10, count * steps).round(3),
            }
        ).with_columns(pl.col("timestamp").cast(pl.Datetime("us")))
        if faults:
            table = with_faults(table, rng, faults)
        if case == "parquet shuffled":
            table = table.sample(fraction=1, shuffle=True, seed=number)
        path = folder / f"{number:05d}.{case.split(maxsplit=1)[0]}"
        if case.startswith("parquet"):
            table.write_parquet(path)
        else:
            compression = "gzip" if case.endswith("gz") else "uncompressed"
            text = table.with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%d %H:%M:%S"))
            text.lazy().sink_csv(path, compression=compression)


def with_faults(table: pl.DataFrame, rng: np.random.Generator, share: float) -> pl.DataFrame:
    """Take rows out, repeat rows, and make values infinite."""
    drawn = rng.random(table.height)
    absent, twice, infinite = (drawn < share * part / 3 for part in (1, 2, 3))
    value = pl.when(pl.Series(infinite & ~twice)).then(float("inf")).otherwise("target")
    count = np.where(absent, 0, np.where(twice, 2, 1))
    return table.with_columns(target=value)[np.repeat(np.arange(table.height), count)]


def measure(case: str, root: Path) -> dict[str, float]:
    """Run the stages in this process and say what they took."""
    loaded = load_params(Path("params.yaml"))
    files = {"source": "files", "paths": ("raw",)}
    params = loaded.model_copy(
        update={
            "ingest": loaded.ingest.model_copy(update=files),
            "validate_": loaded.validate_.model_copy(update={"bounds": {}}),
        }
    )
    first_s = None
    if case.endswith("again"):
        begun = time.process_time()
        ingest.run(params, root)
        first_s = time.process_time() - begun
        change_one(root / "raw")
        shutil.rmtree(root / "data")  # as DVC does
    wall, processor = time.perf_counter(), time.process_time()
    summary = ingest.run(params, root)
    if case.endswith("validate"):
        validate.run(params, root)
    processor_s = time.process_time() - processor
    return {
        "rows": int(summary.metrics["rows"]),
        "wall_s": time.perf_counter() - wall,
        "processor_s": processor_s,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "share": processor_s / first_s if first_s else 0.0,
    }


def change_one(folder: Path) -> None:
    """Replace the values of the file in the middle."""
    files = sorted(folder.iterdir())
    path = files[len(files) // 2]
    table = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    table = table.with_columns(target=pl.col("target") + 1)
    if path.suffix == ".parquet":
        table.write_parquet(path)
    else:
        table.write_csv(path)


if __name__ == "__main__":
    main()
