"""Scores of a central interval: its ends, its width and what lies outside.

Shapes: N cells.
"""

import numpy as np
from jaxtyping import Float


def interval_score(
    target: Float[np.ndarray, " N"],
    lower: Float[np.ndarray, " N"],
    upper: Float[np.ndarray, " N"],
    *,
    alpha: float,
) -> Float[np.ndarray, " N"]:
    """Return the Winkler score of intervals that should hold a share 1 - alpha of the targets.

    It is the width, plus 2 / alpha times the distance to the interval of a target outside
    (Winkler 1972; Gneiting and Raftery 2007, eq. 43). Divided by the series' seasonal error and
    averaged it is the MSIS of the M4 competition.

    Args:
        alpha: share of targets outside, 0 to 1.
    """
    outside = np.maximum(lower - target, 0) + np.maximum(target - upper, 0)
    return upper - lower + (2 / alpha) * outside


def quantile_score(
    target: Float[np.ndarray, " N"],
    quantile: Float[np.ndarray, " N"],
    *,
    level: float,
    doubled: bool = True,
) -> Float[np.ndarray, " N"]:
    """Return the quantile loss 2 |(y - z) (1{y <= z} - q)| of one level q.

    Args:
        doubled: False leaves out the factor 2, as utilsforecast and scoringrules do; with it the
            loss of the median is the absolute error (fev, GluonTS).
    """
    error = target - quantile
    return (2 if doubled else 1) * np.maximum(level * error, (level - 1) * error)
