"""Unit scaling: linear layers and activations that keep forward and backward values near one.

The rules are those of u-muP (arXiv:2407.17465) as Toto 2.0 uses them. Gradients here are not the
derivatives of the forward: each direction has its own constant. The constants multiply the small
weights or their gradients, never the large activations.
"""

# autograd.Function declares variadic methods; the ones written here are more precise.
# pyright: reportIncompatibleMethodOverride=false

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _ScaledLinear(torch.autograd.Function):
    """``(x W^T + b) * row_scale * forward_scale``, with free constants for the gradients."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        row_scale: Tensor | None,
        scales: tuple[float, float, float],
    ) -> Tensor:
        forward_scale = scales[0]
        factor = forward_scale if row_scale is None else row_scale * forward_scale
        scaled = (weight * _per_row(factor)).to(x.dtype)
        ctx.save_for_backward(x, weight, bias, row_scale)
        ctx.scales = scales
        return F.linear(x, scaled, None if bias is None else (bias * factor).to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weight, bias, row_scale = ctx.saved_tensors
        forward_scale, input_scale, weight_scale = ctx.scales
        grad_x = grad_bias = grad_rows = None
        if ctx.needs_input_grad[0]:
            factor = input_scale if row_scale is None else row_scale * input_scale
            grad_x = grad @ (weight * _per_row(factor)).to(grad.dtype)
        grad_2d = grad.reshape(-1, grad.shape[-1])
        grad_weight = (grad_2d.t() @ x.reshape(-1, x.shape[-1])).float()
        if bias is not None:
            grad_bias = grad_2d.sum(0, dtype=torch.float32)
        if row_scale is not None:
            grad_rows = (grad_weight * weight).sum(1)
            grad_rows = grad_rows if bias is None else grad_rows + grad_bias * bias
            grad_rows = grad_rows * forward_scale
        factor = weight_scale if row_scale is None else row_scale * weight_scale
        return (
            grad_x,
            grad_weight * _per_row(factor),
            None if grad_bias is None else grad_bias * factor,
            grad_rows,
            None,
        )


class Order(NamedTuple):
    """An order of all outputs, and the one that undoes it."""

    rows: Int[Tensor, " fan_out"]
    back: Int[Tensor, " fan_out"]


class _Reorder(torch.autograd.Function):
    """``x[rows]``; the gradient is gathered too, which is far cheaper than to scatter it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, back: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(back)
        return x[rows]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        return grad[ctx.saved_tensors[0]], None, None


def _chosen(x: Tensor, rows: slice | Order) -> Tensor:
    return x[rows] if isinstance(rows, slice) else _Reorder.apply(x, *rows)  # pyright: ignore


def _per_row(factor: float | Tensor) -> float | Tensor:
    return factor[:, None] if isinstance(factor, Tensor) else factor


class UnitLinear(nn.Module):
    """A linear layer whose output, input gradient and weight gradient have unit scale at the start.

    The forward is ``(x W^T + b) / sqrt(fan_in)``, for a readout ``/ fan_in``, times
    ``output_gain``. The input gradient is scaled by ``1 / sqrt(fan_out)``, or like the forward
    where ``constrained``, times ``input_grad_gain``; both gains are how residual branches are
    mixed without touching activations. The gradients of weight and bias are scaled by
    ``1 / sqrt(tokens)`` of the whole optimiser step (``global_tokens``; None: of this call).
    """

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        *,
        bias: bool = True,
        readout: bool = False,
        constrained: bool = False,
        output_gain: float = 1.0,
        input_grad_gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(fan_out, fan_in))
        self.bias = nn.Parameter(torch.empty(fan_out)) if bias else None
        forward_scale = 1 / fan_in if readout else 1 / math.sqrt(fan_in)
        self.forward_scale = forward_scale * output_gain
        self.input_scale = (
            forward_scale if constrained else 1 / math.sqrt(fan_out)
        ) * input_grad_gain
        self.global_tokens: int | None = None

    def forward(
        self,
        x: Float[Tensor, "*tokens fan_in"],
        *,
        row_scale: Float[Tensor, " fan_out"] | None = None,
        rows: slice | Order | None = None,
    ) -> Float[Tensor, "*tokens rows_out"]:
        """The scaled product, in the dtype of ``x``.

        Args:
            x: tokens.
            row_scale: factor of each output, with its true gradient.
            rows: the outputs wanted, or the order of all of them; None: all as they are.
        """
        weight, bias = self.weight, self.bias
        if rows is not None:
            weight, bias = _chosen(weight, rows), None if bias is None else _chosen(bias, rows)
        tokens = self.global_tokens or max(x.numel() // x.shape[-1], 1)
        scales = (self.forward_scale, self.input_scale, 1 / math.sqrt(tokens))
        return _ScaledLinear.apply(x, weight, bias, row_scale, scales)  # pyright: ignore


# Standard deviation of silu of a standard normal, interpolated between relu and x/2 as the
# unit-scaling library does (graphcore-research/unit-scaling, functional.silu, mult 1).
UNIT_SILU_SCALE = 2**0.2 * (2 / (1 - 1 / math.pi)) ** 0.4


def unit_silu(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """``silu`` times the constant that gives it unit variance on standard normal input."""
    return F.silu(x) * UNIT_SILU_SCALE


class _GradScale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:  # noqa: ANN401
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return grad * ctx.scale, None


def scale_grad(x: Float[Tensor, "*shape"], scale: float) -> Float[Tensor, "*shape"]:
    """``x`` itself; its gradient is multiplied by ``scale``."""
    return _GradScale.apply(x, scale)  # pyright: ignore


class _RMSNorm(torch.autograd.Function):
    """Mean square in float32 whatever the dtype of ``x``; fewer passes than the stock one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:  # noqa: ANN401
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = torch.rsqrt(norm.square() / x.shape[-1] + eps).to(x.dtype)
        y = x * inverse
        ctx.save_for_backward(y, inverse)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        y, inverse = ctx.saved_tensors
        along = (grad * y).mean(-1, keepdim=True)
        return torch.addcmul(grad, y, along, value=-1).mul_(inverse), None


def rms_norm(x: Float[Tensor, "*shape"], eps: float) -> Float[Tensor, "*shape"]:
    """``x / sqrt(mean(x^2) + eps)`` over the last axis, without a learned weight."""
    return _RMSNorm.apply(x, eps)  # pyright: ignore
