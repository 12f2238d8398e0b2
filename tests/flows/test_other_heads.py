"""Other heads go the whole way: trained, refitted, judged at the nine levels, told in run.json."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from small_corpus import small_params

from flows import calibrate, crossval, evaluate, train
from flows.fitting import model_config
from toto_core.evaluation.backtest import forecasts_schema
from toto_core.model import Toto2

HEADS = {
    "student_t": {"head": "student_t", "num_components": 2},
    "levels": {"quantile_levels": [0.05, 0.1, 0.5, 0.75, 0.9, 0.95]},
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=HEADS)
def judged(request, prepared, tmp_path):
    root = shutil.copytree(prepared, tmp_path / "project")
    params = small_params(
        model=HEADS[request.param],
        crossval={"max_steps": 2},
        train={"max_steps": 4, "huber_share": 0.2},
        calibrate={"min_origins": 3, "min_scores": 100, "shrinkage": False},
    )
    train.run(params, root)
    for fold in (0, 1):
        crossval.run(params, root, fold=fold)
    calibrate.run(params, root)
    evaluate.run(params, root)
    return root, params


def test_other_head_goes_from_the_corpus_to_the_verdict(judged):
    root, params = judged
    config = Toto2.from_pretrained(root / "models/candidate").config
    assert config == model_config(params.model)
    assert config.head == params.model.head
    facts = json.loads((root / "models/candidate/run.json").read_text())
    assert tuple(facts["quantile_levels"]) == params.model.quantile_levels
    assert facts["model"]["head"] == params.model.head
    for name in ("fold-0", "fold-1", "candidate"):
        table = pl.read_parquet(root / f"data/forecasts/{name}.parquet")
        own = ("model", "uncalibrated") if name == "candidate" else ("model",)
        assert table.schema == forecasts_schema((*own, *params.evaluate.baselines))
        quantiles = table["model"].to_numpy()
        assert quantiles.shape[1] == 9
        assert np.isfinite(quantiles).all()
        assert (np.diff(quantiles, axis=1) >= 0).all()
