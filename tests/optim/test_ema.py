"""The averaged weights follow the weights by the formula."""

import torch
from torch import nn

from toto_core.optim.ema import WeightAverage


def linear(value):
    layer = nn.Linear(2, 3)
    nn.init.constant_(layer.weight, value)
    return layer


def test_average_matches_the_recursion():
    layer = linear(1.0)
    average = WeightAverage(layer, decay=0.9)
    expected = 1.0
    for step, value in enumerate([5.0, -2.0, 7.0, 3.0] * 40):
        nn.init.constant_(layer.weight, value)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(average.model.weight, torch.full((3, 2), expected))


def test_decay_of_zero_copies_the_weights():
    layer = linear(1.0)
    average = WeightAverage(layer, decay=0.0)
    nn.init.constant_(layer.weight, 4.0)
    average.update(0)
    assert torch.equal(average.model.weight, layer.weight)


def test_initial_weights_are_forgotten_within_thirty_steps():
    layer = linear(1000.0)
    average = WeightAverage(layer, decay=0.99)
    nn.init.constant_(layer.weight, 0.0)
    for step in range(30):
        average.update(step)
    assert average.model.weight.max() < 1.0


def test_average_has_its_own_weights_without_gradients():
    layer = linear(1.0)
    average = WeightAverage(layer, decay=0.9)
    assert not any(p.requires_grad for p in average.model.parameters())
    nn.init.constant_(layer.weight, 2.0)
    assert average.model.weight.max() == 1.0
