"""Each family of one variate shows what it is named for."""

import numpy as np
from synthetic_kit import autocorrelation, rows

from toto_core.data.synthetic.seasons import PERIODS


def test_trend_season_repeats_after_some_period_and_shuffled_does_not():
    rng = np.random.default_rng(0)
    periods = sorted({round(period) for one in PERIODS for period in one if period <= 360})

    def share_of_seasonal(series):
        # Differences remove the trend.
        best = [max(autocorrelation(np.diff(row), lag) for lag in periods) for row in series]
        return np.mean(np.array(best) > 0.3)

    series = rows("trend_season")
    assert share_of_seasonal(series) > 0.35
    assert share_of_seasonal(rng.permuted(series, axis=1)) < 0.05


def test_autoregressive_holds_random_walks_and_stationary_series():
    firsts = np.array([autocorrelation(row, 1) for row in rows("autoregressive")])
    assert 0.3 < (firsts > 0.98).mean() < 0.9
    assert (firsts < 0.9).mean() > 0.1


def test_random_walk_wanders_and_its_changes_do_not():
    series = rows("random_walk")
    assert np.median([autocorrelation(row, 1) for row in series]) > 0.98
    changes = [np.diff(row) for row in series]
    assert abs(np.median([autocorrelation(row, 1) for row in changes])) < 0.05
    # Volatility wanders: large changes follow large ones.
    assert np.mean([autocorrelation(np.abs(row), 1) for row in changes]) > 0.1


def test_intermittent_series_are_counts_and_mostly_zero():
    series = rows("intermittent")
    assert (series >= 0).all()
    np.testing.assert_array_equal(series, np.round(series))
    assert np.median((series == 0).mean(axis=1)) > 0.7
    assert (rows("trend_season") == 0).mean() < 0.2


def test_scales_span_orders_of_magnitude():
    spreads = rows("trend_season").std(axis=1)
    assert np.log10(np.quantile(spreads, 0.9) / np.quantile(spreads, 0.1)) > 4
