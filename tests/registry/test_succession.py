"""A candidate against the champion: worse, not worse, or neither is shown."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from toto_core.evaluation.significance import ewc_dm_test
from toto_core.registry.succession import (
    Rule,
    compare_with_champion,
    decide,
    origins_unseen,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
RULE = Rule(tolerance=0.01, alpha=0.05, attempt=1, overlap=1)


def losses(values):
    """Losses from an array [series, origin]."""
    series, origin = np.indices(values.shape).reshape(2, -1)
    return pl.DataFrame(
        {
            "item_id": [f"item-{n}" for n in series],
            "variate": "x",
            "origin": [START + timedelta(days=int(n)) for n in origin],
            "sql": values.ravel(),
        }
    )


def origins(number):
    return [START + timedelta(days=n) for n in range(number)]


def compared(factor, *, spread=0.02, num_series=4, num_origins=60, rule=RULE):
    rng = np.random.default_rng(0)
    base = rng.uniform(0.8, 1.2, (num_series, num_origins))
    new = base * rng.normal(factor, spread, base.shape)
    return compare_with_champion(
        losses(base), losses(new), version="v0.1.0", origins=origins(num_origins), rule=rule
    )


@pytest.mark.parametrize(
    ("factor", "outcome", "says"),
    [
        (0.9, "PASS", "its error is 10.1 % lower than that of v0.1.0 at 60 origins, and a loss of"),
        (1.0, "PASS", "and a loss of more than 1.0 % is ruled out (p < 0.0001, at most 0.0500"),
        (1.1, "FAIL", "its error is 9.9 % higher than that of v0.1.0 at 60 origins, and that is"),
        (1.008, "FAIL", "and that is more than chance (p < 0.0001)"),
    ],
)
def test_outcome_follows_from_the_error(factor, outcome, says):
    found = compared(factor)
    assert found.outcome == outcome
    assert says in found.reason


def test_tie_in_much_noise_is_not_shown():
    found = compared(1.0, spread=0.5)
    assert found.outcome == "INCONCLUSIVE"
    assert "a loss of more than 1.0 % is not ruled out (p = 0." in found.reason
    assert found.p_value > found.level


def test_figures_are_those_of_the_tests():
    rng = np.random.default_rng(1)
    base, new = rng.uniform(0.8, 1.2, (2, 3, 70))
    found = compare_with_champion(
        losses(base), losses(new), version="v1", origins=origins(70), rule=RULE
    )
    of_base, of_new = base.mean(axis=0), new.mean(axis=0)
    margin = ewc_dm_test(1.01 * of_base - of_new, h=1, alternative="greater")
    worse = ewc_dm_test(of_base - of_new, h=1, alternative="less")
    assert found.p_value == pytest.approx(margin.p_value, rel=1e-9)
    assert found.p_worse == pytest.approx(worse.p_value, rel=1e-9)
    assert found.skill == pytest.approx(1 - of_new.sum() / of_base.sum(), rel=1e-12)
    assert (found.n, found.num_series, found.h_eff) == (70, 3, margin.h_eff)
    assert found.first_origin == "2026-01-01T00:00:00+00:00"


def test_equal_losses_are_a_tie_that_passes_unless_nothing_is_tolerated():
    same = losses(np.random.default_rng(0).uniform(1, 2, (2, 60)))
    for tolerance, outcome in ((0.01, "PASS"), (0.0, "INCONCLUSIVE")):
        rule = Rule(tolerance=tolerance, alpha=0.05, attempt=1, overlap=1)
        found = compare_with_champion(same, same, version="v1", origins=origins(60), rule=rule)
        assert found.outcome == outcome
    assert found.reason.startswith("the differential has zero variance")


def test_differences_that_persist_decide_nothing_although_the_margin_test_would():
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.normal(0, 1e-3, 60))  # of the differential alone
    base = rng.uniform(0.5, 1.5, 60)
    outcome, not_worse, worse, _ = decide(base, base - walk - 0.01, Rule(0.5, 0.05, 1, 1))
    assert (outcome, not_worse.outcome, worse.outcome) == ("INCONCLUSIVE", "ok", "inconclusive")


def test_level_falls_with_the_attempts_and_with_few_origins():
    assert compared(0.9).level == 0.05
    assert compared(0.9, num_origins=59).level == 0.025
    fourth = Rule(tolerance=0.01, alpha=0.05, attempt=4, overlap=1)
    assert compared(0.9, rule=fourth).level == 0.0125


def test_too_few_origins_decide_nothing():
    overlapping = Rule(tolerance=0.01, alpha=0.05, attempt=1, overlap=8)
    found = compared(0.5, rule=overlapping)
    assert found.outcome == "INCONCLUSIVE"
    assert found.reason.startswith("60 origins, at least 64 (8 for each of 8 that overlap)")
    nothing = compare_with_champion(
        losses(np.ones((1, 1))), losses(np.ones((1, 1))), version="v1", origins=[], rule=RULE
    )
    assert nothing.reason == "0 origins that neither has seen, at least 2 are needed"
    assert nothing.to_json()["skill"] is None


@pytest.mark.parametrize("hole", [None, float("nan"), "row"])
def test_missing_losses_of_the_champion_are_named(hole):
    base = losses(np.random.default_rng(0).uniform(1, 2, (2, 60)))
    new = base.with_columns(pl.col("sql") * 0.5)
    gone = pl.int_range(pl.len()) < 2
    holed = (
        base.filter(~gone)
        if hole == "row"
        else base.with_columns(sql=pl.when(gone).then(pl.lit(hole, pl.Float64)).otherwise("sql"))
    )
    found = compare_with_champion(holed, new, version="v1", origins=origins(60), rule=RULE)
    assert found.outcome == "INCONCLUSIVE"
    assert found.reason == (
        "2 of 120 pairs of series and origin and 0 of 60 origins lack a loss of one of them "
        "(first item-0/x)"
    )


def test_missing_origin_is_a_gap_and_no_shorter_series():
    base = losses(np.random.default_rng(0).uniform(1, 2, (2, 60)))
    holed = base.filter(pl.col("origin") != START + timedelta(days=7))
    found = compare_with_champion(holed, holed, version="v1", origins=origins(60), rule=RULE)
    assert found.outcome == "INCONCLUSIVE"
    assert "1 of 60 origins lack a loss" in found.reason


def test_origins_unseen_begin_at_the_newest_of_what_was_seen():
    all_of_them = origins(5)
    assert origins_unseen(all_of_them, seen_until=[None, all_of_them[3], START]) == all_of_them[3:]
    assert origins_unseen(all_of_them, seen_until=[None]) == all_of_them
