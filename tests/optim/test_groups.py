"""Every parameter gets its optimiser and its u-muP rate."""

import math

import pytest
import torch
from torch import nn

from toto_core.model import SIZES, Toto2
from toto_core.optim.groups import parameter_rates


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


def test_normuon_moves_the_weight_matrices_of_the_stack_and_nothing_else():
    model = network(num_layers=4)
    rates = {rate.name: rate for rate in parameter_rates(model, "normuon")}
    moved = {name for name, rate in rates.items() if rate.optimiser == "normuon"}
    assert moved == {f"transformer.layers.{n}.out_proj.weight" for n in range(4)}
    assert {rates[name].rate for name in moved} == {1 / 2}  # no rule of width beside the depth
    others = {rate.name: rate for rate in parameter_rates(model, "adamw")}
    assert all(rates[name] == others[name] for name in set(rates) - moved)


def test_low_rank_changes_of_a_matrix_are_for_adamw():
    model = network(num_layers=2)
    layer = model.transformer.layers[0]
    layer["out_proj"].down = nn.Parameter(torch.ones(2, 16))
    rates = {rate.name: rate for rate in parameter_rates(model, "normuon")}
    assert rates["transformer.layers.0.out_proj.down"].optimiser == "adamw"


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


@pytest.mark.parametrize("size", ["nano", "4m"])
def test_normuon_gets_four_matrices_of_each_layer_of_a_real_network(size):
    rates = parameter_rates(Toto2(SIZES[size]), "normuon")
    found = [rate.name for rate in rates if rate.optimiser == "normuon"]
    assert found == [
        f"transformer.layers.{n}.{part}.weight"
        for n in range(SIZES[size].num_layers)
        for part in ("attn.in_proj", "attn.out_proj", "ffn.fc1", "ffn.fc2")
    ]
    assert all(rate.decayed == (rate.name in found) for rate in rates)
