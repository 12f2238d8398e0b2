"""The frozen protocol: what it holds, what counts as a change, and how targets are hashed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toto_core.config import load_params
from toto_core.data.tables import Item
from toto_core.evaluation.protocol import (
    Frozen,
    differences,
    freeze,
    protocol_check,
    protocol_hash,
    revised_items,
    target_hashes,
    targets_check,
)
from toto_core.evaluation.verdict import FAIL, INCONCLUSIVE, PASS

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
SPLITS = {
    "freq": "1h",
    "prediction_length": 4,
    "test_start": "2026-01-01T00:00:00Z",
    "test_origins": [f"2026-01-{day:02d}T00:00:00Z" for day in range(1, 6)],
    "held_out_groups": ["a", "b"],
    "folds": ["not frozen"],
}


def protocol(**changes):
    given_ = {
        "data": {"valid_sha256": "1", "targets_sha256": "2"},
        "splits": SPLITS,
        "seasonality": {"1h": 24},
        "baselines": ["naive", "drift"],
        "levels": [0.1, 0.5],
        "calibrate": PARAMS.calibrate,
        "evaluate": PARAMS.evaluate,
        "register": PARAMS.register_,
    }
    return freeze(**given_ | changes)


def test_protocol_names_data_origins_baselines_and_every_threshold():
    found = protocol()
    assert found["data"] == {"valid_sha256": "1", "targets_sha256": "2"}
    assert found["metrics"] == {"primary": "sql", "secondary": "mase", "levels": [0.1, 0.5]}
    assert found["baselines"] == ["drift", "naive"]
    assert found["seasonality"] == {"1h": 24}
    assert found["evaluate"]["naive_window"] == PARAMS.evaluate.naive_window
    origins = found["splits"]["test_origins"]
    assert (origins["number"], origins["first"]) == (5, SPLITS["test_origins"][0])
    assert found["splits"]["held_out_groups"] == ["a", "b"]
    thresholds = set(PARAMS.register_.model_dump()) - {"licences"}
    assert set(found["gate"]) == thresholds
    assert "batch_size" not in found["evaluate"]


def test_protocol_of_inferred_seasons_leaves_them_to_the_data():
    inferred = PARAMS.evaluate.model_copy(update={"seasonality": "auto"})
    assert protocol(evaluate=inferred)["seasonality"] == "auto"


@pytest.mark.parametrize(
    "changes",
    [
        {"splits": SPLITS | {"folds": []}},
        {"baselines": ["drift", "naive"]},
        {"register": PARAMS.register_.model_copy(update={"licences": {"x": "y"}})},
        {"evaluate": PARAMS.evaluate.model_copy(update={"batch_size": 1})},
    ],
)
def test_protocol_is_not_changed_by_what_decides_nothing(changes):
    assert differences(protocol(), protocol(**changes)) == []


@pytest.mark.parametrize("name", sorted(set(PARAMS.register_.model_dump()) - {"licences"}))
def test_protocol_is_changed_by_each_threshold(name):
    value = getattr(PARAMS.register_, name)
    other = tuple(v / 2 for v in value) if isinstance(value, tuple) else value + 1
    changed = protocol(register=PARAMS.register_.model_copy(update={name: other}))
    (found,) = differences(protocol(), changed)
    assert found.startswith(f"gate.{name} = ")
    assert found.endswith(" was frozen")


def test_protocol_is_changed_by_another_correction_of_the_quantiles():
    none = PARAMS.calibrate.model_copy(update={"method": "none"})
    found = differences(protocol(), protocol(calibrate=none))
    assert found == ['calibrate.method = "none", "per_step" was frozen']


def test_differences_name_what_was_found_and_what_was_frozen():
    later = SPLITS | {"prediction_length": 8, "test_origins": SPLITS["test_origins"][1:]}
    found = differences(protocol(), protocol(splits=later, seasonality={"1D": 7}))
    assert "splits.prediction_length = 8, 4 was frozen" in found
    assert "splits.test_origins.number = 4, 5 was frozen" in found
    assert "seasonality.1D = 7, nothing was frozen" in found
    assert "seasonality.1h = nothing, 24 was frozen" in found


def test_protocol_check_has_three_outcomes():
    first, laxer = {"gate": {"alpha": 0.05}}, {"gate": {"alpha": 0.1}}
    stated = protocol_hash(first)
    assert protocol_check(first, first, stated=stated).outcome == PASS
    changed = protocol_check(first, laxer, stated=stated)
    assert (changed.outcome, changed.found) == (FAIL, "gate.alpha = 0.1, 0.05 was frozen")
    edited = protocol_check(laxer, laxer, stated=stated)
    assert edited.outcome == FAIL
    assert (
        edited.found
        == f"protocol.json = {protocol_hash(laxer)[:12]}, run.json says " + (stated[:12])
    )
    for recorded, known in ((None, stated), (first, None)):
        assert protocol_check(recorded, first, stated=known).outcome == INCONCLUSIVE


def test_protocol_check_names_a_few_of_many_changes():
    many = {"gate": {f"t{n}": n for n in range(8)}}
    found = protocol_check(many, {"gate": {}}, stated=protocol_hash(many)).found
    assert found.startswith("gate = {}, nothing was frozen; gate.t0 = nothing, 0 was frozen; ")
    assert found.endswith("; 4 more")


def test_frozen_gives_both_checks():
    names = [check.name for check in Frozen({}, "x", {}, None).checks()]
    assert names == ["frozen protocol", "revised targets"]


def test_targets_check_lists_the_items():
    names = [f"i{n}" for n in range(7)]
    assert targets_check(names).found == "7 items: i0, i1, i2, i3, i4, 2 more"
    assert targets_check(names).outcome == FAIL
    assert targets_check(()).outcome == PASS
    assert targets_check(None).outcome == INCONCLUSIVE


def item(name="a", **changes):
    made = Item(
        item_id=name,
        freq="1h",
        group=name,
        source="test",
        timestamps=np.arange(10) * 1_000,
        values=np.arange(20, dtype=np.float32).reshape(2, 10),
        variates=("x", "y"),
        roles=("target", "past_covariate"),
    )
    return replace(made, **changes)


PERIOD = (4_000, 8_000)


def hashed(*items):
    return target_hashes(items, PERIOD)


@pytest.mark.parametrize(
    ("row", "step", "is_revised"),
    [(0, 4, True), (0, 7, True), (0, 3, False), (0, 8, False), (1, 5, False)],
)
def test_target_hashes_tell_targets_of_the_period_alone(row, step, is_revised):
    values = item().values.copy()
    values[row, step] += 1
    found = revised_items(hashed(item()), hashed(item(values=values)))
    assert found == (("a",) if is_revised else ())


def test_target_hashes_take_all_missing_values_for_one():
    values = item().values.copy()
    values[0, 5] = np.nan
    other = values.copy()
    other.view(np.uint32)[0, 5] |= 1  # another NaN
    assert hashed(item(values=values)).equals(hashed(item(values=other)))
    assert revised_items(hashed(item()), hashed(item(values=values))) == ("a",)


def test_target_hashes_tell_times_and_variates():
    moved = item(timestamps=np.arange(10) * 1_000 + 1)
    renamed = item(variates=("z", "y"))
    assert revised_items(hashed(item()), hashed(moved)) == ("a",)
    assert revised_items(hashed(item()), hashed(renamed)) == ("a",)


def test_target_hashes_are_sorted_and_leave_out_items_that_are_not_there():
    early = item("c", timestamps=np.arange(10) * 100)
    found = hashed(item("b"), item("a"), early)
    assert found["item_id"].to_list() == ["a", "b"]
    assert revised_items(found, hashed(item("b"), item("d"))) == ("a", "d")
    assert hashed().schema == found.schema


@given(st.lists(st.sampled_from("abcdef"), unique=True), st.lists(st.sampled_from("abcdef")))
def test_revised_items_are_those_that_differ(names, changed):
    then = pl.DataFrame({"item_id": names, "sha256": ["0"] * len(names)}, schema=hashed().schema)
    now = then.with_columns(
        sha256=pl.when(pl.col("item_id").is_in(changed)).then(pl.lit("1")).otherwise("sha256")
    )
    assert revised_items(then, now) == tuple(sorted(set(names) & set(changed)))
