"""The evaluate stage judges seen, held-out and refitted forecasts and lists what it left out."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from judged_project import (
    CONTEXT,
    EVALUATE,
    NUM_ORIGINS,
    NUM_STEPS,
    PARAMS,
    SEASON,
    H,
    by_phase,
    season_and_noise,
    write_folds,
    write_project,
)

from flows import calibrate, evaluate, paths
from toto_core.data.fingerprints import record
from toto_core.errors import CheckpointError, DataError
from toto_core.evaluation.baselines import baseline_quantiles
from toto_core.evaluation.metrics import QUANTILE_LEVELS
from toto_core.files import write_json

OUTS = (
    paths.FORECASTS / "candidate.parquet",
    paths.LOSSES,
    paths.METRICS / "evaluate.json",
    *(paths.PLOTS / f"{name}.csv" for name in ("horizon", "calibration", "items")),
)


def judge(root, predict=by_phase):
    return evaluate.judge_forecaster(predict, EVALUATE, root, context_length=CONTEXT)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    splits = write_project(root, constant=("flat",), short=("new",), ended=("gone",))
    write_folds(root, splits)
    return root, judge(root)


def report_of(root):
    return json.loads((root / paths.METRICS / "evaluate.json").read_text())


def test_all_outs_are_written_with_their_columns(project):
    root, _ = project
    assert all((root / path).is_file() for path in OUTS)
    losses = pl.read_parquet(root / paths.LOSSES)
    assert losses["source"].unique().sort().to_list() == ["candidate", "crossval"]
    assert losses.filter(pl.col("source") == "candidate").height == 4 * 4 * NUM_ORIGINS
    assert losses["sql"].null_count() == 0
    headers = {
        name: (root / paths.PLOTS / f"{name}.csv").read_text().splitlines()[0]
        for name in ("horizon", "hours", "origins", "pit", "calibration", "items")
    }
    assert headers == {
        "horizon": "step,forecaster,mase,sql,num_cells",
        "hours": "hour,forecaster,mase,sql,num_cells",
        "origins": "origin,forecaster,sql",
        "pit": "forecaster,bin,share",
        "calibration": "forecaster,level,coverage",
        "items": "item_id,variate,held_out,origins,mase,sql,"
        "skill_vs_naive,skill_vs_drift,skill_vs_seasonal_naive",
    }
    origins = pl.read_csv(root / paths.PLOTS / "origins.csv")
    assert origins["origin"].str.contains(r"^\d{4}-\d\d-\d\dT\d\d:00:00Z$").all()
    assert origins.height == 4 * NUM_ORIGINS


def test_a_model_with_skill_is_called_better_in_every_block(project):
    root, summary = project
    report = report_of(root)
    assert summary.text == report["headline"]
    assert report["headline"].startswith("Better than no change: its error is ")
    for block in ("candidate", "held_out", "crossval"):
        for baseline in ("naive", "drift", "seasonal_naive"):
            found = report["skill"][block][baseline]
            assert found["n"] == NUM_ORIGINS
            assert found["skill"] > 0.1
            assert found["p_value"] < 0.001
    assert report["calibration"]["coverage80"] == pytest.approx(0.8, abs=0.05)
    assert report["seasonality"] == {"1h": SEASON}


def test_series_that_cannot_be_judged_are_listed_with_their_reason(project):
    root, _ = project
    assert report_of(root)["exclusions"] == [
        {
            "item_id": "flat",
            "variate": "load",
            "held_out": False,
            "reason": "no scale: constant, or not longer than a season, before the test period",
        },
        {
            "item_id": "new",
            "variate": "load",
            "held_out": False,
            "reason": "no origin with enough past and an observed target",
        },
    ]
    assert set(pl.read_parquet(root / paths.LOSSES)["item_id"]) == {"a", "b", "c", "d"}


def test_series_that_ended_before_the_test_period_is_no_exclusion(project):
    root, _ = project
    assert report_of(root)["outside_test_period"] == [
        {"item_id": "gone", "variate": "load", "held_out": False}
    ]


def test_watchers_get_flat_numbers_and_both_tables(project):
    _, summary = project
    assert {"mase", "sql", "wql", "skill_vs_naive", "p_vs_seasonal_naive"} <= set(summary.metrics)
    assert all(isinstance(value, float) for value in summary.metrics.values())
    assert [row["forecaster"] for row in summary.tables["metrics-table"]] == [
        *("model", "naive", "drift", "seasonal_naive"),
    ]
    assert len(summary.tables["dm-table"]) == 9


def test_seen_series_alone_make_the_pooled_scores(project):
    root, _ = project
    losses = pl.read_parquet(root / paths.LOSSES)
    own = losses.filter(
        (pl.col("source") == "candidate") & ~pl.col("held_out") & (pl.col("forecaster") == "model")
    )
    assert report_of(root)["pooled"]["model"]["sql"] == pytest.approx(own["sql"].mean())


def test_seen_series_alone_make_the_plots(project):
    root, _ = project
    forecasts = pl.read_parquet(root / paths.FORECASTS / "candidate.parquet")
    seen = forecasts.filter(pl.col("item_id").is_in(["a", "b", "c"]))
    below = (seen["target"].to_numpy()[:, None] <= seen["model"].to_numpy()).mean(axis=0)
    table = pl.read_csv(root / paths.PLOTS / "calibration.csv")
    found = table.filter(pl.col("forecaster") == "model")["coverage"]
    np.testing.assert_allclose(found, below, atol=1e-6)
    horizon = pl.read_csv(root / paths.PLOTS / "horizon.csv")
    mean = horizon.filter(pl.col("forecaster") == "model")["sql"].mean()
    assert mean == pytest.approx(report_of(root)["pooled"]["model"]["sql"], abs=1e-5)


def test_same_input_gives_the_same_bytes(project, tmp_path):
    root, _ = project
    splits = write_project(tmp_path, constant=("flat",), short=("new",), ended=("gone",))
    write_folds(tmp_path, splits)
    judge(tmp_path)
    for path in OUTS:
        first, second = (
            hashlib.sha256((base / path).read_bytes()).hexdigest() for base in (root, tmp_path)
        )
        assert first == second, path


def no_change(contexts):
    answers = []
    for context in contexts:
        quantiles = baseline_quantiles(
            context[0],
            np.array([context.shape[1]]),
            prediction_length=H,
            context_length=CONTEXT,
            naive_window=EVALUATE.naive_window,
            seasonality=SEASON,
        )["naive"]
        answers.append(np.moveaxis(quantiles, 1, 2))
    return answers


def test_no_change_against_no_change_differs_by_exactly_nothing(tmp_path):
    write_folds(tmp_path, write_project(tmp_path))
    # The forecaster must see all that the baseline sees for both to be the same.
    evaluate.judge_forecaster(no_change, EVALUATE, tmp_path, context_length=NUM_STEPS)
    losses = pl.read_parquet(tmp_path / paths.LOSSES)
    own = losses.filter(pl.col("source") == "candidate")
    model, naive = (own.filter(pl.col("forecaster") == name)["sql"] for name in ("model", "naive"))
    assert model.equals(naive)
    found = report_of(tmp_path)["skill"]["candidate"]["naive"]
    assert (found["skill"], found["outcome"], found["p_value"]) == (0.0, "inconclusive", None)
    assert report_of(tmp_path)["headline"].startswith("Not decided against no change")


def test_a_model_off_by_a_scale_is_shouted_at(tmp_path):
    write_folds(tmp_path, write_project(tmp_path))
    summary = judge(tmp_path, lambda contexts: [10 * answer for answer in by_phase(contexts)])
    assert summary.text.startswith("WORSE THAN NO CHANGE: ITS ERROR IS ")


def test_without_folds_there_is_no_block_for_them(tmp_path):
    splits = write_project(tmp_path)
    write_json(tmp_path / paths.SPLITS, splits.to_json() | {"folds": []})
    judge(tmp_path)
    assert report_of(tmp_path)["skill"]["crossval"] == {}


def test_a_missing_fold_is_named_and_nothing_is_written(tmp_path):
    splits = write_project(tmp_path)
    write_folds(tmp_path, splits)
    (tmp_path / paths.FORECASTS / "fold-1.parquet").unlink()
    with pytest.raises(DataError, match=r"fold-1.parquet: not found, .* each of 2 folds"):
        judge(tmp_path)
    assert not any((tmp_path / path).exists() for path in OUTS)


def test_a_model_that_answers_nan_is_refused_and_nothing_is_written(tmp_path):
    write_folds(tmp_path, write_project(tmp_path))
    with pytest.raises(DataError, match="quantiles of a/load are not finite at 40 of 40 origins"):
        judge(tmp_path, lambda contexts: [np.nan * answer for answer in by_phase(contexts)])
    assert not any((tmp_path / path).exists() for path in OUTS)


def test_nothing_to_judge_says_why(tmp_path):
    write_project(tmp_path, names=("d",), constant=("flat",))
    splits = json.loads((tmp_path / paths.SPLITS).read_text())
    write_json(tmp_path / paths.SPLITS, splits | {"min_context": 9999, "folds": []})
    with pytest.raises(DataError, match=r"0 of 2 series are neither .* enough past"):
        judge(tmp_path)


def test_held_out_series_alone_are_not_enough(tmp_path):
    write_project(tmp_path, names=("d",))
    splits = json.loads((tmp_path / paths.SPLITS).read_text())
    write_json(tmp_path / paths.SPLITS, splits | {"held_out_items": ["d"], "folds": []})
    with pytest.raises(DataError, match=r"0 of 1 series are neither held out .* \(all held out\)"):
        judge(tmp_path)


def test_without_a_candidate_the_stage_says_so(tmp_path):
    write_project(tmp_path)
    with pytest.raises(CheckpointError, match="models/candidate"):
        evaluate.run(PARAMS, tmp_path)


def test_the_stage_judges_a_network(tmp_path):
    from toto_core.model import SIZES, Toto2  # noqa: PLC0415
    from toto_core.model.sizes import for_context  # noqa: PLC0415

    write_folds(tmp_path, write_project(tmp_path))
    Toto2(for_context(SIZES["nano"], CONTEXT), seed=0).save_pretrained(tmp_path / paths.CANDIDATE)
    model = PARAMS.model.model_copy(update={"context_length": CONTEXT})
    params = PARAMS.model_copy(update={"evaluate": EVALUATE, "model": model})
    with pytest.raises(DataError, match=r"calibration\.json: no such file .* dvc repro calibrate"):
        evaluate.run(params, tmp_path)
    calibrate.run(params, tmp_path)
    summary = evaluate.run(params, tmp_path)
    assert summary.metrics["mase"] > 0
    assert report_of(tmp_path)["calibrate"]["reason"].startswith("not calibrated: ")
    forecasts = pl.read_parquet(tmp_path / paths.FORECASTS / "candidate.parquet")
    assert forecasts.height == 4 * NUM_ORIGINS * H
    assert np.isfinite(forecasts["model"].to_numpy()).all()
    assert forecasts["model"].to_numpy().shape[1] == len(QUANTILE_LEVELS)


def remember(root, **series):
    """Give the candidate of ``root`` fingerprints of these series."""
    found = record((name, np.asarray(x, np.float32)[None]) for name, x in series.items())
    found.save(root / paths.SEEN)
    judge(root)
    return report_of(root)["contamination"]


@pytest.fixture
def judged_copy(project, tmp_path):
    return Path(shutil.copytree(project[0], tmp_path / "copy"))


def test_evaluate_finds_the_test_period_in_what_the_candidate_saw(judged_copy):
    known = NUM_STEPS - NUM_ORIGINS * H
    past = {name: season_and_noise(seed)[:known] for seed, name in enumerate("abc")}
    found = remember(judged_copy, **past)
    assert (found["overlap"], found["items"]) == ("none", [])
    assert found["asked"] == found["checkable"] == 4
    found = remember(judged_copy, **past, copied=40 * season_and_noise(1) - 7)
    assert (found["overlap"], found["items"]) == ("found", ["b"])
    assert [row["other"] for row in found["examples"]] == ["copied"]
    found = remember(judged_copy, **past | {"d": season_and_noise(3)})
    assert found["items"] == ["d"]  # the purge has failed, and the item is held out too


def test_evaluate_says_where_it_does_not_know_what_was_seen(project, judged_copy):
    found = report_of(project[0])["contamination"]
    assert (found["overlap"], found["unknown"]) == ("unknown", ["models/candidate"])
    saw = record([("x", season_and_noise(9)[None])])
    replace(saw, unknown=("owner/base",)).save(judged_copy / paths.SEEN)
    judge(judged_copy)
    found = report_of(judged_copy)["contamination"]
    assert (found["overlap"], found["unknown"]) == ("none", ["owner/base"])
