"""A step's gradients do not depend on its micro-batches, and what is not finite is refused."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from tiny_model import PATCH_SIZE, TinyModel, make_batch, make_settings

from toto_core.errors import TrainingError
from toto_core.training.losses import anchored_targets
from toto_core.training.step import (
    MicroBatch,
    accumulate_gradients,
    clip_gradients,
    fitting_in_memory,
    gradient_norm,
    loss_sum,
    mean_loss,
    refuse_non_finite,
    training_micro_batch,
    validation_micro_batch,
)

CPU = torch.device("cpu")
SETTINGS = make_settings()


def micro_batch(batch=None, **changes):
    return training_micro_batch(
        batch or make_batch(0, rows=16),
        make_settings(**changes),
        patch_size=PATCH_SIZE,
        seed=(0, 0),
        device=CPU,
    )


def split(whole, size):
    fields = [field.name for field in dataclasses.fields(MicroBatch)]
    return [
        MicroBatch(*(getattr(whole, name)[first : first + size] for name in fields))
        for first in range(0, len(whole.items), size)
    ]


def gradients(micro_batches, *, loss_scale=1.0):
    model = TinyModel()
    settings = make_settings(loss_scale=loss_scale)
    loss = accumulate_gradients(model, micro_batches, settings)
    return loss, [p.grad for p in model.parameters()]


@pytest.mark.parametrize("size", [8, 4, 1])
def test_accumulated_micro_batches_equal_one_batch(size):
    """Rows have different numbers of observed points, so a mean of means would differ."""
    whole = micro_batch()
    loss, expected = gradients([whole])
    split_loss, found = gradients(split(whole, size))
    assert split_loss == pytest.approx(loss, rel=1e-6)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_loss_scale_scales_the_gradients_and_not_the_loss():
    loss, plain = gradients([micro_batch()], loss_scale=1.0)
    scaled_loss, scaled = gradients([micro_batch()], loss_scale=1024.0)
    assert scaled_loss == loss
    for ours, theirs in zip(scaled, plain, strict=True):
        assert torch.equal(ours, 1024 * theirs)  # a power of two: nothing is rounded


def test_gradients_are_those_of_the_sum_over_targets_and_outputs():
    model, part = TinyModel(), micro_batch()
    mean = loss_sum(model, part, make_settings()) / part.weight.sum()
    loss, found = gradients([part])
    assert loss == pytest.approx(mean.item(), rel=1e-6)
    output = model(part.target[..., :-4], part.target_mask[..., :-4], part.cpm_mask[..., :-4], None)
    targets = anchored_targets(part.target, output.loc, output.scale, patch_size=PATCH_SIZE)
    levels = torch.tensor(output.levels).view(-1, 1, 1, 1, 1)
    missed = targets - output.quantiles
    pinball = torch.maximum(levels * missed, (levels - 1) * missed) * part.weight
    for ours, theirs in zip(
        found, torch.autograd.grad(pinball.sum(), list(model.parameters())), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_masked_values_reach_the_loss_but_not_the_model():
    batch = make_batch(0)
    batch.target_mask[:] = True
    hidden = micro_batch(batch, max_mask_rate=0.8)
    assert not hidden.cpm_mask.all()
    assert hidden.weight.min() == 1
    model = TinyModel()
    masked = ~hidden.cpm_mask
    changed = dataclasses.replace(hidden, target=hidden.target.masked_fill(masked, 1e3))
    assert mean_loss(model, [changed], SETTINGS) > mean_loss(model, [hidden], SETTINGS)
    outputs = [model(m.target, m.target_mask, m.cpm_mask, m.series_ids) for m in (hidden, changed)]
    assert torch.equal(outputs[0].quantiles, outputs[1].quantiles)


def test_masks_repeat_with_the_seed_and_differ_between_micro_batches():
    batch = make_batch(0)
    masks = [
        training_micro_batch(
            batch, make_settings(), patch_size=PATCH_SIZE, seed=(0, index), device=CPU
        ).cpm_mask
        for index in (0, 0, 1)
    ]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_validation_hides_the_horizon_and_judges_nothing_else():
    batch = make_batch(0, horizon=2 * PATCH_SIZE)
    batch.known[0, 1] = True
    found = validation_micro_batch(batch, patch_size=PATCH_SIZE, device=CPU)
    assert not found.cpm_mask[1, :, -2 * PATCH_SIZE :].any()
    assert found.cpm_mask[:, :, : -2 * PATCH_SIZE].all()
    assert found.cpm_mask[0, 1].all()
    assert found.weight[:, :, :-2].sum() == 0
    assert found.weight[0, 1].sum() == 0
    observed = batch.target_mask[..., -2 * PATCH_SIZE :].sum((1, 2))[1:]
    np.testing.assert_array_equal(found.weight.sum((1, 2, 3))[1:], observed)


def test_validation_loss_is_the_mean_over_all_batches():
    parts = [
        validation_micro_batch(make_batch(seed, horizon=8), patch_size=PATCH_SIZE, device=CPU)
        for seed in (1, 2)
    ]
    model = TinyModel()
    counts = [float(part.weight.sum()) for part in parts]
    means = [mean_loss(model, [part], SETTINGS) for part in parts]
    assert mean_loss(model, parts, SETTINGS) == pytest.approx(np.average(means, weights=counts))


def test_step_without_any_observed_target_has_loss_zero():
    batch = make_batch(0)
    batch.target_mask[:] = False
    loss, found = gradients([micro_batch(batch)])
    assert loss == 0
    assert all(grad.abs().max() == 0 for grad in found)


def test_gradients_are_clipped_to_the_norm_together():
    model = TinyModel()
    parameters = list(model.parameters())
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    before = [p.grad.clone() for p in parameters]
    norm = gradient_norm(parameters)
    assert norm == pytest.approx(math.sqrt(sum(float(g.square().sum()) for g in before)))
    clip_gradients(parameters, norm=norm, max_norm=norm)
    assert all(torch.equal(p.grad, g) for p, g in zip(parameters, before, strict=True))
    clip_gradients(parameters, norm=norm, max_norm=norm / 4)
    assert gradient_norm(parameters) == pytest.approx(norm / 4)


def test_infinite_value_is_refused_with_step_loss_and_item():
    batch = make_batch(7)
    batch.target[2, 0, 9] = np.inf
    batch.target_mask[2, 0, 9] = True
    model, parts = TinyModel(), [micro_batch(batch)]
    loss = accumulate_gradients(model, parts, SETTINGS)
    with pytest.raises(
        TrainingError,
        match=r"^train: step 17: loss = nan, a finite number is needed; look at the items "
        r"item-7-2, or lower train.lr$",
    ):
        refuse_non_finite(model, parts, SETTINGS, step=17, loss=loss, norm=1.0)


def test_infinite_gradient_is_refused_by_its_own_name():
    with pytest.raises(TrainingError, match=r"step 3: gradient norm = inf, .*; lower train.lr$"):
        refuse_non_finite(TinyModel(), [micro_batch()], SETTINGS, step=3, loss=0.5, norm=math.inf)


def test_many_faulty_items_are_counted():
    batch = make_batch(7, rows=16)
    batch.target[:, 0, 9] = np.nan
    batch.target_mask[:, 0, 9] = True
    with pytest.raises(TrainingError, match=r"item-7-0, item-7-1, item-7-10, .* and 8 more, or"):
        refuse_non_finite(
            TinyModel(), [micro_batch(batch)], SETTINGS, step=0, loss=math.nan, norm=1.0
        )


def test_finite_step_is_accepted():
    refuse_non_finite(TinyModel(), [micro_batch()], SETTINGS, step=0, loss=0.5, norm=1.0)


def test_infinite_validation_loss_is_refused():
    batch = make_batch(0, horizon=8)
    batch.target[0, 0, 0] = np.inf
    batch.target_mask[0, 0, 0] = True
    part = validation_micro_batch(batch, patch_size=PATCH_SIZE, device=CPU)
    with pytest.raises(TrainingError, match=r"validation loss = nan, a finite number is needed"):
        mean_loss(TinyModel(), [part], SETTINGS)


def test_batch_that_does_not_fit_is_one_line():
    settings = make_settings(batch_size=1024, num_variates=32)
    with (
        pytest.raises(
            TrainingError,
            match=r"^train: batch_size = 1024 rows of 32 variates, fewer are needed to fit the "
            r"memory of cpu; lower train.batch_size and raise train.accumulation$",
        ),
        fitting_in_memory(settings, CPU),
    ):
        torch.empty(2**48)


def test_other_runtime_errors_pass_through():
    with pytest.raises(RuntimeError, match="shapes"), fitting_in_memory(make_settings(), CPU):
        torch.ones(2, 3) @ torch.ones(2, 3)
