"""The forward of a forecast: no gradients, and no more than is read.

It computes what ``Toto2.forward`` does. The last time layer asks only for the patches that are
read, and the layers behind it see no others; keys and values are kept between blocks.

Shapes: B batch, V variates, R = B * V rows, P patches of which A are new, S are read, D = d_model,
N heads, K head width, O outputs of a step, L patch size.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from toto_core.model.prepared import Affine, LayerWeights, MLPWeights, Weights
from toto_core.model.rotary import Rotation
from toto_core.model.sizes import ModelConfig


class KeyValues(NamedTuple):
    """What one time layer keeps of the patches it has seen: turned keys, and values."""

    keys: Tensor  # R N P K
    values: Tensor


class Seen(NamedTuple):
    """Who sees whom (True = seen), and how the new patches are turned."""

    over_time: Tensor  # R 1 A P
    over_variates: Tensor | None  # B A 1 V V; None: each variate sees itself alone
    turn: Rotation


def encode(
    weights: Weights,
    token_BVAI: Tensor,
    seen: Seen,
    past: Sequence[KeyValues],
    *,
    read_from: int,
    keep: int,
) -> tuple[Tensor, list[KeyValues]]:
    """The outputs [B, V, S, O * L] of the new patches from ``read_from`` on, in float32.

    Also what the time layers must keep of the patches of the past and the first ``keep`` new ones.

    Args:
        weights: of the network.
        token_BVAI: values and mask bits of the new patches.
        seen: who sees whom.
        past: what each time layer kept of the patches before; empty where there are none.
        read_from: the first of the new patches that is read.
        keep: new patches that later blocks see; 0 keeps nothing.
    """
    over_time = [index for index, layer in enumerate(weights.layers) if not layer.over_variates]
    x = _mlp_of(token_BVAI, weights.patch_proj)
    kept: list[KeyValues] = []
    for index, layer in enumerate(weights.layers):
        normed = _rms_norm(x, layer.attn_eps)
        if layer.over_variates:
            x = _over_variates(x, normed, layer, seen, weights.config)
        else:
            before = past[len(kept)] if past else None
            first = read_from if index == over_time[-1] else 0
            x, (keys, values) = _over_time(x, normed, layer, seen, before, first, weights.config)
            num = keys.shape[2] - token_BVAI.shape[2] + keep
            kept.append(KeyValues(keys[:, :, :num], values[:, :, :num]))
        normed = _rms_norm(x, layer.mlp_eps)
        gate = _linear(normed, layer.gate, silu=True)
        x = _linear(_linear(normed, layer.up, times=gate), layer.down, plus=x)
    x = x[:, :, x.shape[2] - (token_BVAI.shape[2] - read_from) :].contiguous()
    return _mlp_of(_rms_norm(x, weights.head_eps), weights.head).float(), kept


def _over_time(
    x_BVAD: Tensor,
    normed_BVAD: Tensor,
    layer: LayerWeights,
    seen: Seen,
    past: KeyValues | None,
    read_from: int,
    config: ModelConfig,
) -> tuple[Tensor, KeyValues]:
    """The stream of the patches from ``read_from`` on, and the keys and values of all patches."""
    turn = seen.turn
    # Contiguous, or a compiler would repeat the weights for each row.
    read = x_BVAD[:, :, read_from:].contiguous()
    q = _heads(_linear(normed_BVAD[:, :, read_from:].contiguous(), layer.query), config)
    k, v = (_heads(_linear(normed_BVAD, part), config) for part in (layer.key, layer.value))
    q = _turned(q, turn.query_cos[read_from:], turn.query_sin[read_from:])
    k = _turned(k, turn.key_cos, turn.key_sin)
    if past is not None:
        k, v = torch.cat([past.keys, k], 2), torch.cat([past.values, v], 2)
    y = _attend(q, k, v, seen.over_time[:, :, read_from:]).view(read.shape)
    return _linear(y, layer.out_proj, plus=read), KeyValues(k, v)


def _over_variates(
    x_BVAD: Tensor, normed_BVAD: Tensor, layer: LayerWeights, seen: Seen, config: ModelConfig
) -> Tensor:
    if seen.over_variates is None:
        # The only variate sees only itself: softmax is exactly one.
        return _linear(_linear(normed_BVAD, layer.value), layer.out_proj, plus=x_BVAD)
    columns = normed_BVAD.transpose(1, 2).contiguous()
    q, k, v = (
        _heads(_linear(columns, part), config) for part in (layer.query, layer.key, layer.value)
    )
    # An earlier layer may have kept the last patches only.
    visible = seen.over_variates[:, -columns.shape[1] :].flatten(0, 1)
    y = _attend(q, k, v, visible).view(columns.shape).transpose(1, 2).contiguous()
    return _linear(y, layer.out_proj, plus=x_BVAD)


def _heads(x: Tensor, config: ModelConfig) -> Tensor:
    """B V A (N K) as R N A K."""
    return x.flatten(0, 1).unflatten(-1, (config.num_heads, -1)).transpose(1, 2)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = sin.shape[-1]
    first, second, rest = x.split((half, half, x.shape[-1] - 2 * half), -1)
    return torch.cat(
        [
            torch.addcmul(first * cos, second, sin, value=-1),
            torch.addcmul(second * cos, first, sin),
            rest,
        ],
        -1,
    )


def _attend(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """Softmax attention of R N A K over R N P K where R 1 A P is True; the result is R A (N K)."""
    if q.device.type != "cpu":
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=1.0)
        return y.transpose(1, 2).flatten(2)
    flat_q, flat_k, flat_v = (part.reshape(-1, *part.shape[2:]) for part in (q, k, v))
    logits = torch.bmm(flat_q, flat_k.transpose(1, 2)).unflatten(0, q.shape[:2])
    shares = logits.masked_fill(~seen, -math.inf).softmax(-1, dtype=torch.float32).to(v.dtype)
    return torch.bmm(shares.flatten(0, 1), flat_v).view(q.shape).transpose(1, 2).flatten(2)


def _mlp_of(x: Tensor, mlp: MLPWeights) -> Tensor:
    hidden = _linear(x, mlp.linear1, silu=True)
    return _linear(hidden, mlp.linear2, plus=_linear(x, mlp.skip))


def _linear(
    x: Tensor,
    layer: Affine,
    *,
    silu: bool = False,
    times: Tensor | None = None,
    plus: Tensor | None = None,
) -> Tensor:
    """The layer and at most one thing after it, which oneDNN does on the way."""
    weight, bias = layer
    if weight.is_mkldnn:
        linear = torch.ops.mkldnn._linear_pointwise
        if times is not None:
            return linear.binary(x, times, weight, bias, "mul")
        if plus is not None:
            return linear.binary(x, plus, weight, bias, "add")
        return linear(x, weight, bias, "swish" if silu else "none", [], "")
    y = F.linear(x, weight, bias)
    if silu:
        return F.silu(y)
    if times is not None:
        return y * times
    return y if plus is None else y + plus


def _rms_norm(x: Tensor, eps: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    return x * torch.addcmul(eps, norm, norm, value=1 / x.shape[-1]).rsqrt().to(x.dtype)
