"""Noise is pointwise, masks hide one stretch of an item, and both repeat by their generator."""

import numpy as np
import pytest

from toto_core.data.augmentation.missing import MAX_MASKED_SHARE, time_mask
from toto_core.data.augmentation.size import noise


def rows(num_rows=200, num_slots=4, num_steps=128):
    return np.ones((num_rows, num_slots, num_steps), np.float32)


def noisy(values, *, std, probability=1.0, seed=0):
    noise(values, np.random.default_rng(seed), probability=probability, std=std)
    return values


def test_noise_has_the_spread_asked_for_and_grows_with_the_value():
    values = rows()
    values[:, 0] = 1000
    noisy(values, std=0.0125)
    np.testing.assert_allclose(values[:, 1:].mean(), 1, atol=1e-3)
    np.testing.assert_allclose(values[:, 1:].std(), 0.0125, rtol=0.02)
    np.testing.assert_allclose(values[:, 0].std(), 12.5, rtol=0.02)


def test_noise_leaves_zeros_and_missing_points():
    values = rows()
    values[:, :, ::2] = 0
    values[:, :, 1::4] = np.nan
    noisy(values, std=0.5)
    assert (values[:, :, ::2] == 0).all()
    assert np.isnan(values[:, :, 1::4]).all()
    assert np.isfinite(values[:, :, 3::4]).all()


def test_noise_of_zero_changes_nothing():
    assert (noisy(rows(), std=0.0) == 1).all()


def test_noise_hits_slots_with_its_probability():
    share = (noisy(rows(500), std=0.1, probability=0.3) != 1).any(axis=-1).mean()
    assert abs(share - 0.3) <= 4 * np.sqrt(0.3 * 0.7 / 2000)


def test_noise_repeats_by_its_generator():
    first, second, other = (noisy(rows(), std=0.1, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def hidden_by(probability, series_ids, seed=0):
    values = rows(num_rows=len(series_ids), num_slots=series_ids.shape[1])
    time_mask(values, series_ids, np.random.default_rng(seed), probability=probability)
    return np.isnan(values)


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 1.0])
def test_mask_hits_items_with_its_probability(probability):
    series_ids = np.tile(np.arange(4), (500, 1))
    share = hidden_by(probability, series_ids).any(axis=-1).mean()
    assert abs(share - probability) <= 4 * np.sqrt(probability * (1 - probability) / 2000)


def test_mask_is_one_stretch_of_at_most_its_share():
    hidden = hidden_by(1.0, np.tile(np.arange(4), (500, 1))).reshape(-1, 128)
    lengths = hidden.sum(axis=1)
    edges = np.diff(hidden.astype(int), axis=1, prepend=0, append=0)
    assert ((edges == 1).sum(axis=1) == 1).all()
    assert lengths.min() == 1
    assert lengths.max() == 128 * MAX_MASKED_SHARE
    assert hidden.any(axis=0).all()  # it may lie anywhere


def test_mask_hides_the_same_steps_in_all_variates_of_an_item():
    series_ids = np.tile([0, 0, 1, -1], (300, 1))
    hidden = hidden_by(0.5, series_ids)
    np.testing.assert_array_equal(hidden[:, 0], hidden[:, 1])
    assert not np.array_equal(hidden[:, 0], hidden[:, 2])
    assert not hidden[:, 3].any()
