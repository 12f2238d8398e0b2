"""Losses of single cells: the forecast of one step of one series from one origin.

Shapes: N cells, Q quantile levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, UInt8

from toto_core.evaluation.metrics.intervals import interval_score
from toto_core.evaluation.metrics.keys import HIGH, LOW, MEDIAN, QUANTILE_LEVELS

# Cells worked on at once: their quantiles stay in the processor's cache.
BLOCK = 8192
# Share of targets that the interval of the levels LOW and HIGH leaves outside.
ALPHA = 0.2


@dataclass(frozen=True)
class CellLosses:
    """Losses of one forecaster, one value for each cell; zero where the target is missing.

    Attributes:
        observed: whether the target is there.
        ql: quantile loss, mean over the levels.
        ae: absolute error of the median.
        se: its squared error.
        sape: 2 |y - z| / (|y| + |z|) of the median z, 0 to 2; 0 where both are zero.
        inside80: 1 where the target lies in the closed interval of the levels 0.1 and 0.9.
        width80: width of that interval.
        winkler80: its interval score.
        num_below: number of levels whose quantile lies below the target.
        num_to: number of levels whose quantile is at or below the target.
        num_crossing: pairs of neighbouring levels whose quantiles fall.
    """

    observed: Bool[np.ndarray, " N"]
    ql: Float64[np.ndarray, " N"]
    ae: Float64[np.ndarray, " N"]
    se: Float64[np.ndarray, " N"]
    sape: Float64[np.ndarray, " N"]
    inside80: Float64[np.ndarray, " N"]
    width80: Float64[np.ndarray, " N"]
    winkler80: Float64[np.ndarray, " N"]
    num_below: UInt8[np.ndarray, " N"]
    num_to: UInt8[np.ndarray, " N"]
    num_crossing: int


def cell_losses(
    target: Float[np.ndarray, " N"],
    quantiles: Float[np.ndarray, "N Q"],
    *,
    levels: Sequence[float] = QUANTILE_LEVELS,
    doubled: bool = True,
) -> CellLosses:
    """Compute the losses of each cell, in float64 whatever the input.

    The loss at level q of a quantile z is 2 |(y - z) (1{y <= z} - q)|.

    Args:
        target: the truth y, missing = NaN.
        quantiles: in rising order, finite.
        levels: of the columns of ``quantiles``; 0.1, 0.5 and 0.9 must be among them.
        doubled: False leaves out the factor 2 of the quantile loss, as utilsforecast does.
    """
    observed = np.isfinite(target)
    y = np.where(observed, target, 0.0).astype(np.float64)
    low, median, high = (
        quantiles[:, levels.index(level)].astype(np.float64) for level in (LOW, MEDIAN, HIGH)
    )
    error = np.where(observed, np.abs(y - median), 0.0)
    size = np.abs(y) + np.abs(median)
    return CellLosses(
        observed=observed,
        ae=error,
        se=np.square(error),
        sape=2 * np.divide(error, size, out=np.zeros_like(y), where=size > 0),
        inside80=((low <= y) & (y <= high) & observed).astype(np.float64),
        width80=np.where(observed, high - low, 0.0),
        winkler80=np.where(observed, interval_score(y, low, high, alpha=ALPHA), 0.0),
        **_over_levels(y, quantiles, observed, np.array(levels), 2.0 if doubled else 1.0),
    )


def _over_levels(
    y: Float64[np.ndarray, " N"],
    quantiles: Float[np.ndarray, "N Q"],
    observed: Bool[np.ndarray, " N"],
    levels: Float64[np.ndarray, " Q"],
    factor: float,
) -> dict[str, Any]:
    """Go through the levels of all cells once, a block of cells at a time.

    With e = y - z the loss of level q is ``factor`` max(q e, q e - e).
    """
    count, num_levels = quantiles.shape
    ql, num_crossing = np.empty(count), 0
    num_below, num_to = np.empty((2, count), dtype=np.uint8)
    errors, losses = np.empty((2, num_levels, BLOCK))
    for first in range(0, count, BLOCK):
        cells = slice(first, min(first + BLOCK, count))
        e, loss = errors[:, : cells.stop - first], losses[:, : cells.stop - first]
        e[...] = quantiles[cells].T
        np.subtract(y[cells], e, out=e)
        num_crossing += int(np.count_nonzero(e[1:] > e[:-1]))
        np.sum((e > 0).view(np.uint8), axis=0, dtype=np.uint8, out=num_below[cells])
        np.sum((e >= 0).view(np.uint8), axis=0, dtype=np.uint8, out=num_to[cells])
        np.multiply(levels[:, None], e, out=loss)
        np.subtract(loss, e, out=e)
        np.maximum(loss, e, out=loss)
        np.sum(loss, axis=0, out=ql[cells])
    return {
        "ql": np.where(observed, factor / num_levels * ql, 0.0),
        "num_below": num_below,
        "num_to": num_to,
        "num_crossing": num_crossing,
    }
