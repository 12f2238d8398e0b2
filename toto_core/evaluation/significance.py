"""Diebold-Mariano tests of the loss differential per forecast origin, baseline minus model.

The unit of inference is the origin: average the loss over steps, then over series, and test the
one value that each origin leaves. ``h`` counts origins too: it is how many consecutive forecasts
overlap in time, ceil(prediction_length / stride), and not the prediction length.

Shapes: R independent series of differentials, n origins.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.fft import dct
from scipy.special import stdtr, stdtrit

Alternative = Literal["greater", "less", "two-sided"]
Variance = Literal["acf", "bartlett"]

# Fewest origins for each effective overlap: below it no estimator of the long-run variance of
# the whole sample keeps its size (simulated: every kernel and bandwidth rule rejects too often).
MIN_ORIGINS_PER_OVERLAP = 8
# Keeps the effective overlap finite where the differential is close to a unit root.
MAX_AUTOCORRELATION = 0.97


@dataclass(frozen=True)
class DMResult:
    """The outcome of a test of equal accuracy.

    Attributes:
        statistic: mean / std_error, times the HLN factor in ``dm_test``; NaN if inconclusive.
        p_value: of the alternative asked for; NaN if inconclusive.
        df: degrees of freedom of Student's t that the statistic is compared with.
        n: origins.
        h: overlap asked for, origins.
        h_eff: overlap used, origins.
        outcome: ``inconclusive`` if the sample cannot carry the test. That is never a pass.
        reason: why it is inconclusive, or what was done differently from what was asked.
        mean: of the differential; positive = the model is better.
        std_error: of the mean; NaN if inconclusive.
    """

    statistic: float
    p_value: float
    df: int
    n: int
    h: int
    h_eff: int
    outcome: Literal["ok", "inconclusive"]
    reason: str
    mean: float
    std_error: float

    def lower_bound(self, level: float = 0.95) -> float:
        """Return the one-sided lower confidence bound of the mean; NaN if inconclusive."""
        if self.outcome == "inconclusive":
            return math.nan
        return self.mean - float(stdtrit(self.df, level)) * self.std_error

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the two-sided confidence interval of the mean; NaNs if inconclusive."""
        if self.outcome == "inconclusive":
            return math.nan, math.nan
        half = float(stdtrit(self.df, 0.5 + level / 2)) * self.std_error
        return self.mean - half, self.mean + half


def dm_test(
    d: Float[np.ndarray, " n"],
    *,
    h: int,
    alternative: Alternative = "greater",
    variance: Variance = "acf",
) -> DMResult:
    """Test equal accuracy as R's ``forecast::dm.test`` 8.20 does: DM with the HLN correction.

    It is a figure to compare with others, not this project's gate: its rectangular variance
    rejects up to twice too often once forecasts overlap (``ewc_dm_test`` is the gate's). With
    ``alternative="greater"`` a small p-value says that the model is better. Where the
    rectangular variance is not positive, R goes on with h = 1, and so does this; ``reason``
    and ``h_eff`` say so.

    Args:
        h: overlap of consecutive forecasts, origins, at least 1.
        variance: ``acf`` = autocovariances to lag h - 1 with equal weights (Diebold and
            Mariano 1995), ``bartlett`` = with weights 1 - k/h.

    Raises:
        ValueError: if d has missing values, no variance, or h is outside 1..n.
    """
    values = _checked("dm_test", d, h, alternative)
    if variance not in ("acf", "bartlett"):
        raise ValueError(f"dm_test: variance = {variance!r}, acf or bartlett is needed; choose one")
    n = values.size
    mean = float(values.mean())
    if _is_constant(values):
        raise ValueError(
            f"dm_test: variance of d = 0 over {n} origins, it must be positive; "
            "the two forecasts differ by a constant loss, so there is nothing to test"
        )
    long_run = _truncated_variance(values, h, variance)
    h_used, reason = h, ""
    if long_run <= 0:
        h_used = 1
        reason = (
            f"the long-run variance = {long_run:.4g} is not positive at h = {h}; h = 1 was used, "
            "as R does, which rejects too often"
        )
        long_run = _truncated_variance(values, 1, variance)
    # Harvey, Leybourne and Newbold 1997, equation 9.
    hln = math.sqrt((n + 1 - 2 * h_used + h_used * (h_used - 1) / n) / n)
    std_error = math.sqrt(long_run / n)
    statistic = hln * mean / std_error
    return DMResult(
        statistic=statistic,
        p_value=_p_value(statistic, n - 1, alternative),
        df=n - 1,
        n=n,
        h=h,
        h_eff=h_used,
        outcome="ok",
        reason=reason,
        mean=mean,
        std_error=std_error,
    )


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
    values = _checked("ewc_dm_test", d, h, alternative)
    n = values.size
    rows = ewc_rows(values[None, :], h=h)
    h_eff, df = int(rows.h_eff[0]), int(rows.df[0])
    mean, std_error = float(rows.mean[0]), float(rows.std_error[0])
    reason = _refusal(values, h, h_eff)
    if reason:
        statistic = p_value = std_error = math.nan
    else:
        statistic = mean / std_error
        p_value = _p_value(statistic, df, alternative)
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
    most = math.ceil(0.4 * n ** (2 / 3))
    df = np.where(h_eff > 1, np.maximum(2, np.minimum(most, n // (2 * h_eff))), most)
    df = np.minimum(df, n - 1)
    cosines = np.square(np.asarray(dct(x, type=2, norm="ortho", axis=1))[:, 1 : most + 2])
    long_run = np.take_along_axis(np.cumsum(cosines, axis=1), df[:, None] - 1, axis=1)[:, 0] / df
    enough = n >= MIN_ORIGINS_PER_OVERLAP * np.maximum(h, h_eff)
    return EWCRows(
        mean=mean,
        std_error=np.sqrt(long_run / n),
        df=df,
        h_eff=h_eff,
        conclusive=enough & varies & (long_run > 0),
    )


def _refusal(values: Float[np.ndarray, " n"], h: int, h_eff: int) -> str:
    n, least = values.size, MIN_ORIGINS_PER_OVERLAP
    if _is_constant(values):
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


def _checked(
    where: str, d: Float[np.ndarray, " n"], h: int, alternative: str
) -> Float[np.ndarray, " n"]:
    values = np.asarray(d, dtype=np.float64)
    if values.size < 2:
        raise ValueError(f"{where}: {values.size} origins, at least 2 are needed; add origins")
    missing = int(np.count_nonzero(~np.isfinite(values)))
    if missing:
        raise ValueError(
            f"{where}: d has {missing} missing or infinite of {values.size} values, none is "
            "allowed (closing the gaps would shift the lags); drop those origins for all series"
        )
    if h < 1 or (where == "dm_test" and h > values.size):
        raise ValueError(
            f"{where}: h = {h}, 1 to {values.size} (the origins) is allowed; "
            "give ceil(prediction_length / stride)"
        )
    if alternative not in ("greater", "less", "two-sided"):
        raise ValueError(
            f"{where}: alternative = {alternative!r}, greater, less or two-sided is needed; "
            "choose one"
        )
    return values


def _is_constant(values: Float[np.ndarray, " n"]) -> bool:
    return bool(np.ptp(values) == 0)


def _truncated_variance(values: Float[np.ndarray, " n"], h: int, variance: Variance) -> float:
    """Return the long-run variance from the autocovariances to lag h - 1, each divided by n."""
    n = values.size
    x = values - values.mean()
    total = float(x @ x) / n
    for lag in range(1, h):
        weight = 1.0 if variance == "acf" else 1 - lag / h
        total += 2 * weight * float(x[lag:] @ x[:-lag]) / n
    return total


def _p_value(statistic: float, df: int, alternative: Alternative) -> float:
    if alternative == "greater":
        return float(stdtr(df, -statistic))
    if alternative == "less":
        return float(stdtr(df, statistic))
    return 2 * float(stdtr(df, -abs(statistic)))
