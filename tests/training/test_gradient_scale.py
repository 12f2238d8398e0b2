"""
The gradients that training makes have unit scale at any batch size, context and number of levels.

What counts is what differs from batch to batch: the part that all tokens agree on, which vanishes
within a few steps, grows with the root of their number under any rule. The control is a loss that
is averaged over its targets.
"""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_model import make_settings

from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.step import accumulate_gradients, training_micro_batch

CPU = torch.device("cpu")
SHARES = (0.5, 4)  # between which a root mean square counts as one
CASES = {
    "4 rows": {"rows": 4},
    "16 rows": {"rows": 16},
    "64 rows": {"rows": 64},
    "univariate": {"rows": 32, "num_variates": 1},
    "512 steps": {"rows": 16, "context": 512},
    "three levels": {"rows": 16, "head": {"quantile_levels": (0.1, 0.5, 0.9)}},
    "two micro-batches": {"rows": 8, "accumulation": 2},
}


@dataclasses.dataclass
class Walks:
    """Rows of random walks; ``known`` and the rest as training needs them."""

    target: np.ndarray
    target_mask: np.ndarray
    series_ids: np.ndarray
    known: np.ndarray
    horizon: int
    items: tuple


def micro_batch(seed, rows, num_variates, context):
    rng = np.random.default_rng(seed)
    target = rng.standard_normal((rows, num_variates, context)).cumsum(-1).astype(np.float32)
    batch = Walks(
        target=target,
        target_mask=rng.random(target.shape) > 0.1,
        series_ids=np.zeros((rows, num_variates), np.int64),
        known=np.zeros((rows, num_variates), np.bool_),
        horizon=0,
        items=(("walk",),) * rows,
    )
    return training_micro_batch(batch, make_settings(), patch_size=32, seed=(seed,), device=CPU)


def noise(rows=16, num_variates=2, context=256, head=None, accumulation=1, mean=False):
    """Root mean square, over the matrices of the stack, of what differs between two batches."""
    config = dataclasses.replace(for_context(SIZES["nano"], context), **(head or {}))
    model = Toto2(config)
    found = []
    for seed in (1, 2):
        parts = [
            micro_batch(10 * seed + n, rows, num_variates, context) for n in range(accumulation)
        ]
        model.set_global_tokens(accumulation * rows * num_variates * (context // 32 - 1))
        weight = sum(float(part.weight.sum()) for part in parts)
        settings = make_settings(loss_scale=1 / weight if mean else 1.0)
        model.zero_grad()
        accumulate_gradients(model, parts, settings)
        grads = [p.grad for n, p in model.named_parameters() if "layers" in n and p.ndim == 2]
        found.append(torch.cat([grad.flatten() for grad in grads]))
    return ((found[0] - found[1]) / 2**0.5).square().mean().sqrt().item()


@pytest.fixture(scope="module")
def by_case():
    return {name: noise(**case) for name, case in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_gradients_have_unit_scale(by_case, name):
    assert SHARES[0] < by_case[name] < SHARES[1]


def test_scale_of_the_gradients_depends_on_none_of_it(by_case):
    assert max(by_case.values()) / min(by_case.values()) < 1.5


def test_gradients_of_a_mixture_are_of_order_one():
    """A likelihood has no bound on its gradient, and its outputs are of four kinds."""
    found = noise(head={"head": "student_t", "num_components": 5})
    assert SHARES[0] < found < 2.5 * SHARES[1]


def test_mean_loss_has_gradients_that_shrink_with_the_batch():
    few, many = noise(rows=4, mean=True), noise(rows=64, mean=True)
    assert many < few < SHARES[0]
    assert few / many > 10
