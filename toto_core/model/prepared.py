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
from toto_core.model.umup import UNIT_SILU_SCALE

if TYPE_CHECKING:
    from toto_core.model.blocks import Layer
    from toto_core.model.toto import Toto2


class Affine(NamedTuple):
    """Weight [out, in] and bias of a linear layer, with all its constants.

    The weight may be packed as oneDNN wants it; it is opaque then.
    """

    weight: Tensor
    bias: Tensor | None


class MLPWeights(NamedTuple):
    """A ``ResidualMLP``; the constant of its silu is in ``linear2``."""

    linear1: Affine
    linear2: Affine
    skip: Affine


class LayerWeights(NamedTuple):
    """A layer; the rows of queries and keys stand as the rotation wants them, queries scaled.

    The residual stream is kept divided by the product of all its skip factors so far: a branch is
    simply added, its last weights divided by that product, and the norms, which are blind to a
    scale, divide their eps by its square.
    """

    over_variates: bool
    attn_eps: Tensor
    query: Affine
    key: Affine
    value: Affine
    out_proj: Affine
    mlp_eps: Tensor
    up: Affine
    gate: Affine
    down: Affine


class Weights(NamedTuple):
    """All that the forward needs, in the dtype of the activations."""

    patch_proj: MLPWeights
    layers: tuple[LayerWeights, ...]
    head_eps: Tensor
    head: MLPWeights
    config: ModelConfig
    dtype: torch.dtype


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
    is_packed: bool
    sources: tuple[tuple[dict[str, nn.Parameter | None], str, nn.Parameter, int, int], ...]

    def is_current(self, model: "Toto2") -> bool:
        """Whether no parameter was changed, moved, cast or replaced since."""
        made_for = (self.weights.dtype, self.is_packed)
        return made_for == (model.compute_dtype, _packs(model)) and all(
            place.get(name) is parameter
            and parameter._version == version
            and parameter.data_ptr() == address
            for place, name, parameter, version, address in self.sources
        )


# Packed weights and products that go on to add or multiply are what ``torch.compile`` uses on CPUs;
# torch has no public name for them. Without them the same is computed by plain products.
_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(
    torch.ops.mkldnn, "_linear_pointwise"
)
_CPU_ROWS = 2048  # for how many rows oneDNN chooses the layout; any number is computed with it

_PREPARED: "WeakKeyDictionary[Toto2, _Prepared]" = WeakKeyDictionary()


def prepared(model: "Toto2") -> Weights:
    """The weights of ``model`` in its compute dtype; made anew when any of them has changed."""
    known = _PREPARED.get(model)
    if known is None or not known.is_current(model):
        known = _Prepared(_weights(model), _packs(model), _sources(model))
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


def _packs(model: "Toto2") -> bool:
    """Whether weights are packed: a compiler could not look into them, and only CPUs want it."""
    if model.device.type != "cpu" or model.compiled_forecasts or not _HAS_ONEDNN:
        return False
    if model.compute_dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return model.compute_dtype == torch.float32


@torch.no_grad()
def _weights(model: "Toto2") -> Weights:
    form = _Form(model.compute_dtype, _packs(model))
    eps, share = torch.tensor(model.config.norm_eps, device=model.device), 1.0
    layers = []
    for layer in (cast("Layer", layer) for layer in model.transformer.layers):
        layers.append(_layer(layer, form, eps, share))
        share *= layer.attn_skip * layer.mlp_skip
    head = cast("ResidualMLP", model.output_head.param_projection["proj"])
    return Weights(
        _mlp(model.patch_proj, form),
        tuple(layers),
        eps / share**2,
        _mlp(head, form),
        model.config,
        model.compute_dtype,
    )


class _Form(NamedTuple):
    dtype: torch.dtype
    is_packed: bool

    def affine(self, weight: Tensor, bias: Tensor | None, factor: float | Tensor = 1.0) -> Affine:
        """The layer times ``factor``, one for all outputs or one for each."""
        per_row = factor[:, None] if isinstance(factor, Tensor) else factor
        weight = (weight * per_row).to(self.dtype).contiguous()
        if self.is_packed:
            weight = torch.ops.mkldnn._reorder_linear_weight(weight, _CPU_ROWS)
        return Affine(weight, None if bias is None else (bias * factor).to(self.dtype))


def _layer(layer: "Layer", form: _Form, eps: Tensor, share: float) -> LayerWeights:
    """``share``: the product of the skip factors of the layers before."""
    attn, ffn = layer.attn, layer.ffn
    width = attn.num_heads * attn.head_dim
    gains = attn._pds(1)[attn.order[: attn.head_dim]].repeat(attn.num_heads) / attn.head_dim
    assert attn.in_proj.bias is not None
    weights, biases = attn.in_proj.weight[attn.order], attn.in_proj.bias[attn.order]
    scale = attn.in_proj.forward_scale
    query, key, value = (
        form.affine(weight, bias, factor)
        for weight, bias, factor in zip(
            weights.split(width), biases.split(width), (gains * scale, scale, scale), strict=True
        )
    )
    after_attn = share * layer.attn_skip
    out_factor = attn.out_proj.forward_scale / after_attn
    up, gate = ffn.fc1.weight.chunk(2)
    return LayerWeights(
        attn.over_variates,
        eps / share**2,
        query,
        key,
        value,
        form.affine(attn.out_proj.weight, attn.out_proj.bias, out_factor),
        eps / after_attn**2,
        form.affine(up, None, ffn.fc1.forward_scale),
        form.affine(gate, None, ffn.fc1.forward_scale),
        form.affine(ffn.fc2.weight, None, ffn.fc2.forward_scale / (after_attn * layer.mlp_skip)),
    )


def _mlp(mlp: ResidualMLP, form: _Form) -> MLPWeights:
    first, second, skip = mlp.linear1, mlp.linear2, mlp.skip_proj
    assert second.bias is not None
    return MLPWeights(
        form.affine(first.weight, first.bias, first.forward_scale),
        # The constant of the silu stands before the weight, not before the bias.
        form.affine(second.weight * UNIT_SILU_SCALE, second.bias, second.forward_scale),
        form.affine(skip.weight, skip.bias, skip.forward_scale),
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
