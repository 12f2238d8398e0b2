"""The exponential moving average of a model's weights."""

import copy

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """A copy of a model whose weights follow the original's with a lag.

    Attributes:
        model: the copy, in evaluation mode and without gradients.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._averaged: list[Tensor] = list(self.model.parameters())
        self._followed: list[Tensor] = list(model.parameters())

    def update(self, step: int) -> None:
        """Move the average towards the weights after optimiser step ``step``, counted from 0.

        The decay is at most (1 + step) / (10 + step), as in TensorFlow's
        ``ExponentialMovingAverage``: the random initial weights would otherwise stay in the
        average for the first few hundred steps. A decay of 0 copies the weights.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        get_ema_multi_avg_fn(decay)(self._averaged, self._followed, step)
