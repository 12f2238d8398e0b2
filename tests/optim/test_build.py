"""The optimisers of a run move every parameter once, by the rate that the groups give it."""

import math

import pytest
import torch
from repository_settings import settings_with
from torch import nn

from toto_core.model import SIZES, Toto2
from toto_core.optim.build import build_optimisers, rates_table
from toto_core.optim.groups import parameter_rates, set_lr

BOTH = pytest.mark.parametrize("optimizer", ["adamw", "normuon"])


class Leaf(nn.Module):
    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(fan_out, fan_in))
        self.bias = nn.Parameter(torch.ones(fan_out))


def network(*, num_layers=4, fan_in=16):
    model = nn.Module()
    model.patch_proj = nn.ModuleDict({"linear1": Leaf(64, 8)})
    model.transformer = nn.Module()
    model.transformer.layers = nn.ModuleList(
        nn.ModuleDict({"out_proj": Leaf(fan_in, 8)}) for _ in range(num_layers)
    )
    readout = nn.ModuleDict({"linear1": Leaf(8, 32), "linear2": Leaf(32, 9)})
    model.output_head = nn.ModuleDict({"param_projection": nn.ModuleDict({"proj": readout})})
    return model


def step(model, settings, gradient, *, factor=1.0):
    optimisers = build_optimisers(model, settings)
    for parameter in model.parameters():
        parameter.grad = gradient(parameter)
    for optimiser in optimisers:
        set_lr(optimiser, factor)
        optimiser.step()
    return optimisers


@BOTH
def test_every_parameter_is_in_one_group(optimizer):
    model = network()
    optimisers = build_optimisers(model, settings_with(optimizer=optimizer))
    grouped = [p for o in optimisers for group in o.param_groups for p in group["params"]]
    assert len(grouped) == len(set(grouped)) == len(list(model.parameters()))


def test_frozen_parameters_are_in_none():
    model = network()
    model.transformer.requires_grad_(False)
    (optimiser,) = build_optimisers(model, settings_with(optimizer="normuon"))
    assert isinstance(optimiser, torch.optim.AdamW)
    grouped = {p for group in optimiser.param_groups for p in group["params"]}
    assert grouped == {p for p in model.parameters() if p.requires_grad}


def test_first_step_of_adamw_moves_each_parameter_by_its_rate():
    """Adam's first step is lr * sign(gradient) where eps is negligible."""
    model = network()
    step(model, settings_with(lr=0.1), lambda p: torch.full_like(p, 3.0), factor=0.5)
    parameters = dict(model.named_parameters())
    for rate in parameter_rates(model):
        moved = 1 - parameters[rate.name]
        torch.testing.assert_close(moved, torch.full_like(moved, 0.05 * rate.rate))


def test_first_step_of_normuon_has_the_norm_of_an_orthogonal_matrix_times_its_rate():
    """sqrt(8 / 16) of the shape times sqrt(8), the Frobenius norm of eight orthonormal rows."""
    model = network()
    generator = torch.Generator().manual_seed(0)
    settings = settings_with(optimizer="normuon", lr=0.3, normuon={"lr": 0.1})
    step(model, settings, lambda p: torch.randn(p.shape, generator=generator), factor=0.5)
    for layer in model.transformer.layers:
        moved = (layer["out_proj"].weight.data - 1).norm().item()
        assert moved == pytest.approx(0.05 / 2 * math.sqrt(8 / 16) * math.sqrt(8), rel=0.1)
        assert (layer["out_proj"].bias.data - 1).abs().max().item() == pytest.approx(0.15 / 2)
    assert (model.patch_proj["linear1"].weight.data - 1).abs().max().item() == pytest.approx(
        0.15 / 8
    )


@BOTH
def test_weight_decay_shrinks_every_matrix_of_the_stack_alike_whatever_its_rate(optimizer):
    model = network(num_layers=3)
    model.transformer.layers[0]["out_proj"] = Leaf(256, 8)
    settings = settings_with(
        optimizer=optimizer, lr=0.1, weight_decay=0.2, normuon={"lr": 0.1, "weight_decay": 0.2}
    )
    step(model, settings, torch.zeros_like)
    for name, parameter in model.named_parameters():
        shrunk = 1 - 0.1 * 0.2 if "layers" in name and parameter.ndim == 2 else 1.0
        torch.testing.assert_close(parameter.data, torch.full_like(parameter, shrunk))


def test_adamw_matches_an_unfused_one_on_random_gradients():
    torch.manual_seed(0)
    model, reference = network(), network()
    settings = settings_with(lr=0.1, weight_decay=0.0)
    peers = torch.optim.AdamW(
        [
            {"params": [dict(reference.named_parameters())[rate.name]], "lr": 0.1 * rate.rate}
            for rate in parameter_rates(reference)
        ],
        betas=(settings.beta1, settings.beta2),
        eps=settings.eps,
        weight_decay=0.0,
    )
    (optimiser,) = build_optimisers(model, settings)
    for _ in range(5):
        for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
            ours.grad = torch.randn_like(ours)
            theirs.grad = ours.grad.clone()
        optimiser.step()
        peers.step()
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_settings_of_normuon_reach_it():
    settings = settings_with(optimizer="normuon", normuon={"momentum": 0.7, "beta2": 0.8})
    optimiser = build_optimisers(network(), settings)[0]
    assert [optimiser.defaults[key] for key in ("momentum", "beta2", "nesterov")] == [
        0.7,
        0.8,
        True,
    ]


def test_table_has_a_row_for_each_kind_of_parameter():
    settings = settings_with(optimizer="normuon", lr=0.012, normuon={"lr": 0.652})
    rows = rates_table(Toto2(SIZES["4m"]), settings).splitlines()
    assert (
        "| transformer.layers.*.ffn.fc2.weight | 256 x 688 | matrix | normuon | 0.326 | yes | 4 |"
        in rows
    )
    assert (
        "| transformer.layers.*.attn.in_proj.bias | 768 | vector | adamw | 0.006 | no | 4 |" in rows
    )
    assert "| patch_proj.linear2.weight | 256 x 1024 | matrix | adamw | 0.000375 | no | 1 |" in rows
    assert len(rows) == 2 + 6 + 7 + 6


@pytest.mark.parametrize(("size", "factor"), [("nano", 0.5), ("4m", 1.0), ("22m", 2**0.5)])
def test_width_rule_keeps_the_published_rate_at_the_width_it_was_found_at(size, factor):
    model = Toto2(SIZES[size])
    peaks = {}
    for rule in ("published", "transfer"):
        normuon = {"lr": 0.4, "width_rule": rule, "weight_decay": 0.03}
        optimiser = build_optimisers(model, settings_with(optimizer="normuon", normuon=normuon))[0]
        group = optimiser.param_groups[0]
        peaks[rule] = group["peak_lr"]
        assert group["peak_lr"] * group["weight_decay"] == pytest.approx(0.4 * 0.03)
    assert peaks["transfer"] == pytest.approx(factor * peaks["published"])
