"""Stage ``crossval``: one rolling refit -> data/forecasts/fold-<K>.parquet.

The refit starts from scratch or from ``train.init``, sees everything before its fold's cut-off,
has a fixed budget and no early stop, so nothing of the fold it forecasts, or of the validation
period, chooses anything.
"""

import argparse
from functools import partial
from pathlib import Path

import polars as pl
import torch

from flows import paths
from flows.fitting import Job, fit
from flows.stage import Summary, run_stage
from toto_core.config import Params
from toto_core.data.corpus import fold_cutoff
from toto_core.data.shards import write_table
from toto_core.data.splits import Fold, Splits
from toto_core.data.tables import read_items
from toto_core.errors import ConfigError
from toto_core.evaluation.backtest import backtest
from toto_core.evaluation.metrics import QUANTILE_LEVELS
from toto_core.files import write_json, writing
from toto_core.inference import Forecaster


def run(params: Params, root: Path, *, fold: int) -> Summary:
    """Refit for ``fold`` and forecast its origins."""
    splits = Splits.load(root / paths.SPLITS)
    segment = _segment(splits, fold)
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
        {"cutoff": segment.cutoff.isoformat(), **metrics},
    )
    fitted.store.remove()
    return Summary(
        text=f"fold {fold} refitted before {segment.cutoff.isoformat()} in "
        f"{metrics['steps']} steps; {metrics['forecasts']} forecasts at "
        f"{metrics['origins']} origins",
        metrics=metrics,
    )


def job(params: Params, root: Path, *, fold: int) -> Job:
    """Return the training run of the refit for ``fold``."""
    worker = ("crossval", f"--fold={fold}")
    steps = params.crossval.max_steps
    return Job(params, root, f"crossval {fold}", worker, fold_cutoff(fold), steps, validated=False)


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
