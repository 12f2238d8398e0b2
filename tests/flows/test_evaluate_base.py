"""A fine-tuned candidate is judged beside the model that it began as, byte for byte that one."""

import json

import numpy as np
import polars as pl
import pytest
from judged_project import CONTEXT, EVALUATE, PARAMS, H, write_folds, write_project
from polars.testing import assert_frame_equal

from flows import calibrate, evaluate, paths
from flows.base_model import find_base, stored_base
from flows.judge import judge_subject
from flows.subjects import of_model
from toto_core.errors import ConfigError, DataError
from toto_core.evaluation.conformal import Calibration
from toto_core.files import write_json
from toto_core.model import SIZES, Toto2
from toto_core.model.sizes import for_context
from toto_core.registry.fingerprint import model_sha256

MODEL = PARAMS.model.model_copy(update={"context_length": CONTEXT})
SPLIT = PARAMS.split.model_copy(update={"prediction_length": H})
SAME = PARAMS.model_copy(update={"evaluate": EVALUATE, "model": MODEL, "split": SPLIT})


def save(directory, seed):
    Toto2(for_context(SIZES["nano"], CONTEXT), seed=seed).save_pretrained(directory)


@pytest.fixture
def project(tmp_path):
    write_folds(tmp_path, write_project(tmp_path))
    save(tmp_path / "base", 1)
    save(tmp_path / paths.CANDIDATE, 0)
    facts = find_base("base", tmp_path, MODEL).facts
    write_json(tmp_path / paths.CANDIDATE / "run.json", {"base": facts})
    calibrate.run(SAME, tmp_path)
    return tmp_path


def test_base_is_one_more_forecaster_on_the_same_origins(project):
    summary = evaluate.run(SAME, project)
    forecasts = pl.read_parquet(project / paths.FORECASTS / "candidate.parquet")
    base = forecasts["base"].to_numpy()
    assert np.isfinite(base).all()
    assert not np.array_equal(base, forecasts["model"].to_numpy())
    losses = pl.read_parquet(project / paths.LOSSES)
    counts = {
        source: dict(rows["forecaster"].value_counts().iter_rows())
        for (source,), rows in losses.partition_by("source", as_dict=True).items()
    }
    assert counts["candidate"]["base"] == counts["candidate"]["naive"]
    assert "base" not in counts["crossval"]  # a refit began as the base too
    report = json.loads((project / paths.METRICS / "evaluate.json").read_text())
    assert report["skill"]["candidate"]["base"]["n"] == report["num_origins"]
    assert report["baselines"] == ["naive", "drift", "seasonal_naive"]
    assert "its base model" in report["headline"]
    assert "skill_vs_base" in summary.metrics


def test_a_correction_is_no_gain_over_the_base(project):
    candidate = model_sha256(project / paths.CANDIDATE)
    summary = evaluate.run(SAME, project)
    path = project / paths.CALIBRATION
    learnt = Calibration.load(path, candidate=candidate)
    shift = tuple(0.1 * level for level in learnt.levels)
    learnt.model_copy(update={"shifts": (shift,), "reason": "", "method": "pooled"}).save(path)
    corrected = evaluate.run(SAME, project)
    assert corrected.metrics["skill_vs_naive"] != summary.metrics["skill_vs_naive"]
    assert corrected.metrics["skill_vs_base"] == pytest.approx(summary.metrics["skill_vs_base"])
    losses = pl.read_parquet(project / paths.LOSSES)
    as_trained = losses.filter(pl.col("source") == "uncalibrated")
    assert as_trained["forecaster"].unique().to_list() == ["model"]


def test_the_base_itself_has_no_skill_against_it(project):
    save(project / paths.CANDIDATE, 1)
    calibrate.run(SAME, project)
    facts = find_base("base", project, MODEL).facts
    write_json(project / paths.CANDIDATE / "run.json", {"base": facts})
    evaluate.run(SAME, project)
    report = json.loads((project / paths.METRICS / "evaluate.json").read_text())
    found = report["skill"]["candidate"]["base"]
    assert (found["skill"], found["outcome"]) == (0.0, "inconclusive")


def test_without_a_base_there_is_none(project):
    (project / paths.CANDIDATE / "run.json").unlink()
    assert stored_base(project / paths.CANDIDATE, project) is None
    write_json(project / paths.CANDIDATE / "run.json", {"base": None})
    assert stored_base(project / paths.CANDIDATE, project) is None


def test_a_candidate_that_is_the_base_is_not_held_against_itself(project):
    run = json.loads((project / paths.CANDIDATE / "run.json").read_text())
    for best_step, expected in ((0, None), (5, project / "base")):
        write_json(project / paths.CANDIDATE / "run.json", run | {"best_step": best_step})
        assert stored_base(project / paths.CANDIDATE, project) == expected


def test_a_base_that_was_changed_is_refused(project):
    save(project / "base", 2)
    with pytest.raises(
        DataError,
        match=r"base: model.safetensors = changed since candidate was fine-tuned from it, the same "
        "bytes are needed",
    ):
        evaluate.run(SAME, project)
    assert not (project / paths.LOSSES).exists()


def test_a_base_that_is_gone_is_named(project):
    (project / "base").rename(project / "elsewhere")
    with pytest.raises(ConfigError, match=r"train.init = 'base', no such directory is there"):
        evaluate.run(SAME, project)


def test_judging_the_candidate_again_gives_the_same_losses(project):
    evaluate.run(SAME, project)
    subject = of_model(str(paths.CANDIDATE), project, SAME)
    found = judge_subject(project, SAME, subject, name="again")
    again = pl.read_parquet(found.folder / "losses.parquet")
    losses = pl.read_parquet(project / paths.LOSSES)
    own = losses.filter((pl.col("source") == "candidate") & (pl.col("forecaster") != "base"))
    assert_frame_equal(again, own, rel_tol=1e-12)
