"""Every row that carries a value is either on a grid or in quarantine with a reason."""

from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from series_rows import at, check, items_of, minutes_of, params, quarantined, rows, values_of

from toto_core.config import OhlcColumns
from toto_core.data import validation
from toto_core.data.series_facts import collect_calendars, series_facts
from toto_core.data.tables import SERIES_SCHEMA, SORT_KEYS
from toto_core.data.tally import Counts
from toto_core.data.validation import check_shard, judge_rejected
from toto_core.errors import DataError

OHLC = OhlcColumns(open="open", high="high", low="low", close="close", volume="volume")


def assert_same(found, expected):
    np.testing.assert_array_equal(np.array(found, float), np.array(expected, float))


def test_clean_series_pass_unchanged():
    shard = pl.concat(
        [
            rows([1, 2, 3, 4, 5], variate="cpu"),
            rows([5, 4, 3, 2, 1], variate="memory"),
            rows([7, 8, 9, 7, 8], item="b"),
        ]
    )
    checked = check(shard)
    assert checked.rows.schema == SERIES_SCHEMA
    assert checked.rows.equals(shard)
    assert checked.quarantined_rows.is_empty()
    assert checked.quarantined_series.is_empty()
    assert checked.counts == Counts(
        rows_in=15,
        rows_valid=15,
        series_in=3,
        series_valid=3,
        repairs=checked.counts.repairs,
    )
    assert checked.counts.repairs.total() == 0


def test_untouched_shard_is_known_for_it():
    steady = rows([1, 2, 3, 4, 5]), rows([5, 4, 3, 2, 1], variate="memory")
    assert check(*steady).is_unchanged
    assert check(*steady, rows([1, float("nan"), 3, 4, 5], item="b")).is_unchanged
    assert not check(*steady, freq="1h", max_irregular_share=1).is_unchanged


@pytest.mark.parametrize(
    ("values", "minutes", "changes"),
    [
        pytest.param([1, None, 3, 4, 5], None, {}, id="null"),
        pytest.param([float("nan"), 2, 3, 4, 5], None, {}, id="missed scrape at its start"),
        pytest.param([1, 2, 3, 4, 5], [0, 1, 2, 4, 5], {}, id="gap"),
        pytest.param([1, 2, 3, 4, 5], [0, 1, 2.05, 3, 4], {}, id="moved onto the grid"),
        pytest.param([1, 2, 3, 4, 5, 5], [0, 1, 2, 3, 4, 4], {}, id="duplicate"),
        pytest.param([1, 2, 3, 4, 9], None, {"bounds": {"cpu": (0, 8)}}, id="last one out"),
        pytest.param([1, 2, 4, 8, 9], None, {"counters": ("cpu",)}, id="counter"),
        pytest.param([1, 2, 3, 4, 5], None, {"drop_last": 1}, id="not final"),
        pytest.param([1, 1, 1, 1, 1], None, {}, id="all gone"),
    ],
)
def test_touched_shard_is_known_for_it(values, minutes, changes):
    checked = check(rows(values, minutes=minutes), rows([3, 1, 2, 4, 5], item="b"), **changes)
    assert not checked.is_unchanged


def test_shard_is_touched_where_one_of_its_blocks_is(monkeypatch):
    monkeypatch.setattr(validation, "BLOCK_ROWS", 5)
    gap = rows([1, 2, 3, 4, 5], minutes=[0, 1, 2, 4, 5], item="b")
    assert check(rows([1, 2, 3, 4, 5]), rows([1, 2, 3, 4, 5], item="c")).is_unchanged
    assert not check(rows([1, 2, 3, 4, 5]), gap).is_unchanged


def test_missed_scrapes_stay_missing_and_are_not_quarantined():
    checked = check(rows([1, float("nan"), None, 4, 5, 6]))
    assert_same(values_of(checked), [1, np.nan, np.nan, 4, 5, 6])
    assert checked.counts.rows_in == checked.counts.rows_valid == 4
    assert checked.counts.rows_without_value == 2
    assert checked.counts.missing == 2
    assert checked.quarantined_rows.is_empty()


def test_missed_scrapes_before_the_first_and_after_the_last_value_are_no_points():
    nan = float("nan")
    checked = check(rows([nan, nan, 1, 2, 3, 4, nan]))
    assert minutes_of(checked) == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("values", "changes", "reason"),
    [
        pytest.param(
            [1, float("inf"), 3, 4, 5],
            {},
            ("inf", "infinite_value", "value = inf, a finite number is needed"),
            id="infinite",
        ),
        pytest.param(
            [1, float("-inf"), 3, 4, 5],
            {"bounds": {"cpu": (0, 10)}},
            ("-inf", "infinite_value", "value = -inf, a finite number is needed"),
            id="infinite before out of bounds",
        ),
        pytest.param(
            [1, 10.5, 3, 4, 5],
            {"bounds": {"cpu": (0, 10)}},
            ("10.5", "out_of_bounds", "value = 10.5, allowed 0.0 to 10.0"),
            id="above",
        ),
        pytest.param(
            [1, -0.5, 3, 4, 5],
            {"bounds": {"cpu": (0, 10)}},
            ("-0.5", "out_of_bounds", "value = -0.5, allowed 0.0 to 10.0"),
            id="below",
        ),
    ],
)
def test_faulty_value_is_quarantined_and_becomes_a_gap(values, changes, reason):
    checked = check(rows(values), **changes)
    assert quarantined(checked) == [("2024-01-01T00:01:00Z", *reason)]
    assert_same(values_of(checked), [1, np.nan, 3, 4, 5])
    assert checked.counts.rule_rows == {reason[1]: 1}
    assert checked.counts.rule_series == {reason[1]: 1}


def test_value_equal_to_its_bound_passes_although_float32_rounds_it():
    assert float(np.float32(0.1)) > 0.1
    checked = check(rows([0.1, 0.05, 0.1, 0.02]), bounds={"cpu": (0.02, 0.1)})
    assert checked.quarantined_rows.is_empty()


def test_bounds_hold_for_their_variate_only():
    checked = check(
        rows([1, 2, 300, 4]), rows([1, 2, 300, 4], variate="rps"), bounds={"cpu": (0, 100)}
    )
    assert checked.quarantined_rows["variate"].to_list() == ["cpu"]


def test_row_without_time_stamp_is_quarantined():
    checked = check(rows([9, float("nan"), 1, 2, 3, 4], times=[None, None, *at(range(4))]))
    assert quarantined(checked) == [
        (None, "9.0", "missing_timestamp", "value = 9.0 without a time stamp")
    ]
    assert checked.counts.rows_without_value == 1
    assert values_of(checked) == [1, 2, 3, 4]


def test_duplicates_keep_the_first_recorded_value():
    checked = check(rows([1, 2, 2, 7, 3, 4], minutes=[0, 1, 1, 1, 2, 3]))
    assert values_of(checked) == [1, 2, 3, 4]
    assert quarantined(checked) == [
        (
            "2024-01-01T00:01:00Z",
            "2.0",
            "duplicate_timestamp",
            "value = 2.0 again at the same time",
        ),
        (
            "2024-01-01T00:01:00Z",
            "7.0",
            "duplicate_timestamp",
            "value = 7.0 where value = 2.0 is kept",
        ),
    ]


def test_duplicate_of_a_faulty_row_is_kept():
    inf = float("inf")
    checked = check(rows([1, inf, 2, 3, 4], minutes=[0, 1, 1, 2, 3]))
    assert values_of(checked) == [1, 2, 3, 4]
    assert checked.counts.rule_rows == {"infinite_value": 1}


def test_same_time_in_another_series_is_no_duplicate():
    checked = check(rows([1, 2, 3, 4]), rows([1, 2, 3, 5], item="b", minutes=[3, 4, 5, 6]))
    assert checked.quarantined_rows.is_empty()


@pytest.mark.parametrize(
    ("values", "minutes", "changes", "rule", "reason", "measured"),
    [
        pytest.param(
            [1, 2, 3], None, {}, "too_short", "3 points, at least 4", 3.0, id="three points"
        ),
        pytest.param(
            [5, 5, 5, 5, 5], None, {}, "constant", "all 5 values = 5.0", 5.0, id="constant"
        ),
        pytest.param(
            [1, 2, 3, 4],
            [0, 1, 2, 9],
            {},
            "too_many_gaps",
            "0.6 of its 10 points are missing, at most 0.5",
            0.6,
            id="gaps",
        ),
        pytest.param(
            [1, 2, 3, 4, 5, 6],
            [0, 1, 2.5, 3.5, 4, 5],
            {},
            "irregular",
            "0.3333 of the points lie off the grid of 1min, at most 0.2",
            1 / 3,
            id="irregular",
        ),
    ],
)
def test_broken_series_is_quarantined_whole(values, minutes, changes, rule, reason, measured):
    good = rows([1, 2, 3, 4], item="good")
    checked = check(rows(values, minutes=minutes), good, **changes)
    assert checked.quarantined_series.rows() == [
        ("a", "cpu", len(values), rule, reason, pytest.approx(measured))
    ]
    assert checked.quarantined_rows["rule"].to_list() == [rule] * len(values)
    assert checked.quarantined_rows["reason"].to_list() == [reason] * len(values)
    assert checked.rows.equals(good)
    assert checked.series.rows() == [("good", "cpu")]
    assert checked.counts.rule_series == {rule: 1}


def test_series_at_its_limits_passes():
    # 3 of 10 points missing, where 1 - 0.7 > 0.3 in floating point.
    checked = check(rows(range(7), minutes=[0, 1, 2, 3, 4, 5, 9]), max_missing_share=0.3)
    assert checked.quarantined_series.is_empty()


def test_series_without_a_frequency_is_irregular():
    checked = check(rows([1, 2, None, 4, 5]), rows([1, 2], item="b"), freq=None)
    assert checked.quarantined_series.select("item_id", "rule", "reason", "rows").rows() == [
        ("a", "irregular", "no frequency could be found in its time stamps", 4),
        ("b", "too_short", "2 points, at least 4", 2),
    ]
    assert checked.counts.rows_in == 6
    assert checked.rows.is_empty()


def test_series_left_empty_by_row_rules_is_too_short():
    checked = check(rows([float("inf")] * 5), rows([1, 2, 3, 4], item="b"))
    assert checked.quarantined_series.rows() == [
        ("a", "cpu", 0, "too_short", "0 points, at least 4", 0.0)
    ]
    assert checked.counts.rule_rows == {"infinite_value": 5}
    assert checked.counts.rule_series == {"infinite_value": 1, "too_short": 1}


def test_quarantined_variate_leaves_the_others_of_its_item():
    checked = check(rows([1, 2, 3, 4]), rows([0, 0, 0, 0], variate="errors"))
    assert checked.series.rows() == [("a", "cpu")]
    assert values_of(checked) == [1, 2, 3, 4]


def test_variates_share_the_grid_of_their_item():
    checked = check(
        rows([1, 2, 3, 4], minutes=[0, 1, 2, 3]),
        rows([5, 6, 7, 8], minutes=[2, 3, 4, 6], variate="memory"),
    )
    nan = np.nan
    assert minutes_of(checked) == minutes_of(checked, "memory") == list(range(7))
    assert_same(values_of(checked), [1, 2, 3, 4, nan, nan, nan])
    assert_same(values_of(checked, "memory"), [nan, nan, 5, 6, 7, nan, 8])
    assert checked.counts.missing == 6
    assert checked.counts.repairs["gap_fill"] == 6


def test_zeros_are_kept_and_counted():
    values = [0.0] * 17 + [5e8, 0.0, 3.0]
    checked = check(rows(values), rows([0, 1, 0, 1], item="b"))
    assert_same(values_of(checked), values)
    assert checked.counts.series_mostly_zero == 1


def bar(times=4, **columns):
    base = {
        "open": [2.0] * times,
        "high": [4.0] * times,
        "low": [1.0] * times,
        "close": [3.0] * times,
        "volume": [10.0] * times,
    } | columns
    frames = []
    for name, values in base.items():
        rising = [v + 0.001 * n for n, v in enumerate(values)]  # not constant
        frames.append(rows(rising, variate=name))
    return frames


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        pytest.param(
            {"low": [1, 2.5, 1, 1, 1]},
            "low = 2.501 above 2.001, the lowest price of the bar",
            id="low above open",
        ),
        pytest.param(
            {"high": [4, 2.5, 4, 4, 4]},
            "high = 2.501 below 3.001, the highest price of the bar",
            id="high below close",
        ),
        pytest.param(
            {"low": [1, 5, 1, 1, 1]},
            "low = 5.001 above 2.001, the lowest price of the bar",
            id="low above high",
        ),
    ],
)
def test_contradicting_bar_is_quarantined_with_all_variates(columns, reason):
    checked = check(*bar(5, **columns), ohlc=OHLC)
    assert checked.quarantined_rows["variate"].to_list() == [
        "close",
        "high",
        "low",
        "open",
        "volume",
    ]
    assert set(checked.quarantined_rows["timestamp"]) == {"2024-01-01T00:01:00Z"}
    assert set(checked.quarantined_rows["reason"]) == {reason}
    assert checked.counts.rule_rows == {"ohlc_contradiction": 5}
    assert np.isnan(values_of(checked, "volume")[1])


def test_contradicting_bar_does_not_touch_other_items():
    bad = bar(5, low=[1, 9, 1, 1, 1])
    good = [frame.with_columns(item_id=pl.lit("b")) for frame in bar(5)]
    checked = check(*bad, *good, ohlc=OHLC)
    assert checked.quarantined_rows["item_id"].unique().to_list() == ["a"]


def test_bars_are_not_checked_unless_asked_for():
    assert check(*bar(5, low=[1, 9, 1, 1, 1])).quarantined_rows.is_empty()


def test_bar_that_contradicts_itself_by_rounding_passes():
    price = np.float32(52.74334)
    above = float(np.nextafter(price, np.float32(np.inf)))
    values = {"open": 30, "high": float(price), "low": 20, "close": above, "volume": 1}
    frames = [rows([v, v * 0.5, v, v], variate=k) for k, v in values.items()]
    assert check(*frames, ohlc=OHLC).quarantined_rows.is_empty()


def test_bar_without_all_its_prices_is_checked_by_those_it_has():
    frames = bar(5, low=[1, 2.5, 1, 1, 1])
    frames[1] = frames[1].filter(pl.col("timestamp") != frames[1]["timestamp"][1])
    checked = check(*frames, ohlc=OHLC)
    assert checked.counts.rule_rows == {"ohlc_contradiction": 4}


def test_negative_volume_is_quarantined():
    checked = check(*bar(5, volume=[10, -3, 0, 10, 10]), ohlc=OHLC)
    assert quarantined(checked) == [
        (
            "2024-01-01T00:01:00Z",
            "-2.999",
            "negative_volume",
            "value = -2.999, a volume is at least 0",
        )
    ]


def test_newest_points_are_not_final():
    checked = check(
        rows([1, 2, 3, 4, 5, 6]), rows([1, 2, 3, 4, 5], item="b"), drop_last=2, min_length=3
    )
    assert values_of(checked) == [1, 2, 3, 4]
    assert values_of(checked, item="b") == [1, 2, 3]
    assert checked.counts.rule_rows == {"not_final": 4}
    assert set(checked.quarantined_rows["reason"]) == {
        "not final: among the newest validate.drop_last = 2 of its series"
    }


def test_points_near_the_grid_are_snapped_and_counted():
    checked = check(rows(range(8), minutes=[0, 1.05, 2, 2.95, 4, 5, 6, 7]))
    assert minutes_of(checked) == list(range(8))
    assert values_of(checked) == list(range(8))
    assert checked.counts.repairs["snap_to_grid"] == 2
    assert checked.counts.rows_repaired == 2


def test_points_off_the_grid_are_quarantined_one_by_one():
    checked = check(rows(range(8), minutes=[0, 1, 2, 3.4, 4, 5, 6, 7]))
    assert quarantined(checked) == [
        (
            "2024-01-01T00:03:24Z",
            "3.0",
            "off_grid",
            "time stamp lies 24.0 s off the grid of 1min",
        )
    ]
    assert_same(values_of(checked), [0, 1, 2, np.nan, 4, 5, 6, 7])


def test_jittering_clock_is_put_on_one_grid():
    rng = np.random.default_rng(0)
    minutes = 0.5 + np.arange(200) + rng.uniform(-0.08, 0.08, 200)
    checked = check(rows(range(200), minutes=minutes))
    assert checked.quarantined_rows.is_empty()
    assert values_of(checked) == list(range(200))
    np.testing.assert_allclose(minutes_of(checked), 0.5 + np.arange(200), atol=0.021)


def skipped_hour(phase, *, step=5, count=12, values=None):
    """Minutes of samples from 01:00 on, those from 02:00 to 03:00 all stamped 03:00."""
    true = np.arange(60 + phase, 300 + phase, step)
    minutes = np.where((true >= 120) & (true < 180), 180, true)
    keep = np.ones(len(true), bool)
    keep[np.flatnonzero((true >= 120) & (true < 180))[count:]] = False
    return true[keep], minutes[keep]


@pytest.mark.parametrize("phase", [0, 1, 4])
@pytest.mark.parametrize("step", [5, 10, 15])
def test_samples_of_a_skipped_hour_are_numbered_consecutively(phase, step):
    true, minutes = skipped_hour(phase, step=step, count=60 // step)
    checked = check(rows(range(len(true)), minutes=minutes), freq=f"{step}min")
    assert minutes_of(checked) == list(true)
    assert values_of(checked) == list(range(len(true)))
    assert checked.counts.missing == 0
    # With phase 0 the sample due at 03:00 keeps its time among the renumbered ones.
    assert checked.counts.repairs["renumber_dst"] == 60 // step + (phase == 0)


def test_missed_scrape_within_a_skipped_hour_keeps_its_place():
    true, minutes = skipped_hour(4)
    values = np.arange(len(true), dtype=float)
    values[15] = np.nan
    checked = check(rows(list(values), minutes=minutes), freq="5min")
    assert minutes_of(checked) == list(true)
    assert_same(values_of(checked), values)


def test_fault_within_a_skipped_hour_is_quarantined_alone():
    true, minutes = skipped_hour(4)
    values = np.arange(len(true), dtype=float)
    values[15] = np.inf
    checked = check(rows(list(values), minutes=minutes), freq="5min")
    assert checked.counts.rule_rows == {"infinite_value": 1}
    assert minutes_of(checked) == list(true)


@pytest.mark.parametrize("count", [11, 5, 2])
def test_fewer_samples_than_a_skipped_hour_has_are_duplicates(count):
    _, minutes = skipped_hour(0, count=count)
    minutes = minutes[minutes != 180].tolist() + [180] * count
    checked = check(rows(range(len(minutes)), minutes=sorted(minutes)), freq="5min")
    assert checked.counts.repairs["renumber_dst"] == 0
    assert checked.counts.rule_rows == {"duplicate_timestamp": count - 1}


def test_samples_that_do_not_fill_the_gap_before_them_are_duplicates():
    minutes = [*range(0, 101, 5), *[180] * 12, *range(185, 240, 5)]
    checked = check(rows(range(len(minutes)), minutes=minutes), freq="5min")
    assert checked.counts.repairs["renumber_dst"] == 0
    assert checked.counts.rule_rows == {"duplicate_timestamp": 11}


def test_equal_stamps_are_duplicates_where_the_next_is_off_the_grid():
    minutes = [*range(4, 120, 5), *[180] * 12, 182, *range(189, 260, 5)]
    checked = check(rows(range(len(minutes)), minutes=minutes), freq="5min", max_irregular_share=1)
    assert checked.counts.repairs["renumber_dst"] == 0


def test_skipped_hour_is_not_sought_across_series():
    a = rows(range(24), minutes=range(4, 120, 5))
    minutes = [*[180] * 12, *range(184, 260, 5)]
    checked = check(a, rows(range(len(minutes)), minutes=minutes, variate="memory"), freq="5min")
    assert checked.counts.repairs["renumber_dst"] == 0


def test_repetitions_after_a_gap_that_no_clock_skips_are_duplicates():
    minutes = [0, 1, 2, 3, 4, 5, 11, 11, 11, 11, 11, 11, 12, 13, 14, 15]
    checked = check(rows(range(len(minutes)), minutes=minutes))
    assert checked.counts.repairs["renumber_dst"] == 0
    assert checked.counts.rule_rows == {"duplicate_timestamp": 5}


def days(*dates):
    return [datetime.fromisoformat(date) for date in dates]


def test_business_days_are_those_on_which_anything_was_observed():
    # 1 January and the weekends are holidays; on 5 January only b was observed.
    a = rows([1, 2, 3, 4], times=days("2024-01-02", "2024-01-03", "2024-01-04", "2024-01-08"))
    b = rows(
        [1, 2, 3, 4],
        times=days("2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09"),
        item="b",
    )
    checked = check(a, b, freq="1B")
    assert_same(values_of(checked), [1, 2, 3, np.nan, 4])
    assert checked.rows.filter(item_id="a")["timestamp"].dt.day().to_list() == [2, 3, 4, 5, 8]
    assert checked.rows.filter(item_id="b").equals(b)
    assert checked.counts.repairs["snap_to_grid"] == 0


def test_calendar_spans_shards():
    a = rows([1, 2, 3, 4], times=days("2024-01-02", "2024-01-03", "2024-01-05", "2024-01-08"))
    b = rows([1, 2], times=days("2024-01-04", "2024-01-05"), item="b")
    section = params()
    facts = series_facts(pl.concat([items_of(a, "1B"), items_of(b, "1B")]), section)
    calendars = collect_calendars([a, b], facts)
    checked = check_shard(a, facts, section, calendars)
    assert_same(values_of(checked), [1, 2, np.nan, 3, 4])


def test_items_keep_their_own_time_of_day():
    opening = [t + timedelta(hours=9) for t in days("2024-01-02", "2024-01-03", "2024-01-05")]
    closing = [
        t + timedelta(hours=21)
        for t in days("2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05")
    ]
    checked = check(
        rows([1, 2, 3], times=opening),
        rows([1, 2, 3, 4], times=closing, item="b"),
        freq="1B",
        min_length=3,
    )
    hours = checked.rows.filter(item_id="a")["timestamp"].dt.hour().to_list()
    assert hours == [9, 9, 21, 9]
    assert checked.rows.filter(item_id="b")["timestamp"].dt.hour().to_list() == [21] * 4


def test_months_that_nobody_observed_are_filled():
    times = days("2024-01-31", "2024-02-29", "2024-04-30", "2024-05-31")
    checked = check(rows([1, 2, 3, 4], times=times), freq="1M")
    assert_same(values_of(checked), [1, 2, np.nan, 3, 4])
    dates = checked.rows["timestamp"].dt.date().cast(pl.String).to_list()
    assert dates == ["2024-01-31", "2024-02-29", "2024-03-01", "2024-04-30", "2024-05-31"]


def test_gap_takes_the_time_at_which_others_observed_that_month():
    a = rows([1, 2, 3, 4], times=days("2024-01-31", "2024-02-29", "2024-04-30", "2024-05-31"))
    b = rows([1, 2, 3, 4], times=days("2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31"))
    checked = check(a, b.with_columns(item_id=pl.lit("b")), freq="1M")
    dates = checked.rows.filter(item_id="a")["timestamp"].dt.date().cast(pl.String).to_list()
    assert dates == ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31"]


def test_local_midnights_across_daylight_saving_time_share_a_daily_grid():
    local = pl.datetime_range(
        datetime(2024, 3, 1), datetime(2024, 3, 20), "1d", time_zone="America/New_York", eager=True
    )
    times = local.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_list()
    checked = check(rows(range(20), times=times), freq="1D")
    assert checked.quarantined_rows.is_empty()
    assert values_of(checked) == list(range(20))
    assert checked.rows["timestamp"].diff().drop_nulls().unique().to_list() == [timedelta(days=1)]


@st.composite
def dirty_shards(draw):
    """Series whose rows were dropped, repeated, moved and broken at random."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    num_items, num_variates = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    frames, number = [], 0
    for item in range(num_items):
        phase = int(rng.integers(60))
        for variate in range(num_variates):
            length = int(rng.integers(0, 60))
            minute = np.sort(rng.integers(0, draw(st.sampled_from([60, 400])), length) * 5 + phase)
            minute = minute + np.where(rng.random(length) < 0.1, rng.random(length) * 3, 0)
            value = number + np.arange(length, dtype=float)
            number += length
            broken = rng.random(length) < draw(st.sampled_from([0, 0.1, 1]))
            value[broken] = rng.choice([np.nan, np.inf, -np.inf, -1, 1e6, 7], int(broken.sum()))
            times = [None if rng.random() < 0.02 else t for t in at(minute)]
            frames.append(rows(value.tolist(), times=times, item=f"i{item}", variate=f"v{variate}"))
    return pl.concat(frames).sort(SORT_KEYS, maintain_order=True)


def fingerprint(table):
    """Order-free hash of which values each series has."""
    table = table.select("item_id", "variate", pl.col("value").cast(pl.String)).filter(
        pl.col("value").is_not_null() & (pl.col("value") != "NaN")
    )
    return table.height, int(table.hash_rows(seed=1).cast(pl.UInt64).to_numpy().sum())


@settings(max_examples=60, deadline=None)
@given(
    shard=dirty_shards(),
    bounds=st.sampled_from([{}, {"v0": (0, 100)}]),
    drop_last=st.integers(0, 2),
    freq=st.sampled_from(["5min", "1h", "1B", "1M", None]),
    share=st.sampled_from([0.1, 1.0]),
)
def test_no_value_is_lost_or_counted_twice(shard, bounds, drop_last, freq, share):
    section = params(
        bounds=bounds,
        drop_last=drop_last,
        max_irregular_share=share,
        max_missing_share=share,
        ohlc={"open": "v0", "high": "v1", "low": "v2", "close": "v0", "volume": "v0"},
    )
    facts = series_facts(items_of(shard, freq), section)
    checked = check_shard(shard, facts, section, collect_calendars([shard], facts))
    observed = shard.filter(pl.col("value").is_not_nan() & pl.col("value").is_not_null())
    together = pl.concat(
        [
            checked.rows.select("item_id", "variate", pl.col("value").cast(pl.String)),
            checked.quarantined_rows.select("item_id", "variate", "value"),
        ]
    )
    assert fingerprint(together) == fingerprint(observed)
    counts = checked.counts
    assert counts.rows_in == observed.height == counts.rows_valid + counts.rows_quarantined
    assert counts.rows_quarantined == checked.quarantined_rows.height
    assert counts.missing == int(checked.rows["value"].is_nan().sum())
    assert checked.quarantined_rows.select("rule", "reason").null_count().row(0) == (0, 0)
    assert checked.rows["value"].is_infinite().sum() == 0
    for (_, _), series in checked.rows.partition_by("item_id", "variate", as_dict=True).items():
        steps = series["timestamp"].diff().drop_nulls()
        assert (steps > timedelta(0)).all()
        if freq in ("5min", "1h"):
            assert steps.n_unique() <= 1
    for item in checked.rows.partition_by("item_id"):
        variates = item.partition_by("variate")
        assert all(v["timestamp"].equals(variates[0]["timestamp"]) for v in variates)


def test_unsorted_rows_are_refused():
    shard = rows([1, 2, 3], minutes=[0, 2, 1])
    facts = series_facts(items_of(shard), params())
    with pytest.raises(DataError, match=r"data/series: rows out of order, sorted by item_id, var"):
        check_shard(shard, facts, params(), {})


def test_item_in_two_places_is_refused():
    shard = pl.concat([rows([1, 2]), rows([1, 2], item="b"), rows([3, 4], minutes=[2, 3])])
    facts = series_facts(items_of(shard), params())
    with pytest.raises(DataError, match="rows out of order"):
        check_shard(shard, facts, params(), {})


@pytest.mark.parametrize("block", [1, 7, 25, 60])
def test_outcome_does_not_depend_on_the_blocks(block, monkeypatch):
    rng = np.random.default_rng(0)
    frames = [
        rows(rng.normal(50, 30, 20).tolist(), item=item, variate=variate)
        for item in "abcde"
        for variate in ("cpu", "memory")
    ]
    frames.append(rows([5.0] * 20, item="c", variate="flat"))
    whole = check(*frames, bounds={"cpu": (0, 90)})
    monkeypatch.setattr(validation, "BLOCK_ROWS", block)
    parts = check(*frames, bounds={"cpu": (0, 90)})
    assert parts.counts.rows_quarantined > 20
    for name in ("rows", "series", "quarantined_rows", "quarantined_series"):
        assert getattr(parts, name).equals(getattr(whole, name))
    assert (parts.counts, parts.sums) == (whole.counts, whole.sums)


@pytest.mark.parametrize("items", ["abca", "cab", "aba"])
def test_items_out_of_order_across_blocks_are_refused(items, monkeypatch):
    monkeypatch.setattr(validation, "BLOCK_ROWS", 3)
    shard = pl.concat([rows([1, 2, 3, 4], item=item) for item in items])
    facts = series_facts(items_of(shard), params())
    with pytest.raises(DataError, match="rows out of order"):
        check_shard(shard, facts, params(), {})


def test_series_that_the_table_of_items_lacks_is_refused():
    facts = series_facts(items_of(rows([1, 2])), params())
    with pytest.raises(DataError, match=r"1 series such as b/cpu are not in items.parquet"):
        check_shard(rows([1, 2], item="b"), facts, params(), {})


def test_lost_row_is_noticed():
    with pytest.raises(
        RuntimeError, match=r"rows_in = 10, but rows_valid \+ rows_quarantined = 8 \+ 1;"
    ):
        Counts(rows_in=10, rows_valid=8, rule_rows=Counter(constant=1)).check()


def test_rows_that_ingest_rejected_keep_text_and_get_a_reason():
    rejected = pl.DataFrame(
        {
            "item_id": ["a", "a", None],
            "variate": ["cpu", "cpu", "cpu"],
            "timestamp": ["2024-01-01 00:00", "yesterday", None],
            "value": ["n/a", "5", "7.5"],
            "rule": ["not_a_number", "unparsable_timestamp", "missing_item_id"],
            "source": ["a.csv", "a.csv", "a.csv"],
        }
    )
    found, counts = judge_rejected(rejected)
    assert found.select("item_id", "timestamp", "value", "reason").rows() == [
        ("", "", "7.5", "item = '' in a.csv, a name is needed"),
        ("a", "2024-01-01 00:00", "n/a", "value = 'n/a' in a.csv, a number is needed"),
        ("a", "yesterday", "5", "time stamp = 'yesterday' in a.csv, a time is needed"),
    ]
    assert counts.rows_in == 3
    assert counts.rule_rows == {
        "missing_item_id": 1,
        "not_a_number": 1,
        "unparsable_timestamp": 1,
    }
    counts.check()
    by_rule = counts.to_json()["rules"]
    assert isinstance(by_rule, dict)
    assert sum(found["rows"] for found in by_rule.values()) == counts.rows_quarantined == 3
