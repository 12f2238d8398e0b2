"""What holds for every augmentation: seeds, probabilities, missing points, the range of float32."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from augment_kit import block_of, changed, walks

from toto_core.data.augmentation import AugmentSettings, Stream, augment, generator
from toto_core.data.augmentation.missing import gaps, time_mask, variate_dropout
from toto_core.data.augmentation.size import (
    amplitude_modulation,
    censoring,
    noise,
    sign_flip,
    spikes,
)
from toto_core.data.augmentation.timing import time_flip, time_warp

BY_SLOT = {
    "censoring": censoring,
    "spikes": spikes,
    "sign_flip": sign_flip,
    "noise": partial(noise, std=0.1),
}
BY_SERIES = {
    "time_warp": time_warp,
    "time_flip": time_flip,
    "amplitude_modulation": amplitude_modulation,
    "gaps": gaps,
    "time_mask": time_mask,
}
ALL = BY_SLOT | BY_SERIES | {"variate_dropout": variate_dropout}
PAIRS = np.tile([0, 0, 1, 1], (300, 1))


@pytest.fixture(params=ALL.values(), ids=ALL)
def augmentation(request):
    return request.param


def is_changed(before, after):
    return ((before != after) & ~(np.isnan(before) & np.isnan(after))).any(axis=-1)


def test_augmentation_repeats_by_its_seed_and_only_then(augmentation):
    block = block_of(walks(), series_ids=PAIRS[:100])
    first, again = changed(augmentation, block, seed=3), changed(augmentation, block, seed=3)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, block.values, equal_nan=True)
    probability = 0.5  # a flip of every series is the same for all seeds
    first, other = (
        changed(augmentation, block, probability=probability, seed=seed) for seed in (3, 4)
    )
    assert not np.array_equal(first, other, equal_nan=True)


def test_augmentation_of_probability_zero_changes_nothing(augmentation):
    block = block_of(walks())
    np.testing.assert_array_equal(changed(augmentation, block, probability=0.0), block.values)


@pytest.mark.parametrize("name", [*BY_SLOT, *BY_SERIES])
def test_augmentation_hits_as_often_as_its_probability_says(name):
    block = block_of(walks(300), series_ids=PAIRS)
    hit = is_changed(block.values, changed(ALL[name], block, probability=0.3))
    if name == "gaps":  # few gaps may miss a window
        assert 0.1 < hit.mean() < 0.35
    else:  # a clip at the highest point changes nothing
        assert abs(hit.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 600) + 0.01 * (name == "censoring")
    pairs = hit.reshape(-1, 2)
    if name in BY_SERIES and name != "gaps":
        assert (pairs[:, 0] == pairs[:, 1]).all()
    else:
        assert (pairs[:, 0] != pairs[:, 1]).any()


def test_missing_points_are_left_missing(augmentation):
    values = walks()
    values[:, :, :40] = np.nan
    values[:, 0] = np.nan
    values[:, :, 60::7] = np.nan
    block = block_of(values)
    after = changed(augmentation, block)
    assert np.isnan(after[:, 0]).all()
    if augmentation is time_flip:  # these move the points
        assert np.isnan(after[:, :, :40]).all()
    elif augmentation is time_warp:
        assert np.isnan(after[:, :, :10]).all()
    else:
        assert np.isnan(after[np.isnan(values)]).all()
    assert np.isfinite(after[:, 1:]).any()


def test_zeros_and_constants_do_no_harm(augmentation):
    for level in (0.0, 7.0, -3e38):
        after = changed(augmentation, block_of(np.full((50, 4, 64), level)))
        assert not np.isnan(after[~np.isinf(after)]).all()


def test_values_at_the_end_of_float32_become_large_or_missing_without_a_warning(augmentation):
    values = walks(50)
    values[:, :, ::5] = 3e38
    values[:, :, 1::5] = -3e38
    values[:, :, 2::5] = 1e-45
    after = changed(augmentation, block_of(values))
    assert after.dtype == np.float32
    assert np.isfinite(after).any()


def test_unused_slots_are_left_alone(augmentation):
    ids = np.tile([0, 0, 1, -1], (100, 1))
    values = walks()
    values[:, 3] = np.nan
    assert np.isnan(changed(augmentation, block_of(values, series_ids=ids))[:, 3]).all()


def test_single_slots_and_short_windows_work(augmentation):
    for shape in ((1, 1, 32), (3, 1, 33), (2, 5, 2)):
        assert changed(augmentation, block_of(np.ones(shape))).shape == shape


def test_augment_is_a_function_of_seed_and_step_and_each_setting_acts_by_itself():
    settings = AugmentSettings(**dict.fromkeys(ALL, 0.5), noise_std=0.1)

    def after(settings, seed=0, step=0):
        block = block_of(walks(), series_ids=PAIRS[:100])
        augment(block, settings, seed=seed, step=step)
        return block.values

    whole = after(settings)
    np.testing.assert_array_equal(whole, after(settings))
    for seed, step in ((1, 0), (0, 1)):
        assert not np.array_equal(whole, after(settings, seed, step), equal_nan=True)
    np.testing.assert_array_equal(after(AugmentSettings()), walks())
    for name in ALL:
        one = after(replace(AugmentSettings(noise_std=0.1), **{name: 0.5}))
        assert not np.array_equal(one, walks(), equal_nan=True), name
    # The others' draws are their own: without noise, the same points are missing.
    without = after(replace(settings, noise=0.0))
    np.testing.assert_array_equal(np.isnan(whole), np.isnan(without))


def test_each_stream_seed_and_step_has_numbers_of_its_own():
    drawn = [generator(0, 0, stream).random() for stream in Stream]
    drawn += [generator(1, 0, Stream.NOISE).random(), generator(0, 1, Stream.NOISE).random()]
    assert len(set(drawn)) == len(Stream.__members__) + 2
