"""One layer of the stack: attention, then a gated feed-forward, each mixed into the stream.

Shapes: B batch, V variates, P patches, D = d_model.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from toto_core.model.attention import AxisAttention, Sight
from toto_core.model.sizes import ModelConfig
from toto_core.model.umup import UnitLinear, rms_norm


class GatedFeedForward(nn.Module):
    """``fc2(a * silu(b))`` with ``a, b`` the two halves of ``fc1``; silu is not unit-scaled."""

    def __init__(self, *, d_model: int, d_ff: int, mix: float) -> None:
        super().__init__()
        self.fc1 = UnitLinear(d_model, 2 * d_ff, bias=False, input_grad_gain=mix)
        self.fc2 = UnitLinear(d_ff, d_model, bias=False, output_gain=mix)

    def forward(self, x: Float[Tensor, "*tokens D"]) -> Float[Tensor, "*tokens D"]:
        """The branch's contribution, mixing factor included."""
        value, gate = self.fc1(x).chunk(2, dim=-1)
        return self.fc2(value * F.silu(gate))


class Layer(nn.Module):
    """Pre-norm attention over one axis and feed-forward, mixed as u-muP prescribes.

    The forward of a branch carries ``tau / sqrt(1 + tau^2)`` and that of the skip
    ``1 / sqrt(1 + tau^2)``; backward, the same factors stand at the branch's entrance, so that
    the weights inside see gradients of unit scale.

    Attributes:
        checkpointed: whether training keeps the layer's input alone and computes the rest again
            on the way back; there is no randomness in it, so the numbers are the same.
    """

    attn_tau: Tensor
    mlp_tau: Tensor

    def __init__(
        self, config: ModelConfig, *, over_variates: bool, attn_tau: float, mlp_tau: float
    ) -> None:
        super().__init__()
        self.checkpointed = False
        self.eps = config.norm_eps
        self.attn_skip, attn_mix = _shares(attn_tau)
        self.mlp_skip, mlp_mix = _shares(mlp_tau)
        self.attn = AxisAttention(
            d_model=config.d_model,
            num_heads=config.num_heads,
            over_variates=over_variates,
            mix=attn_mix,
        )
        self.ffn = GatedFeedForward(d_model=config.d_model, d_ff=config.d_ff, mix=mlp_mix)
        self.register_buffer("attn_tau", torch.tensor(attn_tau))
        self.register_buffer("mlp_tau", torch.tensor(mlp_tau))

    def forward(self, x: Float[Tensor, "B V P D"], sight: Sight) -> Float[Tensor, "B V P D"]:
        """The residual stream after this layer."""
        if self.checkpointed and torch.is_grad_enabled():
            return checkpoint(  # pyright: ignore[reportReturnType]
                self._mixed, x, sight, use_reentrant=False, preserve_rng_state=False
            )
        return self._mixed(x, sight)

    def _mixed(self, x: Tensor, sight: Sight) -> Tensor:
        branch = self.attn(rms_norm(x, self.eps), sight)
        x = torch.add(branch, x, alpha=self.attn_skip)
        return torch.add(self.ffn(rms_norm(x, self.eps)), x, alpha=self.mlp_skip)


def _shares(tau: float) -> tuple[float, float]:
    """The factors of the skip and of the branch: their squares add up to one."""
    norm = math.sqrt(1 + tau**2)
    return 1 / norm, tau / norm
