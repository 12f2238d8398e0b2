"""Peak memory of training on a CPU: estimated before, and taken by a process of its own.

python benchmarks/memory.py                                            (a table)
python benchmarks/memory.py --one 4m 16 float32 adamw                  (one line of it, as JSON)
python benchmarks/memory.py --one 4m 16 float32 adamw --checkpointing

Rows have 4 variates and 512 time steps. Taken is how far the process grew beyond what it had
before the network was built, over four steps.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from loader import PATCH_SIZE, noise_windows, settings_of

from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.device import choose_dtype, keep_memory
from toto_core.training.machine import peak_bytes, used_bytes
from toto_core.training.memory import StepMemory, estimate
from toto_core.training.rehearsal import rehearse
from toto_core.training.settings import TrainSettings
from toto_core.training.state import TrainState
from toto_core.training.step import accumulate_gradients, training_micro_batch

_CPU = torch.device("cpu")
_NUM_VARIATES, _CONTEXT, _STEPS = 4, 512, 4
_CASES = (
    "nano 64 float32 adamw",
    "4m 16 float32 adamw",
    "4m 64 float32 adamw",
    "4m 16 bfloat16 adamw",
    "4m 64 bfloat16 adamw",
    "4m 64 float32 adamw --checkpointing",
    "4m 64 bfloat16 adamw --checkpointing",
    "22m 8 float32 adamw",
    "22m 8 float32 normuon",
    "22m 32 bfloat16 normuon",
)


def main() -> None:
    """Print the table, or measure one case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=4, metavar=("SIZE", "ROWS", "PRECISION", "OPTIMIZER"))
    parser.add_argument("--checkpointing", action="store_true")
    arguments = parser.parse_args()
    if arguments.one:
        size, rows, precision, optimizer = arguments.one
        changes = {
            "precision": precision,
            "optimizer": optimizer,
            "activation_checkpointing": arguments.checkpointing,
        }
        print(json.dumps(measure(size, settings_of(int(rows), _NUM_VARIATES, **changes))))
        return
    print(f"torch {torch.__version__}, rows of {_NUM_VARIATES} variates and {_CONTEXT} steps\n")
    print("| case | activations, MB | estimated, MB | taken, MB | taken / estimated |")
    print("|---|--:|--:|--:|--:|")
    for case in _CASES:
        print_row(case)


def print_row(case: str) -> None:
    """Measure ``case`` in a process of its own and print its row."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", *case.split()],
        capture_output=True,
        text=True,
        check=True,
    )
    found: Mapping[str, float] = json.loads(done.stdout)
    parts = [f"{found[name] / 1e6:.0f}" for name in ("activations", "estimated", "taken")]
    ratio = found["taken"] / found["estimated"]
    print(f"| {case.replace(' --', ', ')} | {' | '.join(parts)} | {ratio:.2f} |", flush=True)


def measure(size: str, settings: TrainSettings) -> dict[str, int]:
    """Train a few steps; return estimated and taken bytes."""
    with tempfile.TemporaryDirectory() as folder:
        windows = noise_windows(Path(folder) / "corpus", settings, _CONTEXT)
        batches = [windows.batch(step) for step in range(_STEPS)]
    keep_memory()  # as ``train`` does
    before = used_bytes(_CPU)
    model = Toto2(for_context(SIZES[size], _CONTEXT))
    model.to_compute(choose_dtype(settings.precision, _CPU))
    model.set_activation_checkpointing(settings.activation_checkpointing)
    expected = foresee(model, settings)
    state = TrainState.start(model, settings)
    for step, batch in enumerate(batches):
        micro_batch = training_micro_batch(
            batch, settings, patch_size=PATCH_SIZE, seed=(0, step), device=_CPU
        )
        accumulate_gradients(model, [micro_batch], settings)
        for optimiser in state.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        state.average.update(step)
    return {
        "activations": expected.activations,
        "estimated": expected.total,
        "taken": peak_bytes(_CPU) - before,
    }


def foresee(model: Toto2, settings: TrainSettings) -> StepMemory:
    """Estimate the peak, as a run does before it begins."""
    activations = rehearse(model, settings, num_steps=_CONTEXT)
    return estimate(model, settings, activations, num_steps=_CONTEXT, processes=1, on_cpu=True)


if __name__ == "__main__":
    main()
