"""The baselines that need no fitting: no change, drift, seasonal naive and moving average.

All but one take their quantiles from changes that the series itself has made, because Gaussian
ones are too wide in the middle where changes have heavy tails, and a model could then win by its
spread alone. Nothing at or after an origin is read.

Shapes: T time steps, N origins, K lags, H prediction length, Q quantile levels.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Int64
from scipy.special import ndtri

from toto_core.config import MANDATORY_BASELINES
from toto_core.evaluation.baselines.changes import change_quantiles
from toto_core.evaluation.metrics.keys import QUANTILE_LEVELS

NAIVE, DRIFT, SEASONAL_NAIVE = MANDATORY_BASELINES
NAIVE_GAUSSIAN, MOVING_AVERAGE = "naive_gaussian", "moving_average"
SIMPLE = (*MANDATORY_BASELINES, NAIVE_GAUSSIAN, MOVING_AVERAGE)


def baseline_quantiles(
    values: Float32[np.ndarray, " T"],
    positions: Int64[np.ndarray, " N"],
    *,
    prediction_length: int,
    context_length: int,
    naive_window: int,
    seasonality: int,
    moving_window: int = 1,
    names: Sequence[str] = MANDATORY_BASELINES,
) -> dict[str, Float32[np.ndarray, "N H Q"]]:
    """Forecast one series from each of several origins with each baseline of ``names``.

    The quantiles of h steps ahead are those of the series' own h-step changes, moved so that
    their median is zero, around

    - ``naive``: the last observed value before the origin,
    - ``drift``: the line through the first and the last observed value of the context, going on
      from the last one,
    - ``seasonal_naive``: the value one season ago (at steps beyond the first season two seasons
      ago, and so on, with the changes over as many seasons). A missing one is replaced by the
      newest observed value of the same phase, failing that by the last observed value. With less
      than a season before the origin this is ``naive``,
    - ``moving_average``: the mean of the observed ones among the newest ``moving_window`` values,
      without any the last observed value.

    ``naive_gaussian`` has the median of ``naive`` and the quantiles z_q sigma sqrt(h) of a random
    walk, sigma the root of the mean squared one-step change in the window, as R's
    ``forecast::naive`` has them.

    Args:
        values: the series on its grid, missing = NaN.
        positions: index of the first step to forecast, for each origin.
        context_length: points before the origin that ``drift`` sees, >= 1.
        naive_window: newest changes behind the quantiles, >= 1; missing ones are skipped. Where
            fewer than ``MIN_CHANGES`` of them are observed, the changes over the next smaller
            number of steps are used; without any, the spread is zero.
        seasonality: steps of a season, >= 1; 1 makes ``seasonal_naive`` equal ``naive``.
        moving_window: steps, >= 1.
        names: of ``SIMPLE``.

    Returns:
        Quantiles at ``QUANTILE_LEVELS``, finite and in rising order, by name.

    Raises:
        ValueError: if an origin has no observed value before it.
    """
    index_T = np.where(np.isfinite(values), np.arange(len(values)), -1)
    last_N = np.concatenate([[-1], np.maximum.accumulate(index_T)])[positions]
    if (last_N < 0).any():
        raise ValueError(
            f"baselines: {np.count_nonzero(last_N < 0)} of {len(positions)} origins have no "
            "observed value before them, each needs at least one; leave them out"
        )
    steps_H = np.arange(1, prediction_length + 1)
    last_value_N1 = values[last_N, None].astype(np.float64)
    last_NH = np.repeat(last_value_N1, prediction_length, axis=1)
    spread_NHQ, _ = change_quantiles(values, positions, lags=steps_H, window=naive_window)

    def drift() -> _Parts:
        slope_N = _slopes(values, positions, last_N, context_length)
        ahead_NH = positions[:, None] - 1 + steps_H - last_N[:, None]
        return last_value_N1 + slope_N[:, None] * ahead_NH, spread_NHQ

    def seasonal() -> _Parts:
        if seasonality == 1:
            return last_NH, spread_NHQ
        seasons_H = (steps_H - 1) // seasonality + 1
        offsets_H = steps_H - seasons_H * seasonality
        seasonal_NKQ, enough_NK = change_quantiles(
            values,
            positions,
            lags=np.arange(1, seasons_H[-1] + 1) * seasonality,
            window=naive_window,
        )
        has_season_N11 = (positions >= seasonality)[:, None, None]
        return _seasonal_values(values, positions, offsets_H, seasonality, last_NH), np.where(
            has_season_N11 & enough_NK[:, seasons_H - 1, None],
            seasonal_NKQ[:, seasons_H - 1],
            spread_NHQ,
        )

    def gaussian() -> _Parts:
        sigma_N = _one_step_sigma(values, positions, naive_window)
        z_Q = ndtri(np.array(QUANTILE_LEVELS))
        return last_NH, sigma_N[:, None, None] * np.sqrt(steps_H)[:, None] * z_Q

    def moving() -> _Parts:
        mean_N1 = _moving_means(values, positions, moving_window, last_value_N1[:, 0])[:, None]
        return np.repeat(mean_N1, prediction_length, axis=1), spread_NHQ

    makers = {
        NAIVE: lambda: (last_NH, spread_NHQ),
        NAIVE_GAUSSIAN: gaussian,
        DRIFT: drift,
        SEASONAL_NAIVE: seasonal,
        MOVING_AVERAGE: moving,
    }
    forecasts = {}
    for name in names:
        centre_NH, part_NHQ = makers[name]()
        forecasts[name] = np.empty(part_NHQ.shape, dtype=np.float32)
        np.add(centre_NH[:, :, None], part_NHQ, out=forecasts[name], casting="same_kind")
    return forecasts


# Median [N, H], and what is added to it [N, H, Q].
_Parts = tuple[np.ndarray, np.ndarray]


def _slopes(
    values: Float32[np.ndarray, " T"],
    positions: Int64[np.ndarray, " N"],
    last_N: Int64[np.ndarray, " N"],
    context_length: int,
) -> Float[np.ndarray, " N"]:
    """Mean change per step between the first and the last observed value of each context."""
    num_steps = len(values)
    index_T = np.where(np.isfinite(values), np.arange(num_steps), num_steps)
    next_T = np.minimum.accumulate(index_T[::-1])[::-1]
    first_N = np.minimum(next_T[np.maximum(positions - context_length, 0)], last_N)
    rise_N = values[last_N].astype(np.float64) - values[first_N]
    return rise_N / np.maximum(last_N - first_N, 1)


def _one_step_sigma(
    values: Float32[np.ndarray, " T"], positions: Int64[np.ndarray, " N"], window: int
) -> Float[np.ndarray, " N"]:
    """Root of the mean squared change from one step to the next among the newest ``window``."""
    change_T = np.diff(values.astype(np.float64), prepend=np.nan)
    means_N = _window_means(change_T**2, positions, window)
    return np.sqrt(np.where(np.isnan(means_N), 0.0, means_N))


def _moving_means(
    values: Float32[np.ndarray, " T"],
    positions: Int64[np.ndarray, " N"],
    window: int,
    fallback_N: Float[np.ndarray, " N"],
) -> Float[np.ndarray, " N"]:
    means_N = _window_means(values.astype(np.float64), positions, window)
    return np.where(np.isnan(means_N), fallback_N, means_N)


def _window_means(
    values: Float[np.ndarray, " T"], positions: Int64[np.ndarray, " N"], window: int
) -> Float[np.ndarray, " N"]:
    """Mean of what is observed among the ``window`` values before each position, else NaN."""
    means = np.full(len(positions), np.nan)
    for row, position in enumerate(positions.tolist()):  # sums of whole windows: exact, no drift
        part = values[max(0, position - window) : position]
        part = part[~np.isnan(part)]
        if len(part):
            means[row] = part.mean()
    return means


def _seasonal_values(
    values: Float32[np.ndarray, " T"],
    positions: Int64[np.ndarray, " N"],
    offsets_H: Int64[np.ndarray, " H"],
    seasonality: int,
    fallback_NH: Float[np.ndarray, "N H"],
) -> Float[np.ndarray, "N H"]:
    """Return the newest observed value of each step's phase up to the season before it."""
    num_steps = len(values)
    padded = -(-num_steps // seasonality) * seasonality
    index = np.full(padded, -1)
    index[:num_steps] = np.where(np.isfinite(values), np.arange(num_steps), -1)
    newest = np.maximum.accumulate(index.reshape(-1, seasonality), axis=0).ravel()
    wanted_NH = positions[:, None] - 1 + offsets_H
    found_NH = np.where(wanted_NH >= 0, newest[np.maximum(wanted_NH, 0)], -1)
    usable_NH = (found_NH >= 0) & (positions >= seasonality)[:, None]
    return np.where(usable_NH, values[np.maximum(found_NH, 0)], fallback_NH)
