"""Rotary positions with xPos decay on the first half of each head.

Pairs of neighbouring features turn with frequency ``10000^(-i/w)``, i = 0, 2, ..., w the rotated
width; queries are multiplied by ``decay_i^(pos/256)`` and keys by its inverse, with
``decay_i = (i + 0.4 w) / (1.4 w)`` (arXiv:2212.10554). Only the difference of two positions
matters, so that any centre gives the same products.

Shapes: B any leading axis, N heads, P patches, K head width. In this module the features of a head
are ordered evens, odds, rest (``feature_order``), so that a pair lies in two contiguous halves.
"""

# autograd.Function declares variadic methods; the ones written here are more precise.
# pyright: reportIncompatibleMethodOverride=false

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

BASE = 10_000.0
DECAY_LENGTH = 256.0  # patches
DECAY_FLOOR = 0.4


class Rotation(NamedTuple):
    """Factors of the features and of their partners, for queries and for keys."""

    query_cos: Float[Tensor, "P half"]
    query_sin: Float[Tensor, "P half"]
    key_cos: Float[Tensor, "P half"]
    key_sin: Float[Tensor, "P half"]


def feature_order(head_dim: int) -> Int[Tensor, " K"]:
    """Where feature k of a reordered head stands in the released layout."""
    rotated = head_dim // 2
    return torch.cat(
        [torch.arange(0, rotated, 2), torch.arange(1, rotated, 2), torch.arange(rotated, head_dim)]
    )


def rotation(
    centre: Float[Tensor, " P"], head_dim: int, *, device: torch.device, dtype: torch.dtype
) -> Rotation:
    """The factors of the first positions, computed in float64.

    Args:
        centre: where the decay of each position counts from; one value for all gives xPos.
        head_dim: features of a head.
        device: of the result.
        dtype: of the result.
    """
    num_patches = len(centre)
    width = head_dim // 2
    even = torch.arange(0, width, 2, device=device, dtype=torch.float64)
    position = torch.arange(num_patches, device=device, dtype=torch.float64)[:, None]
    angle = position * BASE ** (-even / width)
    decay = (even + DECAY_FLOOR * width) / ((1 + DECAY_FLOOR) * width)
    power = decay ** ((position - centre.to(position)[:, None]) / DECAY_LENGTH)

    def factors(gain: Tensor) -> tuple[Tensor, Tensor]:
        return (angle.cos() * gain).to(dtype), (angle.sin() * gain).to(dtype)

    return Rotation(*factors(power), *factors(1 / power))


@torch.compiler.assume_constant_result
def plain_rotation(
    num_patches: int, head_dim: int, *, device: torch.device, dtype: torch.dtype
) -> Rotation:
    """The factors for one pass over all patches, as a constant of a compiled graph.

    Left in the graph, the compiler computes them anew for every feature of every token.
    """
    centre = torch.full((num_patches,), num_patches // 2, device=device)
    return rotation(centre.float(), head_dim, device=device, dtype=dtype)


class _Rotate(torch.autograd.Function):
    """Writes [B N P K] contiguously, the layout of the products that follow."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(cos, sin)
        return _rotated(x, cos, sin, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        cos, sin = ctx.saved_tensors
        return _rotated(grad, cos, sin, -1), None, None


def rotate(
    x: Float[Tensor, "B N P K"], cos: Float[Tensor, "P half"], sin: Float[Tensor, "P half"]
) -> Float[Tensor, "B N P K"]:
    """``x`` turned by the angle of its position; contiguous."""
    return _Rotate.apply(x, cos, sin)  # pyright: ignore


def _rotated(x: Tensor, cos: Tensor, sin: Tensor, sign: int) -> Tensor:
    half = sin.shape[-1]
    first, second, rest = x.split((half, half, x.shape[-1] - 2 * half), -1)
    return torch.cat(
        [
            torch.addcmul(first * cos, second, sin, value=-sign),
            torch.addcmul(second * cos, first, sin, value=sign),
            rest,
        ],
        -1,
    )
