"""Every parameter gets its u-muP rate, and AdamW moves it by that rate."""

import math

import pytest
import torch
from torch import nn

from toto_core.model import SIZES, Toto2
from toto_core.optim.groups import build_adamw, parameter_rates, set_lr


class Leaf(nn.Module):
    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(fan_out, fan_in))
        self.bias = nn.Parameter(torch.ones(fan_out))


def network(num_layers=4):
    model = nn.Module()
    model.patch_proj = nn.ModuleDict({"linear1": Leaf(64, 8)})
    model.transformer = nn.Module()
    model.transformer.layers = nn.ModuleList(
        nn.ModuleDict({"out_proj": Leaf(16, 8)}) for _ in range(num_layers)
    )
    readout = nn.ModuleDict({"linear1": Leaf(8, 32), "linear2": Leaf(32, 9)})
    model.output_head = nn.ModuleDict({"param_projection": nn.ModuleDict({"proj": readout})})
    return model


def test_rates_follow_width_and_depth():
    rates = {rate.name: rate for rate in parameter_rates(network(num_layers=4))}
    assert rates["patch_proj.linear1.weight"].rate == 1 / 8
    assert rates["patch_proj.linear1.bias"].rate == 1
    assert rates["transformer.layers.2.out_proj.weight"].rate == 1 / 4 / 2
    assert rates["transformer.layers.2.out_proj.bias"].rate == 1 / 2
    assert rates["output_head.param_projection.proj.linear1.weight"].rate == 8**-0.5
    assert rates["output_head.param_projection.proj.linear2.weight"].rate == 1
    assert rates["output_head.param_projection.proj.linear2.weight"].kind == "readout"


def test_rates_count_the_layers_that_do_not_learn_too():
    model = network(num_layers=4)
    before = {rate.name: rate for rate in parameter_rates(model)}
    model.requires_grad_(False)
    model.transformer.layers[3].requires_grad_(True)
    rates = parameter_rates(model)
    assert [rate.name for rate in rates] == [
        f"transformer.layers.3.out_proj.{part}" for part in ("weight", "bias")
    ]
    assert rates == [before[rate.name] for rate in rates]


def test_only_matrices_of_the_stack_decay():
    decayed = {rate.name for rate in parameter_rates(network(num_layers=2)) if rate.decayed}
    assert decayed == {f"transformer.layers.{n}.out_proj.weight" for n in range(2)}


def test_every_parameter_is_in_one_group():
    model = network()
    optimiser = build_adamw(model, lr=0.1, betas=(0.9, 0.99), eps=1e-14, weight_decay=0.0)
    grouped = [p for group in optimiser.param_groups for p in group["params"]]
    assert len(grouped) == len(set(grouped)) == len(list(model.parameters()))


def test_first_step_moves_each_parameter_by_its_rate():
    """Adam's first step is lr * sign(gradient) where eps is negligible."""
    model = network()
    optimiser = build_adamw(model, lr=0.1, betas=(0.9, 0.99), eps=1e-14, weight_decay=0.0)
    set_lr(optimiser, 0.5)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    optimiser.step()
    parameters = dict(model.named_parameters())
    for rate in parameter_rates(model):
        moved = 1 - parameters[rate.name]
        torch.testing.assert_close(moved, torch.full_like(moved, 0.05 * rate.rate))


def test_weight_decay_shrinks_every_matrix_of_the_stack_alike_whatever_its_rate():
    model = network()
    model.transformer.layers[0]["out_proj"] = Leaf(256, 8)
    optimiser = build_adamw(model, lr=0.1, betas=(0.9, 0.99), eps=1e-14, weight_decay=0.2)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for name, parameter in model.named_parameters():
        shrunk = 1 - 0.1 * 0.2 if "layers" in name and parameter.ndim == 2 else 1.0
        torch.testing.assert_close(parameter.data, torch.full_like(parameter, shrunk))


def test_adamw_matches_an_unfused_one_on_random_gradients():
    torch.manual_seed(0)
    model, reference = network(), network()
    optimiser = build_adamw(model, lr=0.1, betas=(0.9, 0.98), eps=1e-14, weight_decay=0.0)
    peers = torch.optim.AdamW(
        [
            {"params": [dict(reference.named_parameters())[rate.name]], "lr": 0.1 * rate.rate}
            for rate in parameter_rates(reference)
        ],
        betas=(0.9, 0.98),
        eps=1e-14,
        weight_decay=0.0,
    )
    for _ in range(5):
        for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
            ours.grad = torch.randn_like(ours)
            theirs.grad = ours.grad.clone()
        optimiser.step()
        peers.step()
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("size", ["nano", "1m", "4m"])
def test_real_network_has_no_parameter_of_the_wrong_kind(size):
    config = SIZES[size]
    rates = parameter_rates(Toto2(config))
    readouts = [rate.name for rate in rates if rate.kind == "readout"]
    assert readouts == [
        "output_head.param_projection.proj.linear2.weight",
        "output_head.param_projection.proj.skip_proj.weight",
    ]
    in_stack = {rate.name: rate.rate for rate in rates if "layers.0." in rate.name}
    fc2 = in_stack["transformer.layers.0.ffn.fc2.weight"]
    assert math.isclose(fc2, (config.d_ff * config.num_layers) ** -0.5)
