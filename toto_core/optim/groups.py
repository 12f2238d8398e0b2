"""Which parameter is moved by which optimiser, and at which rate: the rules of u-muP.

Sources: dd_unit_scaling in github.com/DataDog/toto at 46bd92a (rates by type of parameter, depth
rule over layers) and arXiv 2605.20119 sections 2.3 and 4.3. Weights are drawn from N(0, 1) and
scaled in the forward pass, so a rate counts in units of a weight's own size at every width and
depth.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.optim import Optimizer

OptimiserName = Literal["adamw", "normuon"]

_IN_STACK = re.compile(r"(?:^|\.)layers\.(\d+)\.")
_READOUT = re.compile(r"output_head\..*(?:linear2|skip_proj)\.weight$")


@dataclass(frozen=True)
class ParameterRate:
    """How one parameter learns.

    Attributes:
        shape: of the whole parameter, however it is sharded.
        kind: ``matrix``, ``readout`` (a matrix that writes the network's output) or ``vector``
            (biases, norms, per-dimension scales).
        optimiser: which one moves it.
        rate: factor on the peak rate of that optimiser.
        decayed: whether weight decay applies.
    """

    name: str
    shape: tuple[int, ...]
    kind: Literal["matrix", "readout", "vector"]
    optimiser: OptimiserName
    rate: float
    decayed: bool


def parameter_rates(model: nn.Module, optimizer: OptimiserName = "adamw") -> list[ParameterRate]:
    """Give each trainable parameter its optimiser and rate, in the order of ``named_parameters``.

    Args:
        optimizer: of the weight matrices inside the stack of layers; AdamW moves all others.
    """
    named = list(model.named_parameters())
    layers = {match[1] for name, _ in named if (match := _IN_STACK.search(name))}
    depth = len(layers) ** -0.5 if layers else 1.0
    return [
        _rate(name, tuple(parameter.shape), optimizer, depth=depth)
        for name, parameter in named
        if parameter.requires_grad
    ]


def _rate(
    name: str, shape: tuple[int, ...], optimizer: OptimiserName, *, depth: float
) -> ParameterRate:
    """Decide where a parameter goes; the table of ``rates_table`` is this function, applied.

    - A weight matrix inside the stack: ``optimizer``, with weight decay. NorMuon for "internal
      matrix parameters" (section 2.3); the fused projection to queries, keys and values is
      orthogonalised whole, as the released optimiser wrapper does, which knows no parts.
    - The matrices before and after the stack (both residual MLPs whole: the report's "input and
      output projections"), biases, norms and per-dimension gains: AdamW, without decay.

    AdamW's rate is 1 / sqrt(fan_in) for a matrix and 1 for a readout or a vector. NorMuon's step
    has ``sqrt(fan_out / fan_in)`` in it already. Inside the stack of L layers every rate is
    multiplied by 1 / sqrt(L), the depth rule.
    """
    in_stack = _IN_STACK.search(name) is not None
    factor = depth if in_stack else 1.0
    if len(shape) < 2:
        return ParameterRate(name, shape, "vector", "adamw", factor, decayed=False)
    if _READOUT.search(name):
        return ParameterRate(name, shape, "readout", "adamw", factor, decayed=False)
    if in_stack and name.endswith(".weight") and optimizer == "normuon":
        return ParameterRate(name, shape, "matrix", "normuon", factor, decayed=True)
    factor *= shape[1] ** -0.5
    return ParameterRate(name, shape, "matrix", "adamw", factor, decayed=in_stack)


def set_lr(optimiser: Optimizer, factor: float) -> None:
    """Set each group's rate to ``factor`` times its peak."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak_lr"] * factor


def table_of(rates: Sequence[ParameterRate], peaks: dict[OptimiserName, float]) -> str:
    """Write one row for each kind of parameter, those of all layers together, as Markdown.

    Args:
        peaks: the peak rate of each optimiser.
    """
    rows: dict[tuple[str, ...], int] = {}
    for rate in rates:
        name = _IN_STACK.sub(lambda m: m[0].replace(m[1], "*"), rate.name)
        shape = " x ".join(str(side) for side in rate.shape)
        peak = f"{peaks[rate.optimiser] * rate.rate:.3g}"
        cells = (name, shape, rate.kind, rate.optimiser, peak, "yes" if rate.decayed else "no")
        rows[cells] = rows.get(cells, 0) + 1
    head = ("parameter", "shape", "kind", "optimiser", "peak rate", "decays", "how many")
    lines = [head, ("---",) * len(head), *((*cells, str(count)) for cells, count in rows.items())]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
