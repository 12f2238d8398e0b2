"""Counters become increments, resets and gaps included, or say that float32 has lost them."""

import numpy as np
import pytest
from series_rows import check, minutes_of, quarantined, rows, values_of

NAN = float("nan")


def increments(values, **how):
    checked = check(rows(values, **how), counters=("cpu",), max_missing_share=1, min_length=1)
    return checked, values_of(checked)


def test_counter_becomes_increments_per_step():
    checked, found = increments([100, 103, 103, 110, 111])
    assert found == [3, 0, 7, 1]
    assert minutes_of(checked) == [1, 2, 3, 4]
    assert quarantined(checked) == [
        (
            "2024-01-01T00:00:00Z",
            "100.0",
            "counter_start",
            "value = 100.0 is where the counter starts, an increment needs one before",
        )
    ]
    counts = checked.counts
    assert (counts.rows_in, counts.rows_valid, counts.rows_quarantined) == (5, 4, 1)
    assert counts.repairs == {"counter_increments": 4}
    assert counts.rows_repaired == 4


def test_value_after_a_reset_is_its_increment():
    checked, found = increments([100, 110, 4, 9, 0, 5])
    assert found == [10, 4, 5, 0, 5]
    assert checked.counts.repairs["counter_reset"] == 2


def test_increment_over_a_gap_is_the_mean_of_its_steps():
    checked, found = increments([10, 12, 30, 31, 33], minutes=[0, 1, 4, 5, 6])
    np.testing.assert_array_equal(found, [2, NAN, NAN, 6, 1, 2])
    assert checked.counts.missing == 2


def test_reset_within_a_gap_is_seen_by_the_lower_level():
    _, found = increments([50, 60, 12, 14], minutes=[0, 1, 4, 5])
    np.testing.assert_array_equal(found, [10, NAN, NAN, 4, 2])


def test_sum_of_the_increments_gives_the_levels_back():
    rng = np.random.default_rng(0)
    levels = np.cumsum(rng.integers(0, 50, 300)).astype(float) + 1000
    checked, found = increments(levels.tolist())
    start = float(checked.quarantined_rows["value"][0])
    np.testing.assert_array_equal(start + np.cumsum(found), levels[1:])


def test_increments_over_a_gap_are_rounded_once():
    _, found = increments([2.0**24 - 2, 2.0**24 - 1, 2.0**24], minutes=[0, 3, 4])
    np.testing.assert_array_equal(found, [np.float32(1 / 3), 1])


def test_other_variates_stay_as_they_are():
    cpu, memory = rows([100, 103, 104, 110]), rows([4, 3, 2, 1], variate="memory")
    checked = check(cpu, memory, counters=("cpu",), min_length=1)
    assert values_of(checked, "memory") == [4, 3, 2, 1]
    np.testing.assert_array_equal(values_of(checked), [NAN, 3, 1, 6])


def test_counters_of_two_items_start_each_for_itself():
    a, b = rows([10, 11, 13, 16], item="a"), rows([5, 6, 8, 9], item="b")
    checked = check(a, b, counters=("cpu",), min_length=1)
    assert values_of(checked, item="a") == [1, 2, 3]
    assert values_of(checked, item="b") == [1, 2, 1]
    assert checked.counts.repairs["counter_reset"] == 0


def test_level_below_zero_is_quarantined():
    checked, found = increments([10, 11, -3, 13, 16])
    assert quarantined(checked)[1][2:] == (
        "negative_counter",
        "value = -3.0, a counter starts at 0",
    )
    np.testing.assert_array_equal(found, [1, NAN, 1, 3])


def test_counter_that_float32_has_rounded_away_is_refused():
    levels = 1e9 + 10 * np.arange(8.0)
    good = rows([1, 2, 4, 8], item="good")
    checked = check(rows(levels.tolist()), good, counters=("cpu",), min_length=1)
    assert checked.quarantined_series.rows() == [
        (
            "a",
            "cpu",
            8,
            "coarse_counter",
            "levels up to 1000000064.0 are 64.0 apart as float32, its mean increment is 9.143; "
            "increments are needed in the raw data",
            pytest.approx(7.0),
        )
    ]


@pytest.mark.parametrize(
    "levels",
    [
        pytest.param(1.6e7 + 3 * np.arange(8.0), id="whole numbers below 2^24"),
        pytest.param(1e9 + 1e5 * np.arange(8.0), id="large increments"),
        pytest.param(np.full(8, 1e9), id="never rises"),
        pytest.param(0.25 * np.arange(8.0), id="small fractions"),
    ],
)
def test_counter_whose_rounding_does_not_matter_passes(levels):
    checked, _ = increments(levels.tolist())
    assert checked.counts.rule_series["coarse_counter"] == 0


def test_series_rules_judge_the_increments():
    checked, _ = increments([10, 12, 14, 16, 18, 20])
    assert checked.quarantined_series["reason"].to_list() == ["all 5 values = 2.0"]
    levels = ["10.0", "12.0", "14.0", "16.0", "18.0", "20.0"]
    assert checked.quarantined_rows["value"].to_list() == levels
    assert checked.counts.repairs.total() == 0


def test_increments_are_valid_for_another_seed_of_resets():
    rng = np.random.default_rng(1)
    true = rng.integers(1, 9, 200)
    levels, level = [], 0
    for step, rise in enumerate(true):
        level = rise if step in (50, 120) else level + rise
        levels.append(float(level))
    checked, found = increments(levels)
    assert found == true[1:].tolist()
    assert checked.counts.repairs["counter_reset"] == 2
