"""Self-attention along one axis of the grid of patches: time (causal, rotary) or variates.

Shapes: B batch, V variates, P patches, D = d_model, N heads, K = D / N; A is the attended axis
(P or V) and R all other axes together.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from toto_core.model.rotary import Rotation, feature_order, plain_rotation, rotate, rotation
from toto_core.model.umup import Order, UnitLinear, scale_grad

# Undoes the slope of softplus(p) / ln 2 at p = 0, so that the parameter's gradient has the scale of
# a plain gain's (DataDog/toto at 46bd92a, PerDimScale; found equal to its gradients).
_PER_DIM_GRAD_SCALE = 2 * math.log(2)


class Sight(NamedTuple):
    """Who sees whom, and where everybody stands; the same in all layers of one forward."""

    over_time: Bool[Tensor, "R 1 P P"]
    over_variates: Bool[Tensor, "B P 1 V V"] | None
    rotation: Rotation


class Stand(NamedTuple):
    """Where the patches stand: what decides who sees whom."""

    groups: Int[Tensor, "B V P"]  # over time: a patch sees its own group
    column_groups: Int[Tensor, "B V P"]  # over variates
    centre: Float[Tensor, " P"] | None  # of the xPos decay; None: the same for all


def plain_stand(groups: Int[Tensor, "B V P"]) -> Stand:
    """One pass over all patches: the same groups over both axes, one centre."""
    return Stand(groups, groups, None)


def sight(stand: Stand, *, head_dim: int, dtype: torch.dtype) -> Sight:
    """Masks (True = seen) and rotary factors.

    A patch sees patches of its own group only: earlier ones of its variate and itself, or those
    of other variates at its time. With one variate the second mask is None: it sees itself.
    """
    groups, columns, centre = stand
    num_variates, num_patches = groups.shape[1:]
    rows = groups.flatten(0, 1)
    causal = torch.ones(num_patches, num_patches, dtype=torch.bool, device=groups.device).tril()
    time = (rows[:, :, None] == rows[:, None, :]) & causal
    variates = None
    if num_variates > 1:
        columns = columns.transpose(1, 2)
        variates = (columns[..., :, None] == columns[..., None, :])[:, :, None]
    kind: dict[str, Any] = {"device": groups.device, "dtype": dtype}
    if centre is None:
        turn = plain_rotation(num_patches, head_dim, **kind)
    else:
        turn = rotation(centre, head_dim, **kind)
    return Sight(time[:, None], variates, turn)


class PerDimScale(nn.Module):
    """A learned gain ``softplus(p) / ln 2`` for each feature of a query, shared by the heads."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.per_dim_scale = nn.Parameter(torch.empty(head_dim))

    def forward(self, num_rows: int) -> Float[Tensor, " K"]:
        """The gains; ``num_rows`` queries of one head width each share them in a whole step."""
        parameter = scale_grad(self.per_dim_scale, _PER_DIM_GRAD_SCALE / math.sqrt(num_rows))
        return F.softplus(parameter) / math.log(2)


class AxisAttention(nn.Module):
    """Multi-head attention with fused projections and the logit scale 1/K of muP.

    ``mix`` is the residual branch's share of the output: it is folded into the forward of the
    last projection and into the input gradient of the first.
    """

    order: Tensor
    order_back: Tensor

    def __init__(self, *, d_model: int, num_heads: int, over_variates: bool, mix: float) -> None:
        super().__init__()
        self.num_heads, self.head_dim = num_heads, d_model // num_heads
        self.over_variates = over_variates
        self.in_proj = UnitLinear(d_model, 3 * d_model, constrained=True, input_grad_gain=mix)
        self._pds = PerDimScale(self.head_dim)
        self.out_proj = UnitLinear(d_model, d_model, constrained=True, output_gain=mix)
        within = feature_order(self.head_dim)
        heads = torch.arange(2 * num_heads)[:, None] * self.head_dim
        values = torch.arange(2 * d_model, 3 * d_model)
        order = torch.cat([(heads + within).flatten(), values])
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("order_back", order.argsort(), persistent=False)

    def forward(self, x_BVPD: Float[Tensor, "B V P D"], sight: Sight) -> Float[Tensor, "B V P D"]:
        """The branch's share of the residual stream."""
        if self.over_variates:
            return self._over_variates(x_BVPD, sight)
        q, k, v = (part.flatten(0, 1).transpose(1, 2) for part in self._heads(x_BVPD))
        turn = sight.rotation
        q = rotate(q, turn.query_cos, turn.query_sin)
        k = rotate(k, turn.key_cos, turn.key_sin)
        y_RNPK = _attend(q, k, v, sight.over_time)
        return self.out_proj(y_RNPK.transpose(1, 2).flatten(2).unflatten(0, x_BVPD.shape[:2]))

    def _over_variates(self, x_BVPD: Tensor, sight: Sight) -> Tensor:
        num_patches, width = x_BVPD.shape[2:]
        if sight.over_variates is None:
            # The only variate sees only itself: softmax is exactly one and q, k get no gradient.
            return self.out_proj(self.in_proj(x_BVPD, rows=slice(2 * width, 3 * width)))
        q, k, v = (part.permute(0, 2, 3, 1, 4).flatten(0, 1) for part in self._heads(x_BVPD))
        y_RNVK = _attend(q, k, v, sight.over_variates.flatten(0, 1))
        y_BPNVK = y_RNVK.unflatten(0, (-1, num_patches))
        # Contiguous before the product: a compiler would repeat the weights for each row else.
        return self.out_proj(y_BPNVK.permute(0, 3, 1, 2, 4).flatten(3))

    def _heads(self, x_BVPD: Tensor) -> tuple[Tensor, ...]:
        """Queries (gain and logit scale included), keys and values: each B V P N K."""
        gains = self._pds(self._num_rows(x_BVPD))[self.order[: self.head_dim]] / self.head_dim
        others = torch.ones(2 * x_BVPD.shape[-1], dtype=gains.dtype, device=gains.device)
        row_scale = torch.cat([gains.repeat(self.num_heads), others])
        qkv = self.in_proj(x_BVPD, row_scale=row_scale, rows=Order(self.order, self.order_back))
        return qkv.unflatten(-1, (3, self.num_heads, self.head_dim)).unbind(3)

    def _num_rows(self, x: Tensor) -> int:
        tokens = self.in_proj.global_tokens or x.numel() // x.shape[-1]
        return tokens * self.num_heads


def _attend(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """Softmax attention of R N A K under the mask R 1 A A."""
    if q.device.type == "cpu":
        return _attend_by_products(q, k, v, seen)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=1.0)


def _attend_by_products(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """Contiguous three-dimensional products: on CPUs several times faster than the fused kernel."""
    flat_q, flat_k, flat_v = (part.contiguous().flatten(0, 1) for part in (q, k, v))
    logits = torch.bmm(flat_q, flat_k.transpose(1, 2)).view(*q.shape[:2], *seen.shape[2:])
    weights = logits.masked_fill(~seen, -math.inf).softmax(-1, dtype=torch.float32).to(v.dtype)
    return torch.bmm(weights.flatten(0, 1), flat_v).view(q.shape)
