"""Tests whose amount of smoothing is fixed beforehand: the gate's relatives, to compare with.

All three are positive by construction and are compared with the distribution that the smoothing
itself has, not with the normal one (Lazarus, Lewis, Stock and Watson 2018; Coroneo and Iacone
2020).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.fft import rfft

from toto_core.evaluation.significance.ewc import cosine_variance, num_cosines
from toto_core.evaluation.significance.long_run import long_run_variance
from toto_core.evaluation.significance.result import (
    Alternative,
    DMResult,
    against_t,
    checked,
    refuse_constant,
)

# Kiefer and Vogelsang 2005, table 1: the critical value of Bartlett weights over the share b of
# the sample is a cubic in b. One-sided levels.
FIXED_B_CUBICS: Mapping[float, tuple[float, float, float, float]] = {
    0.90: (1.2816, 1.3040, 0.5135, -0.3386),
    0.95: (1.6449, 2.1859, 0.3142, -0.3427),
    0.975: (1.9600, 2.9694, 0.4160, -0.5324),
    0.99: (2.3263, 4.1618, 0.5368, -0.9060),
}


def ewc_test(
    d: Float[np.ndarray, " n"], *, h: int, alternative: Alternative = "greater"
) -> DMResult:
    """Test with equal-weighted cosines at the overlap that is given, whatever d looks like.

    ``ewc_dm_test`` without its look at the autocorrelation: of the right size if d is dependent
    over h origins and no further, too large if it is persistent.

    Raises:
        ValueError: if d has missing values, no variance, or h is outside 1..n.
    """
    values = checked("ewc_test", d, h=h, most_h=len(d), alternative=alternative)
    refuse_constant("ewc_test", values)
    n = values.size
    number = num_cosines(n, np.array([h]))
    reason = ""
    if n // (2 * h) < min(2, number[0]):
        reason = f"{n} origins carry {n // (2 * h)} cosines at h = {h}; 2 were used, which rejects "
        reason += "too often"
    long_run = float(cosine_variance(values[None, :], number)[0])
    return against_t(values, long_run, int(number[0]), alternative, h=h, reason=reason)


def wpe_test(
    d: Float[np.ndarray, " n"],
    *,
    alternative: Alternative = "greater",
    num_ordinates: int | None = None,
) -> DMResult:
    """Test with the mean of the first ordinates of the periodogram (Daniell weights).

    Args:
        num_ordinates: m, compared with Student's t of 2m degrees of freedom; None = n^(1/3)
            (Coroneo and Iacone 2020).

    Raises:
        ValueError: if d has missing values, no variance, or fewer ordinates than are asked for.
    """
    values = checked("wpe_test", d, alternative=alternative)
    refuse_constant("wpe_test", values)
    n = values.size
    number = whole_root(n, 3) if num_ordinates is None else num_ordinates
    most = max((n - 1) // 2, 1)
    if not 1 <= number <= most:
        raise ValueError(
            f"wpe_test: num_ordinates = {number}, 1 to {most} is allowed for {n} origins; "
            "give fewer, or None"
        )
    long_run = float(periodogram_variance(values, number))
    return against_t(values, long_run, 2 * number, alternative)


@dataclass(frozen=True)
class FixedBResult:
    """The outcome of a test with Bartlett weights over a fixed share of the sample.

    Attributes:
        statistic: mean / std_error.
        bandwidth: of the weights, origins; ``b`` the same as a share of the n origins.
        critical_values: what the statistic must exceed, for each one-sided level.
    """

    statistic: float
    n: int
    bandwidth: float
    b: float
    mean: float
    std_error: float
    critical_values: Mapping[float, float]


def wce_test(d: Float[np.ndarray, " n"], *, bandwidth: float | int | None = None) -> FixedBResult:
    """Test with Bartlett-weighted autocovariances against fixed-b critical values.

    Args:
        bandwidth: in origins, up to n; None = n^(1/2) (Coroneo and Iacone 2020). 1.3 n^(1/2) is
            the advice of Lazarus, Lewis, Stock and Watson 2018, n itself the self-normalised
            test of Kiefer, Vogelsang and Bunzel 2000.

    Raises:
        ValueError: if d has missing values, no variance, or the bandwidth is outside 1..n.
    """
    values = checked("wce_test", d)
    refuse_constant("wce_test", values)
    n = values.size
    width = whole_root(n, 2) if bandwidth is None else bandwidth
    if not 1 <= width <= n:
        raise ValueError(
            f"wce_test: bandwidth = {width:g}, 1 to {n} (the origins) is allowed; give one of these"
        )
    mean = float(values.mean())
    long_run = float(long_run_variance(values, kernel="bartlett", bandwidth=width))
    std_error = math.sqrt(long_run / n)
    return FixedBResult(
        statistic=mean / std_error,
        n=n,
        bandwidth=float(width),
        b=width / n,
        mean=mean,
        std_error=std_error,
        critical_values={
            level: fixed_b_critical_value(width / n, level) for level in FIXED_B_CUBICS
        },
    )


def fixed_b_critical_value(b: float, level: float) -> float:
    """Return the one-sided critical value for Bartlett weights over the share b of the sample.

    Raises:
        ValueError: for a level that is not tabulated.
    """
    if level not in FIXED_B_CUBICS:
        allowed = ", ".join(f"{level:g}" for level in FIXED_B_CUBICS)
        raise ValueError(
            f"fixed_b_critical_value: level = {level:g}, one of {allowed} is needed; choose one"
        )
    return sum(factor * b**power for power, factor in enumerate(FIXED_B_CUBICS[level]))


def periodogram_variance(d: Float[np.ndarray, "*R n"], number: int) -> Float[np.ndarray, "*R"]:
    """Return the long-run variance as the mean of the first periodogram ordinates above zero."""
    n = d.shape[-1]
    power = np.square(np.abs(np.asarray(rfft(d, axis=-1))[..., 1 : number + 1]))
    return np.asarray(power.mean(axis=-1) / n)


def whole_root(n: int, degree: int) -> int:
    """Return the whole part of a root of n, exact where n is a power."""
    root = round(n ** (1 / degree))
    return root if root**degree <= n else root - 1
