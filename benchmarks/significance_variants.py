"""What is simulated: dependent differentials, and the tests that are asked about them.

A process makes R rows of n values with mean 0; a variant of the test returns for each row its
statistic and the one-sided critical value at a level. benchmarks/significance.py counts.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtri, stdtrit

from toto_core.evaluation.significance import andrews_bandwidth, ewc_rows, long_run_variance
from toto_core.evaluation.significance.diebold_mariano import hln_factor
from toto_core.evaluation.significance.ewc import cosine_variance, num_cosines
from toto_core.evaluation.significance.fixed_smoothing import (
    fixed_b_critical_value,
    periodogram_variance,
    whole_root,
)

Rows = np.ndarray  # R independent series of n differentials
Variant = Callable[[Rows, int, float], tuple[np.ndarray, np.ndarray | float]]
Process = Callable[[np.random.Generator, int, int, int], Rows]


def weighted_sum(noise: Rows, weights: np.ndarray) -> Rows:
    """Return moving sums of noise; the first len(weights) - 1 values of each row are used up."""
    return np.asarray(lfilter(weights, [1.0], noise, axis=1))[:, len(weights) - 1 :]


def moving_sum(rng: np.random.Generator, number: int, n: int, h: int) -> Rows:
    """Equal-weighted sums over h origins: what overlapping forecasts do at worst."""
    return weighted_sum(rng.standard_normal((number, n + h - 1)), np.ones(h))


def decaying(rng: np.random.Generator, number: int, n: int, h: int) -> Rows:
    """Sums over h origins, each weighing half of the one before."""
    return weighted_sum(rng.standard_normal((number, n + h - 1)), 0.5 ** np.arange(h))


def skewed(rng: np.random.Generator, number: int, n: int, h: int) -> Rows:
    """Usually slightly above zero, sometimes far below."""
    return -weighted_sum(rng.standard_normal((number, n + h - 1)) ** 2 - 1, np.ones(h))


def autoregression(phi: float) -> Process:
    """Persistence that the overlap does not explain."""

    def process(rng: np.random.Generator, number: int, n: int, h: int) -> Rows:
        noise = rng.standard_normal((number, n))
        noise[:, 0] /= math.sqrt(1 - phi**2)
        return np.asarray(lfilter([1.0], [1.0, -phi], noise, axis=1))

    return process


def sum_of_autoregression(rng: np.random.Generator, number: int, n: int, h: int) -> Rows:
    """Sums over h origins of an AR(0.5)."""
    return weighted_sum(autoregression(0.5)(rng, number, n + h - 1, h), np.ones(h))


def studentised(d: Rows, long_run: np.ndarray) -> np.ndarray:
    """Return mean / standard error; zero where the variance is not positive."""
    safe = np.where(long_run > 0, long_run, np.inf)
    return d.mean(axis=1) / np.sqrt(safe / d.shape[1])


def rectangular(d: Rows, h: int, level: float) -> tuple[np.ndarray, float]:
    """The original test."""
    return studentised(d, long_run_variance(d, kernel="rectangular", bandwidth=h)), ndtri(level)


def hln(d: Rows, h: int, level: float) -> tuple[np.ndarray, float]:
    """The correction of Harvey, Leybourne and Newbold; no rejection at a negative variance."""
    n = d.shape[1]
    return hln_factor(n, h) * rectangular(d, h, level)[0], stdtrit(n - 1, level)


def hln_as_r(d: Rows, h: int, level: float) -> tuple[np.ndarray, float]:
    """The same; h = 1 at a negative variance."""
    again = long_run_variance(d, kernel="rectangular", bandwidth=h) <= 0
    statistic, critical = hln(d, h, level)
    return np.where(again, hln(d, 1, level)[0], statistic), critical


def hln_bartlett(d: Rows, h: int, level: float) -> tuple[np.ndarray, float]:
    """R's bartlett."""
    n = d.shape[1]
    long_run = long_run_variance(d, kernel="bartlett", bandwidth=h)
    return hln_factor(n, h) * studentised(d, long_run), stdtrit(n - 1, level)


def newey_west(d: Rows, h: int, level: float) -> tuple[np.ndarray, float]:
    """Lags of the textbooks, 4 (n / 100)^(2/9), whatever the overlap."""
    lags = math.floor(4 * (d.shape[1] / 100) ** (2 / 9))
    return studentised(d, long_run_variance(d, kernel="bartlett", bandwidth=lags + 1)), ndtri(level)


def andrews(d: Rows, h: int, level: float) -> tuple[np.ndarray, float]:
    """Bartlett weights with Andrews' bandwidth."""
    width = andrews_bandwidth(d, kernel="bartlett")
    return studentised(d, long_run_variance(d, kernel="bartlett", bandwidth=width)), ndtri(level)


def fixed_b(width: Callable[[int, int], float]) -> Variant:
    """Bartlett weights against fixed-b critical values."""

    def variant(d: Rows, h: int, level: float) -> tuple[np.ndarray, float]:
        n = d.shape[1]
        bandwidth = width(n, h)
        long_run = long_run_variance(d, kernel="bartlett", bandwidth=bandwidth)
        return studentised(d, long_run), fixed_b_critical_value(bandwidth / n, level)

    return variant


def daniell(d: Rows, h: int, level: float) -> tuple[np.ndarray, float]:
    """The mean of n^(1/3) periodogram ordinates."""
    number = whole_root(d.shape[1], 3)
    return studentised(d, periodogram_variance(d, number)), stdtrit(2 * number, level)


def cosines(number: Callable[[int, int], int]) -> Variant:
    """Equal-weighted cosines."""

    def variant(d: Rows, h: int, level: float) -> tuple[np.ndarray, float]:
        count = number(d.shape[1], h)
        variance = cosine_variance(d, np.full(len(d), count))
        return studentised(d, variance), stdtrit(count, level)

    return variant


def cosines_of(n: int, h: int) -> int:
    """Return the number of cosines of the gate at a given overlap."""
    return int(num_cosines(n, np.array(h)))


def gate(d: Rows, h: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The gate's test: h_eff from the data, and no rejection where it refuses."""
    rows = ewc_rows(d, h=h)
    statistic = np.where(rows.conclusive, rows.mean / rows.std_error, 0.0)
    return statistic, stdtrit(rows.df, level)


def batch_means(d: Rows, h: int, level: float) -> tuple[np.ndarray, float]:
    """The means of at most ten batches of at least 2h origins."""
    number = max(2, min(10, d.shape[1] // (2 * h)))
    length = d.shape[1] // number
    means = d[:, : number * length].reshape(len(d), number, length).mean(axis=2)
    return studentised(means, means.var(axis=1, ddof=1)), stdtrit(number - 1, level)


def plain_t(d: Rows, level: float) -> tuple[np.ndarray, float]:
    """The t-test of independent values."""
    return studentised(d, d.var(axis=1, ddof=1)), stdtrit(d.shape[1] - 1, level)


def thinned(d: Rows, h: int, level: float) -> tuple[np.ndarray, float]:
    """Every h-th value alone."""
    return plain_t(d[:, ::h], level)


GATE = "the gate's"
VARIANTS: Mapping[str, Variant] = {
    "DM, rectangular, normal": rectangular,
    "HLN, rectangular, negative = no rejection": hln,
    "HLN as R's acf": hln_as_r,
    "HLN as R's bartlett": hln_bartlett,
    "Newey-West, textbook lags, normal": newey_west,
    "Newey-West, Andrews' bandwidth, normal": andrews,
    "WCE, n^(1/2), fixed-b": fixed_b(lambda n, h: whole_root(n, 2)),
    "Bartlett, 1.3 n^(1/2), fixed-b": fixed_b(lambda n, h: math.ceil(1.3 * math.sqrt(n))),
    "Bartlett, at least 2h, fixed-b": fixed_b(
        lambda n, h: min(n, max(math.ceil(1.3 * math.sqrt(n)), 2 * h))
    ),
    "Bartlett, b = 1, fixed-b": fixed_b(lambda n, h: n),
    "WPE, n^(1/3)": daniell,
    "EWC, 0.4 n^(2/3)": cosines(lambda n, h: cosines_of(n, 1)),
    "EWC, at most n/(2h)": cosines(cosines_of),
    "EWC, at most n/h": cosines(lambda n, h: max(2, min(cosines_of(n, 1), n // h))),
    "batch means": batch_means,
    "every h-th value": thinned,
    GATE: gate,
}
