"""Frequencies of time series: their names, steps, seasons and how one is read off time stamps.

The canonical name is a count and a unit, for example ``5min`` or ``1B``. All times are
microseconds since 1970 in UTC.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Int64

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
WEEK_US: Final = 7 * DAY_US

# A business day's nominal step is the one from Monday to Tuesday. Months, quarters and years have
# their mean length in the Julian calendar (365.25 days).
UNIT_US: Final = {
    "us": 1,
    "ms": 1_000,
    "s": SECOND_US,
    "min": MINUTE_US,
    "h": HOUR_US,
    "D": DAY_US,
    "B": DAY_US,
    "W": WEEK_US,
    "M": 30 * DAY_US + 7 * DAY_US // 16,
    "Q": 91 * DAY_US + 5 * DAY_US // 16,
    "Y": 365 * DAY_US + DAY_US // 4,
}
CALENDAR_UNITS: Final = frozenset("BMQY")

# Lengths of the season in units, after GluonTS (gluonts.time_feature.seasonality), but a day's
# season is the week. Units without one here have no season.
_SEASONS: Final = {"s": 3600, "min": 1440, "h": 24, "D": 7, "B": 5, "M": 12, "Q": 4}

# A count of the smaller unit that makes one of the larger: 60min is 1h.
_LARGER: Final = (
    ("us", 1000, "ms"),
    ("ms", 1000, "s"),
    ("s", 60, "min"),
    ("min", 60, "h"),
    ("h", 24, "D"),
    ("D", 7, "W"),
    ("M", 3, "Q"),
    ("Q", 4, "Y"),
)

# Aliases of pandas, GluonTS and Polars. Case matters for "m" (minutes) and "M" (months) only.
_ALIASES: Final = {
    **dict.fromkeys(("us", "u"), "us"),
    **dict.fromkeys(("ms", "l"), "ms"),
    **dict.fromkeys(("s", "sec"), "s"),
    **dict.fromkeys(("min", "t"), "min"),
    **dict.fromkeys(("h", "hour"), "h"),
    **dict.fromkeys(("d", "day"), "D"),
    **dict.fromkeys(("b", "c"), "B"),
    **dict.fromkeys(("w", "week"), "W"),
    **dict.fromkeys(("mo", "me", "bm", "bme", "bms"), "M"),
    **dict.fromkeys(("q", "qe", "qs", "bq", "bqe", "bqs"), "Q"),
    **dict.fromkeys(("y", "ye", "ys", "a", "as", "ba", "bye", "bys", "bas"), "Y"),
}
_CASED: Final = {"m": "min", "M": "M", "MS": "M", "ms": "ms", "Ms": "ms", "MIN": "min"}
_PATTERN: Final = re.compile(r"(\d*)\s*([A-Za-z]+)(?:-[A-Za-z]{3})?")


@dataclass(frozen=True)
class Frequency:
    """A step between neighbouring time stamps: ``count`` times ``unit``.

    Attributes:
        count: >= 1.
        unit: a key of ``UNIT_US``.
    """

    count: int
    unit: str

    @property
    def canonical(self) -> str:
        """The name stored in tables, for example ``5min``."""
        return f"{self.count}{self.unit}"

    @property
    def interval_us(self) -> int:
        """The nominal step in microseconds; exact unless ``is_calendar``."""
        return self.count * UNIT_US[self.unit]

    @property
    def is_calendar(self) -> bool:
        """Whether steps differ in length: business days, months, quarters, years."""
        return self.unit in CALENDAR_UNITS


def parse_freq(text: str) -> Frequency:
    """Read a frequency as pandas, GluonTS or Polars write it.

    ``5T``, ``5m`` and ``5min`` are minutes, ``M``, ``ME``, ``MS`` and ``1mo`` are months; anchors
    as in ``W-SUN`` or ``Q-DEC`` are dropped; 60min becomes 1h, 3M becomes 1Q.

    Raises:
        ValueError: if the text names no frequency or counts zero of it.
    """
    match = _PATTERN.fullmatch(text.strip())
    name = match[2] if match else ""
    unit = _CASED.get(name) or _ALIASES.get(name.lower())
    count = int(match[1] or 1) if match else 0
    if unit is None or count < 1:
        raise ValueError(
            f"freq = {text!r}, a count and one of {', '.join(UNIT_US)} is needed; "
            "write for example 5min, 1h, 1D, 1B, 1W or 1M"
        )
    return normalised(count, unit)


@lru_cache(maxsize=1024)
def normalised(count: int, unit: str) -> Frequency:
    """The frequency of ``count`` times ``unit`` in the largest unit that divides it."""
    for smaller, size, larger in _LARGER:
        if unit == smaller and count % size == 0:
            count, unit = count // size, larger
    return Frequency(count, unit)


def default_seasonality(freq: Frequency) -> int:
    """Steps of the season that a frequency usually has; 1 where none divides into whole steps.

    Source: GluonTS, gluonts.time_feature.seasonality, except that a day's season is the week.
    """
    if freq.unit in ("us", "ms"):
        season, interval = _SEASONS["s"] * SECOND_US, freq.interval_us
    else:
        season, interval = _SEASONS.get(freq.unit, 1), freq.count
    return season // interval if season % interval == 0 else 1


def grid(start_us: int, end_us: int, freq: Frequency) -> Int64[np.ndarray, " T"]:
    """Return the time stamps from ``start_us`` to ``end_us``, the end included if a step meets it.

    Raises:
        ValueError: for a calendar frequency, whose steps differ.
    """
    if freq.is_calendar:
        raise ValueError(f"freq = {freq.canonical}, a frequency with equal steps is needed")
    return np.arange(start_us, end_us + 1, freq.interval_us, dtype=np.int64)


# Below this share of the steps, the most common one is a coincidence of a jittering clock.
MIN_COMMON_SHARE: Final = 0.2
# Steps that clocks are set to; a jittering one is taken for the nearest on a logarithmic scale.
_USUAL_US: Final = np.array(
    [n * SECOND_US for n in (1, 2, 5, 10, 15, 20, 30)]
    + [n * MINUTE_US for n in (1, 2, 5, 10, 15, 20, 30)]
    + [n * HOUR_US for n in (1, 2, 3, 4, 6, 8, 12)]
    + [DAY_US, WEEK_US],
)
# A month step has at least this length, an hour less for daylight saving.
_MIN_MONTH_US: Final = 28 * DAY_US - HOUR_US


def infer_freq(timestamps_us: Int64[np.ndarray, " T"]) -> Frequency | None:
    """Return the frequency of one series, in any order, as ``infer_freqs`` does for many."""
    return infer_freqs(np.sort(timestamps_us), np.array([0]))[0]


def infer_freqs(
    timestamps_us: Int64[np.ndarray, " T"], starts: Int64[np.ndarray, " S"]
) -> list[Frequency | None]:
    """Return for each series the frequency that explains the most common step between its stamps.

    Gaps, duplicates and daylight-saving shifts are outvoted; of equally common steps the shortest
    wins, as a gap is longer than a step. Steps between the same day of two months count as months.
    Daily steps with gaps over two days that leave out two days of the week are business days.
    Where no step is common (a jittering clock), the median step is rounded to the nearest usual
    one. None with fewer than two distinct time stamps.

    Args:
        timestamps_us: of all series, one after the other, each in order.
        starts: position of the first time stamp of each series, ascending; no series is empty.
    """
    facts = _step_facts(timestamps_us, starts)
    freqs: list[Frequency | None] = [None] * len(starts)
    for series, step, share, median in facts.iter_rows():
        freqs[series] = _frequency_of_step(step, share=share, median_us=median)
    daily = [i for i, freq in enumerate(freqs) if freq == Frequency(1, "D")]
    ends = np.append(starts[1:], len(timestamps_us))
    for i in daily:
        if _is_business(timestamps_us[starts[i] : ends[i]]):
            freqs[i] = Frequency(1, "B")
    return freqs


def _step_facts(times: Int64[np.ndarray, " T"], starts: Int64[np.ndarray, " S"]) -> pl.DataFrame:
    """For each series with a step: the most common one, its share and the median."""
    table = _equal_steps(times, starts)
    counts = table.group_by("series", "key").agg(pl.col("len").sum(), shortest=pl.col("step").min())
    best = counts.sort("series", pl.col("len"), "shortest", descending=[False, True, False])
    best = best.unique("series", keep="first", maintain_order=True)
    totals = table.group_by("series").agg(total=pl.col("len").sum())
    best = best.join(totals, on="series").with_columns(share=pl.col("len") / pl.col("total"))
    rare = table.join(best.filter(pl.col("share") < MIN_COMMON_SHARE), on="series", how="semi")
    each = rare.select(
        pl.col("series", "step").gather(np.repeat(np.arange(len(rare)), rare["len"]))
    )
    medians = each.group_by("series").agg(median=pl.col("step").median())
    return best.join(medians, on="series", how="left").select("series", "key", "share", "median")


def _equal_steps(times: Int64[np.ndarray, " T"], starts: Int64[np.ndarray, " S"]) -> pl.DataFrame:
    """Runs of equal steps above 0: ``series``, ``key`` (months below 0), ``step`` and ``len``."""
    steps = np.diff(times)
    # Whether it is whole months depends on where a step lies: each is a run of its own.
    is_start = steps >= _MIN_MONTH_US
    is_start[1:] |= steps[1:] != steps[:-1]
    is_start[:1] = True
    is_start[starts[1:] - 1] = True
    is_start[starts[(starts > 0) & (starts < len(steps))]] = True
    at = np.flatnonzero(is_start)
    length = np.diff(at, append=len(steps))
    series = np.searchsorted(starts, at, side="right") - 1
    ends = np.append(starts[1:], len(times))
    within = (steps[at] > 0) & (at + 1 < ends[series])
    at, length, series = at[within], length[within], series[within]
    step = steps[at]
    keys = step.copy()
    long = np.flatnonzero(step >= _MIN_MONTH_US)
    num_months = _whole_months(times[at[long]], times[at[long] + 1])
    keys[long] = np.where(num_months > 0, -num_months, step[long])
    return pl.DataFrame({"series": series, "key": keys, "step": step, "len": length})


def _frequency_of_step(step: int, *, share: float, median_us: float | None) -> Frequency:
    if step < 0:
        return normalised(-step, "M")
    if share < MIN_COMMON_SHARE and median_us is not None:
        step = int(_USUAL_US[np.abs(np.log(_USUAL_US / median_us)).argmin()])
    return normalised(step, "us")


def _is_business(times: Int64[np.ndarray, " T"]) -> bool:
    # Midnight of Monday east of Greenwich is a Sunday in UTC, and not every country rests on
    # Saturday: the days of the week are counted, not named.
    weekdays = np.bincount((times // DAY_US) % 7, minlength=7)
    return bool(np.count_nonzero(weekdays) <= 5 and (np.diff(times) > 2 * DAY_US).any())


def _whole_months(
    before: Int64[np.ndarray, " N"], after: Int64[np.ndarray, " N"]
) -> Int64[np.ndarray, " N"]:
    """Months between time stamps on the same day of the month, or both on its last; else 0."""
    days = np.stack([before, after]).astype("datetime64[us]").astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    day_of_month = (days - months).astype(np.int64)
    is_last = (days + 1).astype("datetime64[M]") != months
    aligned = (day_of_month[0] == day_of_month[1]) | (is_last[0] & is_last[1])
    return np.where(aligned, np.diff(months.astype(np.int64), axis=0)[0], 0)
