"""The regular grid of a series: where each time stamp lies on it.

A grid point has an integer *cell*. With a fixed interval, cell c lies at phase + c * interval,
where the phase is the one most points of the item have. With a calendar frequency (business days,
months, quarters, years), c counts the entries of a ``Calendar``.

All times are microseconds since 1970 in UTC. Tables: ``series`` has one row for each series of a
shard in its order, with ``item`` (number of the item in the shard), ``freq`` and ``interval`` (null
unless the grid is fixed); ``rows`` refer to it by the column ``series``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Bool, Int64

from toto_core.data.frequency import DAY_US, HOUR_US, parse_freq
from toto_core.data.runs import starts_of

# A point that lies off its grid by at most this share of the interval is moved onto it: clocks
# jitter, and a day in local time shifts by 1/24 at a change to daylight-saving time.
SNAP_SHARE: Final = 0.1
# Rows of an even stretch from which on it pays to divide its first time stamp alone.
MIN_RUN: Final = 4


@dataclass(frozen=True)
class Calendar:
    """The points that a calendar frequency has: periods (days, months ..) and a time in each.

    Attributes:
        periods: strictly increasing numbers of the periods since 1970; of 2M each is two months.
        times: a time stamp in each period, strictly increasing.
    """

    periods: Int64[np.ndarray, " C"]
    times: Int64[np.ndarray, " C"]


def period_of(times: Int64[np.ndarray, " N"], freq: str) -> Int64[np.ndarray, " N"]:
    """Number the day, month, quarter or year (by the unit of ``freq``) of each time in UTC."""
    unit = parse_freq(freq).unit
    if unit == "B":
        return times // DAY_US
    months = times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    return months // {"M": 1, "Q": 3, "Y": 12}[unit]


def period_start(periods: Int64[np.ndarray, " N"], freq: str) -> Int64[np.ndarray, " N"]:
    """Return the first microsecond of each period that ``period_of`` numbers."""
    unit = parse_freq(freq).unit
    if unit == "B":
        return periods * DAY_US
    months = periods * {"M": 1, "Q": 3, "Y": 12}[unit]
    return months.astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)


def _step_of(times: Int64[np.ndarray, " N"], freq: str) -> Int64[np.ndarray, " N"]:
    """Number the steps: the periods of ``period_of``, ``count`` of them together."""
    frequency = parse_freq(freq)
    # Of every second business day nobody could say which one it is.
    return period_of(times, freq) // (1 if frequency.unit == "B" else frequency.count)


def make_calendar(times: Int64[np.ndarray, " N"], freq: str) -> Calendar:
    """Return the calendar of a frequency from all time stamps observed in the data set.

    Business days are those on which anything was observed: holidays are absent. Months, quarters
    and years have no holidays, so every step from the first to the last is there.
    """
    times = np.sort(times)
    periods, first = np.unique(_step_of(times, freq), return_index=True)
    seen = times[first]
    frequency = parse_freq(freq)
    if frequency.unit == "B" or len(periods) == 0:
        return Calendar(periods, seen)
    every = np.arange(periods[0], periods[-1] + 1)
    filled = period_start(every * frequency.count, freq)
    filled[periods - periods[0]] = seen
    return Calendar(every, filled)


def locate(
    rows: pl.DataFrame, series: pl.DataFrame, calendars: Mapping[str, Calendar]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give each row its cell and each series its phase.

    Args:
        rows: columns ``series`` and ``time`` (no nulls), sorted by them.
        series: each has a frequency, fixed or one of ``calendars``.

    Returns:
        ``rows`` with ``cell`` (nearest) and ``off`` (microseconds from it, 0 on a calendar), and
        ``series`` with ``phase``.
    """
    index, time = rows["series"].to_numpy(), rows["time"].to_numpy()
    starts = starts_of(index)
    counts = np.diff(starts, append=len(index))
    interval = series["interval"].fill_null(1).to_numpy()[index[starts]]
    item = series["item"].to_numpy()[index[starts]].astype(np.int64)
    interval_R = np.repeat(interval, counts)
    cell, remainder = _divided(time, interval_R, starts)
    phase, is_mixed = _phases(remainder, item, starts, counts, interval)
    off = np.zeros(len(time), np.int64)
    if is_mixed.any():
        # The phase of most points is not that of all: some lie off the grid, or below its phase.
        part = np.repeat(is_mixed, counts)
        since = time[part] - np.repeat(phase, counts)[part]
        cell[part] = np.rint(since / interval_R[part]).astype(np.int64)
        off[part] = since - cell[part] * interval_R[part]
    for freq, calendar in calendars.items():
        mine = np.repeat((series["freq"].eq_missing(freq)).to_numpy()[index[starts]], counts)
        cell[mine] = np.searchsorted(calendar.periods, _step_of(time[mine], freq))
    of_item = pl.DataFrame(
        {
            "item": item,
            "phase": phase,
            "fixed": series["interval"].is_not_null().gather(index[starts]),
        }
    )
    of_item = of_item.filter("fixed").unique("item").select("item", "phase")
    series = series.join(
        of_item.cast({"item": series.schema["item"]}), on="item", how="left", maintain_order="left"
    )
    return rows.with_columns(pl.Series("cell", cell), pl.Series("off", off)), series


def _divided(
    times: Int64[np.ndarray, " R"],
    interval: Int64[np.ndarray, " R"],
    starts: Int64[np.ndarray, " S"],
) -> tuple[Int64[np.ndarray, " R"], Int64[np.ndarray, " R"]]:
    """``divided`` for sorted series: over steps of one interval the quotient rises by one."""
    is_start = np.ones(len(times), np.bool_)
    np.not_equal(times[1:] - times[:-1], interval[1:], out=is_start[1:])
    is_start[starts] = True
    runs = np.flatnonzero(is_start)
    if len(runs) * MIN_RUN > len(times):
        return divided(times, interval)
    lengths = np.diff(runs, append=len(times))
    quotient, remainder = divided(times[runs], interval[runs])
    cell = np.arange(len(times))
    cell += np.repeat(quotient - runs, lengths)
    return cell, np.repeat(remainder, lengths)


def divided(
    times: Int64[np.ndarray, " R"], interval: Int64[np.ndarray, " R"]
) -> tuple[Int64[np.ndarray, " R"], Int64[np.ndarray, " R"]]:
    """Quotient and remainder of whole numbers, in float64, which is several times as fast.

    Only beyond the year 2255 (2^53 microseconds) can the quotient be off, as the remainder shows.
    """
    quotient = np.floor(times / interval).astype(np.int64)
    remainder = times - quotient * interval
    is_wrong = (remainder < 0) | (remainder >= interval)
    if is_wrong.any():
        extra, remainder[is_wrong] = np.divmod(remainder[is_wrong], interval[is_wrong])
        quotient[is_wrong] += extra
    return quotient, remainder


def _phases(
    remainder: Int64[np.ndarray, " R"],
    item: Int64[np.ndarray, " S"],
    starts: Int64[np.ndarray, " S"],
    counts: Int64[np.ndarray, " S"],
    interval: Int64[np.ndarray, " S"],
) -> tuple[Int64[np.ndarray, " S"], Bool[np.ndarray, " S"]]:
    """The most common remainder of each series' item; the circular mean where none is common.

    Returns:
        The phase of each series, and whether the rows of its item have others too.
    """
    if not len(starts):
        return starts, np.zeros(0, np.bool_)
    first = starts_of(item)
    to_series = np.repeat(np.arange(len(first)), np.diff(first, append=len(item)))
    lowest = np.minimum.reduceat(remainder, starts[first])
    is_mixed = lowest != np.maximum.reduceat(remainder, starts[first])
    if is_mixed.any():
        mixed = np.flatnonzero(np.repeat(is_mixed[to_series], counts))
        number = np.repeat(to_series, counts)[mixed]
        table = pl.DataFrame({"item": number, "remainder": remainder[mixed]})
        found = _common_phases(table.with_columns(interval=interval[first][number]))
        lowest[found["item"].to_numpy()] = found["phase"].to_numpy()
    return lowest[to_series], is_mixed[to_series]


def _common_phases(mixed: pl.DataFrame) -> pl.DataFrame:
    """``item`` and ``phase`` from the ``remainder`` and ``interval`` of rows that differ."""
    common = (
        mixed.group_by("item", "remainder")
        .len()
        .sort("item", "len", "remainder", descending=[False, True, False])
        .unique("item", keep="first", maintain_order=True)
    )
    counts = mixed.group_by("item").agg(count=pl.len())
    modes = common.join(counts, on="item").filter(pl.col("len") * 2 >= pl.col("count"))
    modes = modes.select("item", phase="remainder")
    jittering = mixed.join(modes, on="item", how="anti")
    angle = pl.col("remainder") / pl.col("interval") * (2 * np.pi)
    # Rounded to a hundredth of the interval: the grid need not follow the noise of the mean.
    share = pl.arctan2(angle.sin().mean(), angle.cos().mean()) / (2 * np.pi)
    means = jittering.group_by("item").agg(
        phase=((share * 100).round() * pl.col("interval").first() / 100)
        .round()
        .cast(pl.Int64)
        .mod(pl.col("interval").first())
    )
    return pl.concat([modes, means])


def is_off_grid(interval: pl.Expr | pl.Series, off: str = "off") -> pl.Expr:
    """Whether the column ``off`` is beyond what is moved onto the grid.

    Steps of several hours in local time lie an hour off for half of the year.
    """
    distance = pl.col(off).abs()
    is_summer = (distance == HOUR_US) & (interval > 2 * HOUR_US)
    return (distance > interval * SNAP_SHARE) & ~is_summer
