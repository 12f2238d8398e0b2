"""Time stamps of any usual spelling to UTC: text, dates, zoned or naive, and epoch numbers.

A column's own format is found once (``detect_format``) and tried first; what it does not fit is
tried with every format that cannot be misread, so that a column may hold two formats.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from toto_core.data.local_time import Repeats, localised
from toto_core.errors import ConfigError, DataError

UTC_DTYPE: Final = pl.Datetime("us", "UTC")
EPOCH: Final = "epoch"

_DATES: Final = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%b %d %Y",
    "%a, %d %b %Y",
)
_TIMES: Final = (" %H:%M:%S", "T%H:%M:%S", " %H:%M:%S%.f", "T%H:%M:%S%.f", " %H:%M", "T%H:%M")
_COMPACT_TIMES: Final = ("T%H%M%S", " %H%M%S", "%H%M%S", "T%H%M", "%H%M")
_ZONES: Final = ("", "%#z", " %#z")
_SAFE: Final = (
    *(date + time + zone for date in _DATES for time in _TIMES for zone in _ZONES),
    *_DATES,
    *("%Y%m%d" + time + zone for time in _COMPACT_TIMES for zone in ("", "%#z")),
    "%Y-%m",
    "%Y/%m",
)
# Pairs that read the same text as different days.
_AMBIGUOUS: Final = tuple(
    (first + time, second + time)
    for first, second in (
        ("%d/%m/%Y", "%m/%d/%Y"),
        ("%d/%m/%y", "%m/%d/%y"),
        ("%d-%m-%Y", "%m-%d-%Y"),
    )
    for time in ("", *_TIMES, " %I:%M %p", " %I:%M:%S %p")
)

# Numbers up to these bounds are seconds, milliseconds and microseconds, larger ones nanoseconds;
# below the first, a number is no epoch (1973 and earlier): a count of steps, a year or yyyymmdd.
_EPOCH_BOUNDS: Final = (1e8, 1e11, 1e14, 1e17)
# yyyymmddHHMM of 1900 to 2099. As milliseconds these numbers would be months of 1976.
_COMPACT_MINUTES: Final = (190_001_010_000, 210_001_010_000)
# yyyymmddHH of the same years.
_COMPACT_HOURS: Final = (1_900_010_100, 2_099_123_123)
_NUMBER: Final = r"^[+-]?\d+(\.\d*)?$"
# Outside of these years, a format has misread its text.
_FIRST_US: Final = -11_676_096_000_000_000  # 1600
_LAST_US: Final = 16_725_225_600_000_000  # 2500
_MAX_SHAPES: Final = 64
_SAMPLE_ROWS: Final = 200


@dataclass(frozen=True)
class TimestampReader:
    """How one column of time stamps is read.

    Attributes:
        format: of text: a ``strptime`` format or ``EPOCH``; None for other types.
        timezone: of time stamps that carry none; a bare date is a label and stays at 00:00 UTC.
        repeats: what was read of the hours that a clock repeats, batch by batch.
    """

    format: str | None
    timezone: str
    repeats: Repeats = field(default_factory=Repeats, compare=False)

    def read(self, column: pl.Series, items: pl.Series | None = None) -> pl.Series:
        """Return the column in UTC, null where a value is no time stamp.

        In the hour that a clock repeats when daylight saving ends, the first occurrence of a
        naive time stamp within an item counts as summer time and the second one as winter time;
        in the hour that it skips, a naive time stamp is null.

        Args:
            column: text, date, date-time or number.
            items: of the same length, whose equal values mark the rows of one item.
        """
        if items is None:
            items = pl.repeat("", len(column), eager=True)
        if column.dtype == pl.String:
            return self._read_text(column, items)
        if column.dtype == pl.Date:
            return _checked(column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
        if isinstance(column.dtype, pl.Datetime):
            naive_or_zoned = column.dt.cast_time_unit("us")
            if column.dtype.time_zone is not None:
                return _checked(naive_or_zoned.dt.convert_time_zone("UTC"))
            return _checked(localised(naive_or_zoned, items, self.timezone, self.repeats))
        if column.dtype.is_numeric():
            return _epoch(column)
        return pl.repeat(None, len(column), dtype=UTC_DTYPE, eager=True)

    def _read_text(self, column: pl.Series, items: pl.Series) -> pl.Series:
        assert self.format is not None
        result = self._with_format(column, items, self.format)
        left = result.is_null() & column.is_not_null()
        if not left.any():
            return result
        column = column.str.strip_chars()
        for other in (self.format, *_formats_of_shapes(column.filter(left))):
            rows = left.arg_true()
            found = self._with_format(column.gather(rows), items.gather(rows), other)
            result = result.scatter(rows.filter(found.is_not_null()), found.drop_nulls())
            left = result.is_null() & column.is_not_null()
            if not left.any():
                break
        return result

    def _with_format(self, column: pl.Series, items: pl.Series, format: str) -> pl.Series:
        if format == EPOCH:
            return _epoch(column.cast(pl.Float64, strict=False))
        parsed = column.str.to_datetime(format, strict=False, time_unit="us")
        if isinstance(parsed.dtype, pl.Datetime) and parsed.dtype.time_zone is not None:
            return _checked(parsed.dt.convert_time_zone("UTC"))
        if not has_clock(format):
            return _checked(parsed.dt.replace_time_zone("UTC"))
        return _checked(localised(parsed, items, self.timezone, self.repeats))


def detect_format(sample: pl.Series, *, where: str, more: Callable[[], pl.Series]) -> str | None:
    """Return the format of most of a text column, or None if the column is not text.

    Args:
        sample: its first rows.
        where: the file and column that a message names.
        more: gives many more rows; asked for where the sample fits no format, or one in which day
            and month can be swapped.

    Raises:
        DataError: if no format fits anything, or if days and months can be swapped in all rows.
    """
    _refuse_compact_hours(sample, where)
    if sample.dtype != pl.String:
        return None
    text = sample.drop_nulls().str.strip_chars()
    best = _best_format(text)
    if best is not None and not any(best in pair for pair in _AMBIGUOUS):
        return best
    text = more().drop_nulls().str.strip_chars()
    best = _best_format(text)
    if best is None:
        raise DataError(
            f"{where} = {text[0] if len(text) else None!r}, a time stamp is needed; "
            "write for example 2024-01-31 13:05:00 or seconds since 1970"
        )
    for pair in _AMBIGUOUS:
        if best in pair:
            return _day_or_month_first(text, pair, where)
    return best


def _refuse_compact_hours(sample: pl.Series, where: str) -> None:
    """Refuse yyyymmddHH: the numbers are also seconds since 1970, of the years after 2030."""
    if sample.dtype == pl.String:
        sample = sample.str.strip_chars()
        sample = sample.filter(sample.str.contains(_NUMBER))
    if sample.dtype != pl.String and not sample.dtype.is_integer():
        return
    numbers = sample.cast(pl.Int64, strict=False).drop_nulls()
    first, last = _COMPACT_HOURS
    dates = (numbers // 100).cast(pl.String).str.to_date("%Y%m%d", strict=False)
    compact = numbers.is_between(first, last) & dates.is_not_null() & (numbers % 100 < 24)
    if len(numbers) and compact.all():
        raise DataError(
            f"{where} = {numbers[0]}, year, month, day and hour without separators can be mistaken "
            "for seconds since 1970; write for example 2024-01-31 13:00"
        )


def _best_format(text: pl.Series) -> str | None:
    """The format that most of the first rows fit, None if there is none; the first of equals."""
    sample = text.head(_SAMPLE_ROWS)
    best, most = EPOCH, _num_parsed(sample, EPOCH)
    if most < len(sample):
        formats = (*_SAFE, *(name for pair in _AMBIGUOUS for name in pair))
        for name, count in zip(formats, _nums_parsed(sample, formats), strict=True):
            if count > most:
                best, most = name, count
    return best if most else None


def _nums_parsed(text: pl.Series, formats: tuple[str, ...]) -> list[int]:
    """How many values fit each format, all formats at once."""
    return list(pl.DataFrame({"text": text}).select(_counts_of(formats)).row(0))


@lru_cache(maxsize=2)
def _counts_of(formats: tuple[str, ...]) -> list[pl.Expr]:
    return [
        pl.col("text")
        .str.to_datetime(name, strict=False, time_unit="us")
        .to_physical()
        .is_between(_FIRST_US, _LAST_US)
        .sum()
        .alias(name)
        for name in formats
    ]


def check_timezone(name: str) -> None:
    """Check that a time zone is known.

    Raises:
        ConfigError: if it is not.
    """
    try:
        pl.Series([0]).cast(pl.Datetime("us")).dt.replace_time_zone(name)
    except PolarsError:
        raise ConfigError(
            f"params.yaml: ingest.timezone = {name!r}, a name of the IANA data base is needed; "
            "write for example UTC or Europe/Berlin"
        ) from None


def has_clock(format: str) -> bool:
    """Whether a format has a time of day."""
    return "%H" in format or "%I" in format


def _checked(times: pl.Series) -> pl.Series:
    us = times.to_physical()
    outside = (us < _FIRST_US) | (us > _LAST_US)
    return times.set(outside, None) if outside.any() else times


def _epoch(column: pl.Series) -> pl.Series:
    """Numbers of seconds, milliseconds, microseconds or nanoseconds, told apart by magnitude."""
    name = column.name or "value"
    number = pl.col(name)
    size = number.abs()
    least, seconds, millis, micros = _EPOCH_BOUNDS
    digits = number.cast(pl.Int64, strict=False).cast(pl.String)
    dates = digits.str.to_datetime("%Y%m%d", strict=False, time_unit="us").cast(pl.Int64)
    if column.dtype.is_integer():
        column, number = column.cast(pl.Int64, strict=False), pl.col(name)
    else:
        column = column.cast(pl.Float64)
    scaled = (
        pl.when((number >= 16_000_000) & (number < 25_000_000))
        .then(dates)
        .when((size < least) | number.is_between(*_COMPACT_MINUTES, closed="left"))
        .then(None)
        .when(size < seconds)
        .then((number * 1_000_000).round(0))
        .when(size < millis)
        .then((number * 1_000).round(0))
        .when(size < micros)
        .then(number.round(0))
        .otherwise(number / 1_000)
        .cast(pl.Int64, strict=False)
        .cast(pl.Datetime("us"))
        .dt.replace_time_zone("UTC")
    )
    return _checked(column.alias(name).to_frame().select(scaled).to_series())


def _num_parsed(text: pl.Series, format: str) -> int:
    if format == EPOCH:
        numbers = text.filter(text.str.contains(_NUMBER)).cast(pl.Float64, strict=False)
        return len(_epoch(numbers).drop_nulls())
    parsed = text.str.to_datetime(format, strict=False, time_unit="us")
    if isinstance(parsed.dtype, pl.Datetime) and parsed.dtype.time_zone is None:
        parsed = parsed.dt.replace_time_zone("UTC")
    return len(_checked(parsed).drop_nulls())


def _day_or_month_first(text: pl.Series, pair: tuple[str, str], where: str) -> str:
    day_first, month_first = (_num_parsed(text, name) for name in pair)
    if day_first != month_first:
        return pair[0] if day_first > month_first else pair[1]
    first, second = (text.str.to_datetime(name, strict=False) for name in pair)
    differing = text.filter((first != second).fill_null(value=False))
    if len(differing):
        raise DataError(
            f"{where} = {differing[0]!r}, a date that can be read in one way is needed; "
            "write it as year-month-day"
        )
    return pair[0]


def _formats_of_shapes(text: pl.Series) -> list[str]:
    """Formats that cannot be misread and fit at least one of the different shapes of a text."""
    shapes = text.str.replace_all(r"\d", "0").str.replace_all(r"[A-Za-z]{3,}", "Aaa")
    first = pl.DataFrame({"text": text, "shape": shapes}).unique(
        "shape", keep="first", maintain_order=True
    )
    samples = first["text"].head(_MAX_SHAPES)
    found = []
    for sample in samples:
        one = pl.Series([sample])
        fits = (name for name in (EPOCH, *_SAFE) if _num_parsed(one, name))
        found.append(next(fits, None))
    return list(dict.fromkeys(name for name in found if name))


def looks_like_time(column: pl.Series) -> bool:
    """Whether a column without a known name may hold time stamps: by type, or by its text."""
    if column.dtype.is_temporal():
        return True
    if column.dtype != pl.String or column.drop_nulls().is_empty():
        return False
    text = column.drop_nulls().head(20).str.strip_chars()
    if text.str.contains(_NUMBER).any() or not text.str.contains(r"\d").all():
        return False
    return max(_nums_parsed(text, _SAFE)) == len(text)
