"""The probability integral transform is even where forecasts are calibrated, ties included."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from toto_core.evaluation.metrics import QUANTILE_LEVELS, cell_losses
from toto_core.evaluation.metrics.pit import pit_counts, pit_histogram, pit_values

TRUTH = norm.ppf(QUANTILE_LEVELS)


def histogram(target, quantiles):
    cells = cell_losses(target, quantiles)
    counts = pit_counts(cells.num_below, cells.num_to, cells.observed, num_levels=9)
    return pit_histogram(counts)


def test_calibrated_forecasts_are_even_and_others_are_not():
    target = np.random.default_rng(0).standard_normal(40_000)
    for quantiles, even in ((TRUTH, True), (0.5 * TRUTH, False), (TRUTH + 0.3, False)):
        tiled = np.tile(quantiles, (len(target), 1))
        shares = histogram(target, tiled)
        assert shares.sum() == pytest.approx(1)
        assert (np.abs(shares - 0.1).max() < 0.01) == even
        inside = pit_values(target, tiled, seed=1)
        assert (kstest(inside, "uniform").pvalue > 0.01) == even


def test_interpolated_between_quantiles():
    quantiles = np.arange(1.0, 10.0)[None]
    assert pit_values(np.array([4.25]), quantiles, seed=0)[0] == pytest.approx(0.425)
    assert pit_values(np.array([4.0]), quantiles, seed=0)[0] == pytest.approx(0.4)
    low, high = (pit_values(np.array([y]), quantiles, seed=0)[0] for y in (0.5, 9.5))
    assert 0 <= low <= 0.1
    assert 0.9 <= high <= 1
    assert math.isnan(pit_values(np.array([math.nan]), quantiles, seed=0)[0])


@pytest.mark.parametrize(
    ("target", "quantiles", "shares"),
    [
        (5.5, np.arange(1.0, 10.0), [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
        (0.0, np.arange(1.0, 10.0), [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (9.5, np.arange(1.0, 10.0), [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        # On one quantile: on the edge of two bins.
        (5.0, np.arange(1.0, 10.0), [0, 0, 0, 0, 0.5, 0.5, 0, 0, 0, 0]),
        # All quantiles are zero, as the target is: nothing is known of it.
        (0.0, np.zeros(9), [0.1] * 10),
        # Zeros up to the level 0.4 and from 0.6 on.
        (0.0, np.array([0.0] * 4 + [1, 2, 3, 4, 5]), [0.25] * 4 + [0] * 6),
        (0.0, np.array([-5, -4, -3, -2, -1] + [0.0] * 4), [0] * 6 + [0.25] * 4),
        (0.0, np.array([-1] + [0.0] * 5 + [1, 2, 3]), [0, 0] + [0.25] * 4 + [0] * 4),
        (0.0, np.array([-2, -1] + [0.0] * 5 + [1, 2]), [0, 0, 0] + [0.25] * 4 + [0] * 3),
    ],
)
def test_ties_are_spread_over_the_jump(target, quantiles, shares):
    found = histogram(np.array([target]), quantiles[None])
    assert found.tolist() == pytest.approx(shares)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_histogram_is_what_randomised_values_show_on_average(seed):
    rng = np.random.default_rng(seed)
    quantiles = np.sort(rng.integers(0, 4, size=(60, 9)), axis=1).astype(float)
    target = rng.integers(-1, 5, size=60).astype(float)
    repeats = 400
    values = pit_values(np.tile(target, repeats), np.tile(quantiles, (repeats, 1)), seed=seed)
    # A value exactly on an edge belongs to both bins, half each.
    edges = np.array([0.0, *QUANTILE_LEVELS, 1.0])
    halves = [np.histogram(values + shift, bins=edges)[0] for shift in (-1e-12, 1e-12)]
    found = (halves[0] + halves[1]) / 2 / len(values)
    np.testing.assert_allclose(found, histogram(target, quantiles), atol=0.02)


def test_values_repeat_with_their_seed():
    target, quantiles = np.zeros(5), np.zeros((5, 9))
    first, again, other = (pit_values(target, quantiles, seed=seed) for seed in (0, 0, 1))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_missing_targets_are_not_counted():
    quantiles = np.tile(TRUTH, (3, 1))
    some = histogram(np.array([0.1, math.nan, math.nan]), quantiles)
    assert some.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert np.isnan(histogram(np.array([math.nan] * 3), quantiles)).all()
