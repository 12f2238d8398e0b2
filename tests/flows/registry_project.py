"""A small project under git and DVC with a candidate to promote, made without training."""

import json
import os
import shutil
import subprocess
from functools import cache

import numpy as np
import polars as pl
import yaml
from small_corpus import small_params
from toy_project import REPOSITORY

from flows import paths
from flows.split import run as split
from toto_core.data import tables
from toto_core.data.splits import Splits
from toto_core.evaluation.backtest import backtest
from toto_core.evaluation.conformal import Calibration
from toto_core.evaluation.metrics import MODEL, QUANTILE_LEVELS, origin_losses
from toto_core.registry.fingerprint import combined, file_sha256, folder_files, model_sha256

NUM_STEPS, NUM_ORIGINS, HORIZON, CONTEXT = 400, 24, 4, 64
DATE = "2026-03-01T12:00:00+00:00"
OUTS = ("models/candidate", "models/registry", "data/valid", "data/splits.json")
GRAPH = {
    "stages": {"all": {"cmd": "true", "outs": [*OUTS, "data/losses.parquet"]}},
}
PARAMS = small_params(
    split={
        "prediction_length": HORIZON,
        "stride": HORIZON,
        "num_test_origins": NUM_ORIGINS,
        "num_validation_origins": 2,
    },
    model={"context_length": CONTEXT},
)


def git(root, *arguments):
    environment = os.environ | {"GIT_AUTHOR_DATE": DATE, "GIT_COMMITTER_DATE": DATE}
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return done.stdout.strip()


def write_project(root):
    """Make ``root`` a project with two hourly items, splits and nothing registered yet."""
    from dvc.repo import Repo  # noqa: PLC0415

    root.mkdir()
    git(root, "init", "--quiet")
    git(root, "config", "user.name", "Ada")
    git(root, "config", "user.email", "ada@example.org")
    Repo.init(str(root)).close()
    shutil.copy(REPOSITORY / ".gitignore", root)
    (root / "dvc.yaml").write_text(yaml.safe_dump(GRAPH))
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS.model_dump(mode="json", by_alias=True)))
    hours = np.arange(NUM_STEPS)
    stamps = np.datetime64("2025-01-01", "us") + hours.astype("timedelta64[h]")
    rng = np.random.default_rng(0)
    folder = root / paths.VALID
    folder.mkdir(parents=True)
    parts = [
        pl.DataFrame(
            {
                "item_id": item,
                "variate": "x",
                "timestamp": stamps,
                "value": 5 + np.sin(hours * np.pi / 12) + 0.3 * rng.standard_normal(NUM_STEPS),
            }
        ).with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))
        for item in ("a", "b")
    ]
    series = pl.concat(parts).cast(dict(tables.SERIES_SCHEMA))
    series.write_parquet(tables.shard_path(folder, 0))
    facts = [(item, "x", "target", "1h", item, "test") for item in ("a", "b")]
    table = pl.DataFrame(facts, schema=tables.ITEMS_SCHEMA, orient="row")
    table.write_parquet(folder / tables.ITEMS_FILE)
    split(PARAMS, root)
    return root


def write_candidate(
    root, seed, *, outcome="PASS", error=1.0, noise=0.0, stopped_by=None, tolerance=0.01, shift=None
):
    """Write an untrained network of this seed with its card, and commit both to DVC and git.

    Its losses are those of the network of seed 1 times ``error``, give or take ``noise``;
    ``stopped_by`` is the end of its validation period if it is another than that of the splits,
    ``tolerance`` what its verdict allows a successor, ``shift`` that of its calibration, if any.
    """
    folder = root / paths.CANDIDATE
    _save_network(folder, seed)
    splits = json.loads((root / paths.SPLITS).read_text())
    (folder / "run.json").write_text(
        json.dumps({"context_length": CONTEXT, "last_training_time": splits["validation_start"]})
    )
    losses = losses_of_first(root)
    shaken = np.random.default_rng(seed).normal(error, noise, losses.height)
    losses = losses.with_columns(pl.col("sql") * shaken)
    losses.write_parquet(root / paths.LOSSES)
    card = {
        "outcome": outcome,
        "attempt": 1,
        "candidate_hash": combined(folder_files(folder)),
        "verdict_hash": f"{seed:064x}",
        "snapshot": "s",
        "hashes": {"losses": file_sha256(root / paths.LOSSES)},
        "thresholds": {"max_successor_loss": tolerance, "alpha": 0.05},
        "run": {"last_training_time": splits["validation_start"]},
        "splits": {"test_start": stopped_by or splits["test_start"]},
        "scores": {"pooled": {"model": {"sql": 0.5}}},
        "tests": {"naive": {"skill": 0.25, "p_value": 0.001}},
    }
    if shift is not None:
        _write_calibration(root, shift)
        card["hashes"]["calibration"] = file_sha256(root / paths.CALIBRATION)
    registry = root / paths.REGISTRY
    registry.mkdir(parents=True, exist_ok=True)
    (registry / "card.json").write_text(json.dumps(card))
    (registry / "card.md").write_text(f"# toto: {outcome}\n")
    commit(root)
    return card


def _write_calibration(root, shift):
    calibration = Calibration(
        method="pooled",
        reason="",
        levels=QUANTILE_LEVELS,
        shifts=((shift,) * len(QUANTILE_LEVELS),),
        weights=(1.0, 0.0),
        lower=None,
        upper=None,
        candidate=model_sha256(root / paths.CANDIDATE),
        **{name: 1 for name in Calibration.model_fields if name.startswith("num_")},
    )
    (root / paths.CALIBRATION).write_text(calibration.model_dump_json())
    outs = [*GRAPH["stages"]["all"]["outs"], str(paths.CALIBRATION)]
    graph = {"stages": {"all": {"cmd": "true", "outs": outs}}}
    (root / "dvc.yaml").write_text(yaml.safe_dump(graph))


def commit(root):
    """Record the outputs in DVC's cache and dvc.lock, and everything else in git."""
    from dvc.repo import Repo  # noqa: PLC0415

    with Repo(str(root)) as repo:
        repo.commit(force=True)
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "--allow-empty", "-m", "State")


def _save_network(folder, seed):
    from toto_core.model import SIZES, Toto2, for_context  # noqa: PLC0415
    from toto_core.model.weights import save_model  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    save_model(Toto2(for_context(SIZES["nano"], CONTEXT), seed=seed), folder)


@cache
def losses_of_first(root):
    """Losses of the network of seed 1 at every test origin of the project."""
    from toto_core.inference import Forecaster  # noqa: PLC0415

    folder = root / "runs/first"
    _save_network(folder, 1)
    forecaster = Forecaster.load(folder, context_length=CONTEXT)
    splits = Splits.load(root / paths.SPLITS)
    forecasts = backtest(
        tables.read_items(root / paths.VALID),
        splits.test_origins_us,
        splits,
        lambda contexts: forecaster.predict(contexts, HORIZON, quantile_levels=QUANTILE_LEVELS),
        context_length=CONTEXT,
        params=PARAMS.evaluate,
    )
    facts = pl.DataFrame(
        {"item_id": ["a", "b"], "variate": "x", "group": "g", "held_out": False, "scale": 1.0}
    )
    return origin_losses(forecasts, facts, forecasters=(MODEL, "naive"), source="candidate")
