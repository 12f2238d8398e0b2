"""Every baseline for many series at once, side by side on the processors."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from toto_core.config import EvaluateParams
from toto_core.evaluation.baselines.automatic import automatic_quantiles
from toto_core.evaluation.baselines.simple import SEASONAL_NAIVE, SIMPLE, baseline_quantiles
from toto_core.evaluation.extras import AUTOMATIC


@dataclass(frozen=True)
class Series:
    """A series and where it is forecast: index of the first step, for each of N origins."""

    values: Float32[np.ndarray, " T"]
    positions: Int64[np.ndarray, " N"]
    seasonality: int


@dataclass(frozen=True)
class Fallback:
    """Where a fitted baseline has no forecast, and seasonal naive stands in its place.

    Attributes:
        series: its place in the panel.
        num_origins: at so many of them.
    """

    baseline: str
    series: int
    reason: str
    num_origins: int


def panel_quantiles(
    panel: Sequence[Series],
    *,
    prediction_length: int,
    context_length: int,
    params: EvaluateParams,
) -> tuple[list[dict[str, np.ndarray]], list[Fallback]]:
    """Forecast each series with each baseline of ``params``.

    Returns:
        the quantiles [N, H, Q] by the name of the baseline, for each series, as
        ``baseline_quantiles`` has them; and what was replaced.
    """
    simple = [name for name in params.baselines if name in SIMPLE]

    def forecast(series: Series) -> dict[str, np.ndarray]:
        return baseline_quantiles(
            series.values,
            series.positions,
            prediction_length=prediction_length,
            context_length=context_length,
            naive_window=params.naive_window,
            seasonality=series.seasonality,
            moving_window=params.moving_window,
            names=simple,
        )

    # Sorting, which is most of the work, leaves the interpreter to the other threads.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = list(pool.map(forecast, panel))
    fallbacks = []
    for name in params.baselines:
        for number, series in enumerate(panel if name in AUTOMATIC else ()):
            quantiles_NHQ, failed = automatic_quantiles(
                name,
                series.values,
                series.positions,
                prediction_length=prediction_length,
                seasonality=series.seasonality,
                budget_s=params.auto_budget,
            )
            for reason, rows in failed.items():
                quantiles_NHQ[rows] = found[number][SEASONAL_NAIVE][rows]
                fallbacks.append(Fallback(name, number, reason, len(rows)))
            found[number][name] = quantiles_NHQ
    return found, fallbacks
