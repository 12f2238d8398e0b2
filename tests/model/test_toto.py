"""Properties of the whole network: what may and what may not change its output."""

import pytest
import torch

from toto_core.model import SIZES, Toto2, for_context

B, V, T = 2, 4, 256


@pytest.fixture(scope="module")
def model():
    return Toto2(for_context(SIZES["nano"], T), seed=0)


def walk(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).cumsum(-1)


@pytest.fixture
def inputs():
    """Two series of two variates in each row; some points missing, some patches hidden."""
    target_mask = torch.rand(B, V, T, generator=torch.Generator().manual_seed(1)) < 0.9
    cpm_mask = torch.ones(B, V, T, dtype=torch.bool)
    cpm_mask[0, :2, 96:160] = False
    return {
        "target": walk(B, V, T),
        "target_mask": target_mask,
        "cpm_mask": cpm_mask,
        "series_ids": torch.tensor([0, 0, 5, 5]).expand(B, V).contiguous(),
    }


def test_future_changes_nothing_earlier_to_the_last_bit(model, inputs):
    inputs["target_mask"][1, 0, :140] = False  # starts late
    before = model(**inputs)
    future = torch.arange(T) >= 128
    later = inputs | {
        "target": torch.where(future, 1e4, inputs["target"]),
        "target_mask": inputs["target_mask"] | future,
    }
    after = model(**later)
    assert torch.equal(before.quantiles[..., :4, :], after.quantiles[..., :4, :])
    assert torch.equal(before.loc[..., :128], after.loc[..., :128])
    assert torch.equal(before.scale[..., :128], after.scale[..., :128])
    hidden_until = 5  # the patch after the cut is hidden in some variates
    assert (before.quantiles != after.quantiles)[..., hidden_until:, :].any(-1).all()


def test_unseen_values_have_no_effect(model, inputs):
    hidden = ~(inputs["target_mask"] & inputs["cpm_mask"])
    other = inputs | {"target": torch.where(hidden, torch.nan, inputs["target"])}
    assert torch.equal(model(**inputs).quantiles, model(**other).quantiles)


def test_order_of_variates_is_only_their_order(model, inputs):
    order = torch.tensor([2, 0, 3, 1])
    shuffled = {name: value[:, order] for name, value in inputs.items()}
    torch.testing.assert_close(
        model(**shuffled).quantiles, model(**inputs).quantiles[:, :, order], rtol=1e-4, atol=1e-5
    )


def test_series_of_other_ids_have_no_effect(model, inputs):
    other = inputs | {"target": inputs["target"].clone()}
    other["target"][:, :2] = walk(B, 2, T, seed=9) ** 3
    before, after = model(**inputs).quantiles, model(**other).quantiles
    assert torch.equal(before[:, :, 2:], after[:, :, 2:])
    assert not torch.equal(before[:, :, :2], after[:, :, :2])


def test_variates_of_one_series_inform_each_other(model, inputs):
    other = inputs | {"target": inputs["target"].clone()}
    other["target"][:, 0] = walk(B, T, seed=9) ** 3
    moved = (model(**inputs).quantiles - model(**other).quantiles).abs().amax((0, 1, 3, 4))
    assert (moved[:2] > 1e-4).all()
    assert (moved[2:] == 0).all()


@pytest.mark.parametrize("factor", [1e-3, 4096.0])
def test_level_and_unit_of_the_series_do_not_matter(model, inputs, factor):
    other = inputs | {"target": factor * inputs["target"] + 50 * factor}
    before, after = model(**inputs), model(**other)
    torch.testing.assert_close(before.quantiles, after.quantiles, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after.scale, before.scale * factor, rtol=1e-4, atol=0)
    torch.testing.assert_close(after.loc, (before.loc + 50) * factor, rtol=1e-4, atol=1e-4)


def test_variate_without_values_is_finite_and_inert(model, inputs):
    inputs["target_mask"][:, 0] = False
    inputs["cpm_mask"][:, 0] = True
    before = model(**inputs).quantiles
    after = model(**(inputs | {"target": inputs["target"] * 1})).quantiles
    without = {name: value[:, 1:] for name, value in inputs.items()}
    torch.testing.assert_close(before[:, :, 1:], model(**without).quantiles, rtol=1e-4, atol=1e-5)
    assert torch.equal(before, after)
    assert before.isfinite().all()


@pytest.mark.parametrize("value", [0.0, 5.0, -1e30, 3e38])
def test_constant_series_is_finite(model, inputs, value):
    output = model(**(inputs | {"target": torch.full((B, V, T), value)}))
    assert all(part.isfinite().all() for part in output[:3])


def test_gradients_are_finite_with_missing_and_constant_series(model, inputs):
    inputs["target"][:, 1] = 7.0
    inputs["target_mask"][:, 0] = False
    model.zero_grad()
    model(**inputs).quantiles.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_a_row_does_not_depend_on_the_rows_beside_it(model, inputs):
    alone = {name: value[:1] for name, value in inputs.items()}
    torch.testing.assert_close(
        model(**alone).quantiles, model(**inputs).quantiles[:, :1], rtol=1e-4, atol=1e-5
    )


def test_same_seed_same_weights_other_seed_others():
    first, again, other = (Toto2(SIZES["nano"], seed=seed) for seed in (1, 1, 2))
    for one, two, three in zip(
        first.parameters(), again.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(one, two)
        assert one.ndim < 2 or not torch.equal(one, three)


def test_weights_start_standard_normal_and_the_rest_at_zero():
    for name, parameter in Toto2(SIZES["1m"], seed=0).named_parameters():
        if name.endswith(".weight"):
            tolerance = 5 / parameter.numel() ** 0.5
            assert abs(parameter.mean()) < tolerance, name
            assert abs(parameter.std() - 1) < tolerance, name
        else:
            assert (parameter == 0).all(), name


def test_bfloat16_is_close_to_float32(inputs):
    model = Toto2(for_context(SIZES["nano"], T), seed=0)
    exact = model(**inputs).quantiles
    rough = model.to_compute(torch.bfloat16)(**inputs).quantiles
    assert rough.dtype == torch.float32
    assert (rough - exact).square().mean().sqrt() < 0.03 * exact.square().mean().sqrt()
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_broken_patches_are_refused(model):
    target = torch.zeros(1, 1, 40)
    mask = torch.ones_like(target, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"target: T = 40, a multiple of 32 is allowed; pad"):
        model(target, mask, mask, torch.zeros(1, 1, dtype=torch.int64))
