"""Quantiles of the changes that a series has made over several steps, before each of many origins.

This is what the naive baselines cost, so it is made for the processor: the windows of one lag are
differences of two views of the series, written into one array that stays in the cache and is
sorted there. Where nothing is missing, the ranks are the same in every row.

Shapes: T time steps, N origins, L lags, W past changes, Q quantile levels, R rows.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

from toto_core.evaluation.metrics.keys import QUANTILE_LEVELS

# With fewer past changes over a number of steps, the spread of a shorter one is used.
MIN_CHANGES = 10
# Bounds the memory of the windows of past changes, numbers: those of a lag stay in the cache.
MAX_WINDOW_NUMBERS = 200_000

_LEVELS = np.array(QUANTILE_LEVELS)
_MEDIAN = len(QUANTILE_LEVELS) // 2


def change_quantiles(
    values: Float32[np.ndarray, " T"],
    positions: Int64[np.ndarray, " N"],
    *,
    lags: Int64[np.ndarray, " L"],
    window: int,
) -> tuple[Float[np.ndarray, "N L Q"], np.ndarray]:
    """Quantiles of the last ``window`` changes over each lag before each position, median zero.

    Quantiles interpolate linearly between order statistics. A lag with fewer than
    ``MIN_CHANGES`` observed changes takes the quantiles of the next smaller lag that has enough;
    where there is none, they are zero.

    Args:
        lags: in rising order, steps.

    Returns:
        The quantiles, and for each position and lag whether enough changes stood behind them,
        its own or a smaller lag's ([N, L]).
    """
    reach = window + int(lags[-1])
    start = int(positions.min()) - reach
    seen_T = values[max(0, start) : int(positions.max())]
    if start < 0:
        seen_T = np.concatenate([np.full(-start, np.nan, dtype=np.float32), seen_T])
    ends_N = positions - start
    if not np.isnan(seen_T).any():
        enough_NL = np.full((len(positions), len(lags)), fill_value=True)
        return _of_whole_windows(seen_T, ends_N, lags, window), enough_NL
    quantiles_LNQ, counts_LN = _of_windows_with_gaps(seen_T, ends_N, lags, window)
    own_LN = np.arange(len(lags))[:, None]
    source_LN = np.maximum.accumulate(
        np.where(counts_LN >= min(MIN_CHANGES, window), own_LN, -1), axis=0
    )
    enough_LN = source_LN >= 0
    filled_LNQ = np.take_along_axis(quantiles_LNQ, np.maximum(source_LN, 0)[:, :, None], axis=0)
    filled_LNQ = np.where(enough_LN[:, :, None], filled_LNQ, 0.0)
    return np.moveaxis(filled_LNQ, 0, 1), enough_LN.T


def _of_whole_windows(
    seen: Float32[np.ndarray, " T"],
    ends: Int64[np.ndarray, " N"],
    lags: Int64[np.ndarray, " L"],
    window: int,
) -> Float64[np.ndarray, "N L Q"]:
    """Quantiles minus the median where nothing is missing: the ranks are known beforehand."""
    rank_Q = (window - 1) * _LEVELS
    below_Q = np.floor(rank_Q).astype(np.int64)
    needed_K = np.concatenate([below_Q, np.minimum(below_Q + 1, window - 1)])
    order_LNK = np.empty((len(lags), len(ends), len(needed_K)), dtype=np.float32)
    for row, part, sorted_RW in _sorted_windows(seen, ends, lags, window):
        order_LNK[row, part] = sorted_RW[:, needed_K]
    low_LNQ, high_LNQ = (half.astype(np.float64) for half in np.split(order_LNK, 2, axis=-1))
    quantiles_LNQ = _between(low_LNQ, high_LNQ, rank_Q - below_Q)
    quantiles_LNQ -= quantiles_LNQ[:, :, [_MEDIAN]]
    return np.moveaxis(quantiles_LNQ, 0, 1)


def _of_windows_with_gaps(
    seen: Float32[np.ndarray, " T"],
    ends: Int64[np.ndarray, " N"],
    lags: Int64[np.ndarray, " L"],
    window: int,
) -> tuple[Float64[np.ndarray, "L N Q"], Int64[np.ndarray, "L N"]]:
    """Quantiles minus the median of what each window has, and how many values that is."""
    quantiles_LNQ = np.empty((len(lags), len(ends), len(_LEVELS)))
    counts_LN = np.empty((len(lags), len(ends)), dtype=np.int64)
    for row, part, sorted_RW in _sorted_windows(seen, ends, lags, window):
        counts_R = window - np.isnan(sorted_RW).sum(axis=-1)
        top_R1 = np.maximum(counts_R - 1, 0)[:, None]
        rank_RQ = top_R1 * _LEVELS
        below_RQ = np.floor(rank_RQ).astype(np.int64)
        low_RQ, high_RQ = (
            np.take_along_axis(sorted_RW, rank, axis=-1).astype(np.float64)
            for rank in (below_RQ, np.minimum(below_RQ + 1, top_R1))
        )
        quantiles_LNQ[row, part] = _between(low_RQ, high_RQ, rank_RQ - below_RQ)
        counts_LN[row, part] = counts_R
    quantiles_LNQ = np.maximum.accumulate(quantiles_LNQ, axis=-1)
    return quantiles_LNQ - quantiles_LNQ[:, :, [_MEDIAN]], counts_LN


def _between(low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Interpolate; rounding must not lift a quantile above the next order statistic.

    In place as far as can be: new memory costs about as much as the arithmetic.
    """
    found = high - low
    found *= share
    found += low
    return np.minimum(found, high, out=found)


def _sorted_windows(
    seen: Float32[np.ndarray, " T"],
    ends: Int64[np.ndarray, " N"],
    lags: Int64[np.ndarray, " L"],
    window: int,
) -> Iterator[tuple[int, slice, Float32[np.ndarray, "R W"]]]:
    """Yield the row of a lag, some of the ends, and the sorted changes before these.

    What is missing comes last. The array is used again for what follows.
    """
    views = np.lib.stride_tricks.sliding_window_view(seen, window)
    most = max(1, MAX_WINDOW_NUMBERS // window)
    for first in range(0, len(ends), most):
        starts = ends[first : first + most] - window
        changes_RW = np.empty((len(starts), window), dtype=np.float32)
        rows = _Rows(views, starts)
        for row, lag in enumerate(lags.tolist()):
            np.subtract(rows.back(0), rows.back(lag), out=changes_RW)
            changes_RW.sort(axis=-1)
            yield row, slice(first, first + len(starts)), changes_RW


class _Rows:
    """Rows of an array, not copied where they are evenly spaced."""

    def __init__(self, array: np.ndarray, index: Int64[np.ndarray, " R"]) -> None:
        self._array, self._index = array, index
        steps = np.diff(index)
        is_even = len(steps) > 0 and steps[0] > 0 and bool((steps == steps[0]).all())
        self._step = int(steps[0]) if is_even else 0
        self._first, self._last = int(index[0]), int(index[-1])

    def back(self, lag: int) -> np.ndarray:
        """Return the rows that lie ``lag`` before the index."""
        if self._step:
            return self._array[self._first - lag : self._last - lag + 1 : self._step]
        return self._array[self._index - lag]
