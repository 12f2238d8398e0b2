"""Values that their neighbours make implausible, series without measure, items without end."""

import numpy as np
import pytest
from series_rows import check, minutes_of, quarantined, rows, values_of

NAN = float("nan")


def test_lone_outlier_is_quarantined_and_its_neighbours_stay():
    checked = check(rows([1, 2, 1, 50, 2, 1, 3]), max_spike={"cpu": 10})
    assert quarantined(checked) == [
        (
            "2024-01-01T00:03:00Z",
            "50.0",
            "lone_outlier",
            "value = 50.0 is a change of 49.0 that the next one undoes, at most 10.0 times the "
            "median change of 1.5",
        )
    ]
    np.testing.assert_array_equal(values_of(checked), [1, 2, 1, NAN, 2, 1, 3])


@pytest.mark.parametrize(
    ("values", "factor"),
    [
        pytest.param([1, 2, 1, 2, 51, 52, 51], 10, id="step"),
        pytest.param([1, 2, 1, 51, 51, 2, 1], 10, id="two points"),
        pytest.param([1, 2, 1, 10, 2, 1, 2], 10, id="at most the factor"),
        pytest.param([1, 2, 1, 2, 1, 2, 99], 10, id="last point"),
        pytest.param([99, 1, 2, 1, 2, 1, 2], 10, id="first point"),
        pytest.param([0, 0, 0, 9e8, 0, 0, 7e8, 0, 0, 0], 10, id="bursts of an intermittent series"),
        pytest.param([1, 2, 1, NAN, 2, 1, 2], 10, id="missing value"),
        pytest.param([1, 2, 3, 50, 100, 150, 151], 10, id="slope"),
    ],
)
def test_what_is_no_lone_outlier_stays(values, factor):
    checked = check(rows(values), max_spike={"cpu": factor})
    assert checked.quarantined_rows.is_empty()


def test_outliers_are_judged_within_their_series_and_for_their_variate_only():
    a = rows([1, 2, 1, 2, 90], item="a")
    b = rows([1, 2, 1, 2, 1], item="b")
    d = rows([80, 2, 1, 2, 1], item="d")
    c = rows([1, 2, 90, 2, 1, 2, 1], item="b", variate="memory")
    assert check(a, b, c, d, max_spike={"cpu": 5}).quarantined_rows.is_empty()
    assert check(a, b, c, max_spike={"memory": 5}).counts.rule_rows == {"lone_outlier": 1}


def test_outlier_down_is_one_too_and_limits_are_each_variates_own():
    a, b = rows([9, 8, 9, -90, 8, 9]), rows([9, 8, 9, -90, 8, 9], variate="memory")
    checked = check(a, b, max_spike={"cpu": 5, "memory": 500})
    assert checked.quarantined_rows["variate"].to_list() == ["cpu"]


def test_all_but_the_first_of_too_many_equal_values_are_stale():
    checked = check(rows([1, 5, 5, 5, 5, 2, 3, 4]), max_repeats={"cpu": 3}, max_missing_share=1)
    assert checked.quarantined_rows["rule"].to_list() == ["stale"] * 3
    assert checked.quarantined_rows["timestamp"][0] == "2024-01-01T00:02:00Z"
    assert set(checked.quarantined_rows["reason"]) == {"value = 5.0 4 times in a row, at most 3"}
    np.testing.assert_array_equal(values_of(checked), [1, 5, NAN, NAN, NAN, 2, 3, 4])


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([1, 5, 5, 5, 2, 3], id="at most"),
        pytest.param([0, 0, 0, 0, 0, 1], id="zeros"),
        pytest.param([5, 5, 4, 5, 5, 4], id="interrupted"),
    ],
)
def test_what_repeats_little_or_is_zero_is_not_stale(values):
    assert check(rows(values), max_repeats={"cpu": 3}).quarantined_rows.is_empty()


def test_repeats_do_not_run_from_one_series_into_the_next():
    a, b = rows([1, 2, 5, 5], item="a"), rows([5, 5, 1, 2], item="b")
    assert check(a, b, max_repeats={"cpu": 3}).quarantined_rows.is_empty()


def test_series_that_is_mostly_stale_has_too_many_gaps():
    checked = check(rows([1, *[5] * 20, 2]), max_repeats={"cpu": 3}, max_missing_share=0.3)
    assert checked.quarantined_series["rule"].to_list() == ["too_many_gaps"]
    assert checked.counts.rule_rows == {"stale": 19, "too_many_gaps": 3}


def test_item_of_too_many_variates_is_quarantined_whole():
    wide = [rows([1, 2, NAN, 4, 5], variate=f"v{n}") for n in range(3)]
    good = [rows([1, 2, 3, 4], item="good", variate=f"v{n}") for n in range(2)]
    checked = check(*wide, *good, max_variates=2)
    assert checked.quarantined_series.rows() == [
        (
            "a",
            f"v{n}",
            4,
            "too_many_variates",
            "its item has 3 variates, at most validate.max_variates = 2",
            3.0,
        )
        for n in range(3)
    ]
    assert checked.series["item_id"].unique().to_list() == ["good"]
    assert checked.counts.rows_in == 20
    assert checked.counts.rows_without_value == 3
    assert minutes_of(checked, "v0", "good") == [0, 1, 2, 3]


def test_item_at_the_limit_of_variates_passes():
    assert check(rows([1, 2, 3, 4]), max_variates=1).quarantined_series.is_empty()
