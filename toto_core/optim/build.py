"""The optimisers of a run, as its settings ask for them."""

from typing import TYPE_CHECKING

from torch import nn
from torch.optim import Optimizer

from toto_core.optim.groups import build_adamw

if TYPE_CHECKING:
    from toto_core.training.settings import TrainSettings


def build_optimisers(model: nn.Module, settings: "TrainSettings") -> tuple[Optimizer, ...]:
    """Build the optimisers that together move every trainable parameter of ``model`` once."""
    return (
        build_adamw(
            model,
            lr=settings.lr,
            betas=(settings.beta1, settings.beta2),
            eps=settings.eps,
            weight_decay=settings.weight_decay,
        ),
    )
