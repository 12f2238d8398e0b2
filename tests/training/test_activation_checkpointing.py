"""Activation checkpointing changes what is kept for the backward pass, and no number."""

import pytest
import torch
from real_batch import real_batch
from tiny_model import make_settings

from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.step import accumulate_gradients, training_micro_batch

DTYPES = [torch.float32, torch.bfloat16]


def micro_batch(num_variates=3):
    return training_micro_batch(
        real_batch(rows=4, num_variates=num_variates, num_patches=4),
        make_settings(),
        patch_size=32,
        seed=(0, 0),
        device=torch.device("cpu"),
    )


def pass_both_ways(*, on, dtype=torch.float32, num_variates=3):
    """Loss, gradients and the bytes that the forward kept, each storage counted once."""
    model = Toto2(for_context(SIZES["nano"], 128)).to_compute(dtype)
    model.set_activation_checkpointing(on)
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = accumulate_gradients(model, [micro_batch(num_variates)], make_settings())
    return loss, [p.grad for p in model.parameters()], sum(kept.values())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("num_variates", [1, 3])
def test_loss_and_gradients_are_the_same_to_the_bit(dtype, num_variates):
    plain = pass_both_ways(on=False, dtype=dtype, num_variates=num_variates)
    checkpointed = pass_both_ways(on=True, dtype=dtype, num_variates=num_variates)
    assert checkpointed[0] == plain[0]
    for ours, theirs in zip(checkpointed[1], plain[1], strict=True):
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)


def test_layers_keep_nothing_but_their_input():
    """The three layers keep 4 rows x 3 variates x 4 patches x 64 floats each, and no more."""
    plain, checkpointed = pass_both_ways(on=False)[2], pass_both_ways(on=True)[2]
    assert checkpointed < 0.5 * plain


def test_validation_is_not_computed_twice(monkeypatch):
    model = Toto2(for_context(SIZES["nano"], 128))
    model.set_activation_checkpointing(True)

    def refused(*arguments, **options):
        raise AssertionError("checkpointed without gradients")

    monkeypatch.setattr("toto_core.model.blocks.checkpoint", refused)
    part = micro_batch()
    with torch.no_grad():
        model(part.target, part.target_mask, part.cpm_mask, part.series_ids)
    with pytest.raises(AssertionError, match="without gradients"):
        model(part.target, part.target_mask, part.cpm_mask, part.series_ids)
