"""Folders of series are read back item by item, as they were written."""

import numpy as np
import polars as pl
import pytest

from toto_core.data.shards import write_items, write_shard
from toto_core.data.tables import (
    KNOWN_COVARIATE,
    ROWS_AT_ONCE,
    TARGET,
    read_items,
    read_items_table,
    shard_path,
    shard_paths,
)
from toto_core.errors import DataError

HOUR_US = 3_600_000_000


def rows(item, variates, start, length, offset=0):
    return pl.DataFrame(
        {
            "item_id": [item] * (length * len(variates)),
            "variate": [name for name in variates for _ in range(length)],
            "timestamp": pl.Series(
                [start + step * HOUR_US for _ in variates for step in range(length)]
            ).cast(pl.Datetime("us", "UTC")),
            "value": pl.Series(
                [offset + v * 100 + t for v in range(len(variates)) for t in range(length)],
                dtype=pl.Float32,
            ),
        }
    )


@pytest.fixture
def directory(tmp_path):
    write_shard(tmp_path, 0, pl.concat([rows("a", ["x"], 0, 3), rows("c", ["u", "v"], HOUR_US, 2)]))
    write_shard(tmp_path, 1, rows("b", ["x"], 5 * HOUR_US, 1, offset=7))
    items = pl.DataFrame(
        {
            "item_id": ["c", "a", "c", "b"],
            "variate": ["v", "x", "u", "x"],
            "role": [KNOWN_COVARIATE, TARGET, TARGET, TARGET],
            "freq": ["1h"] * 4,
            "group": ["g", "a", "g", "b"],
            "source": ["x.csv"] * 4,
        }
    )
    write_items(tmp_path, items)
    return tmp_path


def test_items_come_back_in_the_order_of_the_shards(directory):
    found = list(read_items(directory))
    assert [item.item_id for item in found] == ["a", "c", "b"]
    c = found[1]
    assert (c.freq, c.group, c.source) == ("1h", "g", "x.csv")
    assert (c.variates, c.roles) == (("u", "v"), (TARGET, KNOWN_COVARIATE))
    np.testing.assert_array_equal(c.values, np.array([[0, 1], [100, 101]], np.float32))
    np.testing.assert_array_equal(c.timestamps, [HOUR_US, 2 * HOUR_US])


def test_missing_values_come_back_as_nan(tmp_path, directory):
    table = rows("a", ["x"], 0, 3).with_columns(value=pl.Series([1.0, None, 3.0], dtype=pl.Float32))
    write_shard(directory, 0, table)
    values = next(iter(read_items(directory))).values
    np.testing.assert_array_equal(values, np.array([[1, np.nan, 3]], np.float32))


def test_table_of_items_is_sorted(directory):
    table = read_items_table(directory)
    assert table.select("item_id", "variate").rows() == [
        ("a", "x"),
        ("b", "x"),
        ("c", "u"),
        ("c", "v"),
    ]


def test_shards_are_in_the_order_of_their_numbers(tmp_path):
    for index in (11, 2):
        write_shard(tmp_path, index, rows("a", ["x"], 0, 1))
    assert shard_paths(tmp_path) == [shard_path(tmp_path, 2), shard_path(tmp_path, 11)]


def test_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"0 shards, at least one part-\*.parquet is needed"):
        shard_paths(tmp_path)


def test_folder_without_items_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"items.parquet: not found, the stage that writes it must"):
        read_items_table(tmp_path)


def test_items_larger_than_what_is_read_at_once_are_whole(tmp_path):
    lengths = {"a": (1, ROWS_AT_ONCE + 200_000), "b": (3, 100_000), "c": (1, 5), "d": (2, 700_000)}
    frames, items = [], []
    for name, (num_variates, num_steps) in lengths.items():
        for v in range(num_variates):
            table = pl.select(
                item_id=pl.lit(name),
                variate=pl.lit(f"v{v}"),
                timestamp=(pl.int_range(num_steps) * HOUR_US).cast(pl.Datetime("us", "UTC")),
                value=(pl.int_range(num_steps) + v).cast(pl.Float32),
            )
            frames.append(table)
            items.append((name, f"v{v}", TARGET, "1h", name, "s"))
    write_shard(tmp_path, 0, pl.concat(frames))
    columns = ["item_id", "variate", "role", "freq", "group", "source"]
    write_items(tmp_path, pl.DataFrame(items, schema=columns, orient="row"))
    for item in read_items(tmp_path):
        num_variates, num_steps = lengths.pop(item.item_id)
        steps = np.arange(num_steps)
        np.testing.assert_array_equal(item.timestamps, steps * HOUR_US)
        expected = steps.astype(np.float32) + np.arange(num_variates, dtype=np.float32)[:, None]
        np.testing.assert_array_equal(item.values, expected)
    assert lengths == {}
