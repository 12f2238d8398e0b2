"""Validated series, splits and a corpus small enough to train on in seconds."""

from pathlib import Path

import numpy as np
import polars as pl

from flows import augment, paths, protocol
from flows.split import run as split
from toto_core.config import Params, load_params
from toto_core.data.tables import ITEMS_FILE, ITEMS_SCHEMA, SERIES_SCHEMA, shard_path

NUM_STEPS = 480
PARAMS = Path(__file__).parents[2] / "params.yaml"
CHANGES = {
    "split": {
        "prediction_length": 24,
        "stride": 24,
        "num_test_origins": 6,
        "num_validation_origins": 3,
        "min_context": 32,
        "held_out_share": 0.0,
        "num_folds": 2,
    },
    "augment": {"num_synthetic": 4, "synthetic_length": 128},
    "model": {"size": "nano", "context_length": 96},
    "train": {
        "max_steps": 6,
        "batch_size": 4,
        "num_variates": 2,
        "validate_every": 2,
        "validation_windows": 8,
        "keep_best": 2,
        "checkpoint_interval_s": 0.0,
    },
    "crossval": {"max_steps": 12},
}


def small_params(**changes: dict[str, object]) -> Params:
    """``params.yaml`` with ``CHANGES`` and then ``changes``, each a part of a section."""
    values = load_params(PARAMS).model_dump(by_alias=True)
    for part in (CHANGES, changes):
        for section, wanted in part.items():
            values[section] = values[section] | wanted
    return Params.model_validate(values)


def write_project(root: Path) -> None:
    """Write data/valid with three hourly items of two variates, then split and augment it."""
    hours = np.arange(NUM_STEPS)
    stamps = np.datetime64("2025-01-01", "us") + hours.astype("timedelta64[h]")
    rng = np.random.default_rng(0)
    tables, facts = [], []
    for item in ("a", "b", "c"):
        for variate in ("x", "y"):
            values = 5 + np.sin(hours * 2 * np.pi / 24) + 0.3 * rng.standard_normal(NUM_STEPS)
            tables.append(
                pl.DataFrame(
                    {"item_id": item, "variate": variate, "timestamp": stamps, "value": values}
                )
            )
            facts.append((item, variate, "target", "1h", item, "test"))
    folder = root / paths.VALID
    folder.mkdir(parents=True)
    series = pl.concat(tables).with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))
    series.cast(dict(SERIES_SCHEMA)).write_parquet(shard_path(folder, 0))
    pl.DataFrame(facts, schema=ITEMS_SCHEMA, orient="row").write_parquet(folder / ITEMS_FILE)
    split(small_params(), root)
    protocol.run(small_params(), root)
    augment.run(small_params(), root)
