"""Whether it can be known beforehand which forecaster will be better: Giacomini and White 2006."""

import numpy as np
from jaxtyping import Float
from scipy.special import chdtrc

from toto_core.evaluation.significance.long_run import kernel_weights
from toto_core.evaluation.significance.result import StatisticResult, checked, refuse_constant

NUM_INSTRUMENTS = 2


def giacomini_white_test(d: Float[np.ndarray, " n"], *, h: int = 1) -> StatisticResult:
    """Test whether the newest differential that is known foretells the next one.

    The instruments are a constant and d at h origins before; the statistic n z' W^-1 z of the
    mean z of instruments times d is chi-square with 2 degrees of freedom. It has no direction: a
    small p-value says that the better forecaster could be chosen by looking back, not which one
    is better. A monitor, never a gate: where forecasts overlap it rejects about twice too often.

    Args:
        h: overlap of consecutive forecasts, origins; W then has Bartlett weights below lag h.

    Raises:
        ValueError: if d has missing values, no variance, or fewer than 2 h + 2 values.
    """
    values = checked("giacomini_white_test", d, h=h, most_h=len(d))
    refuse_constant("giacomini_white_test", values)
    n = values.size - h
    if n < h + NUM_INSTRUMENTS:
        raise ValueError(
            f"giacomini_white_test: {values.size} origins, at least {2 * h + NUM_INSTRUMENTS} are "
            f"needed at h = {h}; add origins"
        )
    z = np.stack([np.ones(n), values[:-h]], axis=1) * values[h:, None]
    variance = z.T @ z / n
    for lag, weight in enumerate(kernel_weights("bartlett", np.arange(1, h) / h), start=1):
        covariance = z[lag:].T @ z[:-lag] / n
        variance += weight * (covariance + covariance.T)
    mean = z.mean(axis=0)
    statistic = float(n * mean @ np.linalg.solve(variance, mean))
    return StatisticResult(
        statistic=statistic,
        p_value=float(chdtrc(NUM_INSTRUMENTS, statistic)),
        distribution="chi-square",
        df=NUM_INSTRUMENTS,
        n=n,
        h=h,
    )
