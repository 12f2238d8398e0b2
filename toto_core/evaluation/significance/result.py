"""What a test of equal accuracy returns, and what it accepts."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr, stdtrit

Alternative = Literal["greater", "less", "two-sided"]


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


@dataclass(frozen=True)
class StatisticResult:
    """The outcome of a test that is not about a mean against Student's t.

    Attributes:
        p_value: of the alternative that the test has.
        distribution: that the statistic has under the null; ``df`` its degrees of freedom.
        n: values that were used.
        h: overlap, origins.
    """

    statistic: float
    p_value: float
    distribution: Literal["normal", "chi-square"]
    df: int | None
    n: int
    h: int


def t_p_value(statistic: float, df: int, alternative: Alternative) -> float:
    """Return the p-value of a statistic that has Student's t distribution."""
    if alternative == "greater":
        return float(stdtr(df, -statistic))
    if alternative == "less":
        return float(stdtr(df, statistic))
    return 2 * float(stdtr(df, -abs(statistic)))


def against_t(
    values: Float[np.ndarray, " n"],
    long_run: float,
    df: int,
    alternative: Alternative,
    *,
    h: int = 1,
    reason: str = "",
    factor: float = 1.0,
) -> DMResult:
    """Compare the mean with Student's t by a long-run variance that is known.

    Args:
        factor: of the statistic, for small samples.
    """
    n, mean = values.size, float(values.mean())
    std_error = math.sqrt(long_run / n)
    statistic = factor * mean / std_error
    return DMResult(
        statistic=statistic,
        p_value=t_p_value(statistic, df, alternative),
        df=df,
        n=n,
        h=h,
        h_eff=h,
        outcome="ok",
        reason=reason,
        mean=mean,
        std_error=std_error,
    )


def checked(
    where: str,
    d: Float[np.ndarray, " n"],
    *,
    h: int = 1,
    most_h: int | None = None,
    alternative: str = "greater",
) -> Float[np.ndarray, " n"]:
    """Return the differential in float64, or refuse it in the name of the test ``where``.

    Args:
        most_h: the largest overlap that the test can do with; None = any.

    Raises:
        ValueError: for missing or too few values, or an overlap or alternative that is unknown.
    """
    values = np.asarray(d, dtype=np.float64)
    if values.size < 2:
        raise ValueError(f"{where}: {values.size} origins, at least 2 are needed; add origins")
    missing = int(np.count_nonzero(~np.isfinite(values)))
    if missing:
        raise ValueError(
            f"{where}: d has {missing} missing or infinite of {values.size} values, none is "
            "allowed (closing the gaps would shift the lags); drop those origins for all series"
        )
    if h < 1 or (most_h is not None and h > most_h):
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


def refuse_constant(where: str, values: Float[np.ndarray, " n"]) -> None:
    """Refuse a differential without variance.

    Raises:
        ValueError: if all values are the same.
    """
    if np.ptp(values) == 0:
        raise ValueError(
            f"{where}: variance of d = 0 over {values.size} origins, it must be positive; "
            "the two forecasts differ by a constant loss, so there is nothing to test"
        )
