"""The way in, and the ways out: what the network says of the next patch.

Shapes: D width in, O width out, M hidden width; B batch, V variates, P patches, L patch size, Q
quantile levels, K components.
"""

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from toto_core.model.sizes import PATCH_SIZE, ModelConfig
from toto_core.model.student_t import StudentTMixture
from toto_core.model.umup import UnitLinear, unit_silu

_EVEN = 1 / math.sqrt(2)  # both paths have the same share: tau = 1
# Of a mixture: the variance must exist, and a component that shrinks onto its targets would make
# the likelihood unbounded. In asinh space a hundredth is a hundredth of the series' deviation.
MIN_DF = 2.01
MIN_SCALE = 0.01


class ResidualMLP(nn.Module):
    """``(linear2(silu(linear1(x))) + skip_proj(x)) / sqrt(2)``; ``readout`` divides by fan-in."""

    def __init__(self, *, d_in: int, d_hidden: int, d_out: int, readout: bool) -> None:
        super().__init__()
        self.linear1 = UnitLinear(d_in, d_hidden, constrained=readout, input_grad_gain=_EVEN)
        self.linear2 = UnitLinear(
            d_hidden, d_out, readout=readout, constrained=not readout, output_gain=_EVEN
        )
        self.skip_proj = UnitLinear(
            d_in, d_out, readout=readout, output_gain=_EVEN, input_grad_gain=_EVEN
        )

    def forward(self, x: Float[Tensor, "*tokens D"]) -> Float[Tensor, "*tokens O"]:
        """The sum of both paths."""
        return self.linear2(unit_silu(self.linear1(x))) + self.skip_proj(x)


class _Head(nn.Module):
    """A readout of ``num_outputs`` numbers for each step, under the released names."""

    def __init__(self, config: ModelConfig, num_outputs: int) -> None:
        super().__init__()
        self.num_outputs = num_outputs
        mlp = ResidualMLP(
            d_in=config.d_model,
            d_hidden=4 * config.d_model,
            d_out=PATCH_SIZE * num_outputs,
            readout=True,
        )
        self.param_projection = nn.ModuleDict({"proj": mlp})

    def read(self, x: Float[Tensor, "B V P D"]) -> Float[Tensor, "O B V P L"]:
        """The numbers of each step, in float32 whatever the dtype of ``x``."""
        out = self.param_projection["proj"](x).float()
        return out.unflatten(-1, (PATCH_SIZE, self.num_outputs)).permute(4, 0, 1, 2, 3)


class QuantileHead(_Head):
    """Quantiles at the levels of the configuration: the released head has nine."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, len(config.quantile_levels))

    def forward(self, x: Float[Tensor, "B V P D"]) -> Float[Tensor, "Q B V P L"]:
        """The quantiles in asinh space, not sorted."""
        return self.read(x)


class StudentTHead(_Head):
    """A mixture of Student-T distributions in asinh space, as Toto 1.0 had one of scaled values."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, 4 * config.num_components)

    def forward(self, x: Float[Tensor, "B V P D"]) -> StudentTMixture:
        """The mixture of each step."""
        return mixture_of(self.read(x))


def mixture_of(raw: Float[Tensor, "fourK *steps L"]) -> StudentTMixture:
    """The mixture that the four quarters of ``raw`` stand for: weights, df, locations and scales.

    A readout starts near zero, which is a median of zero and a scale of softplus(0): the spread of
    a series' own history, roughly.
    """
    logit, df, loc, scale = raw.chunk(4)
    return StudentTMixture(
        logit.log_softmax(0), MIN_DF + F.softplus(df), loc, MIN_SCALE + F.softplus(scale)
    )


def build_head(config: ModelConfig) -> QuantileHead | StudentTHead:
    """The head that ``config.head`` names."""
    return StudentTHead(config) if config.head == "student_t" else QuantileHead(config)
