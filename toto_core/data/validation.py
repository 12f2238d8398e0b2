"""Split the rows of a shard into those that pass, on a regular grid, and those in quarantine.

Nothing is lost and nothing is silent: each row that carries a value ends up in exactly one place,
which is counted on both sides, and a repaired row is counted under the name of its repair.
Rules, in the order in which they are applied: ``toto_core.data.rules``; grids and repairs:
``toto_core.data.grid`` and ``placing``.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import UInt64

from toto_core.config import ValidateParams
from toto_core.data import rules
from toto_core.data.conservation import NO_TIME, Sums, checksum, series_keys
from toto_core.data.grid import Calendar
from toto_core.data.placing import Placed, place
from toto_core.data.runs import starts_of_names
from toto_core.data.sieve import Sieve, checksum_of, observed
from toto_core.data.sifting import sift
from toto_core.data.tables import SERIES_SCHEMA
from toto_core.data.tally import Counts
from toto_core.errors import DataError

# Rows that are worked on at once. Below, the fixed cost of each step shows; above, each of its
# results is memory that the system must first hand out.
BLOCK_ROWS: Final = 1_000_000


@dataclass(frozen=True)
class Checked:
    """A shard after validation.

    Attributes:
        rows: valid rows on their grids, columns of ``tables.SERIES_SCHEMA``.
        series: ``item_id`` and ``variate`` of the valid series.
        quarantined_rows: columns of ``rules.QUARANTINED_ROWS``.
        quarantined_series: columns of ``rules.QUARANTINED_SERIES``.
        is_unchanged: the rows are those of the shard, all of them and to the bit.
    """

    rows: pl.DataFrame
    series: pl.DataFrame
    quarantined_rows: pl.DataFrame
    quarantined_series: pl.DataFrame
    counts: Counts
    sums: Sums
    is_unchanged: bool = False

    def without_rows(self) -> "Checked":
        """The same without what fills memory, once it is written."""
        return replace(self, rows=self.rows.clear(), quarantined_rows=self.quarantined_rows.clear())


def check_shard(
    shard: pl.DataFrame,
    facts: pl.DataFrame,
    params: ValidateParams,
    calendars: Mapping[str, Calendar],
) -> Checked:
    """Validate a shard of series.

    Args:
        shard: columns of ``tables.SERIES_SCHEMA``, sorted; equal stamps in the recorded order.
        facts: of all series, as ``series_facts`` returns them.
        calendars: of all calendar frequencies, as ``collect_calendars`` returns them.

    Raises:
        DataError: if the shard is not sorted or has a series that ``facts`` does not have.
    """
    parts = [_check_block(block, facts, params, calendars) for block in _blocks(shard)]
    counts, sums = Counts(), Sums()
    for part in parts:
        counts.add(part.counts)
        sums.add(part.sums)
    return Checked(
        rows=pl.concat(part.rows for part in parts),
        series=pl.concat(part.series for part in parts),
        quarantined_rows=pl.concat(part.quarantined_rows for part in parts),
        quarantined_series=pl.concat(part.quarantined_series for part in parts),
        counts=counts,
        sums=sums,
        is_unchanged=all(part.is_unchanged for part in parts),
    )


def _blocks(shard: pl.DataFrame) -> list[pl.DataFrame]:
    """Cut a shard between items into like parts of about ``BLOCK_ROWS`` rows."""
    items, starts = shard["item_id"], [0]
    size = -(-shard.height // max(1, round(shard.height / BLOCK_ROWS)))
    while starts[-1] + size < shard.height:
        item = items[starts[-1] + size]
        start = int(items.search_sorted(item, "left"))
        if start <= starts[-1]:
            start = int(items.search_sorted(item, "right"))
        if start >= shard.height:
            break
        if start <= starts[-1] or not items[start - 1] < items[start]:
            raise _out_of_order()
        starts.append(start)
    ends = [*starts[1:], shard.height]
    return [shard[start:end] for start, end in zip(starts, ends, strict=True)]


def _check_block(
    shard: pl.DataFrame,
    facts: pl.DataFrame,
    params: ValidateParams,
    calendars: Mapping[str, Calendar],
) -> Checked:
    sieve = Sieve(*_indexed(shard, facts))
    keys = series_keys(sieve.series)
    sum_in = checksum_of(keys, sieve.rows)
    rows_in = int(observed(sieve.rows["value"]).sum())
    rows_without_value = sieve.rows.height - rows_in
    series_mostly_zero = sift(sieve, params, calendars)
    placed = place(sieve.rows, sieve.series, calendars)
    is_gone = sieve.is_gone
    bad_rows, bad_series = sieve.quarantine()
    rule_rows, rule_series = _by_rule(bad_rows, bad_series)
    # Counted on the finished grid, not carried along, so that the sum below proves something.
    rows_valid = int(np.isfinite(placed.values).sum())
    missing = len(placed.values) - rows_valid
    renumbered = int(sieve.rows["renumbered"].sum())
    counts = Counts(
        rows_in=rows_in,
        rows_without_value=rows_without_value,
        rows_valid=rows_valid,
        rows_repaired=int(placed.is_repaired.sum()),
        series_in=sieve.series.height,
        series_valid=sieve.series.height - int(is_gone.sum()),
        series_quarantined=bad_series.height,
        series_mostly_zero=series_mostly_zero,
        missing=missing,
        rule_rows=rule_rows,
        rule_series=rule_series,
        repairs=sieve.repairs
        + Counter(renumber_dst=renumbered, snap_to_grid=placed.num_snapped, gap_fill=missing),
    )
    counts.check()
    sums = Sums(sum_in, _sum_before_repair(keys, placed, sieve.rows), sieve.checksum(keys))
    sums.check()
    is_unchanged = shard.schema == SERIES_SCHEMA and _is_same(placed, shard)
    return Checked(
        rows=shard if is_unchanged else _named(placed, sieve.series),
        series=sieve.series.select("item_id", "variate").filter(~is_gone),
        quarantined_rows=bad_rows,
        quarantined_series=bad_series,
        counts=counts,
        sums=sums,
        is_unchanged=is_unchanged,
    )


def judge_rejected(rejected: pl.DataFrame) -> tuple[pl.DataFrame, Counts]:
    """Return the rows that ingest could not parse, as ``rules.QUARANTINED_ROWS``, and counts."""
    rule, text = pl.col("rule"), pl.col("item_id", "value", "timestamp").fill_null("")
    rows = rejected.with_columns(text).with_columns(
        reason=pl.when(rule == "not_a_number")
        .then(pl.format("value = '{}' in {}, a number is needed", "value", "source"))
        .when(rule == "missing_item_id")
        .then(pl.format("item = '{}' in {}, a name is needed", "item_id", "source"))
        .otherwise(pl.format("time stamp = '{}' in {}, a time is needed", "timestamp", "source"))
    )
    rows = rows.select(rules.QUARANTINED_ROWS.names()).sort("item_id", "variate", "timestamp")
    rule_rows, rule_series = _by_rule(rows, rules.QUARANTINED_SERIES.to_frame())
    return rows, Counts(rows_in=rows.height, rule_rows=rule_rows, rule_series=rule_series)


def _indexed(shard: pl.DataFrame, facts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Names become numbers: rows with ``series`` and ``time``, and the table of the series."""
    starts = np.union1d(starts_of_names(shard["item_id"]), starts_of_names(shard["variate"]))
    names = shard.select(pl.col("item_id", "variate").gather(starts))
    number = np.repeat(
        np.arange(len(starts), dtype=np.uint32), np.diff(starts, append=shard.height)
    )
    rows = shard.select(
        "timestamp", "value", pl.Series("series", number), time=pl.col("timestamp").to_physical()
    )
    time = rows["time"].fill_null(NO_TIME).to_numpy()
    back = np.flatnonzero(time[1:] < time[:-1]) + 1
    back = back[(number[back] == number[back - 1]) & (time[back] != NO_TIME)]
    is_sorted = names.equals(names.unique(maintain_order=True).sort("item_id", "variate"))
    if not is_sorted or len(back):
        raise _out_of_order()
    series = names.join(facts, on=["item_id", "variate"], how="left", maintain_order="left")
    unknown = names.join(facts, on=["item_id", "variate"], how="anti", maintain_order="left")
    if not unknown.is_empty():
        raise DataError(
            f"data/series: {unknown.height} series such as {'/'.join(unknown.row(0))} are not in "
            "items.parquet, each must be; run ingest again"
        )
    return rows, series.with_columns(item=pl.col("item_id").rle_id())


def _out_of_order() -> DataError:
    return DataError(
        "data/series: rows out of order, sorted by item_id, variate and timestamp is needed; "
        "run ingest again"
    )


def _sum_before_repair(keys: UInt64[np.ndarray, " S"], placed: Placed, rows: pl.DataFrame) -> int:
    """The checksum of what lies on the grids, with each repaired row as it was found.

    It is taken of the grids, not of ``rows``, so that it also proves that all rows got there.
    """
    index = placed.at[placed.is_repaired]
    repaired = rows.filter(pl.Series(placed.is_repaired))
    return (
        checksum(keys, placed.series, placed.times, placed.values)
        - checksum(keys, placed.series[index], placed.times[index], placed.values[index])
        + checksum_of(keys, repaired)
    ) % (1 << 64)


def _is_same(placed: Placed, shard: pl.DataFrame) -> bool:
    """Whether the grids hold the rows of the shard and nothing else."""
    if len(placed.times) != shard.height or shard["value"].null_count():
        return False
    values = shard["value"].to_numpy().view(np.uint32)
    # As many rows as before, none quarantined: the series are the same too.
    return np.array_equal(placed.times, shard["timestamp"].to_physical().to_numpy()) and (
        np.array_equal(placed.values.view(np.uint32), values)
    )


def _named(placed: Placed, series: pl.DataFrame) -> pl.DataFrame:
    index = pl.Series(placed.series)
    return series.select("item_id", "variate").select(
        pl.all().gather(index),
        pl.Series("timestamp", placed.times).cast(SERIES_SCHEMA["timestamp"]),
        pl.Series("value", placed.values),
    )


def _by_rule(rows: pl.DataFrame, series: pl.DataFrame) -> tuple[Counter[str], Counter[str]]:
    """Rows by rule, and series by rule: quarantined whole, or having lost rows."""
    num_rows = rows.group_by("rule").agg(
        rows=pl.len(), series=pl.struct("item_id", "variate").n_unique()
    )
    whole = series.group_by("rule").agg(series=pl.len())
    by_series = dict(num_rows.select("rule", "series").iter_rows())
    return Counter(dict(num_rows.select("rule", "rows").iter_rows())), Counter(
        by_series | dict(whole.iter_rows())
    )
