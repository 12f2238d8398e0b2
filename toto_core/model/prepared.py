"""The weights of the network as forecasts want them: scaled, cast, ordered and packed once.

They are kept for each model and made anew when a parameter has changed.
"""

from typing import TYPE_CHECKING, NamedTuple, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from toto_core.model.heads import ResidualMLP
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
