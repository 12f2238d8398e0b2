"""How well a model that has seen nothing but synthetic series forecasts real ones.

Each row is a training run on a synthetic corpus of its own, judged on the tasks of a folder in the
form of mini-GIFT: the protocol of GIFT-Eval, with its module ``minigift`` and the scores of
published models (``anchors.csv``). CRPS and MASE are divided by those of seasonal naive; the mean
over the tasks is geometric.

    python benchmarks/zero_shot.py ../shared/minigift --minutes 20 --seeds 0 1 2
    python benchmarks/zero_shot.py ../shared/minigift --steps 2000 --remove groups
    python benchmarks/zero_shot.py ../shared/minigift --steps 2000 --remove families
    python benchmarks/zero_shot.py ../shared/minigift --steps 2000 --remove augmentations
    python benchmarks/zero_shot.py ../shared/minigift --set train.lr=0.1 --tasks

``--remove`` leaves out one synthetic family, one group of them (the families of one module of
``toto_core/data/synthetic``), or one augmentation, at a time: what a part is worth is what its row
loses against the first. ``--set`` changes a value of ``params.yaml``.
"""

import argparse
import csv
import importlib
import itertools
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from loader import windows_of, write_items

from toto_core.config import Params
from toto_core.data.corpus import Corpus
from toto_core.data.synthetic import FAMILIES, generate
from toto_core.inference import Forecaster
from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.budget import within_budget
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.device import choose_device, choose_dtype, suit_threads
from toto_core.training.loop import train
from toto_core.training.settings import TrainSettings

# What differs from params.yaml, which is for one's own series: windows long enough for weeks of
# hours, one variate to a row, rate and batch of a small model and a short run, no clipping
# (docs/results.md: it costs), and all augmentations.
RUN: Mapping[str, object] = {
    "model.size": "1m",
    "model.context_length": 1536,
    "train.batch_size": 48,
    "train.num_variates": 1,
    "train.optimizer": "normuon",
    "train.normuon.lr": 0.15,
    "train.lr": 0.2,
    "train.max_steps": 1_000_000,
    "train.max_grad_norm": 1e6,
    "train.compile": "default",
    "train.data_workers": 0,
    "augment.num_synthetic": 100_000,
    "augment.synthetic_length": 2048,
    "train.augment.resample": 0.2,
    "train.augment.mixup": 0.2,
    "train.augment.variate_shuffle": 0.5,
    "train.augment.time_warp": 0.05,
    "train.augment.time_flip": 0.05,
    "train.augment.amplitude_modulation": 0.3,
    "train.augment.censoring": 0.2,
    "train.augment.spikes": 0.05,
    "train.augment.sign_flip": 0.3,
    "train.augment.gaps": 0.1,
    "train.augment.variate_dropout": 0.05,
}
_ANCHORS = ("Toto-2.0-4m", "goia-forecast-nano-v0", "TempoPFN", "chronos-2-synth", "auto_theta")
_CHUNK = 1024  # forecasts of one call
_PROCESSES = 2  # that make series

Score = Mapping[str, tuple[float, float]]  # CRPS and MASE of each task, over seasonal naive's


def main() -> None:
    """Print one row for each run."""
    arguments = parse()
    benchmark = Benchmark(arguments.folder)
    print("| run | seed | steps | points, 1e9 | minutes | CRPS | MASE |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, values in runs(arguments):
        for seed in arguments.seeds:
            line, scores = judged(name, values | {"seed": seed}, arguments, benchmark)
            print(line, flush=True)
            if arguments.tasks:
                benchmark.print_tasks(scores)
    benchmark.print_anchors()


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the benchmark's tasks")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="of training")
    length.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--remove", choices=["groups", "families", "augmentations"])
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--forecast-context", type=int, help="steps; default: those of training")
    parser.add_argument("--tasks", action="store_true", help="print the scores of each task too")
    parser.add_argument("--keep", type=Path, help="folder for the trained models")
    parser.add_argument("--threads", type=int, default=0, help="0: as torch decides")
    return parser.parse_args()


def runs(arguments: argparse.Namespace) -> Iterator[tuple[str, dict[str, object]]]:
    """Name the runs, and say what each of them changes in ``params.yaml``."""
    changes = (text.partition("=") for text in arguments.set)
    common = dict(RUN) | {name: yaml.safe_load(value) for name, _, value in changes}
    if arguments.minutes is not None:
        common["train.max_minutes"] = arguments.minutes
    else:
        common["train.max_steps"] = arguments.steps
    yield "all", common
    parts = removable(arguments.remove, common)
    for part, names in parts.items():
        yield f"without {part}", common | dict.fromkeys(names, 0.0)
    if arguments.remove == "augmentations":
        yield "without any", common | dict.fromkeys(itertools.chain(*parts.values()), 0.0)


def removable(what: str | None, common: Mapping[str, object]) -> dict[str, list[str]]:
    """Parts that can be left out, each with the names of the values that turn it off when 0."""
    params = params_with(common)
    parts: dict[str, list[str]] = {}
    if what in ("families", "groups"):
        weights = params.augment.families.model_dump()
        for name in (name for name, weight in weights.items() if weight > 0):
            group = FAMILIES[name].__module__.rpartition(".")[2]
            part = name if what == "families" else group
            parts.setdefault(part, []).append(f"augment.families.{name}")
    elif what == "augmentations":
        shares = params.train.augment.model_dump()
        for name in (name for name, share in shares.items() if share > 0 and name != "noise_std"):
            parts[name] = [f"train.augment.{name}"]
    return parts


def params_with(changes: Mapping[str, object]) -> Params:
    """Read ``params.yaml`` with some values changed."""
    values: dict[str, Any] = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    for name, value in changes.items():
        *parents, last = name.split(".")
        section = values
        for parent in parents:
            section = section[parent]
        section[last] = value
    return Params.model_validate(values)


def judged(
    name: str, values: dict[str, object], arguments: argparse.Namespace, benchmark: "Benchmark"
) -> tuple[str, Score]:
    """Train once; the row of the table, and the scores of the tasks."""
    params = params_with(values)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    else:
        suit_threads(SIZES[params.model.size].d_model)
    with tempfile.TemporaryDirectory(dir=arguments.keep) as folder:
        write_synthetic(Path(folder) / "corpus", params)
        start_s = time.monotonic()
        model, steps, points = trained(Path(folder), params)
        minutes = (time.monotonic() - start_s) / 60
    if arguments.keep:
        model.save_pretrained(arguments.keep / f"{name.replace(' ', '-')}-{params.seed}")
    context = arguments.forecast_context or params.model.context_length
    scores = benchmark.scores(Forecaster(model, context_length=context))
    crps, mase = (geometric_mean([score[k] for score in scores.values()]) for k in (0, 1))
    line = f"| {name} | {params.seed} | {steps:,} | {points / 1e9:.3f} | {minutes:.1f} |"
    return f"{line} {crps:.4f} | {mase:.4f} |", scores


def write_synthetic(folder: Path, params: Params) -> None:
    """Write the synthetic series of ``params`` as a corpus, and nothing else."""
    augment = params.augment
    series = generate(
        params.seed,
        augment.num_synthetic,
        length=augment.synthetic_length,
        weights=augment.families.model_dump(),
        processes=_PROCESSES,
    )
    write_items(folder, (values for _, values in series))


def trained(folder: Path, params: Params) -> tuple[Toto2, int, int]:
    """Train on the corpus in ``folder``; the averaged network, its steps, the points it saw."""
    device = choose_device(params.train.device)
    settings = TrainSettings.from_mapping(params.train.model_dump())
    corpus, context = Corpus.open(folder / "corpus"), params.model.context_length
    windows = windows_of(corpus, settings, context, seed=params.seed)
    config = for_context(SIZES[params.model.size], context)
    model = Toto2(config, seed=params.seed).to(device)
    model.to_compute(choose_dtype(settings.precision, device))
    seen = {"points": 0}

    def note(record: Mapping[str, float | str]) -> None:
        seen["points"] += int(record.get("points", 0))

    def run(
        network: torch.nn.Module,
        given: TrainSettings,
        store: CheckpointStore,
        log: Callable[[Mapping[str, float | str]], None],
    ) -> Any:  # noqa: ANN401
        return train(
            network, windows, [], given, seed=params.seed, store=store, device=device, log=log
        )

    store = CheckpointStore(folder / "run", interval_s=math.inf)
    settings = within_budget(model, settings, store, trial=run, log=lambda _: None)
    state = run(model, settings, store, note)
    average = state.average.model
    average.set_global_tokens(None)
    return average.to_compute(torch.float32), settings.max_steps, seen["points"]


class Benchmark:
    """The tasks of a folder, and the published scores on them."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(folder.resolve()))
        self._protocol = importlib.import_module("minigift")
        with (folder / "anchors.csv").open(encoding="utf-8") as file:
            self._anchors = {row["config"]: row for row in csv.DictReader(file)}

    def scores(self, forecaster: Forecaster) -> Score:
        """Relative CRPS and MASE of each task."""

        def forecast(
            contexts: Sequence[np.ndarray], prediction_length: int, *_: object
        ) -> np.ndarray:
            newest = [context[-forecaster.context_length :] for context in contexts]
            return np.stack(forecaster.predict(newest, prediction_length))

        scores = {}
        for task in self._protocol.verified_configs():
            found = self._protocol.run_config(task, forecast, batch_size=_CHUNK)
            naive = self._published(task, "seasonal_naive")
            scores[task] = (found["CRPS"] / naive[0], found["MASE"] / naive[1])
        return scores

    def print_tasks(self, scores: Score) -> None:
        """Print each task beside the published models."""
        print(f"\n| task | CRPS/MASE | {' | '.join(_ANCHORS)} |")
        print("|---" * (len(_ANCHORS) + 2) + "|")
        for task, (crps, mase) in scores.items():
            cells = (self._relative(task, model) for model in _ANCHORS)
            others = (f"{c:.3f}/{m:.3f}" for c, m in cells)
            print(f"| {task} | {crps:.3f}/{mase:.3f} | {' | '.join(others)} |")
        print()

    def print_anchors(self) -> None:
        """Print the means of the published models over the same tasks."""
        for model in _ANCHORS:
            found = [self._relative(task, model) for task in self._protocol.verified_configs()]
            crps, mase = (geometric_mean([score[k] for score in found]) for k in (0, 1))
            print(f"| {model}, published | | | | | {crps:.4f} | {mase:.4f} |")

    def _published(self, task: str, model: str) -> tuple[float, float]:
        row = self._anchors[task]
        return float(row[f"{model}|CRPS"]), float(row[f"{model}|MASE"])

    def _relative(self, task: str, model: str) -> tuple[float, float]:
        found, naive = self._published(task, model), self._published(task, "seasonal_naive")
        return found[0] / naive[0], found[1] / naive[1]


def geometric_mean(values: Sequence[float]) -> float:
    """Mean of positive numbers."""
    return math.exp(sum(map(math.log, values)) / len(values))


if __name__ == "__main__":
    main()
