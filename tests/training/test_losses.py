"""The pinball loss has its formula, its anchor and its weights."""

import math

import numpy as np
import pytest
import torch

from toto_core.model.sizes import QUANTILE_LEVELS
from toto_core.training.losses import anchored_targets, pinball_sum, target_weights

B, V, P, L = 2, 3, 4, 2
T = P * L


def test_pinball_of_one_point_by_hand():
    """Quantile 0 and target 2: level q costs 2 q; target -2: 2 (1 - q)."""
    quantiles = torch.zeros(9, 1, 1, 1, 1)
    one = torch.ones(1, 1, 1, 1)
    assert pinball_sum(quantiles, 2 * one, one).item() == pytest.approx(2 * 0.5)
    lowest = torch.zeros(1, 1, 1, 1, 1)
    assert pinball_sum(lowest, 2 * one, one, levels=(0.1,)).item() == pytest.approx(0.2)
    assert pinball_sum(lowest, -2 * one, one, levels=(0.1,)).item() == pytest.approx(1.8)


def test_pinball_matches_plain_loops():
    rng = np.random.default_rng(0)
    quantiles = rng.standard_normal((9, B, V, P, L))
    target, weight = rng.standard_normal((B, V, P, L)), rng.integers(0, 2, (B, V, P, L))
    total = 0.0
    for index in np.ndindex(B, V, P, L):
        for level, row in zip(QUANTILE_LEVELS, quantiles, strict=True):
            d = target[index] - row[index]
            total += weight[index] * (level * d if d > 0 else (level - 1) * d) / 9
    found = pinball_sum(*(torch.from_numpy(x).float() for x in (quantiles, target, weight)))
    assert found.item() == pytest.approx(total, rel=1e-5)


def test_pinball_gradient_is_level_minus_whether_target_is_below():
    quantiles = torch.zeros(9, 1, 1, 1, 2, requires_grad=True)
    target = torch.tensor([3.0, -3.0]).view(1, 1, 1, 2)
    pinball_sum(quantiles, target, torch.ones(1, 1, 1, 2)).backward()
    assert quantiles.grad is not None
    levels = torch.tensor(QUANTILE_LEVELS)
    torch.testing.assert_close(quantiles.grad[:, 0, 0, 0, 0], -levels / 9)
    torch.testing.assert_close(quantiles.grad[:, 0, 0, 0, 1], (1 - levels) / 9)


def test_pinball_is_least_at_the_true_quantiles():
    z = torch.randn(1, 1, 1, 20000, generator=torch.Generator().manual_seed(0))
    normal = torch.distributions.Normal(0.0, 1.0)
    true = normal.icdf(torch.tensor(QUANTILE_LEVELS)).view(9, 1, 1, 1, 1).expand(9, 1, 1, 1, 20000)
    ones = torch.ones_like(z)
    least = pinball_sum(true, z, ones)
    assert all(pinball_sum(true + shift, z, ones) > least for shift in (-0.1, 0.1))


def test_targets_are_anchored_at_the_patch_before():
    target = torch.arange(T).float().view(1, 1, T)
    loc = torch.arange(P).float().repeat_interleave(L).view(1, 1, T) * 10
    scale = torch.tensor([1.0, 2.0, 4.0, 8.0]).repeat_interleave(L).view(1, 1, T)
    found = anchored_targets(target, loc[..., :-L], scale[..., :-L], patch_size=L)
    expected = [
        [math.asinh((2 - 0) / 1), math.asinh((3 - 0) / 1)],
        [math.asinh((4 - 10) / 2), math.asinh((5 - 10) / 2)],
        [math.asinh((6 - 20) / 4), math.asinh((7 - 20) / 4)],
    ]
    torch.testing.assert_close(found[0, 0], torch.tensor(expected))


def test_targets_do_not_depend_on_their_own_patch_statistics():
    """A leak of patch i + 1 into its own standardisation would show here."""
    target = torch.randn(1, 1, T)
    loc, scale = torch.zeros(1, 1, T - L), torch.ones(1, 1, T - L)
    changed = loc.clone()
    changed[..., -L:] = 99.0
    before = anchored_targets(target, loc, scale, patch_size=L)
    after = anchored_targets(target, changed, scale, patch_size=L)
    assert torch.equal(after[..., :-1, :], before[..., :-1, :])
    assert not torch.equal(after, before)


def test_targets_keep_their_digits_at_a_high_level():
    level = 16777216.0  # 2^24: float32 has no digits left below 2
    target = torch.full((1, 1, T), level)
    loc = torch.full((1, 1, T - L), level, dtype=torch.float64) + 0.5
    found = anchored_targets(target, loc, torch.ones(1, 1, T - L), patch_size=L)
    torch.testing.assert_close(found, torch.full_like(found, math.asinh(-0.5)))


def masks():
    everything = torch.ones(B, V, T, dtype=torch.bool)
    return everything.clone(), everything.clone(), torch.zeros(B, V, dtype=torch.bool)


def test_weights_are_one_where_all_is_observed():
    assert target_weights(*masks(), patch_size=L).sum() == B * V * (P - 1) * L


def test_unobserved_targets_do_not_count():
    observed, visible, known = masks()
    observed[0, 0, 5] = False
    weight = target_weights(observed, visible, known, patch_size=L)
    assert weight[0, 0, 1, 1] == 0
    assert weight.sum() == B * V * (P - 1) * L - 1


def test_targets_without_a_visible_past_do_not_count():
    observed, visible, known = masks()
    observed[0, 0, : 2 * L] = False
    visible[1, 1, :L] = False
    weight = target_weights(observed, visible, known, patch_size=L)
    assert weight[0, 0].tolist() == [[0, 0], [0, 0], [1, 1]]
    assert weight[1, 1].tolist() == [[0, 0], [1, 1], [1, 1]]


def test_masked_targets_count_as_the_others():
    observed, visible, known = masks()
    visible[:, :, L:] = False
    assert target_weights(observed, visible, known, patch_size=L).sum() == B * V * (P - 1) * L


def test_known_covariates_do_not_count():
    observed, visible, known = masks()
    known[1, 2] = True
    weight = target_weights(observed, visible, known, patch_size=L)
    assert weight[1, 2].sum() == 0
    assert weight.sum() == (B * V - 1) * (P - 1) * L


def test_horizon_alone_counts_where_there_is_one():
    weight = target_weights(*masks(), patch_size=L, horizon=2 * L)
    assert weight[0, 0].tolist() == [[0, 0], [1, 1], [1, 1]]
