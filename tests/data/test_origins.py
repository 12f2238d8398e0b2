"""Origins are counted back on one calendar for all items, and groups are held out by their name."""

import hashlib
from datetime import timedelta

import numpy as np
import pytest
from calendar_items import HOUR, START, item, split

from toto_core.data.origins import count_cells, held_out_groups
from toto_core.data.splits import judged, to_us, validation_positions
from toto_core.errors import DataError


def business_days(start, count, holidays=()):
    days = np.arange(np.datetime64(start), np.datetime64(start) + 2 * count + 10)
    open_days = days[np.is_busday(days, holidays=list(holidays))][:count]
    return open_days.astype("datetime64[us]").astype(np.int64)


def test_origins_are_counted_back_from_the_end():
    splits = split(item(length=60))
    hours = [(origin - START) // HOUR for origin in splits.test_origins]
    assert hours == [52, 54, 56]
    assert [(origin - START) // HOUR for origin in splits.validation_origins] == [46, 48]
    assert splits.test_start == splits.test_origins[0]
    assert splits.validation_start == splits.validation_origins[0]
    assert splits.test_end == START + 60 * HOUR
    assert splits.overlap == 2
    assert splits.cutoffs_us == {
        "train": to_us(START + 46 * HOUR),
        "validation": to_us(START + 52 * HOUR),
        "fold-0": to_us(START + 52 * HOUR),
        "fold-1": to_us(START + 56 * HOUR),
    }


def test_folds_are_consecutive_segments_of_the_test_origins():
    splits = split(item(length=60), num_test_origins=7, num_folds=3)
    assert [len(fold.origins) for fold in splits.folds] == [3, 2, 2]
    assert sum((fold.origins for fold in splits.folds), ()) == splits.test_origins
    assert all(fold.cutoff == fold.origins[0] for fold in splits.folds)
    assert splits.folds[0].cutoff == splits.test_start


def test_test_end_moves_everything():
    ends = split(item(length=80), test_end=(START + 60 * HOUR).isoformat())
    assert ends.test_origins == split(item(length=60)).test_origins


def test_business_days_are_counted_on_the_union_of_the_calendars():
    holiday = "2024-02-14"
    full = item("a", freq="1B", timestamps=business_days("2024-01-01", 60, [holiday]))
    late = item("b", freq="1B", timestamps=full.timestamps[40:])
    splits = split(full, late)
    np.testing.assert_array_equal(splits.test_origins_us, full.timestamps[[52, 54, 56]])
    np.testing.assert_array_equal(splits.validation_origins_us, full.timestamps[[46, 48]])
    observed = np.ones(20, bool)
    assert judged(late.timestamps, int(splits.test_origins_us[0]), 4, 5, observed) == 12


def test_business_days_with_closing_times_have_one_origin_a_day():
    days = business_days("2024-01-01", 60)
    closes = [item("a", freq="1B", timestamps=days + 16 * 3600 * 10**6)]
    closes.append(item("b", freq="1B", timestamps=days + 21 * 3600 * 10**6))
    splits = split(*closes)
    np.testing.assert_array_equal(splits.test_origins_us, days[[52, 54, 56]])
    assert [validation_positions(one, splits).tolist() for one in closes] == [[46, 48], [46, 48]]


def test_longer_intervals_widen_the_overlap_and_are_not_validated_beyond_t1():
    hourly = [item("a", length=200), item("b", length=200)]
    coarse = item("c", length=19, freq="4h", start=START + timedelta(days=5))
    splits = split(*hourly, coarse, num_validation_origins=10)
    assert splits.freq == "1h"
    assert splits.overlap == 8  # 4 steps of 4 hours against a stride of 2 hours
    limit = np.searchsorted(coarse.timestamps, to_us(splits.test_start))
    positions = validation_positions(coarse, splits)
    assert (positions + 4 <= limit).all()
    assert (positions == -1).any()
    assert (positions > 0).any()


def test_business_days_span_weekends_beside_days():
    days = [item(name, length=120, freq="1D") for name in "abc"]
    week = item("w", freq="1B", timestamps=business_days("2024-01-01", 80))
    assert split(*days, prediction_length=10, stride=10).overlap == 1
    # Ten business days take fourteen days; the origins are ten days apart.
    assert split(*days, week, prediction_length=10, stride=10).overlap == 2
    assert split(week, prediction_length=10, stride=10).overlap == 1


@pytest.mark.parametrize(("freq", "months", "late"), [("1Q", 3, 2), ("1Y", 12, 5), ("2M", 2, 1)])
def test_periods_of_different_phases_are_counted_once(freq, months, late):
    def calendar(name, first):
        stamps = np.datetime64("2000-01") + first + months * np.arange(60)
        stamps = stamps.astype("datetime64[us]").astype(np.int64)
        return item(name, freq=freq, timestamps=stamps)

    splits = split(calendar("a", 0), calendar("b", late), prediction_length=4, stride=4)
    assert splits.overlap == 1
    origins = np.array([origin.year * 12 + origin.month for origin in splits.test_origins])
    assert np.diff(origins).tolist() == [4 * months, 4 * months]


def test_shorter_interval_wins_a_tie_of_frequencies():
    assert split(item("a", length=60, freq="1D"), item("b", length=60 * 24)).freq == "1h"


def test_groups_are_held_out_by_the_hash_of_their_name():
    names = [f"group-{n}" for n in range(200)]
    digests = [hashlib.sha256(name.encode()).hexdigest()[:16] for name in names]
    expected = [n for n, d in zip(names, digests, strict=True) if int(d, 16) / 2**64 < 0.2]
    assert list(held_out_groups(names, 0.2)) == sorted(expected)
    assert abs(len(expected) / 200 - 0.2) < 0.1
    assert set(held_out_groups(names[:100], 0.2)) == set(names[:100]) & set(expected)


def test_a_positive_share_of_enough_groups_holds_one_out_and_one_group_stays():
    names = [f"group-{n}" for n in range(10)]
    assert held_out_groups(names, 0.0) == ()
    assert len(held_out_groups(names, 1e-9)) == 1
    assert held_out_groups(names[:4], 1e-9) == ()
    assert len(held_out_groups(names, 0.999999)) == 9
    assert held_out_groups(["only"], 0.999999) == ()


def test_linked_groups_share_their_fate():
    names = [f"g{n}" for n in range(40)]
    linked = {name: f"g{n // 4 * 4}" for n, name in enumerate(names)}
    found = held_out_groups(names, 0.4, linked)
    leaders = set(held_out_groups([f"g{n}" for n in range(0, 40, 4)], 0.4))
    assert 0 < len(leaders) < 10
    assert set(found) == {name for name in names if linked[name] in leaders}
    assert held_out_groups(names, 0.999999, dict.fromkeys(names, "g0")) == ()


def test_siblings_are_held_out_together():
    items = [item(f"i{n}", group=f"g{n // 3}") for n in range(30)]
    splits = split(*items, held_out_share=0.3)
    groups = {one.item_id: one.group for one in items}
    assert {groups[name] for name in splits.held_out_items} == set(splits.held_out_groups)
    assert not {groups[name] for name in splits.train_items} & set(splits.held_out_groups)
    assert len(splits.held_out_items) + len(splits.train_items) == 30


def test_cells_count_seen_and_held_out_items():
    items = [item(f"i{n}") for n in range(10)] + [item("young", length=10, start=START + 50 * HOUR)]
    splits = split(*items, held_out_share=0.3)
    cells = count_cells(items, splits)
    num_held_out = len(splits.held_out_items)
    assert "young" in splits.train_items
    assert (cells.seen_train, cells.seen_test) == (10 - num_held_out, 11 - num_held_out)
    assert (cells.held_out_train, cells.held_out_test) == (num_held_out, num_held_out)
    assert cells.judged_per_test_origin.tolist() == [10, 10, 11]  # the young one has 6 points then
    assert cells.judged_per_validation_origin.tolist() == [10 - num_held_out] * 2


def test_short_history_says_how_many_origins_fit():
    with pytest.raises(DataError) as caught:
        split(item(length=16))
    assert str(caught.value) == (
        "split: history = 16 steps of 1h, at least 19 are needed for num_test_origins = 3, "
        "num_validation_origins = 2, stride = 2, prediction_length = 4 and min_context = 5; "
        "1 test origins fit beside 2 validation origins, 2 beside 1: "
        "lower these, or give more history"
    )
    assert len(split(item(length=16), num_test_origins=1, num_folds=1).test_origins) == 1
    assert split(item(length=19)).validation_start == START + 5 * HOUR


def test_short_business_calendar_says_how_many_origins_fit():
    with pytest.raises(DataError, match=r"history = 18 steps of 1B, at least 19 are needed .*; 2"):
        split(item(freq="1B", timestamps=business_days("2024-01-01", 18)))


def test_all_faults_are_told_together():
    with pytest.raises(DataError) as caught:
        split(item(length=10), num_folds=5)
    first, second = str(caught.value).splitlines()
    assert first == ("split: num_folds = 5, at most num_test_origins = 3; lower split.num_folds")
    assert "history = 10 steps" in second
    assert "0 test origins fit beside 2 validation origins, 0 beside 1" in second


@pytest.mark.parametrize("hours", [0, 61])
def test_test_end_outside_of_the_data_is_refused(hours):
    end = START + hours * HOUR
    with pytest.raises(DataError) as caught:
        split(item(length=60), test_end=end.isoformat())
    assert str(caught.value) == (
        f"split: test_end = {end.isoformat()}, later than the start of the data "
        "2024-01-01T00:00:00+00:00 and at most their end 2024-01-03T12:00:00+00:00; "
        "change split.test_end, or set it to null"
    )


def test_no_items_are_refused():
    with pytest.raises(DataError, match=r"split: items = 0, at least 1"):
        split()


def test_cells_without_items_are_refused_together():
    items = [item("a", length=3), item("b", length=3, start=START + 57 * HOUR)]
    splits = split(*items)
    with pytest.raises(DataError) as caught:
        count_cells(items[1:], splits)
    train, validation, test = str(caught.value).splitlines()
    assert "items to train on before 2024-01-02T22:00:00+00:00 = 0 of 2" in train
    assert "validation period [2024-01-02T22:00:00+00:00, 2024-01-03T04:00:00+00:00) = 0" in (
        validation
    )
    assert "lower split.min_context = 5" in validation
    assert "test period from 2024-01-03T04:00:00+00:00 on = 0 of 2" in test


@pytest.mark.parametrize(
    ("lengths", "windows"), [((900, 700), 18), ((2000, 900), 20), ((300, 90), 3)]
)
def test_gift_eval_windows_replace_origins_and_stride(lengths, windows):
    """The last tenth of the shortest item, in horizons of four; one more horizon to validate on."""
    items = [
        item(f"i{n}", length=length, start=START + (2000 - length) * HOUR)
        for n, length in enumerate(lengths)
    ]
    splits = split(*items, scheme="gift_eval", stride=1, num_test_origins=5)
    steps = [(origin - START) // HOUR for origin in splits.test_origins]
    assert steps == list(range(2000 - 4 * windows, 2000, 4))
    assert [(origin - START) // HOUR for origin in splits.validation_origins] == [steps[0] - 4]
    assert splits.cutoffs_us["train"] == to_us(START + (steps[0] - 4) * HOUR)
    assert (splits.stride, splits.overlap) == (4, 1)


def test_gift_eval_counts_business_days():
    full = item("a", freq="1B", timestamps=business_days("2024-01-01", 300))
    late = item("b", freq="1B", timestamps=full.timestamps[100:])
    splits = split(full, late, scheme="gift_eval")
    np.testing.assert_array_equal(splits.test_origins_us, full.timestamps[280::4])
