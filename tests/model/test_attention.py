"""Attention along time and over variates: masks, shortcuts, and the two ways to compute it."""

import pytest
import torch
import torch.nn.functional as F

from toto_core.model.attention import AxisAttention, _attend_by_products, plain_stand, sight

B, V, P, D, HEADS = 2, 3, 5, 32, 2


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def attention(*, over_variates):
    made = AxisAttention(d_model=D, num_heads=HEADS, over_variates=over_variates, mix=0.5)
    with torch.no_grad():
        for seed, parameter in enumerate(made.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed))
    return made


def view(groups):
    return sight(plain_stand(groups), head_dim=D // HEADS, dtype=torch.float32)


@pytest.fixture
def one_group():
    return torch.zeros(B, V, P, dtype=torch.int64)


@pytest.mark.parametrize("over_variates", [False, True], ids=["time", "variates"])
def test_patch_of_another_group_is_neither_seen_nor_sees(over_variates, one_group):
    layer, x = attention(over_variates=over_variates), draw(B, V, P, D)
    one_group[:, 1, 2] = -1
    changed = x.clone()
    changed[:, 1, 2] = 1e3
    before, after = layer(x, view(one_group)), layer(changed, view(one_group))
    others = one_group == 0
    assert torch.equal(before[others], after[others])
    assert not torch.equal(before[~others], after[~others])
    assert after.isfinite().all()


def test_over_variates_a_patch_sees_its_own_time_only(one_group):
    layer, x = attention(over_variates=True), draw(B, V, P, D)
    changed = x.clone()
    changed[:, 0, 2] += 1
    moved = (layer(x, view(one_group)) - layer(changed, view(one_group))).abs().amax((0, 3))
    assert (moved[:, 2] > 1e-4).all()
    assert (moved[:, [0, 1, 3, 4]] == 0).all()


def test_single_variate_equals_attention_to_itself(one_group):
    layer, x = attention(over_variates=True), draw(B, 1, P, D)
    groups = one_group[:, :1]
    shortcut = layer(x, view(groups))
    shortcut.square().sum().backward()
    short_grads = [None if p.grad is None else p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    alone = torch.arange(2).expand(B, P, 2).transpose(1, 2)  # a second variate, in its own group
    whole = layer(torch.cat([x, torch.zeros_like(x)], 1), view(alone))[:, :1]
    torch.testing.assert_close(shortcut, whole)
    whole.square().sum().backward()
    for (name, p), grad in zip(layer.named_parameters(), short_grads, strict=True):
        if grad is None or "per_dim" in name:
            assert p.grad.abs().max() < 1e-5, name
            continue
        factor = 2**0.5  # twice the tokens in the scale of weight gradients
        torch.testing.assert_close(grad, factor * p.grad, rtol=1e-4, atol=1e-4)


def test_products_equal_the_fused_kernel():
    q, k, v = (draw(B, HEADS, P, 16, seed=seed) for seed in range(3))
    seen = torch.ones(P, P, dtype=torch.bool).tril().expand(B, 1, P, P)
    torch.testing.assert_close(
        _attend_by_products(q, k, v, seen),
        F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=1.0),
    )
