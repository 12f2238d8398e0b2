"""The Toto 2.0 network: patches in, quantiles of the next patch out.

Architecture and constants: arXiv:2605.20119 and the released code and configurations
(DataDog/toto at 46bd92a).

Shapes: B batch, V variates, T time steps, P patches, L patch size, Q quantile levels, H prediction
length, D = d_model.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from toto_core.model.attention import Stand, plain_stand, sight
from toto_core.model.blocks import Layer
from toto_core.model.forecast import (
    Inputs,
    KnownFuture,
    Request,
    compiled_decode,
    decode_blocks,
    forecast,
)
from toto_core.model.heads import ResidualMLP, build_head
from toto_core.model.prepared import prepared
from toto_core.model.scaler import causal_stats, standardise
from toto_core.model.sizes import PATCH_SIZE, QUANTILE_LEVELS, ModelConfig, residual_taus
from toto_core.model.student_t import StudentTMixture
from toto_core.model.umup import UnitLinear, rms_norm


class Output(NamedTuple):
    """What the network says of each patch.

    ``quantiles[..., p, :]`` belong to patch p + 1, in asinh space:
    ``asinh((target - loc) / scale)`` with ``loc`` and ``scale`` of patch p. They are not sorted.
    ``loc`` and ``scale`` are constant within a patch: the statistics up to its last step.
    """

    quantiles: Float[Tensor, "Q B V P L"]
    loc: Float[Tensor, "B V T"]
    scale: Float[Tensor, "B V T"]
    levels: tuple[float, ...] = QUANTILE_LEVELS


class MixtureOutput(NamedTuple):
    """The same of a network with a mixture as its head: [K, B, V, P, L] in place of quantiles."""

    mixture: StudentTMixture
    loc: Float[Tensor, "B V T"]
    scale: Float[Tensor, "B V T"]


class _Transformer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(
                config,
                over_variates=config.is_variate_layer(index),
                attn_tau=attn_tau,
                mlp_tau=mlp_tau,
            )
            for index, (attn_tau, mlp_tau) in enumerate(residual_taus(config))
        )


class Toto2(nn.Module):
    """The network, its weights drawn from ``seed``: N(0, 1) matrices, zero biases and gains.

    Parameters are float32; ``compute_dtype`` is the dtype of the activations and of the scaled
    copies of the weights. Norms, softmax, statistics and quantiles stay in float32 or better.

    Args:
        config: shape and constants.
        seed: of the weights; the same on every device. None leaves them uninitialised.
    """

    def __init__(self, config: ModelConfig, *, seed: int | None = 0) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.compiled_forecasts = False
        self.patch_proj = ResidualMLP(
            d_in=2 * PATCH_SIZE,
            d_hidden=4 * config.d_model,
            d_out=config.d_model,
            readout=False,
        )
        self.transformer = _Transformer(config)
        self.output_head = build_head(config)
        if seed is not None:
            self._initialise(seed)

    def forward(
        self,
        target: Float[Tensor, "B V T"],
        target_mask: Bool[Tensor, "B V T"],
        cpm_mask: Bool[Tensor, "B V T"],
        series_ids: Int[Tensor, "B V"],
    ) -> Output | MixtureOutput:
        """Predict, at each patch, the quantiles of the next one from all visible values up to it.

        Args:
            target: values; whatever stands where it is not observed has no effect.
            target_mask: True = observed.
            cpm_mask: True = visible; False = hidden by contiguous patch masking, or to forecast.
            series_ids: equal ids = variates that see each other; at least 0.

        Raises:
            ValueError: if T is not a multiple of the patch size.
        """
        if target.shape[-1] % PATCH_SIZE:
            raise ValueError(
                f"target: T = {target.shape[-1]}, a multiple of {PATCH_SIZE} is allowed; pad on "
                "the left with unobserved steps"
            )
        stand = plain_stand(self.patch_groups(target_mask, cpm_mask, series_ids))
        prediction, loc, scale = self.predict_patches(target, target_mask & cpm_mask, stand)
        loc, scale = (part.float().repeat_interleave(PATCH_SIZE, -1) for part in (loc, scale))
        if isinstance(prediction, StudentTMixture):
            return MixtureOutput(prediction, loc, scale)
        return Output(prediction, loc, scale, self.config.quantile_levels)

    def forecast(
        self,
        target: Float[Tensor, "B V T"],
        target_mask: Bool[Tensor, "B V T"],
        series_ids: Int[Tensor, "B V"],
        prediction_length: int,
        *,
        known: KnownFuture | None = None,
        decode_block_size: int | None = None,
        min_observed: int = 0,
        max_deviation: float | None = None,
    ) -> Float[Tensor, "Q B V H"]:
        """Sorted quantiles of the next ``prediction_length`` steps, in the units of the target.

        Args:
            target: values; T must be a multiple of the patch size (pad on the left).
            target_mask: True = observed. The last patch counts as observed whatever it says, so
                fill its gaps with the values before them.
            series_ids: equal ids = variates that see each other; at least 0.
            prediction_length: steps, at least 1.
            known: covariates that are known over the horizon; they are not forecast.
            decode_block_size: steps, a multiple of the patch size; the median of each block is
                fed back before the next. None: one pass.
            min_observed: see ``toto_core.model.scaler.causal_stats``.
            max_deviation: quantiles stay within this many scales of the context's range.

        Raises:
            ValueError: one line for each argument that is not allowed.
        """
        median = self.config.median
        request = Request(prediction_length, median, decode_block_size, min_observed, max_deviation)
        in_one_pass = decode_block_size is None or decode_block_size >= prediction_length
        compiled = self.compiled_forecasts and in_one_pass
        decode = compiled_decode() if compiled else decode_blocks
        inputs = Inputs(target, target_mask, series_ids, known)
        return forecast(prepared(self), inputs, request, decode)

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> "Toto2":
        """The network saved in ``directory`` (see ``toto_core.model.weights.load_model``)."""
        from toto_core.model.weights import load_model  # noqa: PLC0415  (it imports this module)

        return load_model(Path(directory))

    def save_pretrained(self, directory: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` in the released format."""
        from toto_core.model.weights import save_model  # noqa: PLC0415

        save_model(self, Path(directory))

    def to_compute(self, dtype: torch.dtype, *, compiled: bool = False) -> "Toto2":
        """Set the dtype of the activations; the parameters keep theirs.

        Args:
            dtype: of the activations.
            compiled: whether forecasts in one pass run as programs that ``torch.compile`` makes for
                each shape of the input; the first call with a new shape takes many seconds.
        """
        self.compute_dtype = dtype
        self.compiled_forecasts = compiled
        return self

    def set_activation_checkpointing(self, on: bool) -> None:
        """Choose whether each layer of the stack keeps its input alone for the backward pass."""
        for layer in self.transformer.layers:
            layer.checkpointed = on  # pyright: ignore

    def set_global_tokens(self, num_tokens: int | None) -> None:
        """Tell the layers over how many patch tokens one optimiser step sums its gradients.

        ``num_tokens`` = B * V * P of a micro-batch, times micro-batches, times processes; None: the
        tokens of the batch at hand. Gradients of weights are scaled by its inverse square root.
        """
        for module in self.modules():
            if isinstance(module, UnitLinear):
                module.global_tokens = num_tokens

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.patch_proj.linear1.weight.device

    def num_parameters(self) -> int:
        """The number of learned parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    def patch_groups(
        self,
        target_mask: Bool[Tensor, "B V T"],
        cpm_mask: Bool[Tensor, "B V T"],
        series_ids: Int[Tensor, "B V"],
    ) -> Int[Tensor, "B V P"]:
        """The series of each patch; -1 where nothing is observed although nothing is hidden."""
        patches = (-1, PATCH_SIZE)
        observed = target_mask.unflatten(-1, patches).any(-1)
        hidden = ~cpm_mask.unflatten(-1, patches).all(-1)
        return torch.where(observed | hidden, series_ids[..., None], -1)

    def predict_patches(
        self,
        target: Float[Tensor, "B V T"],
        visible: Bool[Tensor, "B V T"],
        stand: Stand,
    ) -> tuple[
        Float[Tensor, "Q B V P L"] | StudentTMixture, Float[Tensor, "B V P"], Float[Tensor, "B V P"]
    ]:
        """What the head says, in asinh space, and location and scale of each patch in float64.

        Args:
            target: values.
            visible: True = seen by the network.
            stand: who sees whom (``patch_groups``, ``toto_core.model.attention.plain_stand``).
        """
        patches = (-1, PATCH_SIZE)
        visible = visible.unflatten(-1, patches)
        values = torch.where(visible, target.unflatten(-1, patches), 0.0)
        loc, scale = causal_stats(values, visible)
        z_BVPL = torch.where(visible, standardise(values, loc, scale), 0.0)
        token = torch.cat([z_BVPL, (~visible).to(z_BVPL.dtype)], -1)
        view = sight(stand, head_dim=self.config.qk_dim, dtype=self.compute_dtype)
        x_BVPD = self.patch_proj(token.to(self.compute_dtype))
        for layer in self.transformer.layers:
            x_BVPD = layer(x_BVPD, view)
        return self.output_head(rms_norm(x_BVPD, self.config.norm_eps)), loc, scale

    @torch.no_grad()
    def _initialise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.is_meta:
                continue
            if name.endswith(".weight"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
            else:
                parameter.zero_()
