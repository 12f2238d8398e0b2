"""Long-run variances and bandwidths equal R's sandwich; what the kernels are, by hand."""

from collections import Counter

import numpy as np
import pytest
from dm_golden import GOLDEN, differential

from toto_core.evaluation.significance import (
    Kernel,
    andrews_bandwidth,
    long_run_variance,
    newey_west_bandwidth,
)


def kernel_and_bandwidth(row, d) -> tuple[Kernel, float, str]:
    """What a stored row of R asks for, and the name of the kind of row."""
    name = row["fn"]
    if "bwAndrews" in name:
        kernel = "bartlett" if "Bartlett" in name else "quadratic_spectral"
        return kernel, float(andrews_bandwidth(d, kernel=kernel)), f"andrews {kernel}"
    if "automatic" in name:
        return "bartlett", np.floor(float(newey_west_bandwidth(d))) + 1, "automatic lags"
    return "bartlett", row["lag"] + 1.0, "given lags"


def test_every_stored_row_of_sandwich_is_equalled():
    compared = Counter()
    for row in GOLDEN["sandwich_lrv_R"]:
        d = differential(row)
        if row["fn"].startswith("bwNeweyWest"):
            compared["newey-west bandwidth"] += 1
            assert float(newey_west_bandwidth(d)) == pytest.approx(row["bandwidth"], rel=1e-9)
            continue
        kernel, bandwidth, kind = kernel_and_bandwidth(row, d)
        compared[kind] += 1
        if row.get("bandwidth") is not None:
            assert bandwidth == pytest.approx(row["bandwidth"], rel=1e-9)
        found = float(long_run_variance(d, kernel=kernel, bandwidth=bandwidth))
        if row.get("adjust"):
            found *= d.size / (d.size - 1)  # R's adjust=TRUE: degrees of freedom
        assert found == pytest.approx(row["long_run_variance"], rel=1e-9)
        assert found / d.size == pytest.approx(row["var_of_mean"], rel=1e-9)
    assert compared == {
        "given lags": 72,
        "newey-west bandwidth": 8,
        "automatic lags": 8,
        "andrews bartlett": 8,
        "andrews quadratic_spectral": 8,
    }


def test_rectangular_and_bartlett_equal_the_stored_sums_of_autocovariances():
    for row in GOLDEN["dm_intermediates"]:
        d = differential(row)
        kernels: dict[Kernel, str] = {"rectangular": "rect_lrv", "bartlett": "bartlett_lrv"}
        for kernel, name in kernels.items():
            for h, expected in row[name].items():
                found = float(long_run_variance(d, kernel=kernel, bandwidth=int(h)))
                scale = max(abs(expected), float(np.var(d)))  # a sum near zero is rounded
                assert found == pytest.approx(expected, abs=1e-9 * scale)


def test_kernels_by_hand():
    d = np.array([1.0, -1.0, 2.0, -2.0])  # autocovariances 10, -7, 4, -2, each / 4
    assert float(long_run_variance(d, kernel="rectangular", bandwidth=2)) == pytest.approx(-1.0)
    assert float(long_run_variance(d, kernel="bartlett", bandwidth=2)) == pytest.approx(0.75)


def test_leading_axes_are_independent_series():
    d = np.random.default_rng(0).standard_normal((2, 3, 40)).cumsum(axis=-1)
    bandwidths = andrews_bandwidth(d, kernel="quadratic_spectral")
    together = long_run_variance(d, kernel="quadratic_spectral", bandwidth=bandwidths)
    assert together.shape == (2, 3)
    for index in np.ndindex(2, 3):
        alone = long_run_variance(
            d[index], kernel="quadratic_spectral", bandwidth=float(bandwidths[index])
        )
        assert float(alone) == pytest.approx(together[index])


def test_bandwidth_stays_finite_at_a_unit_root():
    walk = np.arange(100.0) ** 1.5
    square = np.square(2 * 0.97 / ((1 - 0.97) * (1 + 0.97)))
    expected = 1.1447 * np.cbrt(100 * square)
    assert float(andrews_bandwidth(walk, kernel="bartlett")) == pytest.approx(expected)


def test_rectangular_kernel_has_no_best_bandwidth():
    with pytest.raises(ValueError, match="andrews_bandwidth: kernel = 'rectangular', bartlett or"):
        andrews_bandwidth(np.arange(9.0), kernel="rectangular")
