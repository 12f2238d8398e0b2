"""Objectives against each other: equal steps on one corpus, judged alike on the validation period.

Each row is a head and a loss. The judges are the same for all: the pinball loss of the nine levels
in asinh space, how far the shares below the levels are from them, and the share within the central
80 % interval; means over the seeds.

python benchmarks/objectives.py --steps 500 --seeds 0 1
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flows import augment, ingest, paths, split, validate
from flows.fitting import Fit, fit
from flows.train import job
from toto_core.config import Params, load_params
from toto_core.data.corpus import Corpus
from toto_core.data.splits import Splits
from toto_core.data.windows import Batch, validation_batches
from toto_core.model import PATCH_SIZE, QUANTILE_LEVELS, MixtureOutput
from toto_core.model.student_t import StudentTMixture
from toto_core.training.losses import anchored_targets, pinball_sum
from toto_core.training.step import validation_micro_batch

WIDE = [0.01, 0.05, *QUANTILE_LEVELS, 0.95, 0.99]
MIXTURE = {"head": "student_t"}
# What is changed in model and in train.
OBJECTIVES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "pinball, nine levels": ({}, {}),
    "pinball, 0.01 to 0.99": ({"quantile_levels": WIDE}, {}),
    "pinball and 0.25 Huber": ({}, {"huber_share": 0.25}),
    "mixture of 5, nll_share 0.57": (MIXTURE, {}),
    "mixture of 5, nll_share 1": (MIXTURE, {"nll_share": 1.0}),
    "mixture of 1, nll_share 1": (MIXTURE | {"num_components": 1}, {"nll_share": 1.0}),
}


def main() -> None:
    """Print one row for each objective."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--objectives", nargs="+", choices=list(OBJECTIVES), default=OBJECTIVES)
    arguments = parser.parse_args()
    params = load_params(arguments.params)
    print(f"torch {torch.__version__}, {params.model.size}, {arguments.steps} steps", flush=True)
    print("| objective | pinball | worst level off by | within 80 % | training, ms/step |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "data").mkdir()
        for stage in (ingest, validate, split, augment):
            stage.run(params, root)
        batches = judged_windows(params, root)
        for name in arguments.objectives:
            model, train = OBJECTIVES[name]
            steps = {"max_steps": arguments.steps, "validate_every": arguments.steps}
            rows = []
            for seed in arguments.seeds:
                changed = changed_params(params, seed, model=model, train=train | steps)
                start_s = time.perf_counter()
                fitted = fit(job(changed, root), track=lambda values, step: None)
                fitted.store.remove()
                took_s = time.perf_counter() - start_s
                rows.append([*judge(fitted, batches), 1000 * took_s / arguments.steps])
            pinball, error, within, step_ms = np.mean(rows, axis=0)
            print(
                f"| {name} | {pinball:.4f} | {error:.3f} | {within:.3f} | {step_ms:.0f} |",
                flush=True,
            )


def judged_windows(params: Params, root: Path) -> list[Batch]:
    """Every window of the validation period."""
    return validation_batches(
        Corpus.open(root / paths.CORPUS),
        prediction_length=Splits.load(root / paths.SPLITS).prediction_length,
        max_windows=10**6,
        context_length=params.model.context_length,
        batch_size=64,
        num_variates=params.train.num_variates,
    )


@torch.no_grad()
def judge(fitted: Fit, batches: list[Batch]) -> tuple[float, float, float]:
    """Pinball loss, largest error of a level's coverage, coverage of the central 80 %."""
    model = fitted.model.eval().to_compute(torch.float32)
    own = fitted.model.config.quantile_levels
    nine = [own.index(level) for level in QUANTILE_LEVELS]
    total, count, below = 0.0, 0.0, torch.zeros(len(nine), dtype=torch.float64)
    for batch in batches:
        part = validation_micro_batch(batch, patch_size=PATCH_SIZE, device=model.device)
        read = slice(None, -PATCH_SIZE)
        output = model(
            part.target[..., read],
            part.target_mask[..., read],
            part.cpm_mask[..., read],
            part.series_ids,
        )
        target = anchored_targets(part.target, output.loc, output.scale, patch_size=PATCH_SIZE)
        last = slice(-(batch.horizon // PATCH_SIZE), None)
        target, weight = target[:, :, last], part.weight[:, :, last]
        if isinstance(output, MixtureOutput):
            mixture = StudentTMixture(*(value[..., last, :] for value in output.mixture))
            quantiles = mixture.quantiles(own)[nine]
        else:
            quantiles = output.quantiles[nine][..., last, :].sort(dim=0).values
        total += pinball_sum(quantiles, target, weight).item()
        count += weight.sum().item()
        below += ((target <= quantiles) * weight).double().sum((1, 2, 3, 4)).cpu()
    shares = below / count
    error = (shares - torch.tensor(QUANTILE_LEVELS, dtype=torch.float64)).abs().max().item()
    return total / count, error, (shares[-1] - shares[0]).item()


def changed_params(params: Params, seed: int, **changes: dict[str, Any]) -> Params:
    """``params`` with another seed and with some values of some sections changed."""
    values = params.model_dump(by_alias=True)
    changed = {section: values[section] | wanted for section, wanted in changes.items()}
    return Params.model_validate(values | changed | {"seed": seed})


if __name__ == "__main__":
    main()
