"""Each synthetic family shows what it is named for, repeats by index and stays finite."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_core.data.synthetic import (
    FAMILIES,
    PERIOD_SETS,
    generate,
    synthetic_series,
)

ALL = dict.fromkeys(FAMILIES, 1.0)


def only(name):
    return {family: float(family == name) for family in FAMILIES}


def made(name, count=200, length=1024, seed=0):
    return np.stack(
        [values for _, values in generate(seed, count, length=length, weights=only(name))]
    ).astype(np.float64)


def autocorrelation(values, lag):
    centred = values - values.mean()
    power = centred @ centred
    return float(centred[lag:] @ centred[:-lag] / power) if power > 0 else 0.0


@given(
    name=st.sampled_from(sorted(FAMILIES)),
    length=st.integers(1, 3000),
    seed=st.integers(0, 2**40),
    index=st.integers(0, 2**40),
)
@settings(max_examples=300, deadline=None)
def test_series_is_finite_float32_of_the_length_asked_for(name, length, seed, index):
    drawn, values = synthetic_series(seed, index, length=length, weights=only(name))
    assert drawn == name
    assert values.shape == (length,)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_most_series_vary(name):
    assert (made(name, length=512).std(axis=1) > 0).mean() > 0.95


def test_series_is_a_function_of_seed_and_index():
    first = list(generate(0, 20, length=200, weights=ALL))
    for index in (19, 3, 11):
        name, values = synthetic_series(0, index, length=200, weights=ALL)
        assert name == first[index][0]
        np.testing.assert_array_equal(values, first[index][1])
    others = list(generate(1, 20, length=200, weights=ALL))
    pairs = zip(first, others, strict=True)
    assert not any(np.array_equal(a, b) for (_, a), (_, b) in pairs)
    assert len({values.tobytes() for _, values in first}) == 20


def test_families_are_drawn_as_weighted_and_never_at_weight_zero():
    weights = {
        "trend_season": 3.0,
        "autoregressive": 1.0,
        "shifts_spikes": 0.0,
        "intermittent": 0.0,
    }
    names = [name for name, _ in generate(0, 800, length=8, weights=weights)]
    assert set(names) == {"trend_season", "autoregressive"}
    assert abs(np.mean([name == "trend_season" for name in names]) - 0.75) < 4 * np.sqrt(
        0.75 * 0.25 / 800
    )


def test_trend_season_repeats_after_a_calendar_period_and_shuffled_does_not():
    periods = sorted({period for one in PERIOD_SETS for period in one if period <= 360})
    rng = np.random.default_rng(0)

    def share_of_seasonal(series):
        # Differences remove the trend.
        best = [max(autocorrelation(np.diff(row), lag) for lag in periods) for row in series]
        return np.mean(np.array(best) > 0.3)

    series = made("trend_season")
    assert share_of_seasonal(series) > 0.4
    assert share_of_seasonal(rng.permuted(series, axis=1)) < 0.05


def test_autoregressive_holds_random_walks_and_stationary_series():
    firsts = np.array([autocorrelation(row, 1) for row in made("autoregressive")])
    assert 0.3 < (firsts > 0.98).mean() < 0.9
    assert (firsts < 0.9).mean() > 0.1


def test_shifts_spikes_jump_more_than_noise_does():
    def kurtosis(rows):
        steps = np.diff(rows, axis=1)
        steps = steps - steps.mean(axis=1, keepdims=True)
        variance = (steps**2).mean(axis=1)
        usable = variance > 0
        return (steps**4).mean(axis=1)[usable] / variance[usable] ** 2

    assert np.median(kurtosis(made("shifts_spikes"))) > 8
    normal = np.random.default_rng(0).standard_normal((200, 1024))
    assert np.median(kurtosis(normal)) < 3.5


def test_intermittent_series_are_counts_and_mostly_zero():
    series = made("intermittent")
    assert (series >= 0).all()
    np.testing.assert_array_equal(series, np.round(series))
    shares = (series == 0).mean(axis=1)
    assert np.median(shares) > 0.7
    assert (made("trend_season") == 0).mean() < 0.2


def test_scales_span_orders_of_magnitude():
    spreads = made("trend_season").std(axis=1)
    assert np.log10(np.quantile(spreads, 0.9) / np.quantile(spreads, 0.1)) > 4
