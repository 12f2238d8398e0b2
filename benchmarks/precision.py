"""What bfloat16 and the compiler do to learning: the same run in each, loss against loss.

python benchmarks/precision.py --size 4m --steps 200

All runs draw the same batches of synthetic series from the same seed. The training loss is the
mean over the last tenth of the steps; the loss after training is that of the averaged weights on
batches that were not trained on, always computed in float32.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from loader import PATCH_SIZE, settings_of, windows_of, write_items

from toto_core.config import load_params
from toto_core.data.corpus import Corpus
from toto_core.data.synthetic import generate
from toto_core.data.windows import TrainingWindows
from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.loop import train
from toto_core.training.settings import TrainSettings
from toto_core.training.step import mean_loss, training_micro_batch

CPU = torch.device("cpu")
RUNS = {
    "float32": (torch.float32, "none"),
    "bfloat16": (torch.bfloat16, "none"),
    "bfloat16 compiled": (torch.bfloat16, "default"),
}
_NUM_SERIES, _LENGTH = 512, 2048
_HELD_OUT = range(10**6, 10**6 + 8)  # numbers of batches that no run gets to


def main() -> None:
    """Print one row for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="4m", choices=list(SIZES))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--shape", default="16x4", help="rows x variates")
    parser.add_argument("--context", type=int, default=512, help="steps of a row")
    parser.add_argument("--runs", nargs="+", default=list(RUNS), choices=list(RUNS))
    arguments = parser.parse_args()
    print(f"{arguments.size}, {arguments.steps} steps of {arguments.shape}, lr of params.yaml")
    print("| run | training loss | against the first | loss after training | against the first |")
    print("|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        write_series(Path(folder) / "corpus")
        first = None
        for name in arguments.runs:
            losses = run(name, Path(folder), arguments)
            first = first or losses
            cells = (
                f"{a:.5f} | {100 * (a / b - 1):+.2f} %" for a, b in zip(losses, first, strict=True)
            )
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def write_series(folder: Path) -> None:
    """Write a corpus of single synthetic series."""
    families = load_params(Path("params.yaml")).augment.families.model_dump()
    series = generate(0, _NUM_SERIES, length=_LENGTH, weights=families)
    write_items(folder, (values[:1] for _, values in series))


def run(name: str, folder: Path, arguments: argparse.Namespace) -> tuple[float, float]:
    """Train once; the losses of the last steps and of the held-out batches."""
    dtype, compiler = RUNS[name]
    rows, num_variates = map(int, arguments.shape.split("x"))
    settings = settings_of(rows, num_variates, max_steps=arguments.steps, compile=compiler)
    windows = windows_of(Corpus.open(folder / "corpus"), settings, arguments.context)
    losses: list[float] = []
    state = train(
        Toto2(for_context(SIZES[arguments.size], arguments.context)).to_compute(dtype),
        windows,
        [],
        settings,
        seed=0,
        store=CheckpointStore(folder / name, interval_s=1e9),
        device=CPU,
        log=lambda entry: losses.append(float(entry["loss"])) if "loss" in entry else None,
    )
    last = losses[-max(1, len(losses) // 10) :]
    return sum(last) / len(last), held_out_loss(state.average.model, windows, settings)


def held_out_loss(
    average: torch.nn.Module, windows: TrainingWindows, settings: TrainSettings
) -> float:
    """Mean loss on batches that no run gets to."""
    batches = [
        training_micro_batch(
            windows.batch(n), settings, patch_size=PATCH_SIZE, seed=(0, n), device=CPU
        )
        for n in _HELD_OUT
    ]
    return mean_loss(average.to_compute(torch.float32), batches, settings)  # pyright: ignore


if __name__ == "__main__":
    main()
