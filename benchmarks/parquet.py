"""What Parquet alone costs: the least that ingest and validation of long tables can take.

Processor seconds for a million rows of item, variate, time stamp and value: to read raw files, to
encode a shard as all outs are encoded, to read it back, and the same for each column. Ingest reads
raw rows and encodes shards; validation reads shards and encodes those that it changes.

python -m benchmarks.parquet [--millions 2] [--repeats 5]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from benchmarks.ingest import write_raw
from toto_core.data.shards import write_table

_STEPS = 10_000


def main() -> None:
    """Print one row for each part of the work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, default=2, help="of rows")
    parser.add_argument("--repeats", type=int, default=5, help="the least of them counts")
    options = parser.parse_args()
    print("| part | processor, s/million rows | MB/million rows |\n|---|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        raw, shard = Path(folder) / "raw", Path(folder) / "part.parquet"
        write_raw(raw, "parquet", num_rows=options.millions * 1_000_000, steps=_STEPS)
        files = sorted(raw.iterdir())

        def part(name: str, work: Callable[[], object], measured: list[Path]) -> None:
            seconds = least(work, options.repeats) / options.millions
            size = sum(file.stat().st_size for file in measured) / 1e6 / options.millions
            print(f"| {name} | {seconds:.4f} | {size:.2f} |", flush=True)

        part("read raw files", lambda: pl.read_parquet(files), files)
        rows = as_series(pl.read_parquet(files))
        for name in ("all columns", *rows.columns):
            table = rows if name == "all columns" else rows.select(name)
            write_table(shard, table)
            part(f"encode {name}", lambda table=table: write_table(shard, table), [shard])
            part(f"read {name}", lambda: pl.read_parquet(shard), [shard])


def as_series(raw: pl.DataFrame) -> pl.DataFrame:
    """The rows as ingest writes them."""
    return raw.select(
        "item_id",
        variate=pl.lit("target"),
        timestamp=pl.col("timestamp").dt.replace_time_zone("UTC"),
        value=pl.col("target").cast(pl.Float32),
    ).rechunk()


def least(work: Callable[[], object], repeats: int) -> float:
    """The least processor time of some calls, in seconds."""
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


if __name__ == "__main__":
    main()
