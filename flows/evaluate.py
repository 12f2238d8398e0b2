"""Stage ``evaluate``: candidate and refits against the baselines -> forecasts, losses, metrics.

python -m flows.evaluate
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flows import paths
from flows.stage import Summary, run_stage
from toto_core.config import EvaluateParams, Params
from toto_core.data import tables
from toto_core.data.fingerprints import Fingerprints, Recorder
from toto_core.data.overlap import UNKNOWN, contamination
from toto_core.data.shards import write_table
from toto_core.data.splits import Splits, to_us
from toto_core.errors import DataError
from toto_core.evaluation.backtest import Predict, backtest, season_of
from toto_core.evaluation.metrics import (
    MODEL,
    QUANTILE_LEVELS,
    SERIES_KEYS,
    Profile,
    Tally,
    seasonal_errors,
)
from toto_core.evaluation.scores import (
    CANDIDATE,
    CROSSVAL,
    blocks_of,
    evaluation_report,
    item_scores,
    origin_scores,
)
from toto_core.evaluation.verdict import in_order
from toto_core.files import whole_parquet, write_json, writing


def run(params: Params, root: Path) -> Summary:
    """Forecast the test period with the candidate of ``root`` and judge it beside the baselines.

    Raises:
        CheckpointError: if there is no usable candidate.
        DataError: as ``judge_forecaster`` does.
    """
    # Only here does the judge meet a network: torch is slow to import.
    from toto_core.inference import Forecaster  # noqa: PLC0415
    from toto_core.training.device import suit_threads  # noqa: PLC0415

    context_length = params.model.context_length
    forecaster = Forecaster.load(root / paths.CANDIDATE, context_length=context_length)
    suit_threads(forecaster.model.config.d_model)
    splits = Splits.load(root / paths.SPLITS)

    def predict(
        contexts: list[np.ndarray],
        known_future: list[np.ndarray] | None = None,
    ) -> list[np.ndarray]:
        return forecaster.predict(
            contexts,
            splits.prediction_length,
            quantile_levels=QUANTILE_LEVELS,
            known_future=known_future,
            batch_size=params.evaluate.batch_size,
        )

    return judge_forecaster(predict, params.evaluate, root, context_length=context_length)


def judge_forecaster(
    predict: Predict, params: EvaluateParams, root: Path, *, context_length: int
) -> Summary:
    """Judge any forecaster on the test period of ``root``, and the stored refits with it.

    Args:
        predict: as in ``backtest``.
        context_length: newest points before an origin that the forecaster is shown.

    Raises:
        DataError: if nothing can be judged, if the forecasts are no forecasts, or if forecasts
            of a fold are missing.
    """
    splits = Splits.load(root / paths.SPLITS)
    forecasts = backtest(
        tables.read_items(root / paths.VALID),
        splits.test_origins_us,
        splits,
        predict,
        context_length=context_length,
        params=params,
    )
    forecasters = (MODEL, *params.baselines)
    seasons, facts = _facts(params, root, splits)
    facts, outside = _present(facts, root, splits)
    facts, exclusions = _exclude(facts, forecasts)
    if facts["held_out"].all():
        reasons = "; ".join(sorted({str(row["reason"]) for row in exclusions})) or "all held out"
        raise DataError(
            f"evaluate: 0 of {facts.height + len(exclusions) + len(outside)} series are neither "
            f"held out nor left out, at least 1 that can be judged is needed "
            f"({reasons}); see split.num_test_origins and split.min_context"
        )
    candidate, refits = (
        Tally(facts, forecasters=forecasters, source=source).add_all([table])
        for source, table in (
            (CANDIDATE, forecasts),
            (CROSSVAL, _refit_forecasts(root, splits, forecasts)),
        )
    )
    losses = pl.concat([candidate.losses(), refits.losses()])
    report = evaluation_report(
        losses,
        candidate.profile,
        overlap=splits.overlap,
        exclusions=exclusions,
        outside=outside,
        seasonality=seasons,
    )
    report["contamination"] = _contamination(root, splits, facts)
    _write(root, forecasts, losses, candidate.profile, report)
    return _summary(report)


def _facts(
    params: EvaluateParams, root: Path, splits: Splits
) -> tuple[dict[str, int], pl.DataFrame]:
    """Season of each frequency; group, scale and whether it is held out, of each target series."""
    items = tables.read_items_table(root / paths.VALID)
    targets = items.filter(pl.col("role") == tables.TARGET)
    freqs = targets["freq"].unique().sort().to_list()
    seasons = {freq: season_of(freq, params.seasonality) for freq in freqs}
    scales = seasonal_errors(
        pl.scan_parquet(tables.shard_paths(root / paths.VALID)),
        targets.select(
            "item_id", season=pl.col("freq").replace_strict(seasons, return_dtype=pl.Int64)
        ).unique(),
        before_us=to_us(splits.test_start),
    )
    facts = (
        targets.select(
            *SERIES_KEYS, "group", held_out=pl.col("item_id").is_in(splits.held_out_items)
        )
        .join(scales, on=SERIES_KEYS, how="left")
        .sort(SERIES_KEYS)
    )
    return seasons, facts


def _present(
    facts: pl.DataFrame, root: Path, splits: Splits
) -> tuple[pl.DataFrame, list[dict[str, object]]]:
    """Part the series that have a value in the test period from those that have none."""
    present = (
        pl.scan_parquet(tables.shard_paths(root / paths.VALID))
        .filter(
            pl.col("timestamp").is_between(splits.test_start, splits.test_end, closed="left"),
            pl.col("value").is_not_nan(),
        )
        .select(SERIES_KEYS)
        .unique()
        .collect()
    )
    outside = facts.join(present, on=SERIES_KEYS, how="anti", maintain_order="left")
    return (
        facts.join(present, on=SERIES_KEYS, how="semi", maintain_order="left"),
        outside.select(*SERIES_KEYS, "held_out").to_dicts(),
    )


def _exclude(
    facts: pl.DataFrame, forecasts: pl.DataFrame
) -> tuple[pl.DataFrame, list[dict[str, object]]]:
    """Part the series that can be judged from those that cannot, with the reason."""
    judged = forecasts.filter(pl.col("target").is_not_null()).select(SERIES_KEYS).unique()
    judged = judged.with_columns(judged=pl.lit(value=True))
    marked = facts.join(judged, on=SERIES_KEYS, how="left").with_columns(
        reason=pl.when(pl.col("judged").is_null())
        .then(pl.lit("no origin with enough past and an observed target"))
        .when(~(pl.col("scale") > 0).fill_null(value=False))
        .then(pl.lit("no scale: constant, or not longer than a season, before the test period"))
    )
    marked = marked.sort(SERIES_KEYS)
    kept = marked.filter(pl.col("reason").is_null()).select(facts.columns)
    left_out = marked.filter(pl.col("reason").is_not_null())
    return kept, left_out.select(*SERIES_KEYS, "held_out", "reason").to_dicts()


def _contamination(root: Path, splits: Splits, facts: pl.DataFrame) -> dict[str, object]:
    """Look for the judged items' values of the test period in what the candidate was trained on."""
    if not (root / paths.SEEN).is_file():
        return {"overlap": UNKNOWN, "unknown": [str(paths.CANDIDATE)], "items": [], "examples": []}
    judged = frozenset(facts["item_id"])
    period = to_us(splits.test_start), to_us(splits.test_end)
    targets = Recorder(all_windows=True)
    for item in tables.read_items(root / paths.VALID):
        if item.item_id in judged:
            first, last = np.searchsorted(item.timestamps, period)
            rows = [role == tables.TARGET for role in item.roles]
            targets.add(item.item_id, item.values[rows, first:last])
    return contamination(
        targets.fingerprints(),
        Fingerprints.load(root / paths.SEEN),
        copied=judged.intersection(splits.copied_items),
    )


def _refit_forecasts(root: Path, splits: Splits, like: pl.DataFrame) -> pl.DataFrame:
    """Forecasts of all origins of all folds, in one table."""
    parts = [like.clear()]
    for fold in splits.folds:
        path = root / paths.FORECASTS / f"fold-{fold.fold}.parquet"
        if not path.is_file():
            raise DataError(
                f"{path}: not found, the forecasts of each of {len(splits.folds)} folds are "
                "needed; run dvc repro crossval, and give split.num_folds and the crossval "
                "stage of dvc.yaml the same folds"
            )
        parts.append(pl.read_parquet(whole_parquet(path)).select(like.columns))
    return pl.concat(parts).sort("item_id", "variate", "origin", "step")


def _write(
    root: Path,
    forecasts: pl.DataFrame,
    losses: pl.DataFrame,
    profile: Profile,
    report: dict[str, Any],
) -> None:
    for path, table in (
        (root / paths.FORECASTS / "candidate.parquet", forecasts),
        (root / paths.LOSSES, losses),
    ):
        with writing(path) as temporary:
            write_table(temporary, table)
    for name, table in {
        "horizon": profile.by_step(),
        "hours": profile.by_hour(),
        "origins": origin_scores(blocks_of(losses)["candidate"]),
        "calibration": profile.coverage(),
        "pit": profile.pit(),
        "items": item_scores(losses),
    }.items():
        with writing(root / paths.PLOTS / f"{name}.csv") as temporary:
            table.write_csv(temporary, float_precision=6)
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
