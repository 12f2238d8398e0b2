"""The forecasts that a model has to beat, each with its quantiles."""

from toto_core.evaluation.baselines.changes import change_quantiles
from toto_core.evaluation.baselines.panel import Fallback, Series, panel_quantiles
from toto_core.evaluation.baselines.seasons import item_season, season_of, seasonal_error
from toto_core.evaluation.baselines.simple import (
    DRIFT,
    NAIVE,
    SEASONAL_NAIVE,
    SIMPLE,
    baseline_quantiles,
)

__all__ = [
    "DRIFT",
    "NAIVE",
    "SEASONAL_NAIVE",
    "SIMPLE",
    "Fallback",
    "Series",
    "baseline_quantiles",
    "change_quantiles",
    "item_season",
    "panel_quantiles",
    "season_of",
    "seasonal_error",
]
