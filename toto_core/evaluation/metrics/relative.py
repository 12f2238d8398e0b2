"""A forecaster's error relative to another one's."""

import math

import numpy as np
from jaxtyping import Float, Float64


def skill(model: float, baseline: float) -> float:
    """Return 1 - model / baseline, the share of the baseline's loss that the model takes away.

    Returns:
        NaN where either loss is unknown (NaN); where the baseline is without loss 0 for a model
        that is so too, and minus infinity for any other.
    """
    return float(skills(np.array([model]), np.array([baseline]))[0])


def skills(
    model: Float[np.ndarray, " K"], baseline: Float[np.ndarray, " K"]
) -> Float64[np.ndarray, " K"]:
    """Return ``skill`` of each pair of losses."""
    without_loss = np.where(model == baseline, 1.0, np.inf)
    ratios = np.divide(model, baseline, out=without_loss, where=baseline > 0)
    return 1 - np.where(np.isnan(model) | np.isnan(baseline), np.nan, ratios)


def owa(*, smape: float, mase: float, base_smape: float, base_mase: float) -> float:
    """Return the overall weighted average of M4: the mean of two relative errors.

    Both errors are averaged over the series first and divided then, as the organisers did
    (Makridakis, Spiliotis and Assimakopoulos 2020); the mean of the ratios of each series is
    another number.

    Args:
        base_smape: of the reference; in M4 Naive2, which is no change where there is no season.
    """
    return (ratio(smape, base_smape) + ratio(mase, base_mase)) / 2


def out_of_sample_r2(*, mse: float, base_mse: float) -> float:
    """Return 1 - MSE of the model / MSE of no change (Campbell and Thompson 2008).

    Zero is no change, 1 is perfect, and on returns an honest value is within a percent or so.
    Ordinary R2 divides by the variance within the judged window instead. On a series that is
    nearly a random walk this variance grows with the length of the window, so that R2 tells the
    length and not the skill (docs/evaluation.md has numbers).
    """
    return 1 - ratio(mse, base_mse)


def ratio(numerator: float, denominator: float) -> float:
    """Return the quotient; NaN where the denominator is zero, negative or unknown."""
    return numerator / denominator if denominator > 0 else math.nan
