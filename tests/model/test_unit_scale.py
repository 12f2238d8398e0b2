"""
At the start activations, gradients and updates have unit scale at every width and depth.

The controls break the rule and must fail: matrices drawn as in ordinary networks, and one rate for
all parameters.
"""

import pytest
import torch

from toto_core.model import ModelConfig, Toto2
from toto_core.optim.groups import parameter_rates
from toto_core.optim.normuon import NorMuon

WIDTHS, DEPTHS = (64, 128, 256), (3, 6)
SHARES = (0.4, 2.5)  # between which a root mean square counts as one
GRADIENT_SHARES = (0.5, 4)
UPDATE_SHARES = (0.5, 1.2)
LR = 0.1
EVERY_SHAPE = [(width, depth) for width in WIDTHS for depth in DEPTHS]


def model_of(width, depth):
    config = ModelConfig(
        d_model=width,
        num_heads=width // 64,
        num_groups=width // 64,
        num_layers=depth,
        layer_group_size=depth,
        d_ff=8 * round(width / 3),
        residual_attn_ratio=1.9,
    )
    return Toto2(config, seed=width)


def rms(tensor):
    return tensor.detach().square().mean().sqrt().item()


def measured(model):
    """Root mean squares: of what linear layers give, and of the gradients of matrices."""
    outputs = {}

    def keep(name):
        def hook(module, inputs, output):
            gain = module.forward_scale * module.weight.shape[1] ** 0.5  # its share in a residual
            outputs[name] = rms(output) / gain

        return hook

    for name, module in model.named_modules():
        if name.endswith(("in_proj", "fc1", "patch_proj.linear1", "patch_proj.linear2")):
            module.register_forward_hook(keep(name))
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(4, 2, 256, generator=generator)
    mask = torch.ones_like(target, dtype=torch.bool)
    quantiles = model(target, mask, mask, torch.zeros(4, 2, dtype=torch.int64)).quantiles
    quantiles.backward(torch.randn(quantiles.shape, generator=generator))
    return outputs, {name: rms(p.grad) for name, p in in_stack(model).items()}


def in_stack(model):
    return {n: p for n, p in model.named_parameters() if p.ndim == 2 and "transformer" in n}


def updates(model, optimizer, *, plain_rate=False):
    """Root mean square of a first step of each matrix, in units of lr / sqrt(fan_in * depth)."""
    matrices, depth = in_stack(model), model.config.num_layers
    before = {name: matrix.detach().clone() for name, matrix in matrices.items()}
    generator = torch.Generator().manual_seed(2)
    for matrix in matrices.values():
        matrix.grad = torch.randn(matrix.shape, generator=generator)
    for rate in parameter_rates(model, optimizer):
        if rate.name in matrices:
            matrix = [matrices[rate.name]]
            lr = LR if plain_rate else LR * rate.rate
            if optimizer == "normuon":
                NorMuon(matrix, lr=lr, momentum=0.96, beta2=0.999).step()
            else:
                torch.optim.AdamW(matrix, lr=lr, weight_decay=0.0).step()
    return {
        name: rms(matrix - before[name]) / LR * (matrix.shape[1] * depth) ** 0.5
        for name, matrix in matrices.items()
    }


def within(values, shares):
    return all(shares[0] < value < shares[1] for value in values)


@pytest.fixture(scope="module")
def trained():
    """The network of each shape after one pass, with what was measured."""
    models = {shape: model_of(*shape) for shape in EVERY_SHAPE}
    return {shape: (model, *measured(model)) for shape, model in models.items()}


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_activations_have_unit_scale(trained, shape):
    for name, value in trained[shape][1].items():
        assert SHARES[0] < value < SHARES[1], f"{name}: {value:.3f}"


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_gradients_of_matrices_have_unit_scale(trained, shape):
    for name, value in trained[shape][2].items():
        assert GRADIENT_SHARES[0] < value < GRADIENT_SHARES[1], f"{name}: {value:.3f}"


@pytest.mark.parametrize("depth", DEPTHS)
def test_scales_do_not_drift_with_width(trained, depth):
    of_narrow, of_wide = (trained[width, depth][1:] for width in (WIDTHS[0], WIDTHS[-1]))
    for narrow, wide in zip(of_narrow, of_wide, strict=True):
        for name, value in narrow.items():
            assert wide[name] == pytest.approx(value, rel=0.4), name


@pytest.mark.parametrize("optimizer", ["adamw", "normuon"])
@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_updates_have_unit_scale(trained, shape, optimizer):
    for name, value in updates(trained[shape][0], optimizer).items():
        assert UPDATE_SHARES[0] < value < UPDATE_SHARES[1], f"{name}: {value:.3f}"


def test_ordinary_initialisation_has_neither():
    model = model_of(WIDTHS[-1], DEPTHS[0])
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(parameter.shape[1] ** -0.5)
    outputs, gradients = measured(model)
    assert not within(outputs.values(), SHARES)
    assert not within(gradients.values(), GRADIENT_SHARES)


@pytest.mark.parametrize("optimizer", ["adamw", "normuon"])
@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_one_rate_for_all_parameters_has_no_unit_updates(trained, shape, optimizer):
    found = updates(trained[shape][0], optimizer, plain_rate=True)
    assert not within(found.values(), UPDATE_SHARES)
