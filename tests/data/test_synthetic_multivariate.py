"""Variates of one series belong together in the way that their family says."""

from itertools import pairwise

import numpy as np
import pytest
from synthetic_kit import made

FAMILIES = (
    "causal_graph",
    "mixed_factors",
    "lead_lag",
    "cointegrated",
    "hierarchy",
    "service",
    "price_bars",
    "sites",
    "weather_station",
)


def cross(first, second, num_lags):
    """Size of the correlation of the changes of ``first`` with those of ``second`` lag steps later.

    Lags from 0 to ``num_lags`` - 1, as an array.
    """
    first, second = (np.diff(row) - np.diff(row).mean() for row in (first, second))
    size = 2 * len(first)
    product = np.fft.rfft(second, size) * np.fft.rfft(first, size).conj()
    scale = first.std() * second.std() * len(first)
    return np.abs(np.fft.irfft(product)[:num_lags]) / scale if scale > 0 else np.zeros(num_lags)


@pytest.mark.parametrize("name", FAMILIES)
def test_two_to_eight_variates_that_are_not_copies(name):
    series = made(name, count=30, length=300)
    sizes = {len(values) for values in series}
    assert sizes <= set(range(2, 9))
    assert len(sizes) > 1
    for values in series:
        assert len({row.tobytes() for row in values}) > 1


@pytest.mark.parametrize("name", FAMILIES)
def test_variates_correlate_within_a_series_and_not_across(name):
    series = made(name, count=60, length=600)

    def best(pairs):
        return np.median([cross(a, b, 48).max() for a, b in pairs])

    within = best([(values[0], values[1]) for values in series])
    across = best([(a[0], b[1]) for a, b in pairwise(series)])
    assert within > across * 1.15


def test_followers_follow():
    lags = []
    for values in made("lead_lag", count=40, length=1500):
        of_lag = cross(values[0], values[1], 193)
        if of_lag.max() > 0.4:
            lags.append(int(np.argmax(of_lag)))
    assert len(lags) > 8
    assert np.mean(np.array(lags) > 0) > 0.9


def test_total_is_the_sum_of_its_parts():
    for values in made("hierarchy", count=40, length=200):
        total = values[-1] if values[-1].sum() >= values[0].sum() else values[0]
        np.testing.assert_allclose(values.sum(axis=0) - total, total, rtol=1e-4)


def test_cointegrated_walks_drift_apart_less_than_they_walk():
    ratios = []
    for values in made("cointegrated", count=60, length=2000):
        x, y = values[0] - values[0].mean(), values[1] - values[1].mean()
        rest = y - (x @ y) / (x @ x) * x
        ratios.append(rest.std() / y.std())
    assert np.median(ratios) < 0.6


def test_bars_hold_their_prices():
    for values in made("price_bars", count=40, length=300):
        first, high, low, last = values[:4]
        assert (low <= np.minimum(first, last)).all()
        assert (high >= np.maximum(first, last)).all()
        assert (values > 0).all()


def test_all_that_is_scraped_of_a_service_moves_together():
    loneliest = []
    for values in made("service", count=60, length=600):
        smooth = values.reshape(len(values), 60, 10).mean(axis=2)
        ranks = smooth.argsort(axis=1).argsort(axis=1)
        alike = np.abs(np.corrcoef(ranks)) - np.eye(len(values))
        loneliest.append(alike.max(axis=1).min())
    assert np.median(loneliest) > 0.45, np.median(loneliest)
