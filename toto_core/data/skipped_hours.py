"""The hour that clocks skip when daylight-saving time begins, where its samples carry one stamp."""

from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Int64

from toto_core.data.frequency import HOUR_US
from toto_core.data.grid import is_off_grid

# What clocks skip when daylight-saving time begins: an hour nearly everywhere, half an hour on
# Lord Howe Island, two hours in some double summer times (IANA time zone database).
SKIPPED_US: Final = (HOUR_US // 2, HOUR_US, 2 * HOUR_US)
# Two equal stamps after a gap are more likely a repetition than a skipped hour.
MIN_SKIPPED: Final = 3


def renumber_dst(rows: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """Undo the daylight-saving artefact: samples of a skipped hour that all carry its end.

    Such a run follows a gap that its k samples fill exactly, as long as what clocks skip
    (``SKIPPED_US``; the sample due at the end itself may be among them), and the next stamp is on
    the grid. The samples get the cells of the gap in their order.

    Args:
        rows: as ``locate`` returns them, equal stamps in the order in which they were recorded.

    Returns:
        ``rows`` with the new cells and a column ``renumbered``.
    """
    rows = rows.with_columns(renumbered=pl.lit(value=False))
    series_R, time = rows["series"].to_numpy(), rows["time"].to_numpy()
    is_first = np.ones(rows.height, np.bool_)
    is_first[1:] = (series_R[1:] != series_R[:-1]) | (time[1:] != time[:-1])
    if is_first.all():
        return rows
    starts = np.flatnonzero(is_first)
    counts = np.diff(starts, append=rows.height)
    is_long = (counts >= MIN_SKIPPED) & (starts > 0) & (starts + counts < rows.height)
    runs = _skipped_hours(rows, series, starts=starts[is_long], counts=counts[is_long])
    if runs.is_empty():
        return rows
    count = runs["count"].to_numpy()
    position = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    index = np.repeat(runs["start"].to_numpy(), count) + position
    cell, off = rows["cell"].to_numpy().copy(), rows["off"].to_numpy().copy()
    cell[index] = np.repeat(runs["cell_before"].to_numpy(), count) + 1 + position
    off[index] = 0
    renumbered = np.zeros(rows.height, np.bool_)
    renumbered[index] = True
    return rows.with_columns(
        pl.Series("cell", cell), pl.Series("off", off), pl.Series("renumbered", renumbered)
    )


def _skipped_hours(
    rows: pl.DataFrame,
    series: pl.DataFrame,
    *,
    starts: Int64[np.ndarray, " R"],
    counts: Int64[np.ndarray, " R"],
) -> pl.DataFrame:
    """``start``, ``count`` and ``cell_before`` of the runs of equal stamps that a skip explains."""
    columns = rows.select("series", "time", "cell", "off")
    runs = pl.concat(
        [
            columns.select(pl.all().gather(starts)),
            columns.select(pl.all().gather(starts - 1).name.suffix("_before")),
            columns.select(pl.all().gather(starts + counts).name.suffix("_after")),
            pl.DataFrame({"start": starts, "count": counts}),
        ],
        how="horizontal",
    )
    runs = runs.with_columns(interval=series["interval"].gather(runs["series"]))
    interval, count = pl.col("interval"), pl.col("count")
    is_inside = (pl.col("series_before") == pl.col("series")) & (
        pl.col("series_after") == pl.col("series")
    )
    is_on_grid = ~is_off_grid(interval, "off_before") & ~is_off_grid(interval, "off_after")
    gap = pl.col("time") - (pl.col("time_before") - pl.col("off_before"))
    is_skip = pl.any_horizontal(
        (count * interval == skip) | ((count - 1) * interval == skip) for skip in SKIPPED_US
    )
    return runs.filter(
        is_inside,
        is_on_grid,
        is_skip,
        gap // interval == count,
    )
