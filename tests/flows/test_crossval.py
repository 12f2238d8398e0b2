"""The crossval stage: each fold has its own cut-off, its forecasts, and no one else's future."""

import json
import re
import shutil
import sys
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from small_corpus import small_params

from flows import crossval
from toto_core.data.corpus import Corpus
from toto_core.data.splits import Splits
from toto_core.data.tables import SERIES_SCHEMA
from toto_core.errors import ConfigError, DataError
from toto_core.evaluation.backtest import forecasts_schema
from toto_core.training.checkpoint import file_hash

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def project(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "project")


@pytest.fixture(scope="module")
def refitted(prepared, tmp_path_factory):
    """A project after the stage has run for fold 0; not to be changed."""
    root = shutil.copytree(prepared, tmp_path_factory.mktemp("refitted") / "project")
    return root, crossval.run(small_params(), root, fold=0)


def forecasts(root, fold=0):
    return pl.read_parquet(root / f"data/forecasts/fold-{fold}.parquet")


def test_forecasts_are_those_of_the_fold(refitted):
    root, summary = refitted
    splits = json.loads((root / "data/splits.json").read_text())
    table = forecasts(root)
    assert table.schema == forecasts_schema(("model", *small_params().evaluate.baselines))
    found = sorted(origin.isoformat() for origin in set(table["origin"]))
    assert [text[:19] for text in found] == [o[:19] for o in splits["folds"][0]["origins"]]
    assert table.height == len(found) * 3 * 2 * 24  # origins, items, variates, steps
    metrics = json.loads((root / "reports/metrics/crossval-0.json").read_text())
    assert metrics.pop("cutoff") == splits["folds"][0]["cutoff"].replace("Z", "+00:00")
    assert metrics.pop("contamination")["overlap"] == "none"
    assert metrics == dict(summary.metrics)
    assert metrics["steps"] == 12
    assert metrics["forecasts"] == len(found) * 3 * 2
    assert list((root / "runs").iterdir()) == []


def test_second_run_writes_the_same_bytes(refitted, project):
    root, _ = refitted
    crossval.run(small_params(), project, fold=0)
    for name in ("data/forecasts/fold-0.parquet", "reports/metrics/crossval-0.json"):
        assert file_hash(project / name) == file_hash(root / name)


def test_later_fold_trains_on_more_and_forecasts_later(refitted, project):
    root, first = refitted
    crossval.run(small_params(), project, fold=1)
    assert forecasts(project, 1)["origin"].min() > forecasts(root)["origin"].max()
    corpus = Corpus.open(project / "data/corpus")
    assert (corpus.limits_at("fold-1") >= corpus.limits_at("fold-0")).all()
    assert (corpus.limits_at("fold-1") > corpus.limits_at("fold-0")).any()
    assert first.metrics["origins"] == 3


def test_points_behind_the_cutoff_change_nothing_that_was_learned(refitted, project):
    """A leak of training past the fold's cut-off would show in the loss."""
    root, _ = refitted
    folder = project / "data/corpus"
    corpus = Corpus.open(folder)
    values = np.fromfile(folder / "part-00000.f32", np.float32)
    limits = corpus.limits_at("fold-0")
    changed = 0
    for n in range(corpus.num_items):
        start, rows, steps = corpus.offset[n], corpus.num_variates[n], corpus.length[n]
        block = values[start : start + rows * steps].reshape(rows, steps)
        changed += block[:, limits[n] :].size
        block[:, limits[n] :] = 1e6
    assert changed > 0
    old = file_hash(folder / "part-00000.f32")
    values.tofile(folder / "part-00000.f32")
    index = folder / "index.json"
    index.write_text(index.read_text().replace(old, file_hash(folder / "part-00000.f32")))
    crossval.run(small_params(), project, fold=0)
    name = "data/forecasts/fold-0.parquet"
    assert file_hash(project / name) == file_hash(root / name)


def test_unknown_fold_names_the_known_ones(project):
    with pytest.raises(
        ConfigError,
        match=re.escape(
            "crossval: --fold = 7, data/splits.json has the folds 0, 1; choose one of these "
            "(split.num_folds and the matrix in dvc.yaml must agree)"
        ),
    ):
        crossval.run(small_params(), project, fold=7)


def test_command_line_needs_the_fold(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["crossval"])
    with pytest.raises(SystemExit) as ended:
        crossval.main()
    assert ended.value.code == 2
    assert "the following arguments are required: --fold" in capsys.readouterr().err


def test_refit_says_that_it_has_not_seen_what_it_forecasts(refitted):
    root, summary = refitted
    found = json.loads((root / "reports/metrics/crossval-0.json").read_text())["contamination"]
    assert (found["overlap"], found["items"], found["unknown"]) == ("none", [], [])
    assert found["asked"] == 3
    assert "stand in its training data" not in summary.text


@pytest.mark.parametrize(("limit", "found"), [(400, ["a"]), (110, [])])
def test_refit_names_items_whose_targets_stand_in_its_training_data(project, limit, found):
    """What `a` shows in the fold, `b` has shown from its hundredth step on, seen or not."""
    rng, steps, first = np.random.default_rng(5), 1000, 700
    values = rng.standard_normal((3, steps)).cumsum(axis=1)
    values[1, 100:400] = values[0, first:]
    stamps = np.datetime64("2025-01-01", "us") + np.arange(steps).astype("timedelta64[h]")
    time = pl.Series(stamps).dt.replace_time_zone("UTC")
    columns = {"variate": "x", "timestamp": time}
    table = pl.concat(
        pl.DataFrame({"item_id": name, **columns, "value": row})
        for name, row in zip("abc", values, strict=True)
    )
    table.cast(dict(SERIES_SCHEMA)).write_parquet(project / "data/valid/part-00000.parquet")
    items = pl.read_parquet(project / "data/valid/items.parquet")
    items.filter(pl.col("variate") == "x").write_parquet(project / "data/valid/items.parquet")
    known = json.loads((project / "data/splits.json").read_text())
    cutoff = time[first].isoformat()
    folds = [{"fold": 0, "cutoff": cutoff, "origins": [cutoff]}]
    splits = Splits.model_validate(
        known | {"folds": folds, "test_end": time[-1] + timedelta(hours=1)}
    )
    seen = crossval.seen_targets(
        project, splits, splits.folds[0], dict.fromkeys("abc", limit), None
    )
    assert seen["items"] == found
    assert seen["overlap"] == ("found" if found else "none")
    assert seen["asked"] == seen["seen_items"] == 3


def test_fold_without_anything_to_train_on_is_refused_by_name(project):
    folder = project / "data/corpus"
    corpus = Corpus.open(folder)
    arrays = dict(np.load(folder / "index.npz"))
    limits = arrays["limits"].copy()
    limits[~corpus.is_synthetic] = 0
    np.savez(folder / "index.npz", **(arrays | {"limits": limits}))
    cutoff = json.loads((project / "data/splits.json").read_text())["folds"][1]["cutoff"]
    message = (
        f"crossval: real items with a point before {cutoff.replace('Z', '+00:00')}, the cut-off of "
        "fold 1 = 0, at least 1 is needed to train on; give more history or lower "
        "split.num_test_origins"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        crossval.run(small_params(), project, fold=1)
    assert not (project / "data/forecasts").exists()
