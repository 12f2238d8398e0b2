"""Whether quantiles mean what they say: how often the truth lies below each of them.

A target that equals a quantile counts as below it (as in fev and GluonTS).

Shapes: L losses of origins (item, variate, origin).
"""

import math

import numpy as np
import polars as pl

SCORES = ("mean_coverage_error", "coverage80", "coverage80_std_error", "sharpness")


def calibration_scores(
    losses: pl.DataFrame, coverage: pl.DataFrame, *, forecaster: str
) -> dict[str, float]:
    """Sum up the calibration of one forecaster.

    Args:
        losses: rows of ``Tally.losses`` of the series that ``coverage`` is about.
        coverage: ``Profile.coverage``.

    Returns:
        ``mean_coverage_error``: mean over the levels of |coverage - level|.
        ``coverage80``: share of targets in the central 80 % interval.
        ``coverage80_std_error``: its standard error clustered by origin, as forecasts of one time
            share the same shocks; overlap of neighbouring origins is not accounted for.
        ``sharpness``: mean width of that interval in units of the series' scale, over cells with
            a scale; smaller is better only among forecasters that are calibrated.
    """
    rows = losses.filter(pl.col("forecaster") == forecaster)
    if not rows.height:
        return dict.fromkeys(SCORES, math.nan)
    levels = coverage.filter(pl.col("forecaster") == forecaster)
    errors = (levels["coverage"] - levels["level"]).to_numpy()
    steps_L = rows["num_steps"].to_numpy().astype(np.float64)
    share = float(rows["cov80"].to_numpy() @ steps_L / steps_L.sum())
    _, origin_L = np.unique(rows["origin"].to_physical().to_numpy(), return_inverse=True)
    excess = np.bincount(origin_L, weights=(rows["cov80"].to_numpy() - share) * steps_L)
    scaled = rows.filter(pl.col("scale") > 0)
    width = (scaled["width80"] / scaled["scale"]).to_numpy()
    weight = scaled["num_steps"].to_numpy().astype(np.float64)
    return {
        "mean_coverage_error": float(np.abs(errors).mean()),
        "coverage80": share,
        "coverage80_std_error": float(np.sqrt(np.square(excess).sum()) / steps_L.sum()),
        "sharpness": float(width @ weight / weight.sum()) if weight.sum() > 0 else math.nan,
    }
