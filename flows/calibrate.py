"""Stage ``calibrate``: the candidate at validation origins -> models/calibration.json.

python -m flows.calibrate
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from flows import paths
from flows.network import predictor
from flows.stage import Summary, run_stage
from toto_core.config import Params
from toto_core.data.splits import Splits, points_before, to_us
from toto_core.data.tables import Item, read_items
from toto_core.evaluation.backtest import Predict, asked, backtest_tables, forecasts_schema
from toto_core.evaluation.conformal import Calibration
from toto_core.evaluation.conformal.learning import learn, validation_coverage
from toto_core.evaluation.metrics import MODEL
from toto_core.files import write_json
from toto_core.registry.fingerprint import model_sha256


def run(params: Params, root: Path) -> Summary:
    """Learn how the quantiles of the candidate of ``root`` are to be corrected.

    Raises:
        CheckpointError: if there is no usable candidate.
        DataError: as ``learn_calibration`` does.
    """
    predict = predictor(
        root / paths.CANDIDATE,
        context_length=params.model.context_length,
        prediction_length=Splits.load(root / paths.SPLITS).prediction_length,
        batch_size=params.evaluate.batch_size,
    )
    return learn_calibration(predict, params, root, candidate=model_sha256(root / paths.CANDIDATE))


def learn_calibration(predict: Predict, params: Params, root: Path, *, candidate: str) -> Summary:
    """Learn the correction of any forecaster from the validation origins of ``root``.

    Args:
        predict: as in ``backtest``.
        candidate: what the forecaster is known by.

    Raises:
        DataError: if the forecasts are no forecasts, such as crossing ones.
    """
    splits, wanted = Splits.load(root / paths.SPLITS), params.calibrate
    context_length = params.model.context_length
    forecasts = pl.concat(
        [
            pl.DataFrame(schema=forecasts_schema((MODEL,))),
            *backtest_tables(
                validation_items(root, splits, max_forecasts=wanted.max_forecasts),
                splits.validation_origins_us,
                splits,
                {MODEL: asked(predict, splits.prediction_length, context_length)},
                context_length=context_length,
                params=params.evaluate.model_copy(update={"baselines": ()}),
            ),
        ]
    )
    calibration = learn(
        forecasts,
        method=wanted.method,
        shrinkage=wanted.shrinkage,
        prediction_length=splits.prediction_length,
        min_origins=wanted.min_origins,
        min_scores=wanted.min_scores,
        before_us=to_us(splits.test_start),
        candidate=candidate,
    )
    calibration.save(root / paths.CALIBRATION)
    metrics = _metrics(calibration)
    coverage = validation_coverage(forecasts)
    write_json(
        root / paths.METRICS / "calibrate.json",
        {**metrics, "reason": calibration.reason, "validation_coverage": coverage},
    )
    return Summary(text=_sentence(calibration), metrics=metrics)


def validation_items(root: Path, splits: Splits, *, max_forecasts: int) -> Iterator[Item]:
    """Yield the items that training may see, cut off at T1, so that nothing later can be read.

    Args:
        max_forecasts: pairs of item and validation origin; of more, every n-th item is taken.
    """
    names = sorted(splits.train_items)
    every = -(-len(names) * len(splits.validation_origins) // max_forecasts) or 1
    taken, end_us = frozenset(names[::every]), np.array([to_us(splits.test_start)])
    for item in read_items(root / paths.VALID):
        if item.item_id in taken:
            end = int(points_before(item, splits, end_us)[0])
            yield dataclasses.replace(
                item, timestamps=item.timestamps[:end], values=item.values[:, :end]
            )


def _metrics(calibration: Calibration) -> dict[str, float]:
    shifts = np.array(calibration.shifts)
    return {
        "num_scores": calibration.num_scores,
        "num_forecasts": calibration.num_forecasts,
        "num_origins": calibration.num_origins,
        "weight_of_all_steps": calibration.weights[0],
        "weight_of_each_step": calibration.weights[1],
        "largest_shift": float(np.abs(shifts).max()) if shifts.size else 0.0,
    }


def _sentence(calibration: Calibration) -> str:
    lowest, highest = calibration.range
    answered = f"levels {lowest:.4f} to {highest:.4f} can be asked for"
    if not calibration.is_on:
        return f"quantiles as they are ({calibration.reason}); {answered}"
    return (
        f"quantiles corrected {calibration.method.replace('_', ' ')} by {calibration.num_scores} "
        f"scores at {calibration.num_origins} origins, at most by "
        f"{_metrics(calibration)['largest_shift']:.1%} of the predicted spread; {answered}"
    )


if __name__ == "__main__":
    run_stage("calibrate", run)
