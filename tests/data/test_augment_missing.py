"""Masks, gaps and dropout hide what they say and nothing else."""

from pathlib import Path

import numpy as np
import pytest
from augment_kit import block_of, changed

from toto_core.data.augmentation.missing import (
    CLOSED_SHARE,
    MAX_MASKED_SHARE,
    MISSING_SHARE,
    PERIODS,
    gaps,
    time_mask,
    variate_dropout,
)
from toto_core.data.corpus import KNOWN_COVARIATE, PAST_COVARIATE, TARGET

CLOUDWATCH = Path(__file__).parents[3] / "shared/data/nab_aws"


def hidden(augmentation, series_ids, *, num_steps=128, probability=1.0, roles=None):
    values = np.ones((*np.shape(series_ids), num_steps))
    block = block_of(values, series_ids=series_ids, roles=roles)
    return np.isnan(changed(augmentation, block, probability=probability))


def runs(rows):
    """Begin and length of every hidden stretch of all rows."""
    edges = np.diff(rows.astype(np.int8), axis=-1, prepend=0, append=0)
    begins, ends = np.nonzero(edges == 1), np.nonzero(edges == -1)
    return begins[-1], ends[-1] - begins[-1]


def test_mask_is_one_stretch_of_at_most_its_share():
    rows = hidden(time_mask, np.tile(np.arange(4), (500, 1))).reshape(-1, 128)
    begins, lengths = runs(rows)
    assert len(begins) == len(rows)
    assert lengths.min() == 1
    assert lengths.max() == 128 * MAX_MASKED_SHARE
    assert rows.any(axis=0).all()  # it may lie anywhere


def test_mask_hides_the_same_steps_in_all_variates_of_an_item():
    rows = hidden(time_mask, np.tile([0, 0, 1, -1], (300, 1)), probability=0.5)
    np.testing.assert_array_equal(rows[:, 0], rows[:, 1])
    assert not np.array_equal(rows[:, 0], rows[:, 2])
    assert not rows[:, 3].any()


def test_gaps_are_points_stretches_or_regular():
    rows = hidden(gaps, np.zeros((3000, 1)), num_steps=1024)[:, 0]
    longest = np.array([runs(row)[1].max(initial=0) for row in rows])
    shares = rows.mean(axis=1)
    regular = np.zeros(len(rows), bool)
    for period in PERIODS:
        regular |= (rows[:, period:] == rows[:, :-period]).all(axis=1) & (shares > 0)
    assert 0.28 < regular.mean() < 0.39
    assert shares[regular].max() < CLOSED_SHARE[1] + 0.15
    assert np.quantile(shares[~regular], 0.99) < MISSING_SHARE[1] + 0.1
    single = ~regular & (longest < 6)
    long = ~regular & (longest >= 6)
    assert single.mean() > 0.25
    assert long.mean() > 0.1
    assert longest[long].max() > 48


def test_half_of_the_series_miss_the_same_steps_in_all_variates():
    rows = hidden(gaps, np.tile([0, 0], (1000, 1)), num_steps=512)
    some = rows.any(axis=(1, 2))
    alike = (rows[:, 0] == rows[:, 1]).all(axis=-1)[some]
    assert 0.4 < alike.mean() < 0.65


def test_dropout_hides_whole_variates_but_one_target_of_each_series():
    ids = np.tile([0, 0, 0, 1, 2, 2], (400, 1))
    roles = np.tile([PAST_COVARIATE, TARGET, TARGET, TARGET, KNOWN_COVARIATE, TARGET], (400, 1))
    rows = hidden(variate_dropout, ids, roles=roles)
    assert (rows.all(axis=-1) == rows.any(axis=-1)).all()
    gone = rows.all(axis=-1)
    assert gone[:, [0, 4]].all()
    assert not gone[:, [3, 5]].any()
    assert (gone[:, 1] != gone[:, 2]).all()  # either one may stay
    assert 0.4 < gone[:, 1].mean() < 0.6
    half = hidden(variate_dropout, ids, roles=roles, probability=0.5).all(axis=-1)
    assert abs(half[:, 0].mean() - 0.5) < 0.1


def test_lowest_share_of_missing_steps_is_that_of_cloudwatch():
    if not CLOUDWATCH.is_dir():
        pytest.skip("the developer data is not here")
    shares, longest = [], 0
    for file in sorted(CLOUDWATCH.glob("*.csv")):
        times = np.loadtxt(file, "datetime64[s]", delimiter=",", skiprows=1, usecols=0)
        steps = np.rint(np.diff(times) / np.timedelta64(300, "s"))
        # Where an hour is skipped, its samples all carry one stamp: nothing is missing.
        if (steps > 1).any() and (steps > 0).all():
            shares.append((steps[steps > 1] - 1).sum() / len(times))
            longest = max(longest, int(steps.max()) - 1)
    assert MISSING_SHARE[0] == pytest.approx(min(shares), rel=0.3)
    assert max(shares) == pytest.approx(0.002, rel=0.05)
    assert longest == 3
