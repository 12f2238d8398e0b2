"""bfloat16 changes what is learned no more than rounding does (longer: benchmarks/precision.py)."""

import pytest
import torch
from real_batch import real_batch
from tiny_model import make_settings

from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.loop import train

STEPS = 40


class Windows:
    def batch(self, step):
        return real_batch(rows=4, num_variates=2, num_patches=5, seed=step)


def losses(dtype, folder):
    found = []
    train(
        Toto2(for_context(SIZES["nano"], 160)).to_compute(dtype),
        Windows(),
        [],
        make_settings(max_steps=STEPS, lr=0.15),
        seed=0,
        store=CheckpointStore(folder / str(dtype), interval_s=1e9),
        device=torch.device("cpu"),
        log=lambda record: found.append(record["loss"]) if "loss" in record else None,
    )
    return torch.tensor(found)


def test_loss_of_bfloat16_follows_that_of_float32(tmp_path):
    single, half = (losses(dtype, tmp_path) for dtype in (torch.float32, torch.bfloat16))
    assert single[-10:].mean() < 0.9 * single[:5].mean()
    assert half[-10:].mean().item() == pytest.approx(single[-10:].mean().item(), rel=0.005)
    assert not torch.equal(single, half)
