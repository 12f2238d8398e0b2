"""Noise, modulation, censoring, spikes and sign do to the values what they say."""

from functools import partial

import numpy as np
from augment_kit import block_of, changed, walks

from toto_core.data.augmentation.size import (
    AMPLITUDE,
    MAX_PIECES,
    SPIKE_HEIGHT,
    amplitude_modulation,
    censoring,
    noise,
    sign_flip,
    spikes,
)
from toto_core.data.corpus import KNOWN_COVARIATE, PAST_COVARIATE, TARGET

ONES = np.ones((200, 4, 128), np.float32)
ROLES = np.tile([TARGET, PAST_COVARIATE, KNOWN_COVARIATE], (100, 1))


def noisy(values, *, std, probability=1.0):
    return changed(partial(noise, std=std), block_of(values), probability=probability)


def test_noise_has_the_spread_asked_for_and_grows_with_the_value():
    values = ONES.copy()
    values[:, 0] = 1000
    after = noisy(values, std=0.0125)
    np.testing.assert_allclose(after[:, 1:].mean(), 1, atol=1e-3)
    np.testing.assert_allclose(after[:, 1:].std(), 0.0125, rtol=0.02)
    np.testing.assert_allclose(after[:, 0].std(), 12.5, rtol=0.02)


def test_noise_leaves_zeros():
    values = ONES.copy()
    values[:, :, ::2] = 0
    after = noisy(values, std=0.5)
    assert (after[:, :, ::2] == 0).all()
    assert (after[:, :, 1::2] != 1).all()


def test_noise_without_spread_changes_nothing():
    assert (noisy(ONES, std=0.0) == 1).all()


def test_sign_flip_negates_single_variates():
    values = walks()
    after = changed(sign_flip, block_of(values, series_ids=np.zeros((100, 4))), probability=0.5)
    ratio = after / values
    assert set(np.unique(ratio)) == {-1, 1}
    assert (ratio.min(axis=-1) == ratio.max(axis=-1)).all()
    assert (ratio[:, 0] != ratio[:, 1]).any()


def test_modulation_is_a_bent_line_within_its_range_shared_by_a_series():
    ids = np.tile([0, 0, 1, 1], (200, 1))
    values = ONES * np.array([1, 5, 1, 5], np.float32)[:, None]
    after = changed(amplitude_modulation, block_of(values, series_ids=ids))
    factor = after / values
    np.testing.assert_allclose(factor[:, ::2], factor[:, 1::2], rtol=1e-5)  # ratios stay
    factor = factor[:, 0]
    still = np.abs(factor - 1).max(axis=1) < 1e-6  # about the mean of a constant: nothing to do
    assert 0.3 < still.mean() < 0.7
    factor = factor[~still]
    assert factor.min() >= AMPLITUDE[0] * 0.999
    assert factor.max() <= AMPLITUDE[1] * 1.001
    bends = (np.abs(np.diff(factor, n=2, axis=1)) > 1e-4).sum(axis=1)
    assert bends.max() <= 2 * (MAX_PIECES - 1)  # a bend between two steps shows at both
    assert (bends == 0).any()
    assert (bends >= 3).any()


def test_modulation_about_the_mean_keeps_the_level():
    values = 1000 + np.sin(np.arange(4096) / 3) * np.ones((100, 1, 1))
    after = changed(amplitude_modulation, block_of(values))[:, 0]
    about_mean = np.abs(after - 1000).max(axis=1) < 4
    assert 0.3 < about_mean.mean() < 0.7
    swing = after[about_mean].std(axis=1)
    assert swing.min() < 0.6
    assert swing.max() > 0.9


def test_censoring_clips_at_a_level_that_is_uniform_among_the_quantiles():
    values = np.random.default_rng(0).permuted(np.tile(np.arange(128.0), (500, 2, 1)), axis=-1)
    after = changed(censoring, block_of(values)).reshape(-1, 128)
    low, high = after.min(axis=1), after.max(axis=1)
    above = high < 127
    assert ((low == 0) | (high == 127)).all()  # from one side
    assert 0.4 < above.mean() < 0.6
    bound = np.where(above, high, low)
    np.testing.assert_allclose(np.quantile(bound, [0.1, 0.5, 0.9]), [12, 64, 115], atol=8)
    inside = (after > low[:, None]) & (after < high[:, None])
    assert (after[inside] == values.reshape(-1, 128)[inside]).all()


def test_censoring_finds_a_bound_in_series_with_gaps():
    values = walks()
    values[:, :, ::2] = np.nan
    after = changed(censoring, block_of(values))
    assert ((after != values) & ~np.isnan(values)).any(axis=-1).mean() > 0.9


def test_spikes_stand_out_by_their_height_and_some_come_regularly():
    values = np.random.default_rng(0).standard_normal((400, 1, 1024)).astype(np.float32)
    added = (changed(spikes, block_of(values)) - values)[:, 0]
    top = np.abs(added).max(axis=1)
    spread = np.abs(values - values.mean(axis=-1, keepdims=True)).mean(axis=-1)[:, 0]
    hit = top > 0
    assert hit.mean() > 0.9
    ratio = (top / spread)[hit]
    assert SPIKE_HEIGHT[0] * 0.99 < ratio.min()
    assert ratio.max() < SPIKE_HEIGHT[1] * 1.01
    assert 0.15 < (added.sum(axis=1) < 0).mean() < 0.35
    starts = [
        np.flatnonzero(np.diff(np.abs(row), prepend=0) > 0.5 * np.abs(row).max())
        for row in added[hit]
    ]
    even = [np.ptp(np.diff(start)) == 0 for start in starts if len(start) > 3]
    assert 0.3 < np.mean(even) < 0.7


def test_known_covariates_keep_their_values_but_for_noise_and_sign():
    for augmentation in (amplitude_modulation, censoring, spikes):
        values = walks(num_slots=3)
        block = block_of(values, series_ids=np.zeros((100, 3)), roles=ROLES)
        after = changed(augmentation, block)
        np.testing.assert_array_equal(after[:, 2], values[:, 2])
        assert (after[:, :2] != values[:, :2]).any(
            axis=-1
        ).mean() > 0.7  # short windows miss spikes
