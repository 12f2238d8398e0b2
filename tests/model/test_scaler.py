"""Causal statistics: equal to a plain loop, causal bit for bit, stable at high levels."""

import numpy as np
import pytest
import torch

from toto_core.model.scaler import MIN_SCALE, causal_stats, standardise

B, V, P, L = 2, 3, 4, 32


@pytest.fixture
def values():
    return torch.randn(B, V, P, L, generator=torch.Generator().manual_seed(0)).cumsum(-1)


@pytest.fixture
def visible():
    return torch.rand(B, V, P, L, generator=torch.Generator().manual_seed(1)) < 0.7


def by_loop(values, visible, patch):
    seen = values[: patch + 1][visible[: patch + 1]].double().numpy()
    if not len(seen):
        return 0.0, MIN_SCALE
    spread = np.sqrt(((seen - seen.mean()) ** 2).sum() / max(len(seen) - 1, 1))
    return seen.mean(), max(spread, MIN_SCALE)


@pytest.mark.parametrize("level", [0.0, 1e6])
def test_stats_equal_a_plain_loop(values, visible, level):
    values = values + level
    visible[0, 0, :2] = False  # starts late
    visible[0, 1, 2] = False  # a gap of a patch
    visible[1, 0] = False  # never observed
    visible[1, 1] = False
    visible[1, 1, 1, 5] = True  # a single observation
    loc, scale = causal_stats(values, visible)
    for b, v, p in np.ndindex(B, V, P):
        expected = by_loop(values[b, v], visible[b, v], p)
        found = (loc[b, v, p].item(), scale[b, v, p].item())
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9), (b, v, p)


def test_stats_of_invisible_values_do_not_exist(values, visible):
    before = causal_stats(values, visible)
    after = causal_stats(torch.where(visible, values, torch.inf), visible)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)


def test_stats_are_causal_bit_for_bit(values, visible):
    changed, seen = values.clone(), visible.clone()
    changed[:, :, 2:] = 1e9
    seen[:, :, 2:] = True
    for one, other in zip(causal_stats(values, visible), causal_stats(changed, seen), strict=True):
        assert torch.equal(one[..., :2], other[..., :2])
        assert not torch.equal(one, other)


def test_constant_series_has_the_least_scale():
    loc, scale = causal_stats(torch.full((1, 1, 2, L), 0.1), torch.ones(1, 1, 2, L) > 0)
    torch.testing.assert_close(loc, torch.full_like(loc, 0.1), rtol=1e-7, atol=0)
    assert (scale == MIN_SCALE).all()


def test_leading_patches_take_the_stats_of_the_first_values(values):
    visible = torch.zeros(1, 1, P, L, dtype=torch.bool)
    visible[0, 0, 0, :3] = True
    visible[0, 0, 1, :5] = True
    visible[0, 0, 2, :5] = True
    values = values[:1, :1]
    plain, filled = causal_stats(values, visible), causal_stats(values, visible, min_observed=8)
    for one, other in zip(plain, filled, strict=True):
        assert one[0, 0, 0] != other[0, 0, 0]
        torch.testing.assert_close(other[0, 0, 0], one[0, 0, 1], rtol=1e-12, atol=0)
        assert torch.equal(one[..., 1:], other[..., 1:])


def test_standardise_is_the_inverse_of_the_forecast_space(values):
    loc, scale = torch.randn(B, V, P), torch.rand(B, V, P) + 0.1
    z = standardise(values, loc, scale)
    torch.testing.assert_close(z.sinh() * scale[..., None] + loc[..., None], values)
