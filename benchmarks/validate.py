"""Rows per second and peak memory of validation, from Parquet to Parquet, beside pandas.

Processor time is printed beside wall time: on a busy machine only the former means anything. The
pandas equivalent does a part of the work, as one would write it there: bounds, infinite values,
duplicates, a regular grid for each series, the rules of whole series, and both files written.

python -m benchmarks.validate [--rows 10000000] [--shard-rows 2000000] [--faults 0.001]
"""

import argparse
import tempfile
import threading
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import psutil

from flows import paths, validate
from toto_core.config import OhlcColumns, Params, load_params
from toto_core.data.shards import write_items, write_shard

VARIATES = ("cpu", "latency", "memory", "requests")
START_US = 1_700_000_000_000_000
INTERVAL_US = 60_000_000
LIMIT = 1e6
PANDAS_CASE = "faults, bounds"


def main() -> None:
    """Print one line for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--shard-rows", type=int, default=2_000_000)
    parser.add_argument("--faults", type=float, default=0.001, help="share of the rows")
    parser.add_argument("--steps", type=int, default=10_000, help="points of each series")
    options = parser.parse_args()
    print(
        f"{options.rows:,} rows, shards of {options.shard_rows:,}, {pl.thread_pool_size()} threads"
    )
    print(
        f"{'case':<28}{'million rows/s':>16}{'CPU s':>8}{'peak memory, MiB':>18}{'quarantined':>14}"
    )
    bounds = {name: (-LIMIT, LIMIT) for name in VARIATES}
    bars = OhlcColumns(open="cpu", high="latency", low="memory", close="requests")
    for name, faults, changes in (
        ("clean", 0.0, {"bounds": {}}),
        ("clean, bounds", 0.0, {"bounds": bounds}),
        (PANDAS_CASE, options.faults, {"bounds": bounds}),
        ("clean, bars", 0.0, {"bounds": {}, "ohlc": bars}),
    ):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            _write(root / paths.SERIES, options, faults=faults, ordered=changes.get("ohlc"))
            rows = _measure(name, root, _params(**changes))
            if name == PANDAS_CASE:
                _measure_pandas(root, rows)


def _params(**changes: object) -> Params:
    params = load_params(Path("params.yaml"))
    section = params.validate_.model_copy(update={"max_quarantined": 1.0, **changes})
    return params.model_copy(update={"validate_": section})


def _measure(name: str, root: Path, params: Params) -> int:
    process, peak, done = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start, start_cpu = time.perf_counter(), time.process_time()
    summary = validate.run(params, root)
    elapsed_s, cpu_s = time.perf_counter() - start, time.process_time() - start_cpu
    done.set()
    watcher.join()
    rows = summary.metrics["rows_in"]
    print(
        f"{name:<28}{rows / elapsed_s / 1e6:>16.1f}{cpu_s:>8.2f}{peak[0] / 2**20:>18.0f}"
        f"{summary.metrics['rows_quarantined']:>14,.0f}"
    )
    return int(rows)


def _measure_pandas(root: Path, rows: int) -> None:
    """Print the line of the pandas equivalent on the same files, or that pandas is absent."""
    if find_spec("pandas") is None or find_spec("pyarrow") is None:
        print("the same with pandas: not measured, pandas and pyarrow are not installed")
        return
    pandas = import_module("pandas")
    start, start_cpu = time.perf_counter(), time.process_time()
    bad = sum(
        _with_pandas(pandas, path, root) for path in sorted((root / paths.SERIES).glob("part-*"))
    )
    elapsed_s, cpu_s = time.perf_counter() - start, time.process_time() - start_cpu
    speed = rows / elapsed_s / 1e6
    print(f"{'the same with pandas':<28}{speed:>16.2f}{cpu_s:>8.2f}{'':>18}{bad:>14,}")


def _with_pandas(pandas: ModuleType, path: Path, root: Path) -> int:
    """Validate a shard with pandas; return how many rows it rejected."""
    table = pandas.read_parquet(path)
    keys = ["item_id", "variate"]
    is_infinite = np.isinf(table["value"])
    is_outside = ~table["value"].between(-LIMIT, LIMIT) & table["value"].notna() & ~is_infinite
    is_again = table.duplicated([*keys, "timestamp"]) & ~is_infinite & ~is_outside
    reasons = {"infinite_value": is_infinite, "out_of_bounds": is_outside, "duplicate": is_again}
    bad = pandas.concat([table[hit].assign(rule=rule) for rule, hit in reasons.items()])
    good = table[~(is_infinite | is_outside | is_again) & table["value"].notna()]
    kept = []
    for (item, variate), series in good.groupby(keys, sort=False):
        values = series.set_index("timestamp")["value"].asfreq("1min")
        if len(values) >= 128 and values.isna().mean() <= 0.3 and values.nunique() > 1:
            kept.append(values.reset_index().assign(item_id=item, variate=variate))
    pandas.concat(kept).to_parquet(root / f"pandas-{path.name}")
    bad.to_parquet(root / f"pandas-bad-{path.name}")
    return len(bad)


def _write(directory: Path, options: argparse.Namespace, *, faults: float, ordered: object) -> None:
    directory.mkdir(parents=True)
    rng = np.random.default_rng(0)
    per_item = options.steps * len(VARIATES)
    num_items = options.shard_rows // per_item
    names, rows = [], num_items * per_item
    for shard in range(max(1, options.rows // rows)):
        index = np.arange(rows)
        step = index % options.steps
        item, variate = index // per_item, index // options.steps % len(VARIATES)
        value = rng.standard_normal(rows).astype(np.float32)
        if ordered:  # latency is the high and memory the low of a bar
            value += np.array([0, 50, -50, 0], np.float32)[variate]
        bad = rng.random(rows) < faults
        value[bad] = rng.choice(np.array([np.nan, np.inf, 1e9, 0], np.float32), int(bad.sum()))
        late = (rng.random(rows) < faults) & (step > 0)
        times = START_US + (step - late) * INTERVAL_US  # a late step repeats the stamp before it
        items = pl.Series([f"service-{shard:04d}-{n:05d}" for n in range(num_items)])
        table = pl.DataFrame(
            {
                "item_id": items.gather(item),
                "variate": pl.Series(VARIATES).gather(variate),
                "timestamp": pl.Series(times).cast(pl.Datetime("us", "UTC")),
                "value": value,
            }
        )
        write_shard(directory, shard, table)
        names.append(items)
    item_ids = pl.concat(names)
    write_items(
        directory,
        pl.DataFrame({"item_id": item_ids})
        .join(pl.DataFrame({"variate": VARIATES}), how="cross")
        .with_columns(
            role=pl.lit("target"),
            freq=pl.lit("1min"),
            group=pl.col("item_id"),
            source=pl.lit("benchmark"),
        ),
    )


if __name__ == "__main__":
    main()
