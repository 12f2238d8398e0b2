"""The exponential moving average of a model's weights."""

import copy

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """A copy of a model whose weights follow the original's with a lag.

    What does not learn is not copied: both models have it in common.

    Attributes:
        model: the copy, in evaluation mode and without gradients.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        self.decay = decay
        frozen = {id(p): p for p in model.parameters() if not p.requires_grad}
        self.model = copy.deepcopy(model, frozen).eval().requires_grad_(False)
        self._followed = model

    def update(self, step: int) -> None:
        """Move the average towards the weights after optimiser step ``step``, counted from 0.

        The decay is at most (1 + step) / (10 + step), as in TensorFlow's
        ``ExponentialMovingAverage``: the random initial weights would otherwise stay in the
        average for the first few hundred steps. A decay of 0 copies the weights.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        # Asked for anew each time: sharding replaces the parameters of both.
        pairs = zip(self.model.parameters(), self._followed.parameters(), strict=True)
        averaged, followed = zip(*((a, f) for a, f in pairs if f.requires_grad), strict=True)
        get_ema_multi_avg_fn(decay)(list(averaged), list(followed), step)
