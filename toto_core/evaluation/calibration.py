"""Whether quantiles mean what they say: how often the truth lies below each of them.

A target that equals a quantile counts as below it (as in fev and GluonTS).

Shapes: N cells (item, variate, origin, step), Q quantile levels.
"""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float

from toto_core.evaluation.metrics import QUANTILE_LEVELS, SERIES_KEYS, cell_losses


def coverage(
    target: Float[np.ndarray, " N"], quantiles: Float[np.ndarray, "N Q"]
) -> Float[np.ndarray, " Q"]:
    """Return the share of observed targets at or below each quantile; NaN without any target."""
    observed = np.isfinite(target)
    if not observed.any():
        return np.full(quantiles.shape[1], np.nan)
    return (target[observed, None] <= quantiles[observed]).mean(axis=0)


def coverage_table(
    forecasts: pl.DataFrame,
    *,
    forecasters: Sequence[str],
    levels: Sequence[float] = QUANTILE_LEVELS,
) -> pl.DataFrame:
    """Return the columns forecaster, level and coverage, one row for each pair."""
    target = _target(forecasts)
    return pl.concat(
        pl.DataFrame(
            {
                "forecaster": [name] * len(levels),
                "level": list(levels),
                "coverage": coverage(target, _quantiles(forecasts, name)),
            }
        )
        for name in forecasters
    )


def calibration_scores(
    forecasts: pl.DataFrame, facts: pl.DataFrame, *, forecaster: str
) -> dict[str, float]:
    """Sum up the calibration of one forecaster.

    Args:
        facts: columns item_id, variate and scale, one row for each series.

    Returns:
        ``mean_coverage_error``: mean over the levels of |coverage - level|.
        ``coverage80``: share of targets in the central 80 % interval.
        ``coverage80_std_error``: its standard error clustered by origin, as forecasts of one time
            share the same shocks; overlap of neighbouring origins is not accounted for.
        ``sharpness``: mean width of that interval in units of the series' scale, over cells with
            a scale; smaller is better only among forecasters that are calibrated.
    """
    target, quantiles = _target(forecasts), _quantiles(forecasts, forecaster)
    observed = np.isfinite(target)
    if not observed.any():
        names = ("mean_coverage_error", "coverage80", "coverage80_std_error", "sharpness")
        return dict.fromkeys(names, math.nan)
    errors = np.abs(coverage(target, quantiles) - np.array(QUANTILE_LEVELS))
    inside = cell_losses(target, quantiles).inside80[observed]
    share = float(inside.mean())
    _, origin = np.unique(forecasts["origin"].to_physical().to_numpy(), return_inverse=True)
    by_origin = np.bincount(origin[observed], weights=inside - share)
    scale = forecasts.join(
        facts.select(*SERIES_KEYS, "scale"), on=SERIES_KEYS, how="left", maintain_order="left"
    )["scale"]
    width = (quantiles[:, -1] - quantiles[:, 0]) / scale.cast(pl.Float64).to_numpy()
    width = width[observed & np.isfinite(width)]
    return {
        "mean_coverage_error": float(errors.mean()),
        "coverage80": share,
        "coverage80_std_error": float(np.sqrt(np.square(by_origin).sum()) / observed.sum()),
        "sharpness": float(width.mean()) if len(width) else math.nan,
    }


def _target(forecasts: pl.DataFrame) -> Float[np.ndarray, " N"]:
    return forecasts["target"].cast(pl.Float64).fill_null(math.nan).to_numpy()


def _quantiles(forecasts: pl.DataFrame, name: str) -> Float[np.ndarray, "N Q"]:
    return forecasts[name].to_numpy().astype(np.float64)
