"""Flip, warp, stretch and aggregation move time as they say, for all variates of a series alike."""

import numpy as np
import pytest
from augment_kit import block_of, changed, walks

from toto_core.data.augmentation.resampling import NUM_WAYS, aggregate
from toto_core.data.augmentation.timing import (
    MAX_SPEED_CHANGE,
    read_between,
    stretch,
    time_flip,
    time_warp,
)
from toto_core.data.corpus import KNOWN_COVARIATE, TARGET

MEAN, SUM, HIGHEST, LAST = range(NUM_WAYS)


def test_flip_turns_what_was_observed_and_keeps_the_head_missing():
    values = np.tile(np.arange(8.0), (1, 3, 1))
    values[0, :2, :3] = np.nan
    values[0, 1, 3:5] = np.nan
    after = changed(time_flip, block_of(values, series_ids=[[0, 0, 1]]))
    nan = np.nan
    np.testing.assert_array_equal(
        after[0],
        [
            [nan, nan, nan, 7, 6, 5, 4, 3],
            [nan, nan, nan, 7, 6, 5, nan, nan],
            [7, 6, 5, 4, 3, 2, 1, 0],
        ],
    )


def test_flip_leaves_series_with_known_covariates_alone():
    values = walks(num_slots=4)
    roles = np.tile([TARGET, KNOWN_COVARIATE, TARGET, TARGET], (100, 1))
    ids = np.tile([0, 0, 1, 1], (100, 1))
    after = changed(time_flip, block_of(values, series_ids=ids, roles=roles))
    np.testing.assert_array_equal(after[:, :2], values[:, :2])
    np.testing.assert_array_equal(after[:, 2:], values[:, 2:, ::-1])


def test_warp_is_monotone_keeps_both_ends_and_is_shared_by_a_series():
    ramp = np.tile(np.arange(512.0), (100, 4, 1))
    ids = np.tile([0, 0, 1, 1], (100, 1))
    after = changed(time_warp, block_of(ramp, series_ids=ids))  # a ramp shows the places read
    np.testing.assert_array_equal(after[..., 0], 0)
    np.testing.assert_allclose(after[..., -1], 511, rtol=1e-6)
    np.testing.assert_array_equal(after[:, ::2], after[:, 1::2])
    assert (after[:, 0] != after[:, 2]).any(axis=-1).all()
    speed = np.diff(after, axis=-1)
    assert speed.min() > 1 - MAX_SPEED_CHANGE - 0.01
    assert speed.max() < 1 + MAX_SPEED_CHANGE + 0.01
    assert speed.max() - speed.min() > 0.8


def test_stretch_draws_lines_between_the_last_steps_and_ends_with_the_last():
    values = np.arange(12, dtype=np.float32)[None].repeat(3, axis=0)
    stretch(values, np.array([1, 2, 4]))
    np.testing.assert_array_equal(values[0], np.arange(12))
    np.testing.assert_allclose(values[1], 11 - np.arange(12)[::-1] / 2)
    np.testing.assert_allclose(values[2], 11 - np.arange(12)[::-1] / 4)


def test_reading_between_steps_is_missing_beside_a_missing_step_only():
    part = np.array([[0.0, 1.0, np.nan, 3.0, 4.0]], np.float32)
    places = np.array([[1.0, 1.5, 2.0, 3.0, 3.25, 4.0]])[:, :5]
    np.testing.assert_array_equal(read_between(part, places), [[1, np.nan, np.nan, 3, 3.25]])
    np.testing.assert_array_equal(
        read_between(part, np.array([[0.0, 0.5, 3.5, 4.0, 4.0]]))[0, 3:], 4
    )


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (MEAN, [2.0, 4.5, np.nan, np.nan]),
        (SUM, [6.0, 13.5, np.nan, np.nan]),
        (HIGHEST, [3.0, 5.0, np.nan, np.nan]),
        (LAST, [3.0, 5.0, 7.0, np.nan]),
    ],
)
def test_aggregation_makes_one_step_of_several(way, expected):
    nan = np.nan
    steps = np.array([[1, 2, 3, 4, nan, 5, nan, nan, 7, nan, nan, nan]], np.float32)
    found = aggregate(steps, 3, np.array([(way + 0.5) / NUM_WAYS]))
    np.testing.assert_array_equal(found, [expected])
