"""Which parameters of a given network learn: all, the last layers, or low-rank changes (LoRA).

A low-rank change replaces a matrix W of the stack by W + alpha / rank * B A, with A [rank, fan_in]
and B [fan_out, rank]; only A and B learn (arXiv:2106.09685). In the unit-scaled network:

- A is drawn from N(0, 1 / rank) and B is zero, so the network starts as it was given, and (B A)
  has entries as large as those of B: B counts in units of W, whose entries are near one.
- The rules of ``toto_core.optim.groups`` hold unchanged: A learns at 1 / sqrt(fan_in), B at
  1 / sqrt(rank). For a token that the gradient is aligned with, one step of Adam at a rate eta
  moves the outputs by eta through W and by (alpha / rank) * eta through B, at every width and
  rank. For one that it is not, W moves them by eta / sqrt(fan_in) and B by (alpha / rank) * eta /
  sqrt(rank): the fewer directions there are, the more each token is moved along them.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from toto_core.errors import ConfigError
from toto_core.model import Toto2
from toto_core.model.umup import UnitLinear
from toto_core.training.settings import FinetuneSettings

_ADAPTED = ("attn.in_proj", "attn.out_proj", "ffn.fc1", "ffn.fc2")
# How torch.nn.utils.parametrize names the parts of ``weight``.
_ORIGINAL = ".parametrizations.weight.original"
_CHANGE = ".parametrizations.weight.0"


class LowRankChange(nn.Module):
    """``weight + alpha / rank * b a``; zero at the start.

    Args:
        generator: of ``a``; on the CPU, so that every device starts alike.
    """

    def __init__(
        self, weight: Tensor, *, rank: int, alpha: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        fan_out, fan_in = weight.shape
        start = torch.randn(rank, fan_in, generator=generator) / math.sqrt(rank)
        self.a = nn.Parameter(start.to(weight.device))
        self.b = nn.Parameter(torch.zeros(fan_out, rank, device=weight.device))
        self.scale = alpha / rank

    def forward(self, weight: Tensor) -> Tensor:
        """The changed weight."""
        return _changed(weight, self.a, self.b, self.scale)


def choose_learners(model: Toto2, settings: FinetuneSettings, *, seed: int) -> None:
    """Freeze, in place, what the method does not train; ``lora`` adds its matrices.

    - ``full``: everything learns.
    - ``last_layers``: the last ``num_layers`` layers of the stack, with their biases and query
      gains, and the output head.
    - ``lora``: A and B of ``in_proj``, ``out_proj``, ``fc1`` and ``fc2`` of every layer.

    Args:
        seed: of A.

    Raises:
        ConfigError: if there are not so many layers, or the rank exceeds a side of a matrix.
    """
    if settings.method == "full":
        return
    model.requires_grad_(False)
    if settings.method == "last_layers":
        _free_last_layers(model, settings.num_layers)
    else:
        _add_changes(model, settings, seed=seed)


def _free_last_layers(model: Toto2, num_layers: int) -> None:
    layers = model.transformer.layers
    if num_layers > len(layers):
        raise ConfigError(
            f"train.finetune: num_layers = {num_layers}, 1 to {len(layers)} (the layers of the "
            "network) is allowed; lower it"
        )
    for module in (*layers[-num_layers:], model.output_head):
        module.requires_grad_(True)


def _add_changes(model: Toto2, settings: FinetuneSettings, *, seed: int) -> None:
    adapted = _adapted(model)
    largest = min(min(module.weight.shape) for module in adapted)
    if settings.rank > largest:
        raise ConfigError(
            f"train.finetune: rank = {settings.rank}, 1 to {largest} (the shortest side of the "
            "network's matrices) is allowed; lower it"
        )
    generator = torch.Generator().manual_seed(seed)
    for module in adapted:
        change = LowRankChange(
            module.weight, rank=settings.rank, alpha=settings.alpha, generator=generator
        )
        parametrize.register_parametrization(module, "weight", change)


def _adapted(model: Toto2) -> list[UnitLinear]:
    """The matrices that a low-rank change may replace, in the order of the stack."""
    return [
        module
        for layer in model.transformer.layers
        for name in _ADAPTED
        if isinstance(module := layer.get_submodule(name), UnitLinear)
    ]


def merged(tensors: Mapping[str, Tensor], settings: FinetuneSettings) -> dict[str, Tensor]:
    """Name the weights as a plain network does, low-rank changes added to what they change."""
    plain = {}
    for name, tensor in tensors.items():
        if name.endswith(_ORIGINAL):
            base = name.removesuffix(_ORIGINAL)
            a, b = tensors[f"{base}{_CHANGE}.a"], tensors[f"{base}{_CHANGE}.b"]
            plain[f"{base}.weight"] = _changed(tensor, a, b, settings.alpha / settings.rank)
        elif _CHANGE not in name:
            plain[name] = tensor
    return plain


def remove_changes(model: Toto2) -> None:
    """Make ``model`` a plain network again, in place, as it was before ``choose_learners``."""
    for module in _adapted(model):
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)


def num_learning(model: nn.Module) -> int:
    """The number of parameters that learn."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _changed(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    return torch.addmm(weight, b, a, alpha=scale)
