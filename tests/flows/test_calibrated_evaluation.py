"""The corrected model is what is judged, and its own quantiles stand beside it."""

import json

import numpy as np
import polars as pl
import pytest
from judged_project import CONTEXT, EVALUATE, PARAMS, Z, by_phase, write_folds, write_project

from flows import evaluate, paths
from toto_core.errors import CheckpointError, DataError
from toto_core.evaluation.conformal import Calibration
from toto_core.evaluation.conformal.tails import Tail
from toto_core.evaluation.metrics import QUANTILE_LEVELS

CORRECTION = Calibration(
    method="pooled",
    reason="",
    levels=QUANTILE_LEVELS,
    shifts=(tuple((Z / (Z[-1] - Z[0])).tolist()),),  # makes of half the width the whole
    weights=(1.0, 0.0),
    lower=None,
    upper=None,
    num_scores=1000,
    num_forecasts=4,
    num_origins=10,
    candidate="a" * 64,
)


def narrow(contexts):
    """A model with skill whose intervals have half the width that they should have."""
    return [answer - Z[:, None] / 2 for answer in by_phase(contexts)]


def judge(root, calibration, predict=narrow):
    write_folds(root, write_project(root))
    evaluate.judge_forecaster(
        predict, EVALUATE, root, context_length=CONTEXT, calibration=calibration
    )
    return json.loads((root / paths.METRICS / "evaluate.json").read_text())


@pytest.fixture(scope="module")
def corrected(tmp_path_factory):
    root = tmp_path_factory.mktemp("corrected")
    return root, judge(root, CORRECTION)


def test_corrected_model_is_judged(corrected, tmp_path):
    root, report = corrected
    wide = judge(tmp_path, None, predict=by_phase)
    for name in ("sql", "mase", "coverage80"):
        assert report["pooled"]["model"][name] == pytest.approx(wide["pooled"]["model"][name])
    assert report["calibration"] == pytest.approx(wide["calibration"])
    assert report["baselines"] == wide["baselines"]
    assert "calibrate" not in wide
    losses = pl.read_parquet(root / paths.LOSSES)
    assert "uncalibrated" not in losses["forecaster"]
    for name in ("horizon", "hours", "origins"):
        table = pl.read_csv(root / paths.PLOTS / f"{name}.csv")
        assert "uncalibrated" not in table["forecaster"]


def test_own_quantiles_stand_beside_the_corrected_ones(corrected):
    root, report = corrected
    forecasts = pl.read_parquet(root / paths.FORECASTS / "candidate.parquet")
    own, moved = (forecasts[name].to_numpy() for name in ("uncalibrated", "model"))
    np.testing.assert_allclose(moved - moved[:, 4:5], 2 * (own - own[:, 4:5]), atol=1e-4)
    effect = report["calibrate"]
    assert effect["num_scores"] == 1000
    assert effect["before"]["calibration"]["coverage80"] == pytest.approx(0.48, abs=0.05)
    assert report["calibration"]["coverage80"] == pytest.approx(0.8, abs=0.05)
    gain = 1 - report["pooled"]["model"]["sql"] / effect["before"]["pooled"]["sql"]
    assert effect["gain"]["skill"] == pytest.approx(gain)
    assert gain > 0.02


def test_coverage_before_and_after_is_told_by_level_and_step(corrected):
    root, report = corrected
    by_level = pl.read_csv(root / paths.PLOTS / "calibration.csv")
    by_step = pl.read_csv(root / paths.PLOTS / "coverage.csv")
    assert by_step.columns == ["forecaster", "step", "level", "coverage", "num_cells"]
    assert {"model", "uncalibrated", "naive"} <= set(by_step["forecaster"])
    pooled = by_step.group_by("forecaster", "level").agg(
        (pl.col("coverage") * pl.col("num_cells")).sum() / pl.col("num_cells").sum()
    )
    both = by_level.join(pooled, on=["forecaster", "level"], suffix="_of_steps")
    assert both.height == by_level.height
    np.testing.assert_allclose(both["coverage"], both["coverage_of_steps"], atol=1e-5)
    before = by_level.filter(pl.col("forecaster") == "uncalibrated")
    for row in before.iter_rows(named=True):
        told = report["calibrate"]["before"]["coverage"][f"{row['level']:g}"]
        assert row["coverage"] == pytest.approx(told, abs=1e-6)


def test_coverage_beyond_the_nine_is_told_where_it_can_be_answered(corrected, tmp_path):
    _, report = corrected
    assert report["calibrate"]["beyond"] == {}
    tail = {"share": 0.1, "limit": 0.02, "scale": 0.185, "shape": 0.0, "num_excesses": 40}
    tailed = CORRECTION.model_copy(update={"upper": Tail(**tail), "lower": Tail(**tail)})
    found = judge(tmp_path, tailed)["calibrate"]["beyond"]
    assert list(found) == ["0.025", "0.05", "0.95", "0.975"]
    for level, share in found.items():
        assert share == pytest.approx(float(level), abs=0.025)


def test_model_that_was_not_calibrated_goes_on_and_the_reason_is_told(tmp_path):
    reason = "not calibrated: 24 scores at 1 origins, at least 500 at 8 are needed"
    off = CORRECTION.model_copy(update={"shifts": (), "reason": reason})
    report = judge(tmp_path, off)
    assert report["calibrate"]["reason"] == reason
    assert "before" not in report["calibrate"]
    assert report["calibration"]["coverage80"] == pytest.approx(0.48, abs=0.05)
    columns = pl.read_parquet_schema(tmp_path / paths.FORECASTS / "candidate.parquet")
    assert "uncalibrated" not in columns


def test_crossing_quantiles_are_told_and_not_put_in_order_by_the_correction(tmp_path):
    def crossing(contexts):
        return [answer[:, ::-1] for answer in narrow(contexts)]

    with pytest.raises(DataError, match=r"quantiles of a/load are crossing at 40 of 40 origins"):
        judge(tmp_path, CORRECTION, predict=crossing)


def test_stage_refuses_a_correction_of_another_model(tmp_path):
    from toto_core.model import SIZES, Toto2  # noqa: PLC0415 - slow, not for every test
    from toto_core.model.sizes import for_context  # noqa: PLC0415

    write_project(tmp_path)
    Toto2(for_context(SIZES["nano"], CONTEXT), seed=0).save_pretrained(tmp_path / paths.CANDIDATE)
    CORRECTION.save(tmp_path / paths.CALIBRATION)
    with pytest.raises(CheckpointError, match=r"calibration\.json: candidate = aaaaaaaaaaaa, the"):
        evaluate.run(PARAMS, tmp_path)
