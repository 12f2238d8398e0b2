"""The calibrate stage learns from validation origins of series that training may see, only."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from scipy import stats
from small_corpus import small_params

from flows import calibrate, paths
from flows.calibrate import learn_calibration, validation_items
from toto_core.data.splits import Splits, to_us
from toto_core.data.tables import read_items, shard_paths
from toto_core.errors import DataError
from toto_core.evaluation.conformal import Calibration
from toto_core.evaluation.metrics import QUANTILE_LEVELS
from toto_core.files import write_json

CANDIDATE = "c" * 64
H = 24
SPREAD = 0.3 * np.sqrt(2) * stats.norm.ppf(QUANTILE_LEVELS)  # of a change over a season
FEW = {"min_origins": 3, "min_scores": 100, "shrinkage": False}


def narrow(contexts, known_future=None):
    """The last season again, with intervals of half the width that they should have."""
    return [
        (context[:, None, -H:] + 0.5 * SPREAD[:, None]).astype(np.float32) for context in contexts
    ]


def crossing(contexts, known_future=None):
    return [answer[:, ::-1] for answer in narrow(contexts)]


@pytest.fixture
def project(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "project")


def learn(root, predict=narrow, **changes):
    params = small_params(calibrate=FEW | changes)
    return learn_calibration(predict, params, root, candidate=CANDIDATE)


def written(root):
    return Calibration.load(root / paths.CALIBRATION, candidate=CANDIDATE)


def change_values(root, expression):
    (shard,) = shard_paths(root / paths.VALID)
    pl.read_parquet(shard).with_columns(value=expression).write_parquet(shard)


def test_stage_widens_intervals_that_were_too_narrow_on_validation(project):
    summary = learn(project, method="pooled")
    shifts = np.array(written(project).shifts[0])
    assert np.all(np.diff(shifts) > 0)
    width = 1 + shifts[-1] - shifts[0]
    assert width == pytest.approx(2, abs=0.25)
    metrics = json.loads((project / paths.METRICS / "calibrate.json").read_text())
    assert metrics["num_scores"] == 3 * 2 * 3 * H
    assert metrics["num_origins"] == 3
    assert metrics["validation_coverage"]["0.9"] == pytest.approx(0.74, abs=0.06)
    assert summary.text.startswith("quantiles corrected pooled by 432 scores at 3 origins, at most")
    assert len(metrics["validation_coverage"]) == 9


def test_stage_gives_the_same_bytes_again(project):
    learn(project, method="per_step")
    first = (project / paths.CALIBRATION).read_bytes()
    learn(project, method="per_step")
    assert (project / paths.CALIBRATION).read_bytes() == first
    learn(project, method="per_step", shrinkage=True)
    assert (project / paths.CALIBRATION).read_bytes() != first


def test_nothing_at_or_after_the_test_start_changes_the_correction(project):
    learn(project)
    first = (project / paths.CALIBRATION).read_bytes()
    start = Splits.load(project / paths.SPLITS).test_start
    late = pl.col("timestamp") >= start
    change_values(project, pl.when(late).then(1000.0).otherwise(pl.col("value")).cast(pl.Float32))
    learn(project)
    assert (project / paths.CALIBRATION).read_bytes() == first
    before = pl.col("timestamp") >= start - pl.duration(hours=1)
    change_values(project, pl.when(before).then(1000.0).otherwise(pl.col("value")).cast(pl.Float32))
    learn(project)
    assert (project / paths.CALIBRATION).read_bytes() != first


def test_planted_leak_is_caught(project, monkeypatch):
    monkeypatch.setattr(
        calibrate, "validation_items", lambda root, splits, **_: read_items(root / paths.VALID)
    )
    splits = json.loads((project / paths.SPLITS).read_text())
    splits["validation_origins"][-1] = splits["test_origins"][0]
    write_json(project / paths.SPLITS, splits)
    message = r"calibrate: 144 of 432 targets lie at or after T1 = 2025-01-"
    with pytest.raises(DataError, match=message):
        learn(project)
    assert not (project / paths.CALIBRATION).exists()


def test_items_end_at_the_test_start_and_held_out_ones_do_not_come(project):
    splits = Splits.load(project / paths.SPLITS)
    items = list(validation_items(project, splits, max_forecasts=100))
    assert [item.item_id for item in items] == ["a", "b", "c"]
    for item in items:
        assert item.timestamps[-1] == to_us(splits.test_start) - 3_600_000_000
        assert item.values.shape == (2, len(item.timestamps))
    seen = splits.model_copy(update={"train_items": ("a", "c")})
    assert [i.item_id for i in validation_items(project, seen, max_forecasts=100)] == ["a", "c"]


@pytest.mark.parametrize(("limit", "taken"), [(9, "abc"), (8, "ac"), (6, "ac"), (3, "a"), (1, "a")])
def test_many_forecasts_are_thinned_by_items(project, limit, taken):
    splits = Splits.load(project / paths.SPLITS)
    items = validation_items(project, splits, max_forecasts=limit)
    assert "".join(item.item_id for item in items) == taken


def test_few_origins_leave_the_quantiles_and_say_so(project):
    summary = learn(project, min_origins=4)
    assert not written(project).is_on
    reason = "not calibrated: 432 scores at 3 origins, at least 100 at 4 are needed"
    assert written(project).reason.startswith(reason)
    assert summary.text.startswith(f"quantiles as they are ({reason}")
    metrics = json.loads((project / paths.METRICS / "calibrate.json").read_text())
    assert metrics["reason"] == written(project).reason


def test_crossing_quantiles_are_refused_before_they_are_corrected(project):
    with pytest.raises(DataError, match=r"the model's quantiles of a/x are crossing at 3 of 3"):
        learn(project, predict=crossing)
    assert not (project / paths.CALIBRATION).exists()
