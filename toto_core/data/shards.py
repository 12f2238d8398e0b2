"""Writing a folder of series: shards, the table of items, rejected rows and their counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from toto_core.data.tables import ITEMS_FILE, ITEMS_SCHEMA, SERIES_SCHEMA, shard_path

REJECTED_FILE = "rejected.parquet"
REJECTED_SCHEMA = pl.Schema(
    {
        "item_id": pl.String(),
        "variate": pl.String(),
        "timestamp": pl.String(),
        "value": pl.String(),
        "rule": pl.String(),
        "source": pl.String(),
    }
)
UNPARSABLE_TIMESTAMP = "unparsable_timestamp"
NOT_A_NUMBER = "not_a_number"
MISSING_ITEM_ID = "missing_item_id"

# Part of the bytes of every out, so never derived from the machine.
ROW_GROUP_SIZE = 1_000_000
COMPRESSION_LEVEL = 1


@dataclass(frozen=True)
class IngestReport:
    """What was written, for metrics and messages.

    Attributes:
        num_items: items with at least one row.
        num_series: variates of all items.
        num_rows: rows of all shards.
        num_rejected: rows of ``rejected.parquet``.
        num_empty: cells without a value, which become no row.
        first_us: earliest time stamp.
        last_us: latest time stamp.
        freqs: canonical frequency to its number of items.
        sources: name and number of rows of each source, sorted by name.
    """

    num_items: int
    num_series: int
    num_rows: int
    num_rejected: int
    num_empty: int
    first_us: int
    last_us: int
    freqs: Mapping[str, int]
    sources: Sequence[tuple[str, int]]


def iso(timestamp_us: int) -> str:
    """A UTC time stamp as ISO 8601 text."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=timestamp_us)).isoformat()


def write_shard(directory: Path, index: int, rows: pl.DataFrame) -> None:
    """Write sorted rows with the columns of ``SERIES_SCHEMA`` as shard ``index``."""
    write_table(shard_path(directory, index), rows.select(list(SERIES_SCHEMA)))


def write_items(directory: Path, items: pl.DataFrame) -> None:
    """Write the table of items, sorted by item and variate."""
    table = items.select(list(ITEMS_SCHEMA)).cast(ITEMS_SCHEMA).sort("item_id", "variate")
    write_table(directory / ITEMS_FILE, table)


def write_table(path: Path, table: pl.DataFrame) -> None:
    """Write a table as Parquet with the settings that all outs share."""
    table.write_parquet(
        path,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        statistics=True,
        row_group_size=ROW_GROUP_SIZE,
    )


def join_tables(parts: list[Path], target: Path) -> None:
    """Make one file of tables, in their order, without holding them in memory together."""
    pl.scan_parquet(parts).sink_parquet(
        target,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        statistics=True,
        row_group_size=ROW_GROUP_SIZE,
        maintain_order=True,
    )


def write_series(directory: Path, rows: pl.DataFrame, items: pl.DataFrame) -> IngestReport:
    """Write a table of series that fits into memory as one shard, and nothing rejected.

    Args:
        directory: exists and is empty.
        rows: with the columns of ``SERIES_SCHEMA``, sorted by ``tables.SORT_KEYS``.
        items: with the columns of ``ITEMS_SCHEMA``.
    """
    write_shard(directory, 0, rows)
    write_items(directory, items)
    write_table(directory / REJECTED_FILE, REJECTED_SCHEMA.to_frame())
    by_source = rows.join(items, on=["item_id", "variate"]).group_by("source").len().sort("source")
    times = rows["timestamp"].to_physical().to_numpy()
    return IngestReport(
        num_items=items["item_id"].n_unique(),
        num_series=items.height,
        num_rows=rows.height,
        num_rejected=0,
        num_empty=0,
        first_us=int(times.min()),
        last_us=int(times.max()),
        freqs=freq_counts(items),
        sources=list(by_source.iter_rows()),
    )


def freq_counts(items: pl.DataFrame) -> dict[str, int]:
    """Canonical frequency to its number of items, sorted by name."""
    counts = items.unique("item_id").group_by("freq").len().sort("freq")
    return dict(counts.iter_rows())
