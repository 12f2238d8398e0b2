"""Rows of the gluonts layout: lists of values with a start and a frequency become time stamps."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Int64

from toto_core.data.frequency import DAY_US, Frequency

_MONTHS: Final = {"M": 1, "Q": 3, "Y": 12}


@dataclass(frozen=True)
class Lists:
    """The values of one variate of many rows, one after the other.

    Attributes:
        name: of the variate.
        rows: which row of the table each value is from.
        positions: of each value in its list.
        values: as found.
    """

    name: str
    rows: Int64[np.ndarray, " N"]
    positions: Int64[np.ndarray, " N"]
    values: pl.Series


def variates_of_lists(column: pl.Series) -> Iterator[Lists]:
    """Yield the variates of a column of lists: its name, or ``<name>_<i>`` for nested lists.

    Args:
        column: one list of values or of lists of values a row; null and empty ones have no values.
    """
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    rows, positions, values = _exploded(column)
    if not isinstance(values.dtype, pl.List | pl.Array):
        yield Lists(column.name, rows, positions, values)
        return
    for variate in range(int(positions.max(initial=-1)) + 1):
        chosen = np.flatnonzero(positions == variate)
        inner_rows, inner_positions, inner = _exploded(values.gather(chosen))
        yield Lists(f"{column.name}_{variate}", rows[chosen][inner_rows], inner_positions, inner)


def _exploded(
    column: pl.Series,
) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"], pl.Series]:
    """Row, position and value of each element."""
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    lengths = column.list.len().fill_null(0).cast(pl.Int64).to_numpy()
    rows = np.repeat(np.arange(len(column)), lengths)
    positions = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    filled = column.filter(pl.Series(lengths > 0))
    values = filled.explode() if len(filled) else filled.list.first()
    return rows, positions, values


def stamps(
    starts_us: Int64[np.ndarray, " N"], steps: Int64[np.ndarray, " N"], freq: Frequency
) -> Int64[np.ndarray, " N"]:
    """Return the time stamps ``steps`` steps after ``starts_us``, microseconds in UTC.

    Months keep the day of the start, cut to the month's length; from a month's last day they go
    to the last day of each month. Business days are Monday to Friday.
    """
    if not freq.is_calendar:
        return starts_us + steps * freq.interval_us
    days = starts_us // DAY_US
    clock = starts_us - days * DAY_US
    dates = days.astype("datetime64[D]")
    if freq.unit == "B":
        moved = np.busday_offset(dates, steps * freq.count, roll="forward")
        return moved.astype(np.int64) * DAY_US + clock
    months = dates.astype("datetime64[M]")
    day_of_month = (dates - months.astype("datetime64[D]")).astype(np.int64)
    is_last = (dates + 1).astype("datetime64[M]") != months
    target = months + steps * freq.count * _MONTHS[freq.unit]
    first = target.astype("datetime64[D]")
    last = ((target + 1).astype("datetime64[D]") - first).astype(np.int64) - 1
    day = np.where(is_last, last, np.minimum(day_of_month, last))
    return (first.astype(np.int64) + day) * DAY_US + clock
