"""Contiguous patch masking hides the share, the spans and the patches that it should."""

import numpy as np
import pytest
from scipy import stats

from toto_core.training.masking import visible_patches

B, V, P = 64, 8, 128


def draw(*, seed=0, max_span=16, max_rate=0.4, ids=None, known=None, observed=None):
    own = np.tile(np.arange(V), (B, 1))
    return visible_patches(
        own if ids is None else ids,
        np.zeros((B, V), np.bool_) if known is None else known,
        np.ones((B, V, P), np.bool_) if observed is None else observed,
        max_span=max_span,
        max_rate=max_rate,
        seed=(seed, 0),
    )


def share_error(visible, expected):
    """Distance of the masked share from ``expected``, in standard errors of the item means."""
    shares = 1 - visible[..., 1:].reshape(-1, P - 1).mean(1)
    return abs(shares.mean() - expected) / (shares.std() / np.sqrt(len(shares)))


@pytest.mark.parametrize("max_rate", [0.2, 0.4, 0.8])
@pytest.mark.parametrize("max_span", [1, 5, 16])
def test_masked_share_is_half_the_largest_rate(max_rate, max_span):
    visible = draw(max_rate=max_rate, max_span=max_span)
    assert share_error(visible, max_rate / 2) < 4


def test_masked_share_test_can_tell_a_wrong_rate():
    """Negative control: the same test refuses a rate that is 20 % off."""
    assert share_error(draw(max_rate=0.4), 0.24) > 4


def test_rate_differs_from_item_to_item():
    """A fixed rate would give binomial shares; the drawn rate spreads them evenly over 0 to 0.8."""
    shares = 1 - draw(max_rate=0.8, max_span=1).mean(2)
    quarters = np.quantile(shares, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quarters, [0.2, 0.4, 0.6], atol=0.06)


def rate_fit(shares, max_rate):
    """P-value of shares that long items with spans of one patch have, if U(0, max_rate)."""
    return stats.kstest(shares.ravel(), stats.uniform(0, max_rate).cdf).pvalue


def test_rates_are_uniform_and_independent_between_items():
    long = np.ones((B, V, 4096), np.bool_)
    shares = 1 - draw(max_span=1, observed=long).mean(2)
    assert rate_fit(shares, 0.4) > 0.01
    assert rate_fit(shares, 0.36) < 1e-3  # negative control
    between = np.corrcoef(shares.T)[np.triu_indices(V, 1)]
    assert np.abs(between).max() < 4 / np.sqrt(B)
    assert abs(np.corrcoef(shares.ravel()[1:], shares.ravel()[:-1])[0, 1]) < 4 / np.sqrt(B * V)


def span_counts(max_span, *, num_draws=60):
    """How often masked runs of each length occur where two spans hardly ever meet.

    Only runs well inside count, as the ends of the series and the protected first patch cut spans.
    """
    counts = np.zeros(max_span + 1, np.int64)
    for seed in range(num_draws):
        masked = ~draw(seed=seed, max_span=max_span, max_rate=0.008).reshape(-1, P)
        edges = np.argwhere(np.diff(masked.astype(np.int8), axis=1, append=0, prepend=0))
        first, end = edges[::2, 1], edges[1::2, 1]
        length = (end - first)[(first > max_span) & (end < P - max_span)]
        counts += np.bincount(length[length <= max_span], minlength=max_span + 1)
    return counts[1:]


def span_fit(counts):
    """P-value of the counts if c ~ U{1..len(counts)}, each cell of c patches having one chance."""
    longest = len(counts)
    chances = [
        sum(first > longest and first + c < P - longest for first in range(0, P, c))
        for c in range(1, longest + 1)
    ]
    return stats.chisquare(counts, counts.sum() * np.array(chances) / sum(chances)).pvalue


def test_spans_are_uniform_from_1_to_max_span():
    counts = span_counts(16)
    assert span_fit(counts) > 0.01
    assert counts[12:].sum() > 0
    skewed = counts.copy()
    skewed[8:] = skewed[8:] // 2  # negative control: long spans half as often
    assert span_fit(skewed) < 1e-3


def draw_runs(visible):
    for row in visible.reshape(-1, P):
        edges = np.flatnonzero(np.diff(np.concatenate([[1], row, [1]])))
        yield from edges[1::2] - edges[::2]


def test_spans_have_up_to_max_span_patches():
    assert {1, 2, 3, 4} <= set(draw_runs(draw(max_span=4)))
    rare = draw(max_span=4, max_rate=0.004)
    assert max(draw_runs(rare)) == 4


def test_first_patch_is_never_masked():
    assert draw(max_rate=1.0)[..., 0].all()


def test_first_observed_patch_and_all_before_it_stay_visible():
    observed = np.ones((B, V, P), np.bool_)
    observed[:, :, :20] = False
    visible = draw(max_rate=1.0, observed=observed)
    assert visible[..., :21].all()
    assert not visible[..., 21:].all()


def test_slots_without_observations_stay_visible():
    assert draw(max_rate=1.0, observed=np.zeros((B, V, P), np.bool_)).all()


def test_variates_of_an_item_share_their_mask_and_items_do_not():
    ids = np.tile(np.array([0, 0, 0, 1, 1, 2, 3, -1]), (B, 1))
    visible = draw(ids=ids, max_rate=0.8)
    assert (visible[:, 0] == visible[:, 2]).all()
    assert (visible[:, 3] == visible[:, 4]).all()
    differing = [(visible[:, 0] != visible[:, slot]).any(1).mean() for slot in (3, 5, 6, 7)]
    assert min(differing) > 0.9


def test_known_covariates_are_never_masked():
    known = np.zeros((B, V), np.bool_)
    known[:, 3] = True
    visible = draw(known=known, max_rate=1.0)
    assert visible[:, 3].all()
    assert not visible[:, 2].all()


def test_rate_of_zero_masks_nothing():
    assert draw(max_rate=0.0).all()


def test_mask_repeats_with_its_seed_only():
    assert (draw(seed=1) == draw(seed=1)).all()
    assert (draw(seed=1) != draw(seed=2)).any()
