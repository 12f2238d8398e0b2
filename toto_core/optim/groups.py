"""Which parameter learns at which rate: the u-muP rules for AdamW.

Sources: dd_unit_scaling in github.com/DataDog/toto at 46bd92a (rates by type of parameter, depth
rule over layers) and arXiv 2605.20119 section 4.3. Weights are drawn from N(0, 1) and scaled in
the forward pass, so a rate counts in units of a weight's own size at every width and depth.
"""

import re
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

_IN_STACK = re.compile(r"(?:^|\.)layers\.(\d+)\.")
_READOUT = re.compile(r"output_head\..*(?:linear2|skip_proj)\.weight$")


@dataclass(frozen=True)
class ParameterRate:
    """How one parameter learns.

    Attributes:
        kind: ``matrix``, ``readout`` (a matrix that writes the quantiles) or ``vector`` (biases,
            norms, per-dimension scales).
        rate: factor on the learning rate.
        decayed: whether weight decay applies.
    """

    name: str
    kind: Literal["matrix", "readout", "vector"]
    rate: float
    decayed: bool


def parameter_rates(model: nn.Module) -> list[ParameterRate]:
    """Give each trainable parameter its rate, in the order of ``named_parameters``.

    A matrix learns at 1 / sqrt(fan_in), everything else at 1; inside the stack of layers
    both are multiplied by 1 / sqrt(number of layers). Only the matrices inside the stack decay
    (arXiv 2605.20119 section 2.3: no input or output projection does).
    """
    named = list(model.named_parameters())
    # Also those that do not learn: the depth is the network's.
    layers = {match[1] for name, _ in named if (match := _IN_STACK.search(name))}
    return [
        _rate(name, tuple(p.shape), num_layers=len(layers)) for name, p in named if p.requires_grad
    ]


def _rate(name: str, shape: tuple[int, ...], *, num_layers: int) -> ParameterRate:
    in_stack = _IN_STACK.search(name) is not None
    depth = num_layers**-0.5 if in_stack else 1.0
    if len(shape) < 2:
        return ParameterRate(name, "vector", depth, decayed=False)
    if _READOUT.search(name):
        return ParameterRate(name, "readout", depth, decayed=False)
    return ParameterRate(name, "matrix", depth * shape[1] ** -0.5, decayed=in_stack)


def build_adamw(
    model: nn.Module, *, lr: float, betas: tuple[float, float], eps: float, weight_decay: float
) -> torch.optim.AdamW:
    """Build a fused AdamW whose groups follow ``parameter_rates``.

    Weight decay is independent of the rates: one step at the peak shrinks each decayed parameter
    by ``lr * weight_decay``, whatever its width (dd_unit_scaling divides it likewise).
    """
    parameters = dict(model.named_parameters())
    members: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for rate in parameter_rates(model):
        members.setdefault((rate.rate, rate.decayed), []).append(parameters[rate.name])
    groups = [
        {
            "params": group,
            "lr": lr * rate,
            "peak_lr": lr * rate,
            "weight_decay": weight_decay / rate if decayed else 0.0,
        }
        for (rate, decayed), group in members.items()
    ]
    return torch.optim.AdamW(groups, betas=betas, eps=eps, fused=True)


def set_lr(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's rate to ``factor`` times its peak."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak_lr"] * factor
