"""Resampling: the same series as if it had been sampled more rarely, or more often.

Shapes: n windows, T time steps, k steps that become one.
"""

import numpy as np
from jaxtyping import Float32, Float64

# How many steps become one: 5 minutes to 10 and 15 minutes, half an hour and an hour, 10 seconds to
# a minute, months to quarters and years.
FACTORS = (2, 3, 4, 6, 12)
# How many steps one becomes: with more, all but the knots of the lines would foretell themselves.
STRETCHES = (2, 3, 4)
# How: the mean (gauges), the sum (counts), the highest (peaks), or every k-th (slower scraping).
NUM_WAYS = 4
_MEAN, _SUM, _HIGHEST, _LAST = range(NUM_WAYS)


def aggregate(
    values: Float32[np.ndarray, "n Tk"], factor: int, place: Float64[np.ndarray, " n"]
) -> Float32[np.ndarray, "n T"]:
    """Make one step of every ``factor`` steps, each window in one way.

    A step is missing where more than half of its own are; the sum counts the missing ones as the
    mean of the others.

    Args:
        place: uniform in [0, 1), which way each window takes.
    """
    way = (place * NUM_WAYS).astype(np.int64)[:, None]
    parts = values.reshape(len(values), -1, factor)
    count = np.zeros(parts.shape[:2], np.float32)
    total, highest = np.zeros_like(count), np.full_like(count, -np.inf)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for k in range(factor):
            step = parts[..., k]
            seen = ~np.isnan(step)
            count += seen
            total += np.where(seen, step, 0)
            highest = np.fmax(highest, step)
        mean = total / count
        found = np.select(
            [way == _MEAN, way == _SUM, way == _HIGHEST],
            [mean, mean * np.float32(factor), highest],
            parts[..., -1],
        )
    found[(2 * count < factor) & (way != _LAST)] = np.nan
    return found
