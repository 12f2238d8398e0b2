"""The optimisers of a run, as its settings ask for them."""

import math
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import AdamW, Optimizer

from toto_core.optim.groups import OptimiserName, ParameterRate, parameter_rates, table_of
from toto_core.optim.normuon import NorMuon
from toto_core.training.device import choose_dtype
from toto_core.training.settings import TrainSettings

_TUNED_WIDTH = 256  # d_model of the network that arXiv 2605.20119 section 4.1 searched rates with


def build_optimisers(model: nn.Module, settings: TrainSettings) -> tuple[Optimizer, ...]:
    """Build the optimisers that together move every trainable parameter of ``model`` once.

    ``groups.parameter_rates`` decides which moves what. Each group has a ``peak_lr``, see
    ``groups.set_lr``. Weight decay is independent of the rates: one step at the peak shrinks each
    decayed parameter by ``lr * weight_decay`` of its optimiser, whatever its width or depth
    (dd_unit_scaling divides it likewise).
    """
    rates = parameter_rates(model, settings.optimizer)
    parameters = dict(model.named_parameters())
    optimisers: list[Optimizer] = []
    own, peak = settings.normuon, normuon_peak(model, settings)
    decay = own.weight_decay * own.lr / peak
    groups = _groups(rates, parameters, "normuon", lr=peak, weight_decay=decay)
    if groups:
        dtype = choose_dtype("auto", groups[0]["params"][0].device)
        optimisers.append(
            NorMuon(groups, lr=peak, momentum=own.momentum, beta2=own.beta2, dtype=dtype)
        )
    groups = _groups(rates, parameters, "adamw", settings.lr, settings.weight_decay)
    if groups:
        betas = (settings.beta1, settings.beta2)
        optimisers.append(AdamW(groups, betas=betas, eps=settings.eps, fused=True))
    return tuple(optimisers)


def normuon_peak(model: nn.Module, settings: TrainSettings) -> float:
    """Give the peak rate of NorMuon at the width of ``model``.

    The published rule has no width in it: the effect of one step on a layer's output then falls as
    1 / sqrt(width), and the best rate rises. ``transfer`` takes that back, and is the same at the
    width that the published rate was found at.
    """
    if settings.normuon.width_rule == "published":
        return settings.normuon.lr
    return settings.normuon.lr * math.sqrt(model.config.d_model / _TUNED_WIDTH)  # pyright: ignore


def rates_table(model: nn.Module, settings: TrainSettings) -> str:
    """Write which parameter is moved by which optimiser, and at which peak rate, as Markdown."""
    peaks: dict[OptimiserName, float] = {
        "adamw": settings.lr,
        "normuon": normuon_peak(model, settings),
    }
    return table_of(parameter_rates(model, settings.optimizer), peaks)


def _groups(
    rates: Iterable[ParameterRate],
    parameters: dict[str, nn.Parameter],
    optimiser: OptimiserName,
    lr: float,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Put the parameters of one optimiser with the same rate and decay into a group."""
    members: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for rate in rates:
        if rate.optimiser == optimiser:
            members.setdefault((rate.rate, rate.decayed), []).append(parameters[rate.name])
    return [
        {
            "params": group,
            "lr": lr * rate,
            "peak_lr": lr * rate,
            "weight_decay": weight_decay / rate if decayed else 0.0,
        }
        for (rate, decayed), group in members.items()
    ]
