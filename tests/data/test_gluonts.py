"""Lists of values with a start and a frequency become the time stamps that GluonTS means."""

import numpy as np
import polars as pl
import pytest

from toto_core.data.frequency import parse_freq
from toto_core.data.gluonts import stamps, variates_of_lists


@pytest.mark.parametrize(
    ("freq", "start", "expected"),
    [
        ("5min", "2024-01-01T00:10", ["2024-01-01T00:10", "2024-01-01T00:15", "2024-01-01T00:20"]),
        ("1B", "2024-01-05", ["2024-01-05", "2024-01-08", "2024-01-09"]),
        ("1B", "2024-01-06", ["2024-01-08", "2024-01-09", "2024-01-10"]),
        ("1M", "2024-01-15", ["2024-01-15", "2024-02-15", "2024-03-15"]),
        ("1M", "2023-01-30", ["2023-01-30", "2023-02-28", "2023-03-30"]),
        ("1M", "2024-02-29", ["2024-02-29", "2024-03-31", "2024-04-30"]),
        ("1Q", "2023-12-31T06:00", ["2023-12-31T06:00", "2024-03-31T06:00", "2024-06-30T06:00"]),
        ("1Y", "2024-02-01", ["2024-02-01", "2025-02-01", "2026-02-01"]),
    ],
)
def test_stamps_by_hand(freq, start, expected):
    start_us = np.full(3, np.datetime64(start, "us")).astype(np.int64)
    found = stamps(start_us, np.arange(3), parse_freq(freq))
    assert found.tolist() == np.array(expected, "datetime64[us]").astype(np.int64).tolist()


def test_lists_keep_row_and_position():
    column = pl.Series("target", [[1.0, 2.0], [], None, [3.0]])
    (part,) = variates_of_lists(column)
    assert (part.name, part.rows.tolist(), part.positions.tolist()) == (
        "target",
        [0, 0, 3],
        [0, 1, 0],
    )
    assert part.values.to_list() == [1.0, 2.0, 3.0]


def test_lists_of_lists_are_variates():
    column = pl.Series("target", [None, [[1, 2], [3, 4]], [[5], [6]]])
    first, second = variates_of_lists(column)
    assert (first.name, first.values.to_list()) == ("target_0", [1, 2, 5])
    assert (second.name, second.values.to_list()) == ("target_1", [3, 4, 6])
    assert second.rows.tolist() == [1, 1, 2]
    assert second.positions.tolist() == [0, 1, 0]


def test_fixed_size_lists_are_lists():
    column = pl.Series("target", [[1.0, 2.0]], dtype=pl.Array(pl.Float64, 2))
    (part,) = variates_of_lists(column)
    assert part.values.to_list() == [1.0, 2.0]


def test_column_of_empty_lists_has_no_values():
    (part,) = variates_of_lists(pl.Series("target", [[], None], dtype=pl.List(pl.Float64)))
    assert len(part.rows) == len(part.values) == 0
