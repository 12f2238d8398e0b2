"""
At the start activations and gradients have unit scale at every width.

The control initialises the matrices as ordinary networks do and must fail.
"""

import pytest
import torch

from toto_core.model import ModelConfig, Toto2

WIDTHS = (64, 128, 256)
SHARES = (0.4, 2.5)  # between which a root mean square counts as one
GRADIENT_SHARES = (0.5, 4)


def model_of(width):
    config = ModelConfig(
        d_model=width,
        num_heads=width // 64,
        num_groups=width // 64,
        num_layers=3,
        layer_group_size=3,
        d_ff=8 * round(width / 3),
        residual_attn_ratio=1.9,
    )
    return Toto2(config, seed=width)


def measured(model):
    """Root mean squares: of what linear layers give, and of the gradients of matrices."""
    outputs = {}

    def keep(name):
        def hook(module, inputs, output):
            gain = module.forward_scale * module.weight.shape[1] ** 0.5  # its share in a residual
            outputs[name] = output.detach().square().mean().sqrt().item() / gain

        return hook

    for name, module in model.named_modules():
        if name.endswith(("in_proj", "fc1", "patch_proj.linear1", "patch_proj.linear2")):
            module.register_forward_hook(keep(name))
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(4, 2, 256, generator=generator)
    mask = torch.ones_like(target, dtype=torch.bool)
    quantiles = model(target, mask, mask, torch.zeros(4, 2, dtype=torch.int64)).quantiles
    quantiles.backward(torch.randn(quantiles.shape, generator=generator))
    gradients = {
        name: parameter.grad.square().mean().sqrt().item()
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and "transformer" in name
    }
    return outputs, gradients


@pytest.fixture(scope="module")
def by_width():
    return {width: measured(model_of(width)) for width in WIDTHS}


@pytest.mark.parametrize("width", WIDTHS)
def test_activations_have_unit_scale(by_width, width):
    for name, value in by_width[width][0].items():
        assert SHARES[0] < value < SHARES[1], f"{name}: {value:.3f}"


@pytest.mark.parametrize("width", WIDTHS)
def test_gradients_of_matrices_have_unit_scale(by_width, width):
    for name, value in by_width[width][1].items():
        assert GRADIENT_SHARES[0] < value < GRADIENT_SHARES[1], f"{name}: {value:.3f}"


def test_scales_do_not_drift_with_width(by_width):
    for narrow, wide in zip(by_width[WIDTHS[0]], by_width[WIDTHS[-1]], strict=True):
        for name, value in narrow.items():
            assert wide[name] == pytest.approx(value, rel=0.4), name


def test_ordinary_initialisation_has_neither():
    model = model_of(WIDTHS[-1])
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(parameter.shape[1] ** -0.5)
    outputs, gradients = measured(model)
    assert not all(SHARES[0] < value < SHARES[1] for value in outputs.values())
    low, high = GRADIENT_SHARES
    assert not all(low < value < high for value in gradients.values())
