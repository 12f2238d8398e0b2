"""A network small enough to train in milliseconds, and windows drawn from noise, for the tests."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from toto_core.model import Output
from toto_core.training.settings import TrainSettings

PATCH_SIZE = 4
NUM_LEVELS = 9


class TinyModel(nn.Module):
    """A linear map from each standardised patch to the quantiles of the next one."""

    def __init__(self, seed=0):
        super().__init__()
        self.config = SimpleNamespace(patch_size=PATCH_SIZE)
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(
            torch.randn(NUM_LEVELS * PATCH_SIZE, 2 * PATCH_SIZE, generator=generator) / 8
        )
        self.bias = nn.Parameter(torch.zeros(NUM_LEVELS * PATCH_SIZE))
        self.num_tokens = None

    def set_global_tokens(self, num_tokens):
        self.num_tokens = num_tokens

    def forward(self, target, target_mask, cpm_mask, series_ids):
        visible = target_mask & cpm_mask
        x = torch.where(visible, target, 0.0)
        count = visible.cumsum(-1).clamp(min=1)
        last = slice(PATCH_SIZE - 1, None, PATCH_SIZE)
        loc = (x.cumsum(-1) / count)[..., last].repeat_interleave(PATCH_SIZE, -1)
        scale = torch.ones_like(loc)
        z = torch.where(visible, torch.asinh((x - loc) / scale), 0.0)
        token = torch.cat(
            [z.unflatten(-1, (-1, PATCH_SIZE)), (~visible).float().unflatten(-1, (-1, PATCH_SIZE))],
            -1,
        )
        out = token @ self.weight.T + self.bias
        quantiles = out.unflatten(-1, (PATCH_SIZE, NUM_LEVELS)).permute(4, 0, 1, 2, 3)
        return Output(quantiles, loc, scale)


@dataclass(frozen=True)
class TinyBatch:
    target: np.ndarray
    target_mask: np.ndarray
    series_ids: np.ndarray
    known: np.ndarray
    horizon: int
    items: tuple


def make_batch(seed, *, rows=4, num_variates=2, num_patches=6, horizon=0):
    rng = np.random.default_rng(seed)
    steps = num_patches * PATCH_SIZE
    target = rng.standard_normal((rows, num_variates, steps)).cumsum(-1).astype(np.float32)
    target_mask = rng.random(target.shape) > 0.1
    return TinyBatch(
        target=np.where(target_mask, target, 0).astype(np.float32),
        target_mask=target_mask,
        series_ids=np.zeros((rows, num_variates), np.int64),
        known=np.zeros((rows, num_variates), np.bool_),
        horizon=horizon,
        items=tuple((f"item-{seed}-{row}",) for row in range(rows)),
    )


class TinyWindows:
    def __init__(self, rows=4, broken_from=None):
        self.rows = rows
        self.broken_from = broken_from

    def batch(self, step):
        batch = make_batch(step, rows=self.rows)
        if self.broken_from is not None and step >= self.broken_from:
            batch.target[1, 0, :] = np.inf
            batch.target_mask[1, 0, :] = True
        return batch


def make_settings(**changes):
    values = {
        "init": None,
        "finetune": {"method": "full", "num_layers": 1, "rank": 2, "alpha": 4.0},
        "max_steps": 20,
        "max_minutes": None,
        "batch_size": 4,
        "num_variates": 2,
        "accumulation": 1,
        "optimizer": "adamw",
        "normuon": {
            "lr": 0.1,
            "width_rule": "published",
            "momentum": 0.96,
            "beta2": 0.999,
            "weight_decay": 0.0,
        },
        "lr": 0.05,
        "beta1": 0.9,
        "beta2": 0.98,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "schedule": "wsd",
        "warmup_share": 0.1,
        "decay_share": 0.5,
        "max_grad_norm": 7.0,
        "loss_scale": 1.0,
        "huber_share": 0.0,
        "huber_delta": 1.0,
        "nll_share": 0.57,
        "ema_decay": 0.9,
        "max_span": 3,
        "max_mask_rate": 0.4,
        "augment": {},
        "validate_every": 5,
        "validation_windows": 8,
        "patience": 5,
        "keep_best": 2,
        "checkpoint_interval_s": 0.0,
        "device": "auto",
        "precision": "float32",
        "compile": "none",
        "cuda_graphs": False,
        "activation_checkpointing": False,
        "processes": 1,
        "parallel": "ddp",
        "data_workers": 0,
    }
    return TrainSettings.from_mapping(values | changes)
