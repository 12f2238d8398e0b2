"""Stage ``evaluate``: candidate and refits against the baselines -> forecasts, losses, metrics.

python -m flows.evaluate
"""

from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from flows import paths
from flows.base_model import stored_base
from flows.judging import contamination_of, forecast_panel, refit_forecasts, tables_of
from flows.network import predictor
from flows.stage import Summary, run_stage
from toto_core.config import EvaluateParams, Params
from toto_core.data.shards import write_table
from toto_core.data.splits import Splits
from toto_core.evaluation.backtest import Predict, asked
from toto_core.evaluation.conformal import Calibration
from toto_core.evaluation.conformal.answers import before_and_after
from toto_core.evaluation.conformal.effect import (
    calibration_effect,
    coverage_beyond,
    coverage_by_step,
)
from toto_core.evaluation.metrics import MODEL, Profile, Tally
from toto_core.evaluation.scores import (
    CANDIDATE,
    CROSSVAL,
    blocks_of,
    evaluation_report,
    item_scores,
    origin_scores,
)
from toto_core.evaluation.verdict import BASE, UNCALIBRATED, in_order
from toto_core.files import write_json, writing
from toto_core.registry.fingerprint import model_sha256


def run(params: Params, root: Path) -> Summary:
    """Forecast the test period with the candidate of ``root`` and judge it beside the baselines.

    Its quantiles are those that models/calibration.json corrects. A candidate that was fine-tuned
    is judged beside its base model too.

    Raises:
        CheckpointError: if there is no usable candidate, or the correction is that of another one.
        DataError: as ``judge_forecaster`` does.
    """
    splits = Splits.load(root / paths.SPLITS)
    context_length = params.model.context_length
    of_model = partial(
        predictor,
        context_length=context_length,
        prediction_length=splits.prediction_length,
        batch_size=params.evaluate.batch_size,
    )
    predict = of_model(root / paths.CANDIDATE)
    calibration = Calibration.load(
        root / paths.CALIBRATION, candidate=model_sha256(root / paths.CANDIDATE)
    )
    base = stored_base(root / paths.CANDIDATE, root)
    return judge_forecaster(
        predict,
        params.evaluate,
        root,
        context_length=context_length,
        base=of_model(base) if base else None,
        calibration=calibration,
    )


def judge_forecaster(
    predict: Predict,
    params: EvaluateParams,
    root: Path,
    *,
    context_length: int,
    base: Predict | None = None,
    calibration: Calibration | None = None,
) -> Summary:
    """Judge any forecaster on the test period of ``root``, and the stored refits with it.

    Args:
        predict: as in ``backtest``.
        context_length: newest points before an origin that the forecaster is shown.
        base: the model that it was fine-tuned from, which is then one more to be beaten.
        calibration: corrects what ``predict`` says before it is judged, not what ``base`` says.

    Raises:
        DataError: if nothing can be judged, if the forecasts are no forecasts, or if forecasts
            of a fold are missing.
    """
    splits = Splits.load(root / paths.SPLITS)
    refits = refit_forecasts(root, splits, (MODEL, *params.baselines))
    answers = {
        name: asked(ask, splits.prediction_length, context_length)
        for name, ask in ((MODEL, predict), (BASE, base))
        if ask is not None
    }
    if calibration is not None and calibration.is_on:
        answers[UNCALIBRATED], answers[MODEL] = before_and_after(answers[MODEL], calibration)
    path = root / paths.FORECASTS / "candidate.parquet"
    panel = forecast_panel(
        root,
        answers,
        params,
        path,
        context_length=context_length,
        fingerprinted=(root / paths.SEEN).is_file(),
    )
    forecasters = (*answers, *params.baselines)
    tally = Tally(panel.facts, forecasters=forecasters, source=CANDIDATE).add_all(tables_of(path))
    of_refits = Tally(panel.facts, forecasters=(MODEL, *params.baselines), source=CROSSVAL)
    of_candidate = tally.losses()
    losses = pl.concat([_by_source(of_candidate), of_refits.add_all([refits]).losses()])
    report = evaluation_report(
        losses,
        tally.profile,
        overlap=splits.overlap,
        exclusions=panel.exclusions,
        outside=panel.outside,
        seasonality=panel.seasonality,
    )
    if calibration is not None:
        report["calibrate"] = calibration_effect(
            of_candidate, tally.profile, calibration, overlap=splits.overlap
        )
        report["calibrate"]["beyond"] = coverage_beyond(tables_of(path), panel.facts, calibration)
    report["items_by_inferred_season"] = panel.inferred
    report["fallbacks"] = panel.fallbacks
    report["contamination"] = contamination_of(
        root / paths.SEEN, panel, splits, name=str(paths.CANDIDATE)
    )
    coverage = coverage_by_step(
        tables_of(path),
        panel.facts,
        forecasters=forecasters,
        prediction_length=splits.prediction_length,
    )
    _write(root, losses, tally.profile, coverage, report)
    return _summary(report)


def _by_source(losses: pl.DataFrame) -> pl.DataFrame:
    """Keep what is judged; beside a base also, as a source of its own, the model as trained.

    The base has no correction, so that the gain of training alone is what it is compared by.
    """
    if BASE not in losses["forecaster"]:
        return _judged(losses)
    as_trained = losses.filter(pl.col("forecaster") == UNCALIBRATED)
    as_trained = as_trained.with_columns(forecaster=pl.lit(MODEL), source=pl.lit(UNCALIBRATED))
    return pl.concat([_judged(losses), as_trained])


def _judged(table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of what is judged: not those of the model before its correction."""
    return table.filter(pl.col("forecaster") != UNCALIBRATED)


def _write(
    root: Path,
    losses: pl.DataFrame,
    profile: Profile,
    coverage: pl.DataFrame,
    report: dict[str, Any],
) -> None:
    with writing(root / paths.LOSSES) as temporary:
        write_table(temporary, losses)
    for name, table in {
        "horizon": _judged(profile.by_step()),
        "hours": _judged(profile.by_hour()),
        "origins": origin_scores(blocks_of(losses)["candidate"]),
        "calibration": profile.coverage(),
        "coverage": coverage,
        "pit": profile.pit(),
        "items": item_scores(losses),
    }.items():
        with writing(root / paths.PLOTS / f"{name}.csv") as temporary:
            table.write_csv(temporary, float_precision=6, datetime_format="%Y-%m-%dT%H:%M:%SZ")
    write_json(root / paths.METRICS / "evaluate.json", report)


def _summary(report: dict[str, Any]) -> Summary:
    pooled, skill = report["pooled"], report["skill"]
    metrics = dict(pooled[MODEL])
    for baseline, found in skill["candidate"].items():
        metrics[f"skill_vs_{baseline}"] = found["skill"]
        metrics[f"p_vs_{baseline}"] = found["p_value"]
    tests = [
        {"series": block, "baseline": baseline, **found}
        for block, comparisons in skill.items()
        for baseline, found in comparisons.items()
    ]
    return Summary(
        text=report["headline"],
        metrics=metrics,
        tables={
            "metrics-table": [{"forecaster": name, **pooled[name]} for name in in_order(pooled)],
            "dm-table": tests,
        },
    )


if __name__ == "__main__":
    run_stage("evaluate", run)
