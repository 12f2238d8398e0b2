"""Nothing crosses a cut-off, and one rule says which pairs of item and origin are judged."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from calendar_items import HOUR, START, item, split
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_core.data.frequency import parse_freq
from toto_core.data.splits import (
    Splits,
    from_us,
    judged,
    kept_windows,
    observed_targets,
    points_before,
    to_us,
    validation_positions,
)
from toto_core.errors import DataError
from toto_core.files import write_json

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/folds.json").read_text())["cases"]


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
            assert one.freq == splits.freq or targets[-1] + step_us(one) <= end
            assert (one.timestamps[:position] < origin).all()
    assert len(splits.test_origins) == 3
    assert len(splits.validation_origins) == 2
    assert np.diff(splits.test_origins_us).tolist() == [stride * splits.step_us] * 2
    assert to_us(splits.test_end) - splits.test_origins_us[-1] == prediction_length * splits.step_us
    assert end - splits.validation_origins_us[-1] == prediction_length * splits.step_us


def step_us(one):
    return parse_freq(one.freq).interval_us


@given(start=st.integers(0, 50), freq=st.sampled_from(["1h", "4h", "30min", "1D"]))
@settings(max_examples=60, deadline=None)
def test_points_before_a_cutoff_are_over_by_then(start, freq):
    other = item("z", length=40, freq=freq, start=START + start * HOUR)
    splits = split(item("a", length=200), item("b", length=200), other)
    cutoffs = np.array(list(splits.cutoffs_us.values()))
    ends = other.timestamps + step_us(other)
    expected = [int((ends <= cutoff).sum()) for cutoff in cutoffs]
    assert points_before(other, splits, cutoffs).tolist() == expected


def test_a_month_that_goes_on_behind_a_cutoff_is_not_before_it():
    months = np.arange("2024-01", "2025-01", dtype="datetime64[M]").astype("datetime64[us]")
    monthly = item("m", freq="1M", timestamps=months.astype(np.int64))
    splits = split(item("a", length=300, freq="1D"), item("b", length=300, freq="1D"), monthly)
    cutoffs = np.array(["2024-03-31T00", "2024-04-01T00"], "datetime64[us]").astype(np.int64)
    assert points_before(monthly, splits, cutoffs).tolist() == [2, 3]


def test_splits_survive_their_file(tmp_path):
    splits = split(*[item(f"i{n}") for n in range(10)], held_out_share=0.3)
    write_json(tmp_path / "splits.json", splits.to_json())
    assert Splits.load(tmp_path / "splits.json") == splits
    stored = json.loads((tmp_path / "splits.json").read_text())
    assert datetime.fromisoformat(stored["test_start"]) == splits.test_start
    assert stored["folds"][1]["origins"] == stored["test_origins"][2:]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(None, "no such file or directory", id="missing"),
        pytest.param("{", "invalid json: eof while parsing", id="torn"),
        pytest.param('{"stride": 3}', "prediction_length field required", id="another file"),
    ],
)
def test_torn_splits_are_refused(tmp_path, text, found):
    path = tmp_path / "splits.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError) as caught:
        Splits.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: {found}")
    assert message.endswith(", the splits of the split stage are needed; run dvc repro")
    assert "pydantic" not in message


def test_microseconds_and_times_are_inverse():
    assert from_us(to_us(START)) == START
    assert to_us(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005
