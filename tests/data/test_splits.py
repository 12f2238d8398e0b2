"""Splits are calendar times for all items at once, and nothing crosses them."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_core.config import SplitParams
from toto_core.data.frequency import parse_freq
from toto_core.data.splits import (
    Splits,
    count_cells,
    from_us,
    held_out_groups,
    judged,
    kept_windows,
    make_splits,
    observed_targets,
    survey,
    to_us,
    validation_positions,
)
from toto_core.data.tables import KNOWN_COVARIATE, TARGET, Item
from toto_core.errors import DataError
from toto_core.files import write_json

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/folds.json").read_text())["cases"]
START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def params(**changes):
    values = {
        "prediction_length": 4,
        "stride": 2,
        "num_test_origins": 3,
        "num_validation_origins": 2,
        "test_end": None,
        "min_context": 5,
        "held_out_share": 0.0,
        "num_folds": 2,
    }
    return SplitParams(**values | changes)


def item(name="a", *, length=60, start=START, freq="1h", group=None, timestamps=None, values=None):
    if timestamps is None:
        step = parse_freq(freq).interval_us
        timestamps = to_us(start) + step * np.arange(length, dtype=np.int64)
    if values is None:
        values = np.ones((1, len(timestamps)), np.float32)
    return Item(
        item_id=name,
        freq=freq,
        group=group or name,
        source="test",
        timestamps=np.asarray(timestamps, np.int64),
        values=values,
        variates=tuple(f"v{n}" for n in range(len(values))),
        roles=(TARGET, *[KNOWN_COVARIATE] * (len(values) - 1)),
    )


def split(*items, **changes):
    return make_splits(survey(items), params(**changes))


def business_days(start, count, holidays=()):
    days = np.arange(np.datetime64(start), np.datetime64(start) + 2 * count + 10)
    open_days = days[np.is_busday(days, holidays=list(holidays))][:count]
    return open_days.astype("datetime64[us]").astype(np.int64)


def kept(case, fold, rule):
    origins = np.array(case["origins"])
    return kept_windows(
        origins,
        [tuple(fold["cover"])],
        context_length=case["C"],
        prediction_length=case["H"],
        embargo=case["embargo"],
        rule=rule,
    ).tolist()


@pytest.mark.parametrize("case", GOLDEN[:2], ids=["no embargo", "embargo"])
@pytest.mark.parametrize(
    ("rule", "key"),
    [
        ("strict", "train_strict"),
        ("label_only", "train_label_only"),
        ("rolling", "train_rolling_origin"),
    ],
)
def test_kept_windows_match_the_folds_of_one_series(case, rule, key):
    for fold in case["folds"]:
        assert kept(case, fold, rule) == fold[key], fold["why"]


def test_kept_windows_match_the_folds_of_unaligned_series():
    case = GOLDEN[2]
    for fold in case["folds"]:
        for name, expected in fold["train_origins_strict"].items():
            origins = np.array(case["origins"][name])
            indices = kept_windows(
                origins,
                [tuple(fold["cover"])],
                context_length=case["C"],
                prediction_length=case["H"],
            )
            assert origins[indices].tolist() == expected, fold["why"]


def test_kept_windows_match_combinatorial_purging():
    folds = GOLDEN[0]["folds"]
    for case in GOLDEN[3]["splits"]:
        indices = kept_windows(
            np.array(GOLDEN[0]["origins"]),
            [tuple(folds[group]["cover"]) for group in case["test_groups"]],
            context_length=GOLDEN[0]["C"],
            prediction_length=GOLDEN[0]["H"],
        )
        assert indices.tolist() == case["train_windows"]


def test_kept_windows_match_the_rolling_origin():
    for fold in GOLDEN[4]["folds"]:
        targets = fold["test_targets"]
        indices = kept_windows(
            np.array(GOLDEN[0]["origins"]),
            [(fold["test_origin"], targets[-1] + 1)],
            context_length=3,
            prediction_length=2,
            rule="rolling",
        )
        assert indices.tolist() == fold["train_windows"]


@given(
    cutoff=st.integers(0, 40),
    context_length=st.integers(1, 8),
    prediction_length=st.integers(1, 6),
)
def test_windows_that_end_at_the_cutoff_are_those_of_the_rolling_rule(
    cutoff, context_length, prediction_length
):
    """The pipeline keeps what ends at the limit; that is the set which the rule names."""
    timestamps = np.arange(30)
    limit = int(np.searchsorted(timestamps, cutoff, side="left"))
    origins = np.arange(context_length, len(timestamps) - prediction_length + 1)
    indices = kept_windows(
        origins,
        [(cutoff, 41)],
        context_length=context_length,
        prediction_length=prediction_length,
        rule="rolling",
    )
    assert indices.tolist() == np.flatnonzero(origins + prediction_length <= limit).tolist()


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
    ends = split(item(length=80), test_end=START + 60 * HOUR)
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


def test_shorter_interval_wins_a_tie_of_frequencies():
    assert split(item("a", length=60, freq="1D"), item("b", length=60 * 24)).freq == "1h"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, 46, id="judged"),
        pytest.param({"origin": 57}, None, id="grid ends within the horizon"),
        pytest.param({"min_context": 47}, None, id="too little context"),
        pytest.param({"missing": slice(0, 1)}, None, id="missing points are no context"),
        pytest.param({"missing": slice(46, 49)}, 46, id="one observed target is enough"),
        pytest.param({"missing": slice(46, 50)}, None, id="no observed target"),
    ],
)
def test_judged_asks_for_context_and_targets(changes, expected):
    timestamps = np.arange(60) * 10
    observed = np.ones(60, bool)
    observed[changes.get("missing", slice(0, 0))] = False
    origin = changes.get("origin", 46) * 10 - 3  # between two grid points
    assert judged(timestamps, origin, 4, changes.get("min_context", 46), observed) == expected


def test_observed_targets_ignores_covariates():
    values = np.array([[1, np.nan, np.nan], [1, 1, np.nan]], np.float32)
    one = item(timestamps=[0, 1, 2], values=values)
    assert observed_targets(one).tolist() == [True, False, False]


@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=5),
    shifts=st.lists(st.integers(0, 40), min_size=5, max_size=5),
    freqs=st.lists(st.sampled_from(["1h", "3h", "30min"]), min_size=5, max_size=5),
    prediction_length=st.integers(1, 6),
    stride=st.integers(1, 5),
)
@settings(max_examples=150, deadline=None)
def test_no_target_crosses_a_cutoff(lengths, shifts, freqs, prediction_length, stride):
    items = [
        item(f"i{n}", length=length, freq=freqs[n], start=START + shifts[n] * HOUR)
        for n, length in enumerate(lengths)
    ]
    try:
        splits = split(*items, prediction_length=prediction_length, stride=stride)
    except DataError:
        return
    start, end = to_us(splits.validation_start), to_us(splits.test_start)
    for one in items:
        positions = validation_positions(one, splits)
        for origin, position in zip(splits.validation_origins_us, positions, strict=True):
            if position < 0:
                continue
            targets = one.timestamps[position : position + prediction_length]
            assert len(targets) == prediction_length
            assert ((targets >= max(origin, start)) & (targets < end)).all()
            assert (one.timestamps[:position] < origin).all()
    assert len(splits.test_origins) == 3
    assert len(splits.validation_origins) == 2
    assert np.diff(splits.test_origins_us).tolist() == [stride * splits.step_us] * 2
    assert to_us(splits.test_end) - splits.test_origins_us[-1] == prediction_length * splits.step_us
    assert end - splits.validation_origins_us[-1] == prediction_length * splits.step_us


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


def test_splits_survive_their_file(tmp_path):
    splits = split(*[item(f"i{n}") for n in range(10)], held_out_share=0.3)
    write_json(tmp_path / "splits.json", splits.to_json())
    assert Splits.load(tmp_path / "splits.json") == splits
    stored = json.loads((tmp_path / "splits.json").read_text())
    assert datetime.fromisoformat(stored["test_start"]) == splits.test_start
    assert stored["folds"][1]["origins"] == stored["test_origins"][2:]


@pytest.mark.parametrize("text", [None, "{", '{"stride": 3}'])
def test_torn_splits_are_refused(tmp_path, text):
    path = tmp_path / "splits.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=r"splits.json: not the splits .*run dvc repro split"):
        Splits.load(path)


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
        split(item(length=60), test_end=end)
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


def test_microseconds_and_times_are_inverse():
    assert from_us(to_us(START)) == START
    assert to_us(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005
