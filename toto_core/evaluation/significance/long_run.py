"""The long-run variance of a series: kernels, bandwidths and autocovariances.

The variance of the mean of n dependent values is long-run variance / n. Every function works on
the last axis; leading axes are independent series, so that a simulation runs through the same
code as one test.

Shapes: R independent series (any number of leading axes), n origins, L lags.
"""

import math
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.fft import irfft, next_fast_len, rfft

Kernel = Literal["rectangular", "bartlett", "quadratic_spectral"]

# Newey and West 1994, and Andrews 1991 (equation 6.2): constants of the best bandwidths.
BARTLETT_CONSTANT = 1.1447
QUADRATIC_SPECTRAL_CONSTANT = 1.3221
# Keeps bandwidth and effective overlap finite where a series is close to a unit root.
MAX_AUTOCORRELATION = 0.97
# A bandwidth of nothing keeps the variance alone.
LEAST_BANDWIDTH = 1e-9


def long_run_variance(
    d: Float[np.ndarray, "*R n"],
    *,
    kernel: Kernel,
    bandwidth: float | int | Float[np.ndarray, "*R"],
) -> Float[np.ndarray, "*R"]:
    """Estimate the long-run variance from weighted autocovariances around the mean.

    Args:
        kernel: ``rectangular`` weighs every lag below the bandwidth by one and may be negative
            (Diebold and Mariano 1995); ``bartlett`` by 1 - lag / bandwidth (Newey and West 1987);
            ``quadratic_spectral`` is that of Andrews 1991, over all lags.
        bandwidth: in origins, at least one for each series. L lags of the Newey-West estimator
            are a bandwidth of L + 1; the overlap h of forecasts is a bandwidth of h.
    """
    x = d - d.mean(axis=-1, keepdims=True)
    return weighted_autocovariances(x, kernel=kernel, bandwidth=bandwidth)


def weighted_autocovariances(
    x: Float[np.ndarray, "*R n"],
    *,
    kernel: Kernel,
    bandwidth: float | int | Float[np.ndarray, "*R"],
) -> Float[np.ndarray, "*R"]:
    """Return ``long_run_variance`` of values around zero instead of around their mean."""
    widths = np.maximum(np.asarray(bandwidth, dtype=np.float64), LEAST_BANDWIDTH)
    n = x.shape[-1]
    num_lags = n
    if kernel != "quadratic_spectral":
        num_lags = min(n, math.ceil(float(widths.max())))
    weights = kernel_weights(kernel, np.arange(num_lags) / widths[..., None])
    weights[..., 1:] *= 2  # lags before and after
    return np.asarray((_autocovariances(x, num_lags) * weights).sum(axis=-1))


def kernel_weights(kernel: Kernel, ratio: Float[np.ndarray, "*R L"]) -> Float[np.ndarray, "*R L"]:
    """Return the weights of lags that are ``ratio`` bandwidths long.

    Raises:
        ValueError: if the kernel is unknown.
    """
    if kernel == "rectangular":
        return (ratio < 1).astype(np.float64)
    if kernel == "bartlett":
        return np.maximum(0.0, 1 - ratio)
    if kernel == "quadratic_spectral":
        z = 6 * np.pi / 5 * np.where(ratio > 0, ratio, 1.0)
        return np.where(ratio > 0, 3 / z**2 * (np.sin(z) / z - np.cos(z)), 1.0)
    raise ValueError(
        f"long_run_variance: kernel = {kernel!r}, rectangular, bartlett or quadratic_spectral "
        "is needed; choose one"
    )


def newey_west_bandwidth(d: Float[np.ndarray, "*R n"]) -> Float[np.ndarray, "*R"]:
    """Return the bandwidth for Bartlett weights that Newey and West 1994 derive from the data.

    In lags, as R's ``sandwich::bwNeweyWest`` without prewhitening; its ``NeweyWest`` uses the
    whole lags of it, which are a bandwidth of floor + 1 for ``long_run_variance``.
    """
    n = d.shape[-1]
    num_lags = min(n - 1, math.floor(4 * (n / 100) ** (2 / 9)))
    covariances = _autocovariances(d - d.mean(axis=-1, keepdims=True), num_lags + 1)
    later = 2 * covariances[..., 1:]
    total = covariances[..., 0] + later.sum(axis=-1)
    slope = (later * np.arange(1, num_lags + 1)).sum(axis=-1)
    return np.asarray(BARTLETT_CONSTANT * np.cbrt(np.square(slope / total) * n))


def andrews_bandwidth(d: Float[np.ndarray, "*R n"], *, kernel: Kernel) -> Float[np.ndarray, "*R"]:
    """Return the bandwidth that is best for an AR(1) with the autocorrelation found in d.

    Andrews 1991, equations 6.2 and 6.4, as R's ``sandwich::bwAndrews``. The autoregression is
    fitted by least squares with an intercept; unlike there its coefficient is at most 0.97, as
    Andrews and Monahan 1992 have it: near one the bandwidth would outgrow the sample.

    Raises:
        ValueError: for the rectangular kernel, which has no such bandwidth.
    """
    n = d.shape[-1]
    before = d[..., :-1] - d[..., :-1].mean(axis=-1, keepdims=True)
    after = d[..., 1:] - d[..., 1:].mean(axis=-1, keepdims=True)
    rho = (before * after).sum(axis=-1) / np.square(before).sum(axis=-1)
    rho = np.clip(rho, -MAX_AUTOCORRELATION, MAX_AUTOCORRELATION)
    if kernel == "bartlett":
        alpha = np.square(2 * rho / ((1 - rho) * (1 + rho)))
        return np.asarray(BARTLETT_CONSTANT * np.cbrt(n * alpha))
    if kernel == "quadratic_spectral":
        alpha = np.square(2 * rho / np.square(1 - rho))
        return np.asarray(QUADRATIC_SPECTRAL_CONSTANT * (n * alpha) ** (1 / 5))
    raise ValueError(
        f"andrews_bandwidth: kernel = {kernel!r}, bartlett or quadratic_spectral is needed; "
        "choose one"
    )


def _autocovariances(x: Float[np.ndarray, "*R n"], num_lags: int) -> Float[np.ndarray, "*R L"]:
    """Return the autocovariances of lags 0 to num_lags - 1, each divided by n."""
    n = x.shape[-1]
    # Zeros behind the series keep its end from meeting its beginning.
    size = next_fast_len(n + num_lags, real=True)
    power = np.square(np.abs(np.asarray(rfft(x, size, axis=-1))))
    return np.asarray(irfft(power, size, axis=-1))[..., :num_lags] / n
