"""The comparisons of many forecasters equal those of arch, named and with blocks long enough."""

import inspect
import sys

import numpy as np
import pytest
from dm_golden import GOLDEN

from toto_core.errors import ConfigError
from toto_core.evaluation.significance import model_confidence_set, superior_ability
from toto_core.evaluation.significance.model_set import least_block_size

STORED = GOLDEN["arch"]
NAMES = ("a", "b", "c", "d", "e")


def losses():
    return dict(zip(NAMES, np.array(STORED["losses"]).T, strict=True))


@pytest.mark.parametrize(
    "row", STORED["MCS"], ids=lambda row: f"{row['method']} {row['bootstrap']}"
)
def test_model_confidence_set_equals_the_stored_one(row):
    found = model_confidence_set(
        losses(),
        h=1,
        seed=123,
        size=row["size"],
        reps=row["reps"],
        block_size=row["block_size"],
        bootstrap=row["bootstrap"],
        method=row["method"],
    )
    assert found.included == tuple(NAMES[i] for i in row["included"])
    assert found.elimination_order == tuple(NAMES[int(i)] for i in row["pvalues"])
    # Stored with the versions of constraints.txt; the bootstrap of others may draw differently.
    assert found.p_values == pytest.approx(
        {NAMES[int(i)]: p for i, p in row["pvalues"].items()}, abs=0.02
    )


def test_superior_ability_equals_the_stored_one():
    row = STORED["SPA"]
    found = superior_ability(
        losses(), benchmark="e", h=1, seed=row["seed"], reps=row["reps"], block_size=10
    )
    stored = row["pvalues"]
    assert (found.p_lower, found.p_consistent, found.p_upper) == pytest.approx(
        (stored["lower"], stored["consistent"], stored["upper"]), abs=0.02
    )
    assert found.superior == tuple(NAMES[i] for i in STORED["StepM"]["superior"])


def test_nothing_is_superior_to_the_best():
    found = superior_ability(losses(), benchmark="b", h=1, seed=1, reps=500)
    assert found.superior == ()
    assert found.p_lower <= found.p_consistent <= found.p_upper
    assert found.p_lower > 0.1


def test_size_decides_who_stays():
    wide = model_confidence_set(losses(), h=1, seed=1, reps=500, size=0.01)
    narrow = model_confidence_set(losses(), h=1, seed=1, reps=500, size=0.7)
    assert set(narrow.included) < set(wide.included)
    assert wide.p_values == narrow.p_values


def test_a_size_between_two_p_values_decides_who_is_superior():
    table = losses()
    pair = {"b": table["b"], "c": table["c"]}
    found = superior_ability(pair, benchmark="c", h=1, seed=1, reps=500, size=0.01)
    assert found.superior == ()
    p = found.p_consistent
    assert 0.01 < p < 0.9
    assert superior_ability(
        pair, benchmark="c", h=1, seed=1, reps=500, size=min(0.99, p + 0.05)
    ).superior == ("b",)


def test_blocks_are_as_long_as_the_overlap_and_the_cube_root():
    assert [least_block_size(*case) for case in ((64, 1), (65, 1), (200, 12))] == [4, 5, 12]
    assert model_confidence_set(losses(), h=9, seed=1, reps=20).block_size == 9
    with pytest.raises(
        ValueError, match="model_confidence_set: block_size = 5, 6 to 100 is allowed for 200 orig"
    ):
        model_confidence_set(losses(), h=1, seed=1, block_size=5)


def test_same_seed_gives_the_same_set_and_reps_are_used():
    first, again, other = (
        model_confidence_set(losses(), h=1, seed=seed, reps=100).p_values for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert first != model_confidence_set(losses(), h=1, seed=1, reps=101).p_values


def test_way_of_resampling_is_used():
    of_set, of_ability = (
        {kind: call(kind) for kind in ("stationary", "circular")}
        for call in (
            lambda kind: (
                model_confidence_set(losses(), h=1, seed=1, reps=200, bootstrap=kind).p_values
            ),
            lambda kind: (
                superior_ability(
                    losses(), benchmark="a", h=1, seed=1, reps=200, bootstrap=kind
                ).p_upper
            ),
        )
    )
    assert of_set["stationary"] != of_set["circular"]
    assert of_ability["stationary"] != of_ability["circular"]


def test_faults_are_named_together():
    table = losses()
    table["b"] = table["a"] + 1
    table["c"] = np.where(np.arange(200) < 2, np.nan, table["c"])
    with pytest.raises(ValueError, match="losses of c has 2 missing or infinite of 200") as found:
        superior_ability(table, benchmark="a", h=1, seed=1, size=1.0, reps=0)
    for words in (
        "losses of a and b differ by a constant",
        "size = 1, above 0 and below 1",
        "reps = 0, at least 1",
    ):
        assert f"superior_ability: {words}" in str(found.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        pytest.param({"a": np.arange(9.0)}, "1 forecasters, at least 2 are needed", id="alone"),
        pytest.param(
            {"a": np.arange(9.0), "b": np.arange(8.0)},
            "origins = 9 of a, 8 of b, the same ones are needed",
            id="lengths",
        ),
    ],
)
def test_a_table_that_cannot_be_compared_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(model_confidence_set)(table, h=1, seed=1)


def test_unknown_benchmark_is_named():
    with pytest.raises(ValueError, match="benchmark = 'f', one of a, b, c, d, e is needed"):
        superior_ability(losses(), benchmark="f", h=1, seed=1)


def test_without_arch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "arch", None)
    monkeypatch.delitem(sys.modules, "arch.bootstrap", raising=False)
    with pytest.raises(ConfigError, match=r"arch = not installed, .*toto-pipeline\[comparison\]"):
        model_confidence_set(losses(), h=1, seed=1)
