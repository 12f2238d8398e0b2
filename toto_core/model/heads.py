"""The way in and the way out: an MLP with one hidden layer beside a linear skip.

Shapes: D width in, O width out, M hidden width.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn

from toto_core.model.umup import UnitLinear, unit_silu

_EVEN = 1 / math.sqrt(2)  # both paths have the same share: tau = 1


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
