"""Unit-scaled operations: formulas of all three directions, and the equivalences they rest on."""

import math

import pytest
import torch
import torch.nn.functional as F

from toto_core.model.umup import Order, UnitLinear, rms_norm, scale_grad, unit_silu

TOKENS, FAN_IN, FAN_OUT = 12, 16, 9


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer(**options):
    made = UnitLinear(FAN_IN, FAN_OUT, **options)
    with torch.no_grad():
        made.weight.copy_(draw(FAN_OUT, FAN_IN))
        if made.bias is not None:
            made.bias.copy_(draw(FAN_OUT, seed=1))
    return made


@pytest.mark.parametrize(
    ("options", "forward", "backward"),
    [
        ({}, FAN_IN**-0.5, FAN_OUT**-0.5),
        ({"constrained": True}, FAN_IN**-0.5, FAN_IN**-0.5),
        ({"readout": True}, 1 / FAN_IN, FAN_OUT**-0.5),
        ({"output_gain": 0.3}, 0.3 * FAN_IN**-0.5, FAN_OUT**-0.5),
        ({"input_grad_gain": 0.3}, FAN_IN**-0.5, 0.3 * FAN_OUT**-0.5),
        ({"constrained": True, "output_gain": 0.3}, 0.3 * FAN_IN**-0.5, FAN_IN**-0.5),
    ],
    ids=str,
)
def test_linear_has_its_own_scale_in_each_direction(options, forward, backward):
    linear = layer(**options)
    x, grad = draw(3, 4, FAN_IN, seed=2).requires_grad_(), draw(3, 4, FAN_OUT, seed=3)
    y = linear(x)
    y.backward(grad)
    torch.testing.assert_close(y, (x @ linear.weight.T + linear.bias) * forward)
    torch.testing.assert_close(x.grad, grad @ linear.weight * backward)
    flat_x, flat_grad = x.flatten(0, 1), grad.flatten(0, 1)
    torch.testing.assert_close(linear.weight.grad, flat_grad.T @ flat_x / math.sqrt(TOKENS))
    torch.testing.assert_close(linear.bias.grad, flat_grad.sum(0) / math.sqrt(TOKENS))


def test_global_tokens_replace_the_tokens_at_hand():
    linear, x = layer(), draw(TOKENS, FAN_IN, seed=2)
    linear(x).sum().backward()
    here = linear.weight.grad.clone()
    linear.weight.grad = None
    linear.global_tokens = 25 * TOKENS
    linear(x).sum().backward()
    torch.testing.assert_close(linear.weight.grad, here / 5)


@pytest.mark.parametrize("bias", [True, False])
def test_row_scale_equals_a_product_behind_the_layer(bias):
    x, grad = draw(TOKENS, FAN_IN, seed=2), draw(TOKENS, FAN_OUT, seed=3)

    def run(fold):
        linear, gains = layer(bias=bias), draw(FAN_OUT, seed=4).requires_grad_()
        tokens = x.clone().requires_grad_()
        y = linear(tokens, row_scale=gains) if fold else linear(tokens) * gains
        y.backward(grad)
        return [y, tokens.grad, gains.grad, *(p.grad for p in linear.parameters())]

    for folded, plain in zip(run(True), run(False), strict=True):
        torch.testing.assert_close(folded, plain)


ORDER = torch.tensor([4, 0, 8, 1, 7, 2, 3, 6, 5])


@pytest.mark.parametrize("rows", [slice(2, 7), Order(ORDER, ORDER.argsort())], ids=str)
def test_rows_are_outputs_of_the_whole_layer(rows):
    x, grad, linear = draw(TOKENS, FAN_IN, seed=2), draw(TOKENS, FAN_OUT, seed=3), layer()
    chosen = rows if isinstance(rows, slice) else rows.rows
    part = linear(x, rows=rows)
    torch.testing.assert_close(part, linear(x)[:, chosen])
    part.backward(grad[:, chosen])
    found = [p.grad.clone() for p in linear.parameters()]
    linear.zero_grad()
    linear(x)[:, chosen].backward(grad[:, chosen])
    for one, parameter in zip(found, linear.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad)


def test_bfloat16_activations_keep_float32_gradients():
    linear = layer()
    y = linear(draw(TOKENS, FAN_IN, seed=2).bfloat16())
    y.float().square().mean().backward()
    assert y.dtype == torch.bfloat16
    assert linear.weight.grad.dtype == torch.float32
    exact = layer()
    exact(draw(TOKENS, FAN_IN, seed=2)).square().mean().backward()
    torch.testing.assert_close(linear.weight.grad, exact.weight.grad, rtol=0.05, atol=0.01)


def test_rms_norm_equals_the_formula_and_its_derivative():
    x = draw(5, 7, 16).double().requires_grad_()
    single = x.detach().float().requires_grad_()
    grad = draw(5, 7, 16, seed=1)
    rms_norm(single, 1e-2).backward(grad)
    _norm_formula(x).backward(grad.double())
    torch.testing.assert_close(rms_norm(single, 1e-2), _norm_formula(x).float())
    torch.testing.assert_close(single.grad, x.grad.float())


def _norm_formula(x):
    return x / (x.square().mean(-1, keepdim=True) + 1e-2).sqrt()


def test_rms_norm_of_zeros_is_zero():
    assert (rms_norm(torch.zeros(3, 8), 1e-4) == 0).all()


def test_unit_silu_is_silu_times_the_library_constant():
    torch.testing.assert_close(unit_silu(draw(100)), F.silu(draw(100)) * 1.76678)


def test_scale_grad_changes_the_gradient_alone():
    x = draw(4).requires_grad_()
    y = scale_grad(x, 3.0)
    y.sum().backward()
    assert torch.equal(x, y)
    assert (x.grad == 3).all()
