"""The season of an item: given, usual for its frequency, or read off its own past.

Shapes: V variates, T time steps.
"""

import numpy as np
from jaxtyping import Float32, Float64

from toto_core.data.frequency import DAY_US, HOUR_US, UNIT_US, WEEK_US, default_seasonality
from toto_core.data.frequency import parse_freq as _parsed
from toto_core.data.tables import TARGET, Item

AUTO = "auto"
MIN_CYCLES = 3  # of a season that is looked for
# A season must explain this share of what is left after the moving average over it. On random
# walks of 3 to 40 cycles the autocorrelation at that lag is below zero on average.
MIN_CORRELATION = 0.3
# Of two seasons that explain about as much the shorter one is taken: a week repeats a day, too.
TIE = 0.05
_YEAR_US = UNIT_US["Y"]


def season_of(freq: str, seasonality: int | str | None) -> int:
    """Steps of the season: the one asked for, or the usual one of a canonical frequency."""
    return seasonality if isinstance(seasonality, int) else default_seasonality(_parsed(freq))


def item_season(item: Item, seasonality: int | str | None, *, before_us: int) -> int:
    """Steps of an item's season; ``auto`` infers it from its targets before a point in time.

    Args:
        before_us: microseconds since 1970 in UTC; what is at or after it is not read.
    """
    if seasonality != AUTO:
        return season_of(item.freq, seasonality)
    past = item.values[:, : int(np.searchsorted(item.timestamps, before_us))]
    targets = [row for row, role in enumerate(item.roles) if role == TARGET]
    return infer_season(past[targets], candidate_seasons(item.freq))


def candidate_seasons(freq: str) -> tuple[int, ...]:
    """Hour, day, week and year in steps of a frequency, and its usual season, rising.

    Years are not exact in days; those below a day have none.
    """
    found = _parsed(freq)
    step_us = found.count * UNIT_US[found.unit]
    steps = [length / step_us for length in (HOUR_US, DAY_US, WEEK_US) if length % step_us == 0]
    if found.unit == "B":  # five a week
        steps = [5 / found.count] if 5 % found.count == 0 else []
        steps.append(261 / found.count)
    elif step_us >= DAY_US:
        steps.append(_YEAR_US / step_us)
    whole = {round(n) for n in steps} | {default_seasonality(found)}
    return tuple(sorted(n for n in whole if n > 1))


def infer_season(values_VT: Float32[np.ndarray, "V T"], candidates: tuple[int, ...]) -> int:
    """Choose the season at whose lag the series, freed of its level, agrees most with itself.

    From each value the mean over one season around it is subtracted, so that neither a trend nor a
    random walk looks like a season; the autocorrelation at the season's lag is averaged over the
    variates.

    Returns:
        one of ``candidates``, of which at least ``MIN_CYCLES`` fit, or 1 where none explains
        ``MIN_CORRELATION``.
    """
    found = {
        season: _correlation(values_VT, season)
        for season in candidates
        if values_VT.shape[1] >= MIN_CYCLES * season
    }
    best = max(found.values(), default=0.0)
    if not best >= MIN_CORRELATION:
        return 1
    return min(season for season, share in found.items() if share >= best - TIE)


def seasonal_error(values: Float32[np.ndarray, " T"], season: int) -> float | None:
    """Mean absolute change over a season, of one series as ``metrics.seasonal_errors`` has it."""
    change = np.abs(values[season:].astype(np.float64) - values[:-season])
    change = change[np.isfinite(change)]
    return float(change.mean()) if len(change) else None


def _correlation(values_VT: Float32[np.ndarray, "V T"], season: int) -> float:
    shares = []
    for values in values_VT.astype(np.float64):
        rest = values - _centred_mean(values, season)
        left, right = rest[season:], rest[:-season]
        both = np.isfinite(left) & np.isfinite(right)
        if both.any() and (square := float(np.nanmean(rest**2))) > 0:
            shares.append(float((left[both] * right[both]).mean()) / square)
    return float(np.mean(shares)) if shares else 0.0


def _centred_mean(values: Float64[np.ndarray, " T"], season: int) -> Float64[np.ndarray, " T"]:
    """Mean of what is observed in the season around each value; NaN where it is cut off."""
    seen = np.isfinite(values)
    # Sums of differences from a typical value: large levels would drown them.
    level = float(np.median(values[seen])) if seen.any() else 0.0
    sums = np.concatenate([[0.0], np.where(seen, values - level, 0.0).cumsum()])
    counts = np.concatenate([[0], seen.cumsum()])
    means = np.full(len(values), np.nan)
    half = season // 2
    inside = slice(half, half + len(values) - season + 1)
    number = np.maximum(counts[season:] - counts[:-season], 1)
    means[inside] = level + (sums[season:] - sums[:-season]) / number
    return means
