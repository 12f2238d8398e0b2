"""How fast one core draws training batches from a memory-mapped corpus.

python benchmarks/loader.py --shapes 16x4x512 256x1x512 64x32x4096

Processor time of one thread, the median over batches: windows alone, windows with the augmentation
of params.yaml, and the masks of training. The last two columns are windows alone and all together.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from toto_core.config import load_params
from toto_core.data.corpus import TARGET, Corpus, Entry, Mixture, write_corpus
from toto_core.data.windows import TrainingWindows
from toto_core.training.settings import AugmentSettings, TrainSettings
from toto_core.training.step import training_micro_batch

PATCH_SIZE = 32
_CORPUS = {"items": 64, "variates": 8, "steps": 16_384}


def main() -> None:
    """Print one row for each shape of a batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", default=["16x4x512", "256x1x512", "64x32x4096"])
    parser.add_argument("--repeats", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    times = "windows, ms | augmented, ms | masks, ms"
    print(f"| rows x slots x steps | {times} | windows, points/s | all, points/s |")
    print("|---|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        random_walks(Path(folder) / "corpus")
        corpus = Corpus.open(Path(folder) / "corpus")
        for shape in arguments.shapes:
            print(row(corpus, shape, arguments.repeats), flush=True)


def row(corpus: Corpus, shape: str, repeats: int) -> str:
    """Time the parts of a batch of one shape."""
    rows, num_variates, context = map(int, shape.split("x"))
    settings = settings_of(rows, num_variates)
    plain = windows_of(corpus, replace(settings, augment=AugmentSettings()), context)
    augmented = windows_of(corpus, settings, context)
    seconds: dict[str, list[float]] = {"windows": [], "augmented": [], "masks": []}
    for step in range(repeats + 1):
        start_s = time.process_time()
        plain.batch(step)
        plain_s = time.process_time()
        batch = augmented.batch(step)
        augmented_s = time.process_time()
        training_micro_batch(
            batch, settings, patch_size=PATCH_SIZE, seed=(0, step), device=torch.device("cpu")
        )
        seconds["masks"].append(time.process_time() - augmented_s)
        seconds["augmented"].append(augmented_s - plain_s)
        seconds["windows"].append(plain_s - start_s)
    windows_s, whole_s, masks_s = (statistics.median(part[1:]) for part in seconds.values())
    points = rows * num_variates * context
    cells = " | ".join(f"{1e3 * s:.2f}" for s in (windows_s, whole_s, masks_s))
    return (
        f"| {shape} | {cells} | {points / windows_s:,.0f} | {points / (whole_s + masks_s):,.0f} |"
    )


def settings_of(rows: int, num_variates: int, **changes: object) -> TrainSettings:
    """Read the training settings of ``params.yaml``, for batches of one shape."""
    values = load_params(Path("params.yaml")).train.model_dump()
    shape = {"batch_size": rows, "num_variates": num_variates, "accumulation": 1}
    return TrainSettings.from_mapping(values | shape | changes)


def noise_windows(folder: Path, settings: TrainSettings, context: int) -> TrainingWindows:
    """Write a corpus of random walks and open windows on it."""
    random_walks(folder)
    return windows_of(Corpus.open(folder), settings, context)


def windows_of(
    corpus: Corpus, settings: TrainSettings, context: int, *, seed: int = 0
) -> TrainingWindows:
    """Open windows on a corpus."""
    return TrainingWindows(
        corpus,
        cutoff="train",
        context_length=context,
        batch_size=settings.batch_size,
        num_variates=settings.num_variates,
        seed=seed,
        augment=settings.augment,
    )


def random_walks(folder: Path) -> None:
    """Write a corpus of random walks."""
    rng = np.random.default_rng(0)
    shape = _CORPUS["variates"], _CORPUS["steps"]
    write_items(
        folder,
        (rng.standard_normal(shape).cumsum(1).astype(np.float32) for _ in range(_CORPUS["items"])),
    )


def write_items(folder: Path, items: Iterable[np.ndarray]) -> None:
    """Write a corpus of items [V, T], all of one T, that may be trained on to their end."""
    entries = (
        Entry(
            item_id=f"item-{n}",
            group="g",
            freq="1h",
            source="benchmark",
            values=values,
            roles=np.full(len(values), TARGET, np.int8),
            limits=np.array([values.shape[1]]),
            validation_positions=np.zeros(0, np.int64),
            is_synthetic=False,
        )
        for n, values in enumerate(items)
    )
    write_corpus(
        folder,
        entries,
        cutoffs=["train"],
        num_validation_origins=0,
        mixture=Mixture(synthetic_share=0.0),
    )


if __name__ == "__main__":
    main()
