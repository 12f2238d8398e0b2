"""A project with everything that judging needs, and a forecaster with real skill."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from flows import paths
from toto_core.config import load_params
from toto_core.data.splits import Fold, Splits
from toto_core.data.tables import ITEMS_SCHEMA, SERIES_SCHEMA, SORT_KEYS, read_items
from toto_core.evaluation.backtest import backtest
from toto_core.files import write_json

START = datetime(2024, 1, 1, tzinfo=UTC)
H, SEASON, NUM_STEPS, NUM_ORIGINS = 6, 12, 420, 40
CONTEXT = 96
PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
EVALUATE = PARAMS.evaluate.model_copy(update={"seasonality": SEASON, "naive_window": 100})
Z = np.array([-1.2816, -0.8416, -0.5244, -0.2533, 0, 0.2533, 0.5244, 0.8416, 1.2816])


def hour(index):
    return START + timedelta(hours=index)


def season_and_noise(seed):
    rng = np.random.default_rng(seed)
    season = 5 * np.sin(2 * np.pi * np.arange(NUM_STEPS) / SEASON)
    return (20 + season + rng.standard_normal(NUM_STEPS)).astype(np.float32)


def write_project(root, *, names=("a", "b", "c", "d"), constant=(), short=(), ended=()):
    rows, items = [], []
    for seed, name in enumerate((*names, *constant, *short, *ended)):
        values = season_and_noise(seed)
        if name in constant:
            values[:] = 3
        end = NUM_STEPS - NUM_ORIGINS * H if name in ended else NUM_STEPS
        kept = slice(NUM_STEPS - 5 if name in short else 0, end)
        time = [hour(k) for k in range(NUM_STEPS)][kept]
        columns = {"item_id": name, "variate": "load", "timestamp": time, "value": values[kept]}
        rows.append(pl.DataFrame(columns).cast({key: SERIES_SCHEMA[key] for key in columns}))
        items.append((name, "load", "target", "1h", name, "test"))
    (root / paths.VALID).mkdir(parents=True)
    pl.concat(rows).sort(SORT_KEYS).write_parquet(root / paths.VALID / "part-00000.parquet")
    pl.DataFrame(items, schema=ITEMS_SCHEMA, orient="row").write_parquet(
        root / paths.VALID / "items.parquet"
    )
    first = NUM_STEPS - NUM_ORIGINS * H
    origins = tuple(hour(first + H * k) for k in range(NUM_ORIGINS))
    half = NUM_ORIGINS // 2
    splits = Splits(
        prediction_length=H,
        stride=H,
        overlap=1,
        freq="1h",
        step_us=3_600_000_000,
        validation_start=hour(first - 10 * H),
        test_start=origins[0],
        test_end=hour(NUM_STEPS),
        test_origins=origins,
        validation_origins=(hour(first - H),),
        min_context=24,
        held_out_groups=("d",),
        held_out_items=("d",),
        train_items=("a", "b", "c"),
        folds=(
            Fold(fold=0, cutoff=origins[0], origins=origins[:half]),
            Fold(fold=1, cutoff=origins[half], origins=origins[half:]),
        ),
    )
    write_json(root / paths.SPLITS, splits.to_json())
    return splits


def by_phase(contexts):
    """The mean of each phase of the season, and the true noise: a model with real skill."""
    answers = []
    for context in contexts:
        ahead = [np.nanmean(context[:, h % SEASON :: SEASON], axis=1) for h in _phases(context)]
        answers.append(np.stack(ahead, -1)[:, None] + Z[:, None])
    return answers


def _phases(context):
    return [(context.shape[1] + h) % SEASON for h in range(H)]


def write_folds(root, splits, predict=by_phase):
    evaluate_dir = root / paths.FORECASTS
    evaluate_dir.mkdir(parents=True, exist_ok=True)
    for fold in splits.folds:
        table = backtest(
            read_items(root / paths.VALID),
            fold.origins_us,
            splits,
            predict,
            context_length=CONTEXT,
            params=EVALUATE,
        )
        table.write_parquet(evaluate_dir / f"fold-{fold.fold}.parquet")
