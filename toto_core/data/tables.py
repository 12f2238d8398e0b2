"""Series on disk and in memory: the layout of ``data/series`` and ``data/valid``.

A folder of series holds

- ``part-*.parquet``: long shards with the columns of ``SERIES_SCHEMA``, each sorted by item,
  variate and time; an item lies in one shard only, so a shard can be worked on by itself.
  (Sorting by variate before time keeps each series contiguous: gaps, duplicates and steps are
  then differences of neighbouring rows, without a group-by.)
- ``items.parquet``: one row for each variate of each item, with the columns of ``ITEMS_SCHEMA``.

Shapes: V variates, T time steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32, Int64

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


def read_items_table(directory: Path) -> pl.DataFrame:
    """Read ``items.parquet``, one row for each variate of each item, sorted."""
    return pl.read_parquet(whole_parquet(directory / ITEMS_FILE))


def read_items(directory: Path) -> Iterator[Item]:
    """Yield the items of a folder of validated series in the order of their names, per shard.

    Memory holds one shard at a time.
    """
    facts = {
        key[0]: rows.sort("variate")
        for key, rows in read_items_table(directory).partition_by("item_id", as_dict=True).items()
    }
    for path in shard_paths(directory):
        shard = pl.read_parquet(path)
        for rows in shard.partition_by("item_id", maintain_order=True):
            yield _item(rows, facts[rows["item_id"][0]])


def _item(rows: pl.DataFrame, facts: pl.DataFrame) -> Item:
    variates = tuple(facts["variate"])
    first = facts.row(0, named=True)
    values_VT = rows["value"].to_numpy().reshape(len(variates), -1)
    num_steps = values_VT.shape[1]
    return Item(
        item_id=first["item_id"],
        freq=first["freq"],
        group=first["group"],
        source=first["source"],
        timestamps=rows["timestamp"][:num_steps].to_physical().to_numpy(),
        values=values_VT,
        variates=variates,
        roles=tuple(facts["role"]),
    )
