"""The crossval stage: each fold has its own cut-off, its forecasts, and no one else's future."""

import json
import re
import shutil
import sys

import numpy as np
import polars as pl
import pytest
from small_corpus import small_params

from flows import crossval
from toto_core.data.corpus import Corpus
from toto_core.errors import ConfigError
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
