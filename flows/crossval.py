"""Stage ``crossval``: one rolling refit -> data/forecasts/fold-<K>.parquet.

The refit starts from scratch or from ``train.init``, sees everything before its fold's cut-off,
has a fixed budget and no early stop, so nothing of the fold it forecasts, or of the validation
period, chooses anything.
"""

import argparse
import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch

from flows import paths
from flows.base_model import BaseModel
from flows.fitting import Job, fit
from flows.stage import Summary, run_stage
from toto_core.config import Params
from toto_core.data.corpus import Corpus, fold_cutoff
from toto_core.data.fingerprints import FEW_POINTS, Fingerprints, Recorder, merged
from toto_core.data.overlap import FOUND, contamination
from toto_core.data.shards import write_table
from toto_core.data.splits import Fold, Splits, to_us
from toto_core.data.tables import TARGET, num_values, read_items
from toto_core.errors import ConfigError, DataError
from toto_core.evaluation.backtest import backtest
from toto_core.evaluation.metrics.keys import QUANTILE_LEVELS
from toto_core.files import write_json, writing
from toto_core.inference import Forecaster


def run(params: Params, root: Path, *, fold: int) -> Summary:
    """Refit for ``fold`` and forecast its origins.

    Raises:
        ConfigError: if there is no such fold.
        DataError: if there is nothing to train on before its cut-off, or as ``flows.fitting.fit``.
    """
    splits = Splits.load(root / paths.SPLITS)
    segment = _segment(splits, fold)
    limits = _trained(root, segment) if params.crossval.max_steps else {}
    fitted = fit(job(params, root, fold=fold), track=lambda values, step: None)
    # As the candidate is judged: what differs between the two is what they were trained on.
    model = fitted.model.to_compute(torch.float32)
    forecaster = Forecaster(model, context_length=params.model.context_length)
    forecasts = backtest(
        read_items(root / paths.VALID),
        segment.origins_us,
        splits,
        partial(
            forecaster.predict,
            prediction_length=splits.prediction_length,
            quantile_levels=QUANTILE_LEVELS,
            batch_size=params.evaluate.batch_size,
        ),
        context_length=params.model.context_length,
        params=params.evaluate,
    )
    with writing(root / paths.FORECASTS / f"fold-{fold}.parquet") as path:
        write_table(path, forecasts)
    seen = seen_targets(root, splits, segment, limits, fitted.base)
    curve = [point.loss for point in fitted.state.curve]
    metrics = {
        "origins": len(segment.origins),
        "items": forecasts["item_id"].n_unique(),
        "forecasts": forecasts.select(pl.struct("item_id", "variate", "origin").n_unique()).item(),
        "steps": fitted.state.step,
        "points_seen": fitted.state.points,
    }
    if curve:
        metrics["train_loss"] = curve[-1]
    write_json(
        root / paths.METRICS / f"crossval-{fold}.json",
        {"cutoff": segment.cutoff.isoformat(), "contamination": seen, **metrics},
    )
    fitted.store.remove()
    copied = "; some of their targets stand in its training data"
    return Summary(
        text=f"fold {fold} refitted before {segment.cutoff.isoformat()} in "
        f"{metrics['steps']} steps; {metrics['forecasts']} forecasts at "
        f"{metrics['origins']} origins"
        f"{copied if seen['overlap'] == FOUND else ''}",
        metrics=metrics,
    )


def job(params: Params, root: Path, *, fold: int) -> Job:
    """Return the training run of the refit for ``fold``."""
    worker = ("crossval", f"--fold={fold}")
    steps = params.crossval.max_steps
    return Job(params, root, f"crossval {fold}", worker, fold_cutoff(fold), steps, validated=False)


def _trained(root: Path, segment: Fold) -> dict[str, int]:
    """Return how many points of each real item the refit may be trained on.

    Raises:
        DataError: if there are none, but training on real series was asked for.
    """
    corpus = Corpus.open(root / paths.CORPUS)
    limits = corpus.limits_at(fold_cutoff(segment.fold))
    found = {
        corpus.item_id(n): int(limits[n])
        for n in range(corpus.num_items)
        if not corpus.is_synthetic[n] and limits[n]
    }
    if not found and (corpus.weight[~corpus.is_synthetic] > 0).any():
        raise DataError(
            f"crossval: real items with a point before {segment.cutoff.isoformat()}, the cut-off "
            f"of fold {segment.fold} = 0, at least 1 is needed to train on; give more history or "
            "lower split.num_test_origins"
        )
    return found


def seen_targets(
    root: Path, splits: Splits, segment: Fold, limits: dict[str, int], base: BaseModel | None
) -> dict[str, object]:
    """Look for the targets of the fold in what the refit was trained on, its base included.

    Args:
        limits: how many leading points of each item it was trained on.

    Returns:
        what ``data.overlap.contamination`` does.
    """
    later = [fold.cutoff for fold in splits.folds if fold.cutoff > segment.cutoff]
    period = to_us(segment.cutoff), to_us(min(later, default=splits.test_end))
    seen = Recorder(all_windows=num_values(root / paths.VALID) <= FEW_POINTS)
    targets = Recorder(all_windows=True)
    for item in read_items(root / paths.VALID):
        rows = [role == TARGET for role in item.roles]
        if limit := limits.get(item.item_id):
            seen.add(item.item_id, item.values[:, :limit])
        first, last = np.searchsorted(item.timestamps, period)
        targets.add(item.item_id, item.values[rows, first:last])
    found = seen.fingerprints()
    if base is not None:
        stored = base.directory / paths.SEEN.name
        if stored.is_file():
            found = merged([found, Fingerprints.load(stored)])
        else:
            found = dataclasses.replace(found, unknown=(str(base.facts["init"]),))
    return contamination(targets.fingerprints(), found)


def _segment(splits: Splits, fold: int) -> Fold:
    for segment in splits.folds:
        if segment.fold == fold:
            return segment
    known = ", ".join(str(segment.fold) for segment in splits.folds)
    raise ConfigError(
        f"crossval: --fold = {fold}, {paths.SPLITS} has the folds {known}; choose one of these "
        "(split.num_folds and the matrix in dvc.yaml must agree)"
    )


def main() -> None:
    """Run the stage for the fold of the command line."""
    parser = argparse.ArgumentParser(prog="python -m flows.crossval")
    parser.add_argument("--fold", type=int, required=True, help="number of the fold, from 0")
    fold = parser.parse_args().fold
    run_stage(f"crossval@{fold}", partial(run, fold=fold))


if __name__ == "__main__":
    main()
