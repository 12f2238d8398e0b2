"""The gate's test: equal-weighted cosines whose number shrinks with the dependence.

Shapes: R independent series of differentials, n origins.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.fft import dct

from toto_core.evaluation.significance.long_run import MAX_AUTOCORRELATION
from toto_core.evaluation.significance.result import Alternative, DMResult, checked, t_p_value

# Fewest origins for each effective overlap: below it no estimator of the long-run variance of
# the whole sample keeps its size (simulated: every kernel and bandwidth rule rejects too often).
MIN_ORIGINS_PER_OVERLAP = 8


def ewc_dm_test(
    d: Float[np.ndarray, " n"], *, h: int, alternative: Alternative = "greater"
) -> DMResult:
    """Test equal accuracy with equal-weighted cosines: the gate's statistic.

    The long-run variance is the mean of the first B squared cosine transforms of d (Lazarus,
    Lewis, Stock and Watson 2018), compared with Student's t of B degrees of freedom. B shrinks
    with the effective overlap h_eff = ceil(h (1 + r) / (1 - r)), r the autocorrelation of d at
    lag h, so that dependence beyond the overlap is paid for. Fewer than 8 h_eff origins or a
    constant d are inconclusive. One-sided ``greater``: a small p-value says the model is better.

    Args:
        h: overlap of consecutive forecasts, origins, at least 1.

    Raises:
        ValueError: if d has missing values (drop the origin for all series, or refuse) or h < 1.
    """
    values = checked("ewc_dm_test", d, h=h, alternative=alternative)
    n = values.size
    rows = ewc_rows(values[None, :], h=h)
    h_eff, df = int(rows.h_eff[0]), int(rows.df[0])
    mean, std_error = float(rows.mean[0]), float(rows.std_error[0])
    reason = _refusal(values, h, h_eff)
    if reason:
        statistic = p_value = std_error = math.nan
    else:
        statistic = mean / std_error
        p_value = t_p_value(statistic, df, alternative)
    return DMResult(
        statistic=statistic,
        p_value=p_value,
        df=df,
        n=n,
        h=h,
        h_eff=h_eff,
        outcome="inconclusive" if reason else "ok",
        reason=reason,
        mean=mean,
        std_error=std_error,
    )


@dataclass(frozen=True)
class EWCRows:
    """What ``ewc_rows`` finds for each of R series of differentials.

    Attributes:
        conclusive: False where the test refuses; the other figures are given all the same.
    """

    mean: Float[np.ndarray, " R"]
    std_error: Float[np.ndarray, " R"]
    df: Int[np.ndarray, " R"]
    h_eff: Int[np.ndarray, " R"]
    conclusive: Bool[np.ndarray, " R"]


def ewc_rows(d: Float[np.ndarray, "R n"], *, h: int) -> EWCRows:
    """Compute the statistic of ``ewc_dm_test`` for many series of differentials at once.

    Meant for simulations; d must be finite.
    """
    n = d.shape[1]
    mean = d.mean(axis=1)
    x = d - mean[:, None]
    power = np.square(x).sum(axis=1)
    lagged = (x[:, h:] * x[:, : max(n - h, 0)]).sum(axis=1)
    # A constant d may leave rounding noise in x; its autocorrelation means nothing.
    varies = np.ptp(d, axis=1) > 0
    r = np.divide(lagged, power, out=np.zeros_like(power), where=varies & (power > 0))
    r = np.clip(r, 0.0, MAX_AUTOCORRELATION)
    h_eff = np.ceil(h * (1 + r) / (1 - r)).astype(np.int64)
    df = num_cosines(n, h_eff)
    long_run = cosine_variance(d, df)
    enough = n >= MIN_ORIGINS_PER_OVERLAP * np.maximum(h, h_eff)
    return EWCRows(
        mean=mean,
        std_error=np.sqrt(long_run / n),
        df=df,
        h_eff=h_eff,
        conclusive=enough & varies & (long_run > 0),
    )


def num_cosines(n: int, h: Int[np.ndarray, "*R"]) -> Int[np.ndarray, "*R"]:
    """Return how many cosines estimate the variance of n origins that overlap h at a time.

    Without overlap the rule of Lazarus, Lewis, Stock and Watson 2018, 0.4 n^(2/3). The spectrum
    of a sum over h origins has its first zero at cosine 2n / h; n / (2h) stays near its peak.
    """
    most = math.ceil(0.4 * n ** (2 / 3))
    number = np.where(h > 1, np.maximum(2, np.minimum(most, n // (2 * h))), most)
    return np.asarray(np.minimum(number, n - 1))


def cosine_variance(
    d: Float[np.ndarray, "R n"], number: Int[np.ndarray, " R"]
) -> Float[np.ndarray, " R"]:
    """Return the long-run variance of each series from its first ``number`` cosines."""
    x = d - d.mean(axis=1, keepdims=True)
    squares = np.square(np.asarray(dct(x, type=2, norm="ortho", axis=1))[:, 1 : number.max() + 1])
    sums = np.take_along_axis(np.cumsum(squares, axis=1), number[:, None] - 1, axis=1)
    return sums[:, 0] / number


def _refusal(values: Float[np.ndarray, " n"], h: int, h_eff: int) -> str:
    n, least = values.size, MIN_ORIGINS_PER_OVERLAP
    if np.ptp(values) == 0:
        return "the differential has zero variance: nothing can be estimated from it"
    if n < least * h:
        return (
            f"{n} origins, at least {least * h} ({least} for each of {h} that overlap) are needed"
        )
    if n < least * h_eff:
        return (
            f"{n} origins, at least {least * h_eff} ({least} for each of {h_eff} that hang "
            f"together) are needed: the differential is persistent far beyond the overlap of {h}"
        )
    return ""
