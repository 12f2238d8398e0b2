"""Series on disk and in memory: the layout of ``data/series`` and ``data/valid``.

A folder of series holds

- ``part-*.parquet``: long shards with the columns of ``SERIES_SCHEMA``, each sorted by item,
  variate and time; an item lies in one shard only, so a shard can be worked on by itself.
  (Sorting by variate before time keeps each series contiguous: gaps, duplicates and steps are
  then differences of neighbouring rows, without a group-by.)
- ``items.parquet``: one row for each variate of each item, with the columns of ``ITEMS_SCHEMA``.

Shapes: V variates, T time steps, R rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32, Int64, Shaped

from toto_core.errors import DataError
from toto_core.files import whole_parquet

TARGET = "target"
PAST_COVARIATE = "past_covariate"
KNOWN_COVARIATE = "known_covariate"
ROLES = (TARGET, PAST_COVARIATE, KNOWN_COVARIATE)

SERIES_SCHEMA = pl.Schema(
    {
        "item_id": pl.String(),
        "variate": pl.String(),
        "timestamp": pl.Datetime("us", "UTC"),
        "value": pl.Float32(),
    }
)
ITEMS_SCHEMA = pl.Schema(
    {
        "item_id": pl.String(),
        "variate": pl.String(),
        "role": pl.Enum(ROLES),
        "freq": pl.String(),
        "group": pl.String(),
        "source": pl.String(),
    }
)
SORT_KEYS = ("item_id", "variate", "timestamp")
ITEMS_FILE = "items.parquet"
ROWS_AT_ONCE = 1_000_000  # in memory, unless an item has more


@dataclass(frozen=True)
class Item:
    """One item on its regular grid: all its variates at the same time stamps, missing = NaN.

    Attributes:
        freq: canonical frequency, for example ``5min`` or ``1B`` (``data.frequency``).
        group: what is held out together with it.
        source: file or generator that it came from.
        timestamps: microseconds since 1970 in UTC, strictly increasing.
        variates: names, sorted, in the order of ``values``.
        roles: one of ``ROLES`` for each variate.
    """

    item_id: str
    freq: str
    group: str
    source: str
    timestamps: Int64[np.ndarray, " T"]
    values: Float32[np.ndarray, "V T"]
    variates: tuple[str, ...]
    roles: tuple[str, ...]


def shard_path(directory: Path, index: int) -> Path:
    """Where shard ``index`` of a folder of series lies."""
    return directory / f"part-{index:05d}.parquet"


def shard_paths(directory: Path) -> list[Path]:
    """All shards of a folder of series, in order.

    Raises:
        DataError: if there is none, or one is torn.
    """
    paths = sorted(directory.glob("part-*.parquet"))
    if not paths:
        raise DataError(
            f"{directory}: 0 shards, at least one part-*.parquet is needed; run dvc repro"
        )
    return [whole_parquet(path) for path in paths]


def num_values(directory: Path) -> int:
    """How many values a folder of series holds, missing ones included; nothing is read."""
    return pl.scan_parquet(shard_paths(directory)).select(pl.len()).collect().item()


def read_items_table(directory: Path) -> pl.DataFrame:
    """Read ``items.parquet``, one row for each variate of each item, sorted."""
    return pl.read_parquet(whole_parquet(directory / ITEMS_FILE))


def read_items(directory: Path) -> Iterator[Item]:
    """Yield the items of a folder of validated series in the order of their names, per shard.

    Memory holds the table of items, and of the rows ``ROWS_AT_ONCE`` or one item where that is
    larger, 12 bytes for each.
    """
    facts = (
        read_items_table(directory)
        .group_by("item_id", maintain_order=True)
        .agg("variate", "role", pl.col("freq", "group", "source").first())
    )
    for path in shard_paths(directory):
        rows = pl.scan_parquet(path)
        lengths = rows.group_by("item_id").agg(length=pl.len().cast(pl.Int64))
        items = (
            lengths.collect(engine="streaming")
            .sort("item_id")
            .join(facts, on="item_id", how="left", maintain_order="left")
            .with_columns(start=pl.col("length").cum_sum() - pl.col("length"))
        )
        batches = items.with_columns(batch=pl.col("start") // ROWS_AT_ONCE)
        for batch in batches.partition_by("batch", maintain_order=True):
            yield from _items(rows, batch)


def _items(rows: pl.LazyFrame, batch: pl.DataFrame) -> Iterator[Item]:
    """Yield the items of ``batch``, which lie one after the other in ``rows``."""
    first = int(batch["start"][0])
    num_rows = int(batch["length"].sum())
    # All variates of an item have the same time stamps.
    num_stamps = num_rows if batch.height > 1 else num_rows // len(batch["variate"][0])
    values = _column(rows, "value", first, num_rows, np.float32)
    timestamps = _column(rows, "timestamp", first, num_stamps, np.int64)
    for item in batch.iter_rows(named=True):
        start = item["start"] - first
        values_VT = values[start : start + item["length"]].reshape(len(item["variate"]), -1)
        yield Item(
            item_id=item["item_id"],
            freq=item["freq"],
            group=item["group"],
            source=item["source"],
            timestamps=timestamps[start : start + values_VT.shape[1]],
            values=values_VT,
            variates=tuple(item["variate"]),
            roles=tuple(item["role"]),
        )


def _column(
    rows: pl.LazyFrame, name: str, first: int, num_rows: int, dtype: type[np.generic]
) -> Shaped[np.ndarray, " R"]:
    """Read part of a column into one array, without a second copy of all of it."""
    found = np.empty(num_rows, dtype)
    for start in range(0, num_rows, ROWS_AT_ONCE):
        part = rows.select(name).slice(first + start, min(ROWS_AT_ONCE, num_rows - start)).collect()
        found[start : start + part.height] = part[name].to_physical().to_numpy()
    return found
