"""Round ticks and short labels for the axes of numbers and of calendar time."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import ArrayLike

DAY_US = 86_400_000_000
Ticks = list[tuple[float, str]]
_HOURS = (1, 2, 3, 6, 12, 24, 48, 168, 336)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


def value_ticks(low: float, high: float, *, count: int = 5) -> Ticks:
    """Return about ``count`` round values between low and high with their labels."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [(low, number_label(low, 1.0))] if math.isfinite(low) else []
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(n * step, number_label(n * step, step)) for n in range(first, last + 1)]


def step_ticks(first: float, last: float, *, count: int = 6) -> Ticks:
    """Return the first step and round ones after it: nobody counts steps from zero."""
    later = [tick for tick in value_ticks(0.0, last, count=count) if tick[0] == round(tick[0])]
    gap = later[1][0] if len(later) > 1 else last
    kept = [tick for tick in later if tick[0] > first + gap / 3]
    return [(first, number_label(first, 1.0)), *kept]


def time_ticks(low_us: float, high_us: float, *, count: int = 6) -> Ticks:
    """Return round moments between two times, microseconds since 1970, with their labels.

    Hours, days, weeks that begin on Monday, months or years, whichever come closest to ``count``.
    """
    span = high_us - low_us
    if not span > 0:
        return [(low_us, time_label(low_us, span_us=span))]
    hours = next((h for h in _HOURS if h * DAY_US / 24 * count >= span), None)
    if hours is None:
        return _month_ticks(low_us, high_us, count)
    step = timedelta(hours=hours)
    moment = _MONDAY + step * math.ceil((_moment(low_us) - _MONDAY) / step)
    ticks = []
    while _us(moment) <= high_us:
        ticks.append((_us(moment), time_label(_us(moment), span_us=span)))
        moment += step
    return ticks


def _month_ticks(low_us: float, high_us: float, count: int) -> Ticks:
    span = high_us - low_us
    step = next((m for m in _MONTHS if m * 30.4 * DAY_US * count >= span), _MONTHS[-1])
    low = _moment(low_us)
    ticks = []
    for month in range(low.year * 12 // step * step, 9999 * 12, step):
        moment = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        if _us(moment) > high_us:
            break
        if _us(moment) >= low_us:
            text = f"{moment:%Y}" if step >= 12 else f"{moment:%b %Y}"
            ticks.append((_us(moment), text))
    return ticks


def number_label(value: float, step: float) -> str:
    """Return a value with as many digits as the distance of its neighbours needs."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            unit = 1e3 if suffix == "k" else size
            return f"{_fixed(value / unit, step / unit)}{suffix}"
    return _fixed(value, step)


def _fixed(value: float, step: float) -> str:
    digits = 0
    while (
        digits < 6 and abs(step * 10**digits - round(step * 10**digits)) > 1e-6 * step * 10**digits
    ):
        digits += 1
    text = f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.lstrip("-")


def time_label(time_us: float, *, span_us: float) -> str:
    """Return a time stamp as coarse as the time that the axis spans allows."""
    moment = _moment(time_us)
    day = f"{moment.day} {moment:%b}"
    if span_us >= 1500 * DAY_US:
        return f"{moment:%Y}"
    if span_us >= 120 * DAY_US:
        return f"{day} {moment:%Y}"
    return day if span_us >= 2 * DAY_US else f"{day} {moment:%H:%M}"


def padded(values: ArrayLike, *, share: float = 0.06) -> tuple[float, float]:
    """Return the range of the finite values, widened on both sides by a share of it."""
    array = np.asarray(values, np.float64)
    array = array[np.isfinite(array)]
    if not array.size:
        return 0.0, 1.0
    low, high = float(array.min()), float(array.max())
    margin = share * (high - low) or abs(high) * share or 1.0
    return low - margin, high + margin


def _moment(time_us: float) -> datetime:
    return datetime.fromtimestamp(time_us / 1e6, tz=UTC)


def _us(moment: datetime) -> float:
    return moment.timestamp() * 1e6
