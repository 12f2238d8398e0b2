"""Training under watch: within its time, its memory told, its utilisation measured."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from toto_core.model import PATCH_SIZE, Toto2
from toto_core.training.batches import Windows
from toto_core.training.budget import within_budget
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.distributed import summed
from toto_core.training.flops import pass_flops
from toto_core.training.loop import train
from toto_core.training.machine import matrix_rate
from toto_core.training.memory import watched
from toto_core.training.settings import TrainSettings
from toto_core.training.state import TrainState
from toto_core.training.step import Batch

Log = Callable[[Mapping[str, float | str]], None]


def supervised(
    model: Toto2,
    windows: Windows,
    validation: Sequence[Batch],
    settings: TrainSettings,
    *,
    seed: int,
    store: CheckpointStore,
    device: torch.device,
    log: Log,
) -> TrainState:
    """Train as ``loop.train`` does, with the same arguments and errors, and tell more.

    ``train.max_minutes`` and ``train.activation_checkpointing`` are obeyed here. ``log`` is also
    called with ``flops_per_step`` (of all processes) and ``matrix_rate`` (of all of them together,
    operations per second), from which utilisation follows, and with messages on memory.
    """
    model.set_activation_checkpointing(settings.activation_checkpointing)

    def run(
        model: nn.Module, settings: TrainSettings, store: CheckpointStore, log: Log
    ) -> TrainState:
        return train(
            model, windows, validation, settings, seed=seed, store=store, device=device, log=log
        )

    if store.holds_the_end():  # other processes have trained, and told of it
        settings = within_budget(model, settings, store, trial=run, log=lambda record: None)
        return run(model, settings, store, log)
    settings = within_budget(model, settings, store, trial=run, log=log)
    num_steps = windows.batch(0).target.shape[-1]
    log(speed_facts(model, settings, num_steps=num_steps, device=device))
    with watched(model, settings, num_steps=num_steps, device=device, log=log):
        return run(model, settings, store, log)


def speed_facts(
    model: Toto2, settings: TrainSettings, *, num_steps: int, device: torch.device
) -> dict[str, float]:
    """Count the operations of a step, and measure how many there could be in a second."""
    counted = pass_flops(
        model,
        rows=settings.batch_size,
        num_variates=settings.num_variates,
        num_patches=num_steps // PATCH_SIZE - 1,  # the last one is a target only
    )
    return {
        "flops_per_step": float(counted.total * settings.accumulation),
        "matrix_rate": summed(matrix_rate(device, model.compute_dtype)),
    }
