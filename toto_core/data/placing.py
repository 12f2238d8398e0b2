"""Rows put on their grids: a value for each point, missing where none was observed.

All times are microseconds since 1970 in UTC. Tables: ``series`` and ``rows`` as ``grid.locate``
returns them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Int64, UInt32

from toto_core.data.grid import Calendar
from toto_core.data.runs import starts_of


@dataclass(frozen=True)
class Placed:
    """Items on their grids.

    Attributes:
        series: index of each value's series.
        times: time of each value; those of the variates of an item are alike.
        values: NaN where nothing was observed.
        at: index of each row of the sieve.
        is_repaired: whether the time or value of each row differs from what was found.
        num_snapped: rows that were moved onto the grid.
    """

    series: UInt32[np.ndarray, " N"]
    times: Int64[np.ndarray, " N"]
    values: Float32[np.ndarray, " N"]
    at: Int64[np.ndarray, " R"]
    is_repaired: Bool[np.ndarray, " R"]
    num_snapped: int


def place(rows: pl.DataFrame, series: pl.DataFrame, calendars: Mapping[str, Calendar]) -> Placed:
    """Put the rows of each item on the grid from its first to its last observed point.

    Args:
        rows: ``series``, ``time``, ``cell``, ``off``, ``value``, ``mended``, ``renumbered``;
            sorted, a cell of a series occurs once.
        series: with ``phase``; those without rows do not appear in the result.
    """
    row_series, cell, time = (rows[name].to_numpy() for name in ("series", "cell", "time"))
    starts = starts_of(row_series)
    counts = np.diff(starts, append=len(cell))
    present = row_series[starts]
    spans = series.select("item", "freq", "interval", "phase").select(pl.all().gather(present))
    spans = spans.with_columns(
        pl.Series("first", cell[starts]), pl.Series("last", cell[starts + counts - 1])
    )
    items = spans.group_by("item", maintain_order=True).agg(
        pl.col("freq", "interval", "phase").first(),
        first=pl.col("first").min(),
        length=pl.col("last").max() - pl.col("first").min() + 1,
        num_variates=pl.len(),
    )
    item = np.repeat(np.arange(items.height), items["num_variates"].to_numpy())
    length = items["length"].to_numpy()
    item_start = np.cumsum(length) - length
    series_start = np.cumsum(length[item]) - length[item]

    if _lies_on_grid(rows) and int(length[item].sum()) == len(cell):
        # Each point of the grids has its row, in order: the rows are the grids.
        values = rows["mended"].to_numpy()
        is_changed = values != rows["value"].to_numpy()
        return Placed(row_series, time, values, np.arange(len(cell)), is_changed, num_snapped=0)
    # What to add to a cell to get its place among all values, or among item_times, which hold the
    # grid of each item once.
    place = cell + np.repeat(series_start - items["first"].to_numpy()[item], counts)
    values = np.full(int(length[item].sum()), np.nan, np.float32)
    values[place] = rows["mended"].to_numpy()
    item_times = _item_times(items, calendars)
    value_to_time = item_start[item] - series_start
    if calendars:
        # A calendar says which periods there are; within one an item keeps its own time of day.
        own = np.repeat(spans["interval"].is_null().to_numpy(), counts)
        item_times[(place + np.repeat(value_to_time, counts))[own]] = time[own]
    times = item_times[np.arange(len(values)) + np.repeat(value_to_time, length[item])]
    is_moved = times[place] != time
    is_changed = rows["mended"].to_numpy() != rows["value"].to_numpy()
    return Placed(
        series=np.repeat(present, length[item]),
        times=times,
        values=values,
        at=place,
        is_repaired=is_moved | is_changed,
        num_snapped=int((is_moved & ~rows["renumbered"].to_numpy()).sum()),
    )


def _lies_on_grid(rows: pl.DataFrame) -> bool:
    """Whether the time stamp of each row is that of its cell."""
    return not rows["off"].to_numpy().any() and not rows["renumbered"].any()


def _item_times(items: pl.DataFrame, calendars: Mapping[str, Calendar]) -> Int64[np.ndarray, " T"]:
    """The grids of all items, one after the other."""
    length = items["length"].to_numpy()
    start = np.cumsum(length) - length
    cell = np.arange(int(length.sum())) + np.repeat(items["first"].to_numpy() - start, length)
    phase = items["phase"].fill_null(0).to_numpy()
    interval = items["interval"].fill_null(0).to_numpy()
    times = np.repeat(phase, length) + cell * np.repeat(interval, length)
    for freq, calendar in calendars.items():
        is_here = np.repeat((items["freq"] == freq).to_numpy(), length)
        times[is_here] = calendar.times[cell[is_here]]
    return times
