"""The continuous ranked probability score, of which the mean quantile loss is an approximation.

CRPS = integral over the levels of the doubled quantile loss, so the mean of ``quantile_score`` over
evenly spaced levels estimates it from quantiles; what happens beyond the outer levels is not seen.

Shapes: N cells, M members of an ensemble.
"""

import numpy as np
from jaxtyping import Float, Float64
from scipy.special import ndtr


def crps_ensemble(
    target: Float[np.ndarray, " N"], members: Float[np.ndarray, "N M"], *, fair: bool = False
) -> Float64[np.ndarray, " N"]:
    """Return E|X - y| - E|X - X'| / 2 of ensembles.

    Args:
        fair: X and X' are two different members, which removes the bias of a small ensemble
            (Ferro 2014); otherwise the ensemble is taken as the whole distribution.
    """
    count = members.shape[1]
    ordered = np.sort(members.astype(np.float64), axis=1)
    # Mean absolute difference of all pairs, from the order statistics.
    ranks = 2 * np.arange(1, count + 1) - count - 1
    spread = 2 * (ordered @ ranks) / (count * (count - 1 if fair else count))
    return np.abs(ordered - target[:, None]).mean(axis=1) - spread / 2


def crps_gaussian(
    target: Float[np.ndarray, " N"], mean: float, std: float
) -> Float64[np.ndarray, " N"]:
    """Return the score of normal forecasts (Gneiting and Raftery 2007, eq. 21).

    Args:
        std: above 0.
    """
    z = (target - mean) / std
    density = np.exp(-0.5 * np.square(z)) / np.sqrt(2 * np.pi)
    return std * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
