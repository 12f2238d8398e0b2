"""Each planted leak is found by the pipeline's own checks, and without it they find nothing.

The items are written as the validate stage leaves them; what is asked are the stages themselves.
"""

import json
import shutil
from dataclasses import fields, replace

import numpy as np
import polars as pl
import pytest
from small_corpus import small_params

from flows import augment, evaluate, paths, split
from flows.train import last_training_time
from toto_core.data.augmentation import AugmentSettings
from toto_core.data.corpus import VALIDATION, Corpus
from toto_core.data.fingerprints import Fingerprints
from toto_core.data.leakage import check_purged, find_leaks
from toto_core.data.splits import Splits, to_us
from toto_core.data.tables import (
    ITEMS_FILE,
    ITEMS_SCHEMA,
    SERIES_SCHEMA,
    TARGET,
    Item,
    shard_path,
)
from toto_core.data.windows import TrainingWindows
from toto_core.errors import DataError
from toto_core.evaluation.backtest import backtest
from toto_core.evaluation.checks import Provenance, provenance
from toto_core.evaluation.contamination import unseen
from toto_core.evaluation.metrics import seasonal_errors
from toto_core.evaluation.verdict import FAIL, PASS

HOUR_US = 3_600_000_000
NUM_STEPS = 3000
PARAMS = small_params(
    split={"num_test_origins": 40, "held_out_share": 0.0}, augment={"synthetic_share": 0.0}
)
EVALUATE = PARAMS.evaluate.model_copy(update={"naive_window": 200, "seasonality": 24})
EVERY_AUGMENTATION = AugmentSettings(
    **{field.name: 0.3 for field in fields(AugmentSettings) if field.name != "noise_std"},
    noise_std=0.05,
)


def walk(seed, length=NUM_STEPS):
    steps = np.random.default_rng([9, seed]).standard_normal(length)
    return (100 + np.cumsum(steps)).astype(np.float32)


def series(name, values, *, start=0, every=1):
    """An item; ``start`` and ``every`` in hours."""
    stamps = HOUR_US * (start + every * np.arange(len(values)))
    return Item(
        item_id=name,
        freq=f"{every}h",
        group=name,
        source="test",
        timestamps=stamps.astype(np.int64),
        values=np.asarray(values, np.float32)[None],
        variates=("value",),
        roles=(TARGET,),
    )


ITEMS = [series(f"i{n}", walk(n)) for n in range(4)]


def write_valid(root, items):
    shutil.rmtree(root / paths.VALID, ignore_errors=True)
    (root / paths.VALID).mkdir(parents=True)
    tables = [
        pl.DataFrame(
            {
                "item_id": item.item_id,
                "variate": "value",
                "timestamp": item.timestamps,
                "value": item.values[0],
            }
        ).cast(dict(SERIES_SCHEMA))
        for item in sorted(items, key=lambda item: item.item_id)
    ]
    pl.concat(tables).write_parquet(shard_path(root / paths.VALID, 0))
    rows = [(i.item_id, "value", TARGET, i.freq, i.group, "test") for i in items]
    facts = pl.DataFrame(rows, schema=ITEMS_SCHEMA, orient="row")
    facts.sort("item_id").write_parquet(root / paths.VALID / ITEMS_FILE)


def prepared(root, items):
    """Run the stages up to the corpus."""
    write_valid(root, items)
    split.run(PARAMS, root)
    augment.run(PARAMS, root)
    return Splits.load(root / paths.SPLITS)


def windows_of(corpus, cutoff="train"):
    return TrainingWindows(
        corpus,
        cutoff=cutoff,
        context_length=96,
        batch_size=4,
        num_variates=3,
        seed=0,
        augment=EVERY_AUGMENTATION,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("clean")
    return root, prepared(root, ITEMS)


def batches(root, cutoff):
    """From items to training batches, by way of the augment stage."""

    def compute(items):
        write_valid(root, items)
        augment.run(PARAMS, root)
        source = windows_of(Corpus.open(root / paths.CORPUS), cutoff)
        drawn = {f"batch {step}": source.batch(step) for step in range(6)}
        return {name: batch.target for name, batch in drawn.items()} | {
            f"mask of {name}": batch.target_mask for name, batch in drawn.items()
        }

    return compute


@pytest.fixture
def root(project, tmp_path):
    (tmp_path / paths.SPLITS.parent).mkdir()
    shutil.copy(project[0] / paths.SPLITS, tmp_path / paths.SPLITS)
    return tmp_path


def test_training_batches_do_not_change_with_what_lies_behind_t0(project, root):
    splits = project[1]
    assert find_leaks(batches(root, "train"), ITEMS, splits, to_us(splits.validation_start)) == []


def test_augmentations_that_mix_across_the_cutoff_are_caught(project, root):
    splits = project[1]
    t0_us = to_us(splits.validation_start)
    leaks = find_leaks(batches(root, VALIDATION), ITEMS, splits, t0_us)  # cut at T1, not at T0
    assert leaks
    corpus = Corpus.open(root / paths.CORPUS)
    check_purged(windows_of(corpus), corpus, "train", range(20))
    with pytest.raises(DataError) as caught:
        check_purged(windows_of(corpus, VALIDATION), corpus, "train", range(20))
    limit = corpus.limit(0, "train")
    message = str(caught.value)
    assert message.startswith("corpus: a window of 'i")
    assert f"at most {limit} (its limit before the cut-off train) is allowed, as for " in message
    assert message.endswith("windows; nothing was trained, run dvc repro augment")


def test_a_future_value_in_the_training_data_is_caught_by_its_time(project, root):
    splits = project[1]
    prepared(root, ITEMS)
    facts = splits.to_json()
    asked = Provenance(last_training_time(root), "same", "same")
    assert provenance(asked, facts).outcome == PASS
    later = splits.model_copy(update={"validation_start": splits.validation_origins[1]})
    (root / paths.SPLITS).write_text(json.dumps(later.to_json()))
    augment.run(PARAMS, root)
    found = provenance(replace(asked, last_training_time=last_training_time(root)), facts)
    assert found.outcome == FAIL
    assert "which is not before T0" in found.reason


def forecasts(splits, origin_us, *, shown=0):
    """Forecasts at one origin by repeating the context; ``shown`` steps too much are in it."""

    def compute(items):
        future = {item.item_id: item for item in items}
        order = iter(sorted(future))

        def predict(contexts):
            answers = []
            for context in contexts:
                item = future[next(order)]
                first = int(np.searchsorted(item.timestamps, origin_us))
                seen = np.append(context, item.values[:, first : first + shown], axis=1)
                answers.append(np.tile(seen[:, -9:, None], (1, 1, splits.prediction_length)))
            return [np.sort(answer, axis=1) for answer in answers]

        table = backtest(
            items,
            np.array([origin_us]),
            splits,
            predict,
            context_length=96,
            params=EVALUATE,
        )
        return {name: table[name].to_numpy() for name in ("model", *EVALUATE.baselines)}

    return compute


def test_forecasts_do_not_change_with_what_lies_behind_their_origin(project):
    splits = project[1]
    for origin_us in splits.test_origins_us[[0, -1]].tolist():
        assert find_leaks(forecasts(splits, origin_us), ITEMS, splits, origin_us) == []


def test_a_future_value_in_a_context_is_caught(project):
    splits = project[1]
    origin_us = to_us(splits.test_start)
    leaks = find_leaks(forecasts(splits, origin_us, shown=1), ITEMS, splits, origin_us)
    assert leaks == ["model"]


@pytest.mark.parametrize(("late", "leaks"), [(0, []), (1, ["scale"])])
def test_a_scaler_fitted_past_the_cutoff_is_caught(project, late, leaks):
    splits = project[1]
    t1_us = to_us(splits.test_start)

    def compute(items):
        rows = pl.concat(
            pl.DataFrame(
                {
                    "item_id": item.item_id,
                    "variate": "value",
                    "timestamp": item.timestamps,
                    "value": item.values[0],
                }
            )
            for item in items
        ).cast(dict(SERIES_SCHEMA))
        seasons = pl.DataFrame({"item_id": [i.item_id for i in items], "season": 24})
        before_us = t1_us + late * splits.step_us
        return {
            "scale": seasonal_errors(rows.lazy(), seasons, before_us=before_us)["scale"].to_numpy()
        }

    assert find_leaks(compute, ITEMS, splits, t1_us) == leaks


def verdict_on(root, items):
    """The contamination record and the gate's check, after split, augment and evaluate."""
    splits = prepared(root, items)
    (root / paths.CANDIDATE).mkdir(parents=True)
    shutil.copy(root / paths.FINGERPRINTS, root / paths.SEEN)
    for fold in splits.folds:
        path = root / paths.FORECASTS / f"fold-{fold.fold}.parquet"
        path.parent.mkdir(exist_ok=True)
        table = backtest(
            items,
            fold.origins_us,
            splits,
            last_value,
            context_length=96,
            params=EVALUATE,
        )
        table.write_parquet(path)
    evaluate.judge_forecaster(last_value, PARAMS.evaluate, root, context_length=96)
    report = json.loads((root / paths.METRICS / "evaluate.json").read_text())
    duplicates = json.loads((root / paths.METRICS / "split.json").read_text())["near_duplicates"]
    return report["contamination"], unseen(report), duplicates


def last_value(contexts):
    steps = PARAMS.split.prediction_length
    spread = np.linspace(-1, 1, 9)[None, :, None]
    return [np.tile(context[:, -1:, None] + spread, (1, 1, steps)) for context in contexts]


def test_series_of_their_own_are_no_overlap(tmp_path):
    record, check, duplicates = verdict_on(tmp_path, ITEMS)
    assert (record["overlap"], record["items"], duplicates) == ("none", [], 0)
    assert (record["asked"], record["checkable"], record["seen_items"]) == (4, 4, 4)
    assert check.outcome == PASS


def test_the_same_series_under_another_name_and_time_is_caught(tmp_path):
    """Its training part shows what another item shows in its test period."""
    twin = series("twin", 5 + walk(1)[1400:] * 100, start=0)
    record, check, duplicates = verdict_on(tmp_path, [*ITEMS, twin])
    assert (record["overlap"], record["items"]) == ("found", ["i1"])
    assert [row["other"] for row in record["examples"]] == ["twin"]
    assert (check.outcome, check.found) == (FAIL, "overlap: found (i1)")
    assert duplicates == 1


def test_the_same_series_at_another_rate_is_caught(tmp_path):
    means = walk(2)[900:].reshape(-1, 3).mean(axis=1)
    slow = series("slow", means, every=3)
    assert len(slow.timestamps) == 700
    record, check, duplicates = verdict_on(tmp_path, [*ITEMS, slow])
    assert (record["overlap"], record["items"]) == ("found", ["i2"])
    assert record["examples"][0]["rates"] == [3, 1]
    assert check.outcome == FAIL
    assert duplicates == 1


def test_a_rate_too_coarse_for_the_test_period_is_caught_by_the_whole_history(tmp_path):
    """40 days of a test period are 40 values of the copy: their alignment before T1 tells."""
    long = series("long", walk(7, 9000))
    others = [series(f"i{n}", walk(n, 9000)) for n in range(3)]
    daily = walk(7, 9000)[1800:].reshape(-1, 24).mean(axis=1)
    record, check, duplicates = verdict_on(
        tmp_path, [*others, long, series("day", daily, every=24)]
    )
    assert (record["overlap"], record["items"], duplicates) == ("found", ["long"], 1)
    assert check.outcome == FAIL


def test_the_same_series_at_the_same_time_is_a_near_duplicate_and_no_overlap(tmp_path):
    """Both are cut at the same time: no target was seen, but they are one series for the split."""
    twin = series("twin", 5 + walk(1) * 100)
    record, check, duplicates = verdict_on(tmp_path, [*ITEMS, twin])
    assert (record["overlap"], check.outcome, duplicates) == ("none", PASS, 1)
    assert Fingerprints.load(tmp_path / paths.SEEN).items == ("i0", "i1", "i2", "i3", "twin")
