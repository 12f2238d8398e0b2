"""Train a real network for a few steps in a process of its own; print estimated and taken bytes.

Run as ``python measure_memory.py <size> <batch_size> <precision> <optimizer> <checkpointing>``.
"""

import json
import sys

import torch
from real_batch import real_batch
from tiny_model import make_settings

from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.device import choose_dtype
from toto_core.training.machine import peak_bytes, used_bytes
from toto_core.training.memory import estimate
from toto_core.training.rehearsal import rehearse
from toto_core.training.state import TrainState
from toto_core.training.step import accumulate_gradients, training_micro_batch

CPU = torch.device("cpu")
NUM_VARIATES, NUM_PATCHES, NUM_STEPS = 4, 16, 512


def main(size, batch_size, precision, optimizer, checkpointing):
    torch.set_num_threads(1)
    settings = make_settings(
        batch_size=batch_size,
        num_variates=NUM_VARIATES,
        optimizer=optimizer,
        activation_checkpointing=checkpointing,
    )
    before = used_bytes(CPU)
    model = Toto2(for_context(SIZES[size], NUM_STEPS)).to_compute(choose_dtype(precision, CPU))
    model.set_activation_checkpointing(checkpointing)
    activations = rehearse(model, settings, num_steps=NUM_STEPS)
    expected = estimate(
        model, settings, activations, num_steps=NUM_STEPS, processes=1, on_cpu=True
    )
    state = TrainState.start(model, settings)
    for step in range(4):
        batch = real_batch(
            rows=batch_size, num_variates=NUM_VARIATES, num_patches=NUM_PATCHES, seed=step
        )
        micro_batch = training_micro_batch(
            batch, settings, patch_size=32, seed=(0, step), device=CPU
        )
        accumulate_gradients(model, [micro_batch], settings)
        for optimiser in state.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        state.average.update(step)
    json.dump({"estimated": expected.total, "taken": peak_bytes(CPU) - before}, sys.stdout)


if __name__ == "__main__":
    size, batch_size, precision, optimizer, checkpointing = sys.argv[1:]
    main(size, int(batch_size), precision, optimizer, checkpointing == "on")
