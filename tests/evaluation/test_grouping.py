"""Means within groups: right, in the order of the keys, and the same in every run."""

import numpy as np
import polars as pl
import pytest

from toto_core.evaluation.grouping import group_means


def test_means_are_those_of_each_group_sorted_by_its_keys():
    rows = pl.DataFrame(
        {"b": ["y", "x", "y", "x"], "a": [1, 1, 1, 2], "loss": [2.0, 5.0, 4.0, 7.0], "n": [1] * 4}
    )
    assert group_means(rows, ["b", "a"], ["loss", "n"]).to_dicts() == [
        {"b": "x", "a": 1, "loss": 5.0, "n": 1.0, "num_rows": 1},
        {"b": "x", "a": 2, "loss": 7.0, "n": 1.0, "num_rows": 1},
        {"b": "y", "a": 1, "loss": 3.0, "n": 1.0, "num_rows": 2},
    ]


def test_no_rows_have_no_groups():
    rows = pl.DataFrame(schema={"key": pl.String, "loss": pl.Float32})
    assert group_means(rows, ["key"], ["loss"]).height == 0


@pytest.mark.parametrize("num_groups", [1, 60, 20_000])
def test_means_do_not_change_from_run_to_run(num_groups):
    rng = np.random.default_rng(0)
    rows = pl.DataFrame(
        {
            "key": rng.integers(0, num_groups, 100_000),
            "loss": rng.lognormal(sigma=4, size=100_000),
        }
    )
    first, *others = (group_means(rows, ["key"], ["loss"]) for _ in range(5))
    assert all(first.equals(other) for other in others)
    in_order = [rows.filter(pl.col("key") == key)["loss"].to_numpy() for key in first["key"][:20]]
    expected = [values.cumsum()[-1] / len(values) for values in in_order]
    assert first["loss"][:20].to_list() == expected


def test_no_key_is_a_group_of_its_own():
    rows = pl.DataFrame({"key": ["a", None, "a", None], "loss": [1.0, 2.0, 3.0, 6.0]})
    means = group_means(rows, ["key"], ["loss"])
    assert means.select("key", "loss", "num_rows").rows() == [(None, 4.0, 2), ("a", 2.0, 2)]
