"""The stages train and crossval with a base model: what they write and what they start from."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from killed_run import run_and_kill
from safetensors.torch import load_file
from small_corpus import small_params

from flows import crossval, paths, train
from toto_core.data.fingerprints import Fingerprints, record
from toto_core.data.splits import Splits
from toto_core.data.tables import read_items
from toto_core.errors import ConfigError
from toto_core.evaluation.backtest import backtest
from toto_core.evaluation.metrics import QUANTILE_LEVELS
from toto_core.inference import Forecaster
from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.checkpoint import file_hash

REPOSITORY = Path(__file__).parents[2]
BASE = "models-of-others/base"
METHODS = {
    "full": {"method": "full"},
    "last_layers": {"method": "last_layers", "num_layers": 1},
    "lora": {"method": "lora", "rank": 2, "alpha": 4.0},
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def with_base(prepared, tmp_path_factory):
    root = shutil.copytree(prepared, tmp_path_factory.mktemp("with-base") / "project")
    Toto2(for_context(SIZES["nano"], 128), seed=3).save_pretrained(root / BASE)
    return root


@pytest.fixture
def project(with_base, tmp_path):
    return shutil.copytree(with_base, tmp_path / "project")


def params_for(method="full", *, refit_steps=2, **changes):
    finetune = small_params().train.finetune.model_dump() | METHODS[method]
    wanted = {"init": BASE, "finetune": finetune, "precision": "float32", "max_steps": 4} | changes
    return small_params(train=wanted, crossval={"max_steps": refit_steps})


def read(path):
    return json.loads(path.read_text())


def outputs(root):
    files = [path for path in sorted((root / "models").rglob("*")) if path.is_file()]
    return {str(path.relative_to(root)): file_hash(path) for path in files}


@pytest.mark.parametrize("method", METHODS)
def test_result_is_a_plain_model_that_names_its_base(project, method):
    summary = train.run(params_for(method), project)
    metrics = read(project / "reports/metrics/train.json")
    facts = read(project / "models/candidate/run.json")
    given = load_file(project / BASE / "model.safetensors")
    assert facts["base"] == {
        "init": BASE,
        "revision": None,
        "sha256": {
            name: file_hash(project / BASE / name) for name in ("config.json", "model.safetensors")
        },
        "last_training_time": None,
        "base": None,
    }
    assert facts["context_length"] == 96
    # The constants are those of the base, which saw 128 steps; 96 would imply others.
    config = (project / BASE / "config.json").read_text()
    assert (project / "models/candidate/config.json").read_text() == config
    for folder in [project / "models/candidate", *(project / "models/checkpoints").iterdir()]:
        assert Toto2.from_pretrained(folder).num_parameters() == metrics["parameters"]
        assert load_file(folder / "model.safetensors").keys() == given.keys()
    learning = {"full": 298112, "last_layers": 159872, "lora": 6240}[method]
    assert metrics["learning_parameters"] == learning
    best = project / f"models/checkpoints/step-{metrics['best_step']:06d}/model.safetensors"
    assert best.read_bytes() == (project / "models/candidate/model.safetensors").read_bytes()
    kept = (project / "models/checkpoints").glob("*/model.safetensors")
    assert len({file_hash(path) for path in kept}) == 2
    assert metrics["validation_loss"] <= metrics["base_validation_loss"]
    assert f"(base: {metrics['base_validation_loss']:.4f})" in summary.text
    assert list((project / "runs").iterdir()) == []


def forecasts(directory, root):
    """Forecasts of the first fold, as the stage crossval makes them."""
    splits = Splits.load(root / "data/splits.json")
    forecaster = Forecaster.load(directory, device="cpu", context_length=96)
    evaluate = small_params().evaluate
    return backtest(
        read_items(root / "data/valid"),
        splits.folds[0].origins_us,
        splits,
        partial(
            forecaster.predict,
            prediction_length=24,
            quantile_levels=QUANTILE_LEVELS,
            batch_size=evaluate.batch_size,
        ),
        context_length=96,
        params=evaluate,
    )


@pytest.mark.parametrize(("until", "is_later"), [("2024-01-01", False), ("2026-01-01", True)])
def test_last_training_time_is_that_of_the_base_where_it_is_later(project, until, is_later):
    time = f"{until}T00:00:00+00:00"
    (project / BASE / "run.json").write_text(json.dumps({"last_training_time": time}))
    train.run(params_for(max_steps=0), project)
    found = read(project / "models/candidate/run.json")["last_training_time"]
    assert (found == time) == is_later


def test_a_base_hands_on_its_fingerprints_or_is_named_as_unknown(project):
    train.run(params_for(max_steps=0), project)
    own = Fingerprints.load(project / paths.FINGERPRINTS)
    found = Fingerprints.load(project / paths.SEEN)
    assert (found.items, found.unknown) == (own.items, (BASE,))
    elsewhere = np.cumsum(np.random.default_rng(5).standard_normal((1, 600)), axis=1)
    of_base = record([("elsewhere", elsewhere.astype(np.float32))])
    of_base.save(project / BASE / paths.SEEN.name)
    train.run(params_for(max_steps=0), project)
    found = Fingerprints.load(project / paths.SEEN)
    assert (found.items, found.unknown) == ((*own.items, "elsewhere"), ())
    assert len(found) == len(own) + len(of_base)


@pytest.mark.parametrize("method", METHODS)
def test_zero_steps_give_the_forecasts_of_the_base_exactly(project, method):
    params = params_for(method, max_steps=0, refit_steps=0)
    train.run(params, project)
    metrics = read(project / "reports/metrics/train.json")
    assert (metrics["steps"], metrics["best_step"], metrics["points_seen"]) == (0, 0, 0)
    assert metrics["validation_loss"] == metrics["base_validation_loss"]
    assert "train_loss" not in metrics
    expected = forecasts(project / BASE, project)
    assert forecasts(project / "models/candidate", project).equals(expected)
    crossval.run(params, project, fold=0)
    assert pl.read_parquet(project / "data/forecasts/fold-0.parquet").equals(expected)


def test_refits_begin_at_the_base(project):
    crossval.run(params_for(refit_steps=1), project, fold=0)
    near = pl.read_parquet(project / "data/forecasts/fold-0.parquet")
    base = forecasts(project / BASE, project)
    crossval.run(params_for(refit_steps=1, init=None), project, fold=0)
    far = pl.read_parquet(project / "data/forecasts/fold-0.parquet")
    median = pl.col("model").arr.get(4)
    distance = [
        (table.select(median).to_series() - base.select(median).to_series()).abs().mean()
        for table in (near, far)
    ]
    assert 0 < distance[0] < distance[1]


def test_zero_steps_from_scratch_are_refused(project):
    for name, stage in (("train", train.run), ("crossval 0", partial(crossval.run, fold=0))):
        with pytest.raises(ConfigError) as caught:
            stage(params_for(init=None, max_steps=0, refit_steps=0), project)
        assert str(caught.value) == (
            f"params.yaml: max_steps of {name} = 0, at least 1 is needed from scratch; raise it or "
            "name a model in train.init"
        )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["last_layers", "lora"])
def test_killed_run_ends_in_the_same_bytes(with_base, project, tmp_path, method, caplog):
    params = params_for(method, max_steps=12)
    whole = shutil.copytree(with_base, tmp_path / "whole")
    train.run(params, whole)
    run_and_kill(project, params)
    assert not (project / "models").exists()
    caplog.clear()
    with caplog.at_level("INFO", logger="flows.progress"):
        train.run(params, project)
    assert any(message.startswith("train: goes on from step ") for message in caplog.messages)
    assert outputs(project) == outputs(whole)


@pytest.mark.slow
def test_run_of_another_base_starts_afresh(project, caplog):
    params = params_for(max_steps=12)
    run_and_kill(project, params)
    Toto2(for_context(SIZES["nano"], 128), seed=4).save_pretrained(project / BASE)
    with caplog.at_level("INFO", logger="flows.progress"):
        train.run(params, project)
    assert not any("goes on" in message for message in caplog.messages)
