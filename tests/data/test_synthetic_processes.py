"""Stochastic processes: seasons that return, regimes, and the building blocks."""

import numpy as np
import pytest
from synthetic_kit import autocorrelation, rows

from toto_core.data.synthetic.noise import autoregression, leaky_sum, power_law


def best_lag(row, first=3, last=720):
    """The largest autocorrelation of the changes, which have no trend."""
    changes = np.diff(row)
    centred = changes - changes.mean()
    power = np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2
    covariances = np.fft.irfft(power)[:last]
    return covariances[first:].max() / covariances[0]


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("drifting_season", 0.3),
        ("copied_pattern", 0.7),  # the longest do not return within 2,100 steps
        ("seasonal_arima", 0.5),
        ("exponential_smoothing", 0.3),
    ],
)
def test_season_of_some_length_returns(name, share):
    found = np.array([best_lag(row) for row in rows(name, count=40, length=2100)])
    assert (found > 0.3).mean() > share


def test_exponential_smoothing_remembers_its_level():
    series = rows("exponential_smoothing", count=100)
    smooth = series.reshape(100, 32, 32).mean(axis=2)
    assert np.median([autocorrelation(row, 1) for row in smooth]) > 0.5


def test_two_regimes_differ_in_their_noise():
    sizes = []
    for row in rows("regime_ou", count=100):
        changes = np.abs(np.diff(row)).astype(np.float64)[:1020].reshape(-1, 10).mean(axis=1)
        sizes.append(np.quantile(changes, 0.9) / (np.quantile(changes, 0.1) + 1e-12))
    assert np.median(sizes) > 2.5  # normal noise: 1.8


def test_autoregression_has_the_correlation_of_its_poles():
    rng = np.random.default_rng(0)
    row = autoregression(rng, 200_000, [0.9])
    np.testing.assert_allclose(
        [autocorrelation(row.astype(float), lag) for lag in (1, 5)], [0.9, 0.9**5], atol=0.02
    )
    moving = autoregression(rng, 200_000, [], [-0.5])  # x = e + 0.5 e before: 0.5 / 1.25
    assert autocorrelation(moving.astype(float), 1) == pytest.approx(0.4, abs=0.02)
    assert autocorrelation(moving.astype(float), 2) == pytest.approx(0, abs=0.02)


def test_power_law_falls_as_asked():
    row = power_law(np.random.default_rng(0), 1 << 16, 1.5).astype(float)
    power = np.abs(np.fft.rfft(row)) ** 2
    low, high = power[30:60].mean(), power[3000:6000].mean()
    assert np.log(low / high) / np.log(100) == pytest.approx(1.5, abs=0.15)


@pytest.mark.parametrize("decay", [0.0, 0.7, 1.0])
def test_leaky_sum_is_the_recursion(decay):
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal(100)
    decays = np.full(100, decay) * rng.random(100)
    wanted, wanted_each = np.zeros(100), np.zeros(100)
    for t in range(100):
        wanted[t] = inputs[t] + (decay * wanted[t - 1] if t else 0)
        wanted_each[t] = inputs[t] + (decays[t] * wanted_each[t - 1] if t else 0)
    np.testing.assert_allclose(leaky_sum(inputs, decay), wanted, atol=1e-6)
    np.testing.assert_allclose(leaky_sum(inputs, decays), wanted_each, atol=1e-12)
