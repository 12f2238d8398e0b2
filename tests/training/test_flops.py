"""The counted operations are those that torch executes."""

import dataclasses

import pytest
import torch
from real_batch import real_batch
from tiny_model import make_settings
from torch.utils.flop_counter import FlopCounterMode

from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.flops import pass_flops
from toto_core.training.step import loss_sum, training_micro_batch

DEEP = dataclasses.replace(SIZES["nano"], num_layers=5, layer_group_size=5)
GROUPS = dataclasses.replace(SIZES["nano"], num_layers=4, layer_group_size=2)
WIDE = SIZES["1m"]


def executed(model, *, rows, num_variates, num_patches):
    """Forward and whole operations, counted by torch while it computes.

    A training row has one patch more, which is a target only.
    """
    # One patch more than the network reads: the last one is a target only.
    micro_batch = training_micro_batch(
        real_batch(rows=rows, num_variates=num_variates, num_patches=num_patches + 1),
        make_settings(),
        patch_size=32,
        seed=(0, 0),
        device=torch.device("cpu"),
    )
    with FlopCounterMode(display=False) as counter:
        loss = loss_sum(model, micro_batch, make_settings())
        forward = counter.get_total_flops()
        loss.backward()
    return forward, counter.get_total_flops()


@pytest.mark.parametrize("config", [DEEP, GROUPS, WIDE], ids=["deep", "groups", "wide"])
@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 1, 6)], ids=["variates", "alone"])
def test_counted_flops_are_those_executed(config, shape):
    rows, num_variates, num_patches = shape
    model = Toto2(for_context(config, 128))
    given = {"rows": rows, "num_variates": num_variates, "num_patches": num_patches}
    counted = pass_flops(model, **given)
    assert (counted.forward, counted.total) == executed(model, **given)


def test_activation_checkpointing_does_not_count_as_work():
    model = Toto2(for_context(DEEP, 128))
    given = {"rows": 2, "num_variates": 3, "num_patches": 4}
    plain = pass_flops(model, **given)
    model.set_activation_checkpointing(True)
    assert pass_flops(model, **given) == plain
    again = executed(model, **given)[1] - plain.total
    assert 0.5 * plain.forward < again < plain.forward


@pytest.mark.parametrize("size", ["4m", "2.5b"])
def test_flops_are_six_for_each_weight_and_token_and_those_of_attention(size):
    """The rule of thumb, but for what reads the data and so needs no gradient of its input."""
    with torch.device("meta"):
        model = Toto2(SIZES[size], seed=None)
    d, layers = model.config.d_model, model.config.num_layers
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    read_the_data = 64 * 4 * d + 64 * d
    tokens, num_variates, num_patches = 8 * 32 * 128, 32, 128
    attention = 12 * d * tokens * ((layers - 1) * num_patches + num_variates)
    counted = pass_flops(model, rows=8, num_variates=num_variates, num_patches=num_patches)
    assert counted.total == (6 * matrices - 2 * read_the_data) * tokens + attention


def test_frozen_layers_need_no_backward_pass_below_the_learning_ones():
    model = Toto2(for_context(DEEP, 128))
    model.requires_grad_(False)
    model.transformer.layers[-1].requires_grad_(True)
    given = {"rows": 2, "num_variates": 3, "num_patches": 4}
    one, whole = pass_flops(model, **given), pass_flops(Toto2(for_context(DEEP, 128)), **given)
    assert one.forward == whole.forward
    assert one.backward < 0.5 * whole.backward
