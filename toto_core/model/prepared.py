"""The network as it forecasts: weights scaled, cast and ordered once, and keys kept between blocks.

It computes what ``Toto2.forward`` does, without gradients, and no more than is read: the last time
layer asks only for the patches that are, and the layers behind it see no others.

Shapes: B batch, V variates, R = B * V rows, P patches of which A are new, S are read, D = d_model,
N heads, K head width, O outputs of a step, L patch size.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toto_core.model.heads import ResidualMLP
from toto_core.model.rotary import Rotation
from toto_core.model.sizes import ModelConfig
from toto_core.model.umup import UNIT_SILU_SCALE, UnitLinear

if TYPE_CHECKING:
    from toto_core.model.blocks import Layer
    from toto_core.model.toto import Toto2


class Affine(NamedTuple):
    """Weight [out, in] and bias of a linear layer, with all its constants."""

    weight: Tensor
    bias: Tensor | None


class MLPWeights(NamedTuple):
    """A ``ResidualMLP``; the constant of its silu is in ``linear2``."""

    linear1: Affine
    linear2: Affine
    skip: Affine


class LayerWeights(NamedTuple):
    """A layer; the rows of ``in_proj`` stand as the rotation wants them, queries scaled."""

    over_variates: bool
    in_proj: Affine
    out_proj: Affine
    attn_skip: float
    fc1: Affine
    fc2: Affine
    mlp_skip: float


class Weights(NamedTuple):
    """All that the forward needs, in the dtype of the activations."""

    patch_proj: MLPWeights
    layers: tuple[LayerWeights, ...]
    head: MLPWeights
    config: ModelConfig


class KeyValues(NamedTuple):
    """What one time layer keeps of the patches it has seen: turned keys, and values."""

    keys: Tensor  # R N P K
    values: Tensor


class Seen(NamedTuple):
    """Who sees whom (True = seen), and how the new patches are turned."""

    over_time: Tensor  # R 1 A P
    over_variates: Tensor | None  # B A 1 V V; None: each variate sees itself alone
    turn: Rotation


class _Prepared(NamedTuple):
    weights: Weights
    sources: tuple[tuple[dict[str, nn.Parameter | None], str, nn.Parameter, int, int], ...]
    dtype: torch.dtype

    def is_current(self, dtype: torch.dtype) -> bool:
        """Whether no parameter was changed, moved, cast or replaced since."""
        return self.dtype == dtype and all(
            place.get(name) is parameter
            and parameter._version == version
            and parameter.data_ptr() == address
            for place, name, parameter, version, address in self.sources
        )


_PREPARED: "WeakKeyDictionary[Toto2, _Prepared]" = WeakKeyDictionary()


def prepared(model: "Toto2") -> Weights:
    """The weights of ``model`` in its compute dtype; made anew when any of them has changed."""
    known = _PREPARED.get(model)
    if known is None or not known.is_current(model.compute_dtype):
        known = _Prepared(_weights(model), _sources(model), model.compute_dtype)
        _PREPARED[model] = known
    return known.weights


def _sources(
    model: "Toto2",
) -> tuple[tuple[dict[str, nn.Parameter | None], str, nn.Parameter, int, int], ...]:
    return tuple(
        (module._parameters, name, parameter, parameter._version, parameter.data_ptr())
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
    )


@torch.no_grad()
def _weights(model: "Toto2") -> Weights:
    dtype = model.compute_dtype
    layers = (cast("Layer", layer) for layer in model.transformer.layers)
    head = cast("ResidualMLP", model.output_head.param_projection["proj"])
    return Weights(
        _mlp(model.patch_proj, dtype),
        tuple(_layer(layer, dtype) for layer in layers),
        _mlp(head, dtype),
        model.config,
    )


def _layer(layer: "Layer", dtype: torch.dtype) -> LayerWeights:
    attn, ffn = layer.attn, layer.ffn
    gains = attn._pds(1)[attn.order[: attn.head_dim]] / attn.head_dim
    others = gains.new_ones(2 * attn.num_heads * attn.head_dim)
    row_scale = torch.cat([gains.repeat(attn.num_heads), others])
    return LayerWeights(
        attn.over_variates,
        _affine(attn.in_proj, dtype, rows=attn.order, row_scale=row_scale),
        _affine(attn.out_proj, dtype),
        layer.attn_skip,
        _affine(ffn.fc1, dtype),
        _affine(ffn.fc2, dtype),
        layer.mlp_skip,
    )


def _affine(
    linear: UnitLinear,
    dtype: torch.dtype,
    *,
    rows: Tensor | None = None,
    row_scale: Tensor | None = None,
    weight_gain: float = 1.0,
) -> Affine:
    weight, bias = linear.weight, linear.bias
    if rows is not None:
        weight, bias = weight[rows], None if bias is None else bias[rows]
    factor = linear.forward_scale if row_scale is None else row_scale * linear.forward_scale
    per_row = factor[:, None] if isinstance(factor, Tensor) else factor
    return Affine(
        (weight * per_row * weight_gain).to(dtype).contiguous(),
        None if bias is None else (bias * factor).to(dtype),
    )


def _mlp(mlp: ResidualMLP, dtype: torch.dtype) -> MLPWeights:
    return MLPWeights(
        _affine(mlp.linear1, dtype),
        _affine(mlp.linear2, dtype, weight_gain=UNIT_SILU_SCALE),
        _affine(mlp.skip_proj, dtype),
    )


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
        first = read_from if not over_time or index == over_time[-1] else 0
        normed = _rms_norm(x, weights.config.norm_eps)
        if layer.over_variates:
            branch = _over_variates(normed, layer, seen, weights.config)
        else:
            before = past[len(kept)] if past else None
            branch, key_values = _over_time(normed, layer, seen, before, first, weights.config)
            num = key_values.keys.shape[2] - token_BVAI.shape[2] + keep
            kept.append(KeyValues(key_values.keys[:, :, :num], key_values.values[:, :, :num]))
            x = x[:, :, first:].contiguous()
        x = torch.add(branch, x, alpha=layer.attn_skip)
        normed = _rms_norm(x, weights.config.norm_eps)
        value, gate = _linear(normed, layer.fc1).chunk(2, dim=-1)
        x = torch.add(_linear(value * F.silu(gate), layer.fc2), x, alpha=layer.mlp_skip)
    x = x[:, :, x.shape[2] - (token_BVAI.shape[2] - read_from) :]
    return _mlp_of(_rms_norm(x, weights.config.norm_eps), weights.head).float(), kept


def _over_time(
    x_BVAD: Tensor,
    layer: LayerWeights,
    seen: Seen,
    past: KeyValues | None,
    read_from: int,
    config: ModelConfig,
) -> tuple[Tensor, KeyValues]:
    """The attention branch of the patches from ``read_from`` on, and all keys and values."""
    rows, turn, width = x_BVAD.flatten(0, 1), seen.turn, config.d_model
    queries, others = _split(layer.in_proj, width)
    # Contiguous, or a compiler would repeat the weights for each row.
    q = _heads(_linear(rows[:, read_from:].contiguous(), queries), config)
    k, v = (_heads(part, config) for part in _linear(rows, others).split(width, -1))
    q = _turned(q, turn.query_cos[read_from:], turn.query_sin[read_from:])
    k = _turned(k, turn.key_cos, turn.key_sin)
    if past is not None:
        k, v = torch.cat([past.keys, k], 2), torch.cat([past.values, v], 2)
    y = _attend(q, k, v, seen.over_time[:, :, read_from:])
    return _linear(y, layer.out_proj).unflatten(0, x_BVAD.shape[:2]), KeyValues(k, v)


def _over_variates(x_BVAD: Tensor, layer: LayerWeights, seen: Seen, config: ModelConfig) -> Tensor:
    queries_keys, values = _split(layer.in_proj, 2 * config.d_model)
    if seen.over_variates is None:
        # The only variate sees only itself: softmax is exactly one.
        return _linear(_linear(x_BVAD, values), layer.out_proj)
    columns = x_BVAD.transpose(1, 2)
    rows = columns.flatten(0, 1)
    q, k = (_heads(part, config) for part in _linear(rows, queries_keys).chunk(2, -1))
    # An earlier layer may have kept the last patches only.
    visible = seen.over_variates[:, -columns.shape[1] :].flatten(0, 1)
    y = _attend(q, k, _heads(_linear(rows, values), config), visible)
    return _linear(y, layer.out_proj).view(columns.shape).transpose(1, 2)


def _split(layer: Affine, at: int) -> tuple[Affine, Affine]:
    weight, bias = layer
    parts = [weight[:at], weight[at:]]
    biases = [None, None] if bias is None else [bias[:at], bias[at:]]
    return Affine(parts[0], biases[0]), Affine(parts[1], biases[1])


def _heads(x: Tensor, config: ModelConfig) -> Tensor:
    """R A (N K) as R N A K."""
    return x.unflatten(-1, (config.num_heads, -1)).transpose(1, 2)


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
    return _linear(F.silu(_linear(x, mlp.linear1)), mlp.linear2) + _linear(x, mlp.skip)


def _linear(x: Tensor, layer: Affine) -> Tensor:
    return F.linear(x, layer.weight, layer.bias)


def _rms_norm(x: Tensor, eps: float) -> Tensor:
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    return x * torch.rsqrt(norm.square() / x.shape[-1] + eps).to(x.dtype)
