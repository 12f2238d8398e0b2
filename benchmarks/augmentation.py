"""How fast one core augments windows: each augmentation at probability 1, and the default set.

python benchmarks/augmentation.py --shapes 64x4x512 64x32x4096

Processor time of one thread for a whole batch, reading included, less that of a batch without any
augmentation; a point is one value of the batch. The last two rows are whole batches.
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import torch
from loader import random_walks, settings_of

from toto_core.data.corpus import Corpus
from toto_core.data.windows import TrainingWindows
from toto_core.training.settings import AugmentSettings

_NOTHING_S = 0.5e-9  # of a point: less is the difference of two batches
_NAMES = [field.name for field in dataclasses.fields(AugmentSettings) if field.name != "noise_std"]


def main() -> None:
    """Print one row for each augmentation, one for the default set and two for whole batches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", default=["64x4x512", "64x32x4096"])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shapes = [tuple(map(int, shape.split("x"))) for shape in arguments.shapes]
    default = settings_of(1, 1).augment
    heads = "".join(f" {shape}, ns/point | points/s |" for shape in arguments.shapes)
    print(f"| augmentation |{heads}")
    print("|---" + "|--:|--:" * len(shapes) + "|")
    with tempfile.TemporaryDirectory() as folder:
        random_walks(Path(folder) / "corpus")
        corpus = Corpus.open(Path(folder) / "corpus")

        def seconds(augment: AugmentSettings, shape: tuple[int, ...]) -> float:
            return per_point(corpus, augment, shape, arguments.repeats)

        plain = [seconds(AugmentSettings(), shape) for shape in shapes]
        sets = {
            name: AugmentSettings(**{name: 1.0}, noise_std=default.noise_std) for name in _NAMES
        }
        for name, augment in {**sets, "default set": default}.items():
            print_row(name, [seconds(augment, s) - p for s, p in zip(shapes, plain, strict=True)])
        print_row("batch without any", plain)
        print_row("batch with the default set", [seconds(default, shape) for shape in shapes])


def print_row(name: str, seconds: list[float]) -> None:
    """Print what one point takes for each shape."""
    cells = (
        f"{1e9 * s:.2f} | {1 / s:,.0f}" if s > _NOTHING_S else f"under {1e9 * _NOTHING_S:g} | "
        for s in seconds
    )
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def per_point(
    corpus: Corpus, augment: AugmentSettings, shape: tuple[int, ...], repeats: int
) -> float:
    """Processor time of a point, in the fastest of the batches after the first."""
    rows, num_variates, context = shape
    windows = TrainingWindows(
        corpus,
        cutoff="train",
        context_length=context,
        batch_size=rows,
        num_variates=num_variates,
        seed=0,
        augment=augment,
    )
    taken = []
    for step in range(repeats + 1):
        start_s = time.process_time()
        windows.batch(step)
        taken.append(time.process_time() - start_s)
    return min(taken[1:]) / (rows * num_variates * context)


if __name__ == "__main__":
    main()
