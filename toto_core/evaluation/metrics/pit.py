"""The probability integral transform: where in its forecast distribution each target fell.

The distribution is linear between neighbouring quantiles; what lies below the lowest and above the
highest level is not known, so a target there is spread evenly over that tail. Where several
quantiles coincide with the target (zeros, halted prices) the distribution jumps over their levels
and the target is spread evenly over the jump, which is the randomised transform of Brockwell
(2007) and Czado, Gneiting and Held (2009). Calibrated forecasts give even values from 0 to 1.

Shapes: N cells, Q quantile levels, K bins = Q + 1, from 0 over the levels to 1.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, UInt8

from toto_core.evaluation.metrics.keys import QUANTILE_LEVELS


def pit_values(
    target: Float[np.ndarray, " N"],
    quantiles: Float[np.ndarray, "N Q"],
    *,
    seed: int,
    levels: Sequence[float] = QUANTILE_LEVELS,
) -> Float64[np.ndarray, " N"]:
    """Return one randomised value from 0 to 1 for each target, the same ones for the same seed.

    Args:
        target: missing = NaN, which gives NaN.
        quantiles: in rising order, finite.
    """
    y, z = target[:, None].astype(np.float64), quantiles.astype(np.float64)
    edges = np.array([0.0, *levels, 1.0])
    num_below, num_to = (z < y).sum(axis=1), (z <= y).sum(axis=1)
    lower, upper = _spread(num_below, num_to, len(levels))
    inside = (num_below == num_to) & (num_below > 0) & (num_below < len(levels))
    cells, below = np.flatnonzero(inside), num_below[inside]
    left, right = z[cells, below - 1], z[cells, below]
    share = np.random.default_rng(seed).random(len(target))
    share[cells] = (y[cells, 0] - left) / (right - left)
    values = edges[lower] + share * (edges[upper] - edges[lower])
    return np.where(np.isfinite(target), values, np.nan)


def pit_counts(
    num_below: UInt8[np.ndarray, " N"],
    num_to: UInt8[np.ndarray, " N"],
    observed: Bool[np.ndarray, " N"],
    *,
    num_levels: int,
) -> Int64[np.ndarray, "K K"]:
    """Count the observed cells by ``CellLosses.num_below`` and ``num_to``; counts add up."""
    size = num_levels + 1
    codes = num_below.astype(np.intp) * size + num_to
    if not observed.all():
        codes = codes[observed]
    return np.bincount(codes, minlength=size * size).reshape(size, size)


def pit_histogram(
    counts: Int64[np.ndarray, "K K"], *, levels: Sequence[float] = QUANTILE_LEVELS
) -> Float64[np.ndarray, " K"]:
    """Return the share of the targets in each bin: what the randomised values show on average.

    A target that equals a single quantile lies on the edge of two bins and is halved.

    Returns:
        Shares that sum to 1, NaN without any target; bin k goes from level k - 1 to level k.
    """
    widths = np.diff([0.0, *levels, 1.0])
    shares = np.zeros(len(widths))
    for below, to in np.argwhere(counts).tolist():
        lower, upper = (int(end) for end in _spread(np.array(below), np.array(to), len(levels)))
        if lower == upper:
            shares[[lower - 1, lower]] += counts[below, to] / 2
        else:
            part = widths[lower:upper] / widths[lower:upper].sum()
            shares[lower:upper] += counts[below, to] * part
    total = counts.sum()
    return shares / total if total else np.full(len(widths), np.nan)


def _spread(
    num_below: np.ndarray, num_to: np.ndarray, num_levels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last edge (0, the levels, 1) that a target is spread between."""
    tied = num_to > num_below
    lower = np.where(tied & (num_below > 0), num_below + 1, num_below)
    upper = np.where(tied & (num_to < num_levels), num_to, num_to + 1)
    return lower, upper
