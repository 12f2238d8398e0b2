"""The split stage writes times that hold for all items, and says what each origin judges."""

import json

import numpy as np
import polars as pl
import pytest
import yaml

from flows import paths, split
from toto_core.config import Params
from toto_core.data.splits import Splits
from toto_core.data.tables import ITEMS_FILE, ITEMS_SCHEMA, SERIES_SCHEMA, shard_path
from toto_core.errors import DataError

HOUR_US = 3_600_000_000


def write_valid(root, lengths, values=None):
    """Hourly items that end together; ``lengths`` maps a name to its points."""
    longest = max(lengths.values())
    frames = [
        pl.DataFrame(
            {
                "item_id": [name] * length,
                "variate": ["value"] * length,
                "timestamp": (np.arange(longest - length, longest) * HOUR_US),
                "value": (values or {}).get(name, np.arange(length, dtype=np.float32)),
            }
        ).cast(dict(SERIES_SCHEMA))
        for name, length in sorted(lengths.items())
    ]
    directory = root / paths.VALID
    directory.mkdir(parents=True)
    pl.concat(frames).write_parquet(shard_path(directory, 0))
    rows = [(name, "value", "target", "1h", name, "test") for name in sorted(lengths)]
    pl.DataFrame(rows, schema=ITEMS_SCHEMA, orient="row").write_parquet(directory / ITEMS_FILE)


def params_with(**split_changes):
    values = yaml.safe_load(paths.PARAMS.read_text())
    small = {"prediction_length": 4, "stride": 4, "num_test_origins": 6, "min_context": 8}
    values["split"] |= small | {"num_validation_origins": 2} | split_changes
    return Params.model_validate(values)


def test_split_writes_splits_and_counts(tmp_path):
    write_valid(tmp_path, {f"i{n}": 100 for n in range(9)} | {"young": 30})
    summary = split.run(params_with(), tmp_path)
    splits = Splits.load(tmp_path / paths.SPLITS)
    metrics = json.loads((tmp_path / paths.METRICS / "split.json").read_text())
    assert len(splits.test_origins) == 6
    assert metrics["test_start"] == splits.test_start.isoformat() == "1970-01-04T04:00:00+00:00"
    assert metrics["seen_train_items"] == len(splits.train_items) - ("young" in splits.train_items)
    assert metrics["judged_per_test_origin_min"] == 9
    assert metrics["judged_per_test_origin_median"] == 10
    assert metrics["held_out_test_items"] == len(splits.held_out_items) >= 1
    assert summary.metrics["test_origins"] == 6
    assert "the median origin judges 10 of 10 items" in summary.text


def test_split_says_when_most_items_end_too_early(tmp_path):
    write_valid(tmp_path, {f"i{n}": 100 for n in range(9)})
    table = pl.read_parquet(shard_path(tmp_path / paths.VALID, 0))
    early = (pl.col("item_id") == "i0") | (pl.col("value") < 60)
    table.filter(early).write_parquet(shard_path(tmp_path / paths.VALID, 0))
    summary = split.run(params_with(held_out_share=0.0), tmp_path)
    assert "the median origin judges 1 of 9 items" in summary.text
    assert summary.text.endswith("set split.test_end to a time that more items reach")


def test_split_gives_the_same_bytes_again(tmp_path):
    for name in ("a", "b"):
        write_valid(tmp_path / name, {f"i{n}": 100 for n in range(9)})
        split.run(params_with(), tmp_path / name)
    first, second = (
        (tmp_path / name / path).read_bytes() for name in ("a", "b") for path in (paths.SPLITS,)
    )
    assert first == second


def test_split_of_a_short_history_writes_nothing(tmp_path):
    write_valid(tmp_path, {"a": 20})
    with pytest.raises(DataError, match=r"history = 20 steps of 1h, at least 40 are needed"):
        split.run(params_with(), tmp_path)
    assert not (tmp_path / paths.SPLITS).exists()


def walks(number, length=600):
    steps = np.random.default_rng(0).standard_normal((number, length))
    return {f"i{n}": row for n, row in enumerate(np.cumsum(steps, axis=1).astype(np.float32))}


def test_split_reports_copies_and_holds_them_out_together(tmp_path):
    values = walks(8)
    values |= {f"copy of {name}": 100 * series[50:] for name, series in values.items()}
    lengths = {name: len(series) for name, series in values.items()}
    write_valid(tmp_path, lengths, values)
    summary = split.run(params_with(held_out_share=0.4), tmp_path)
    splits = Splits.load(tmp_path / paths.SPLITS)
    apart = {name.removeprefix("copy of ") for name in splits.held_out_items}
    assert 1 <= len(apart) < 8
    assert set(splits.held_out_items) == apart | {f"copy of {name}" for name in apart}
    metrics = json.loads((tmp_path / paths.METRICS / "split.json").read_text())
    assert metrics["near_duplicates"] == metrics["near_duplicates_across_groups"] == 8
    examples = metrics["near_duplicate_examples"]
    assert {(row["item"], row["other"]) for row in examples} == {
        (f"copy of i{n}", f"i{n}") for n in range(8)
    }
    assert all(row["other_first"] - row["first"] == 50 for row in examples)
    assert "; 8 pairs of items show the same series, as copy of i0 and i0 do" in summary.text
    assert summary.metrics["near_duplicates"] == 8


def test_split_finds_a_coarser_copy_of_few_points(tmp_path):
    """170 steps in common, at three times the interval."""
    values = walks(2, 2000)
    values["slow"] = values["i0"][:510].reshape(-1, 3).mean(axis=1)
    write_valid(tmp_path, {name: len(series) for name, series in values.items()}, values)
    split.run(params_with(), tmp_path)
    metrics = json.loads((tmp_path / paths.METRICS / "split.json").read_text())
    assert metrics["near_duplicates"] == 1
    assert metrics["near_duplicate_examples"][0]["rates"] == [3, 1]


def test_split_of_independent_series_names_no_copies(tmp_path):
    values = walks(8)
    write_valid(tmp_path, dict.fromkeys(values, 600), values)
    summary = split.run(params_with(), tmp_path)
    metrics = json.loads((tmp_path / paths.METRICS / "split.json").read_text())
    assert (metrics["near_duplicates"], metrics["near_duplicate_examples"]) == (0, [])
    assert "same series" not in summary.text
    assert "near-duplicates" not in summary.tables


def test_a_covariate_in_common_is_no_copy(tmp_path):
    """Two sites with the weather of one town."""
    values = walks(3)
    write_valid(tmp_path, {"a": 600, "b": 600}, {"a": values["i0"], "b": values["i1"]})
    path = shard_path(tmp_path / paths.VALID, 0)
    weather = pl.read_parquet(path).with_columns(
        variate=pl.lit("weather"), value=pl.Series(np.tile(values["i2"], 2))
    )
    both = pl.concat([pl.read_parquet(path), weather.select(list(SERIES_SCHEMA))])
    both.sort("item_id", "variate", "timestamp").write_parquet(path)
    facts = pl.read_parquet(tmp_path / paths.VALID / ITEMS_FILE)
    more = facts.with_columns(
        variate=pl.lit("weather"), role=pl.lit("past_covariate").cast(facts.schema["role"])
    )
    pl.concat([facts, more]).sort("item_id", "variate").write_parquet(
        tmp_path / paths.VALID / ITEMS_FILE
    )
    split.run(params_with(), tmp_path)
    metrics = json.loads((tmp_path / paths.METRICS / "split.json").read_text())
    assert metrics["near_duplicates"] == 0
