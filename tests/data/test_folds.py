"""The index sets of cross-validation are those of the golden cases; nothing trains on none."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_core.data.folds import (
    combinatorial_purged_kfold,
    even_cuts,
    fev_cutoffs,
    gift_eval_windows,
    purged_kfold,
    rolling_origin,
    window_origins,
)
from toto_core.errors import DataError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/folds.json").read_text())["cases"]


def lengths(case):
    return {"context_length": case["C"], "prediction_length": case["H"]}


def origins_of(case):
    return window_origins(
        case["C"] - case["origins"][0],
        case["T"],
        context=case["C"],
        horizon=case["H"],
        stride=case["stride"],
    )


@pytest.mark.parametrize("case", GOLDEN[:2], ids=["no embargo", "embargo"])
def test_purged_folds_match_those_of_one_series(case):
    origins = origins_of(case)
    assert origins.tolist() == case["origins"]
    found = purged_kfold(
        [origins],
        even_cuts([origins], len(case["folds"])),
        embargo=case["embargo"],
        **lengths(case),
    )
    for sets, fold in zip(found, case["folds"], strict=True):
        assert sets.covers == (tuple(fold["cover"]),)
        assert sets.test[0].tolist() == fold["test_windows"]
        assert sets.train[0].tolist() == fold["train_strict"], fold["why"]
        assert sets.training() is sets.train


def test_purged_folds_match_those_of_unaligned_series():
    case = GOLDEN[2]
    origins = []
    for name, series in case["series"].items():
        origins.append(
            window_origins(
                series["t0"],
                series["length"],
                context=case["C"],
                horizon=case["H"],
                stride=case["stride"],
            )
        )
        assert origins[-1].tolist() == case["origins"][name]
    found = purged_kfold(origins, np.array(case["calendar_cuts"]), **lengths(case))
    for sets, fold in zip(found, case["folds"], strict=True):
        assert sets.covers == (tuple(fold["cover"]),)
        for n, name in enumerate(case["series"]):
            assert origins[n][sets.test[n]].tolist() == fold["test_origins"][name]
            assert origins[n][sets.train[n]].tolist() == fold["train_origins_strict"][name]


def test_combinatorial_folds_and_paths_match():
    case, windows = GOLDEN[3], GOLDEN[0]
    origins = np.array(windows["origins"])
    found = combinatorial_purged_kfold(
        [origins], even_cuts([origins], 4), num_test_folds=2, **lengths(windows)
    )
    assert len(found.splits) == case["n_splits"]
    assert len(found.paths) == case["n_paths"]
    for sets, split in zip(found.splits, case["splits"], strict=True):
        assert list(sets.groups) == split["test_groups"]
        assert sets.test[0].tolist() == split["test_windows"]
        assert sets.train[0].tolist() == split["train_windows"]
    named = [{int(group): n for group, n in path.items()} for path in case["paths"]]
    assert [dict(enumerate(path)) for path in found.paths] == named


def test_an_empty_training_set_is_told_and_refused():
    origins = np.array(GOLDEN[0]["origins"])
    found = combinatorial_purged_kfold(
        [origins], even_cuts([origins], 4), num_test_folds=2, **lengths(GOLDEN[0])
    )
    assert [sets.num_train for sets in found.splits] == [4, 0, 3, 3, 3, 7]
    assert {sets.num_test for sets in found.splits} == {8}
    with pytest.raises(DataError) as caught:
        found.splits[1].training()
    assert str(caught.value) == (
        "folds: training windows of the groups [0, 2] = 0, at least 1 that ends before or begins "
        "behind [3, 8), [11, 16) is needed; give more history, shorten context or embargo, or "
        "judge fewer groups at once"
    )


def test_rolling_folds_match():
    origins = np.array(GOLDEN[0]["origins"])
    cutoffs = np.array([fold["cutoff"] for fold in GOLDEN[4]["folds"]])
    found = rolling_origin([origins], cutoffs, context_length=3, prediction_length=2)
    for sets, fold in zip(found, GOLDEN[4]["folds"], strict=True):
        assert sets.train[0].tolist() == fold["train_windows"]
        assert origins[sets.test[0]].tolist() == [fold["test_origin"]]
        assert sets.covers == ((fold["test_targets"][0], fold["test_targets"][-1] + 1),)


@pytest.mark.parametrize("row", GOLDEN[5]["rows"], ids=lambda row: f"{row['min_len']}-{row['H']}")
def test_gift_eval_windows_match(row):
    number = gift_eval_windows(row["min_len"], row["H"], is_m4=row["m4"])
    assert number == row["windows"]
    assert -number * row["H"] == row["test_start_offset"] == row["validation_dataset_end_offset"]
    assert -(number + 1) * row["H"] == row["training_dataset_end_offset"]


@pytest.mark.parametrize(
    "row", GOLDEN[6]["rows"], ids=lambda row: f"{row['horizon']}-{row['window_step_size']}"
)
def test_fev_cutoffs_match(row):
    asked = {"num_windows": row["num_windows"], "step": row["window_step_size"]}
    assert list(fev_cutoffs(row["horizon"], **asked)) == row["cutoffs"]
    given_first = fev_cutoffs(row["horizon"], initial_cutoff=row["initial_cutoff"] - 5, **asked)
    assert [time + 5 for time in given_first] == row["cutoffs"]


@given(
    spans=st.lists(st.tuples(st.integers(0, 30), st.integers(12, 60)), min_size=1, max_size=4),
    num_folds=st.integers(2, 5),
    context=st.integers(1, 6),
    horizon=st.integers(1, 5),
    stride=st.integers(1, 4),
    embargo=st.integers(0, 4),
)
@settings(max_examples=40, deadline=None)
def test_no_training_window_touches_a_judged_target(
    spans, num_folds, context, horizon, stride, embargo
):
    origins = [
        window_origins(start, length, context=context, horizon=horizon, stride=stride)
        for start, length in spans
    ]
    if len(np.unique(np.concatenate(origins))) < num_folds:
        return
    size = {"context_length": context, "prediction_length": horizon, "embargo": embargo}
    cuts = even_cuts(origins, num_folds)
    folds = purged_kfold(origins, cuts, **size)
    pairs = combinatorial_purged_kfold(origins, cuts, num_test_folds=num_folds - 1, **size)
    for sets in (*folds, *pairs.splits):
        for first, end in sets.covers:
            times = np.arange(first, end)
            for series, kept in zip(origins, sets.train, strict=True):
                for origin in series[kept]:
                    assert not np.isin(np.arange(origin - context, origin + horizon), times).any()
    judged = [np.concatenate([sets.test[n] for sets in folds]) for n in range(len(spans))]
    for indices, series in zip(judged, origins, strict=True):
        assert indices.tolist() == list(range(len(series)))
    assert all(one <= other for one, other in pairwise(cuts))


def test_folds_that_cannot_be_are_refused():
    origins = [np.array([3, 5, 7])]
    with pytest.raises(
        ValueError, match=r"^folds: num_folds = 4, 2 to 3 \(the different origins\)"
    ):
        even_cuts(origins, 4)
    with pytest.raises(ValueError, match=r"num_folds = 1, 2 to 3"):
        even_cuts(origins, 1)
    with pytest.raises(ValueError, match=r"num_test_folds = 3, 1 to 2 of 3 folds are allowed"):
        combinatorial_purged_kfold(
            origins, even_cuts(origins, 3), num_test_folds=3, context_length=1, prediction_length=1
        )
