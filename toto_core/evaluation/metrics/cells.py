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
    places = tuple(levels.index(level) for level in (LOW, MEDIAN, HIGH))
    factor = (2.0 if doubled else 1.0) / len(levels)
    blocks = [slice(first, first + BLOCK) for first in range(0, max(1, len(target)), BLOCK)]
    # Infinite quantiles give losses that are not finite, which is for the caller to refuse.
    with np.errstate(invalid="ignore"):
        parts = [
            _of_block(target[cells], quantiles[cells], np.array(levels), places, factor)
            for cells in blocks
        ]
    num_crossing = sum(int(part.pop("num_crossing")) for part in parts)
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return CellLosses(**whole, num_crossing=num_crossing)


def _of_block(
    target: Float[np.ndarray, " N"],
    quantiles: Float[np.ndarray, "N Q"],
    levels: Float64[np.ndarray, " Q"],
    places: tuple[int, ...],
    factor: float,
) -> dict[str, Any]:
    """Return the losses of a few cells; with e = y - z that of level q is max(q e, q e - e)."""
    observed = np.isfinite(target)
    y = np.where(observed, target, 0.0)
    e = np.empty(quantiles.shape[::-1])
    e[...] = quantiles.T
    low, median, high = (e[place].copy() for place in places)
    np.subtract(y, e, out=e)
    num_crossing = np.count_nonzero(e[1:] > e[:-1])
    num_below, num_to = (
        np.sum(is_so.view(np.uint8), axis=0, dtype=np.uint8) for is_so in (e > 0, e >= 0)
    )
    loss = levels[:, None] * e
    np.maximum(loss, np.subtract(loss, e, out=e), out=loss)
    error = np.abs(y - median)
    size = np.abs(y) + np.abs(median)
    losses = {
        "ql": factor * np.sum(loss, axis=0),
        "ae": error,
        "se": np.square(error),
        "sape": 2 * np.divide(error, size, out=np.zeros_like(size), where=size > 0),
        "inside80": ((low <= y) & (y <= high)).astype(np.float64),
        "width80": high - low,
        "winkler80": interval_score(y, low, high, alpha=ALPHA),
    }
    if not observed.all():
        losses = {name: np.where(observed, values, 0.0) for name, values in losses.items()}
    counts = {"observed": observed, "num_below": num_below, "num_to": num_to}
    return losses | counts | {"num_crossing": num_crossing}
