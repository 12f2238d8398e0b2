"""The baselines that are fitted anew at each origin: Theta and exponential smoothing.

Both are those of statsforecast, an extra. What they may cost is bounded by the work, not by a
clock, so that the same inputs give the same bytes on every machine: a nominal price for each point
of history turns the budget into a number of points, and the clock only stops what has gone wrong.

Shapes: T time steps, N origins, H prediction length, Q quantile levels.
"""

import time
import warnings
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from toto_core.errors import DataError
from toto_core.evaluation.extras import AUTO_ETS, AUTO_THETA, PACKAGE
from toto_core.evaluation.metrics.keys import QUANTILE_LEVELS

# Processor seconds of a fit for each point of history, without and with a season, rounded up from
# series of 120 to 512 points (statsforecast 2.1.1).
PRICE_S = {AUTO_THETA: (1e-4, 1e-4), AUTO_ETS: (5e-5, 7.5e-4)}
# The states of exponential smoothing are as many as the steps of a season; above, it cannot fit.
LONGEST_SEASON = {AUTO_THETA: 366, AUTO_ETS: 24}
MIN_POINTS, MIN_SEASONS = 20, 3
# Times the budget; a fit that is still slower has gone wrong.
PATIENCE = 30.0

_CLASSES = {AUTO_THETA: "AutoTheta", AUTO_ETS: "AutoETS"}
# Central intervals whose ends are the quantiles beside the median.
_INTERVALS = [20, 40, 60, 80]
_MEDIAN = len(QUANTILE_LEVELS) // 2

NO_FIT = "the fit failed"


def points_within(name: str, budget_s: float, *, num_origins: int, seasonality: int) -> int:
    """How many points of history each fit may have, for the whole series to stay in its budget."""
    price_s = PRICE_S[name][seasonality > 1]
    return int(budget_s / (num_origins * price_s))


def automatic_quantiles(
    name: str,
    values: Float32[np.ndarray, " T"],
    positions: Int64[np.ndarray, " N"],
    *,
    prediction_length: int,
    seasonality: int,
    budget_s: float,
) -> tuple[Float32[np.ndarray, "N H Q"], dict[str, Int64[np.ndarray, " K"]]]:
    """Fit to the past of each origin and forecast.

    Gaps are filled with the value before them; the newest points are taken as far as the budget
    goes. Quantiles are the ends of the central intervals that the method states, in rising order.

    Args:
        budget_s: nominal processor seconds for all origins (``PRICE_S``).

    Returns:
        Quantiles at ``QUANTILE_LEVELS``, NaN where there is no fit, and the rows of those origins
        by the reason.

    Raises:
        DataError: if it takes ``PATIENCE`` times the budget.
    """
    shape = (len(positions), prediction_length, len(QUANTILE_LEVELS))
    found, everywhere = np.full(shape, np.nan, dtype=np.float32), np.arange(len(positions))
    if seasonality > LONGEST_SEASON[name]:
        return found, {f"the season is longer than {LONGEST_SEASON[name]} steps": everywhere}
    least = max(MIN_POINTS, MIN_SEASONS * seasonality)
    most = points_within(name, budget_s, num_origins=len(positions), seasonality=seasonality)
    if most < least:
        return found, {f"the budget allows {most} of {least} points": everywhere}
    model = getattr(import_module(f"{PACKAGE}.models"), _CLASSES[name])(season_length=seasonality)
    filled_T, failed = _filled(values), {}
    start_s = time.thread_time()
    for row, position in enumerate(positions.tolist()):
        past = filled_T[:position]
        past = past[np.isfinite(past)][-most:]
        forecast = _fitted(model, past, prediction_length) if len(past) >= least else None
        if forecast is None:
            reason = NO_FIT if len(past) >= least else f"less than {least} points of history"
            failed.setdefault(reason, []).append(row)
        else:
            found[row] = forecast
        spent_s = time.thread_time() - start_s
        if spent_s > PATIENCE * budget_s:
            raise DataError(
                f"{name}: {spent_s:.0f} s of processor time at {row + 1} of {len(positions)} "
                f"origins of a series, evaluate.auto_budget = {budget_s:g} s allows "
                f"{PATIENCE * budget_s:g}; raise it or take {name} out of evaluate.baselines"
            )
    return found, {reason: np.array(rows) for reason, rows in failed.items()}


def _fitted(
    model: Any,  # noqa: ANN401 - a class of statsforecast, which may not be there
    past: Float64[np.ndarray, " T"],
    prediction_length: int,
) -> Float32[np.ndarray, "H Q"] | None:
    """Quantiles of the steps after ``past``; None where the method gives none."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            stated = model.forecast(y=past, h=prediction_length, level=_INTERVALS)
    except Exception:  # whatever it raises, it has no forecast
        return None
    columns = {_MEDIAN: stated["mean"]}
    for far, percent in enumerate(_INTERVALS, start=1):
        columns |= {_MEDIAN - far: stated[f"lo-{percent}"], _MEDIAN + far: stated[f"hi-{percent}"]}
    quantiles_HQ = np.sort(np.stack([columns[k] for k in sorted(columns)], axis=1), axis=1)
    with np.errstate(over="ignore"):
        quantiles_HQ = quantiles_HQ.astype(np.float32)
    return quantiles_HQ if np.isfinite(quantiles_HQ).all() else None


def _filled(values: Float32[np.ndarray, " T"]) -> Float64[np.ndarray, " T"]:
    """The newest observed value at each step; NaN before the first."""
    index = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), -1))
    return np.where(index >= 0, values[index], np.nan).astype(np.float64)
