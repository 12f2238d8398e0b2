"""Whether a second forecast holds anything that the first one does not: two tests of errors.

Both ask about information, not about accuracy: a forecast can pass them and still be the worse
one. They belong into a notebook, not into a gate.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from toto_core.evaluation.significance.diebold_mariano import dm_test
from toto_core.evaluation.significance.long_run import long_run_variance
from toto_core.evaluation.significance.result import (
    DMResult,
    StatisticResult,
    checked,
    refuse_constant,
)


def encompassing_test(
    e1: Float[np.ndarray, " n"], e2: Float[np.ndarray, " n"], *, h: int
) -> DMResult:
    """Test whether forecast 1 makes forecast 2 superfluous (Harvey, Leybourne, Newbold 1998).

    A small p-value says that a mixture with forecast 2 would be better than forecast 1 alone:
    the mean of e1 (e1 - e2) is above zero. Bartlett weights, HLN factor, Student's t(n - 1).

    Args:
        e1: errors (truth minus forecast) of the forecast that is there; ``e2`` of the other one.
        h: overlap of consecutive forecasts, origins, at least 1.

    Raises:
        ValueError: as ``dm_test``.
    """
    return dm_test(e1 * (e1 - e2), h=h, alternative="greater", variance="bartlett")


def clark_west_test(
    e1: Float[np.ndarray, " n"], e2: Float[np.ndarray, " n"], *, h: int
) -> StatisticResult:
    """Test whether the larger of two nested models predicts anything (Clark and West 2007).

    The squared error of the larger model is relieved of the noise of its extra parameters:
    e1^2 - (e2^2 - (forecast 1 - forecast 2)^2) = 2 e1 (e1 - e2), normal under the null, one-sided.
    It can reject although the larger model's realised error is larger.

    Args:
        e1: errors of the smaller model; ``e2`` of the one that contains it.
        h: overlap of consecutive forecasts, origins; Bartlett weights below lag h.

    Raises:
        ValueError: if there are missing values, no variance, or h is outside 1..n.
    """
    values = checked("clark_west_test", 2 * e1 * (e1 - e2), h=h, most_h=len(e1))
    refuse_constant("clark_west_test", values)
    long_run = float(long_run_variance(values, kernel="bartlett", bandwidth=h))
    statistic = float(values.mean()) / math.sqrt(long_run / values.size)
    return StatisticResult(
        statistic=statistic,
        p_value=float(ndtr(-statistic)),
        distribution="normal",
        df=None,
        n=values.size,
        h=h,
    )
