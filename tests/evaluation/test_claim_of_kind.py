"""The claim about series of the same kind: held-out groups are a sample, not the whole."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from toto_core.evaluation.claims import of_this_kind
from toto_core.evaluation.significance import panel_test
from toto_core.evaluation.verdict import FAIL, INCONCLUSIVE, PASS

T1 = datetime(2026, 1, 1, tzinfo=UTC)


def losses(model, baselines, *, per_group=2, held_out=True, skip=()):
    """A losses table from arrays [series, origin], two variates to an item."""
    frames = []
    for forecaster, values in {"model": model, **baselines}.items():
        series, origin = np.indices(values.shape).reshape(2, -1)
        frames.append(
            pl.DataFrame(
                {
                    "item_id": [f"item-{n // 2:03d}" for n in series],
                    "group": [f"group-{n // per_group:03d}" for n in series],
                    "variate": [f"v{n % 2}" for n in series],
                    "held_out": held_out,
                    "origin": [T1 + timedelta(hours=int(o)) for o in origin],
                    "forecaster": forecaster,
                    "source": "candidate",
                    "sql": values.reshape(-1),
                    "scale": 1.0,
                }
            ).filter(~pl.struct("item_id", "origin").is_in(list(skip)))
        )
    return pl.concat(frames).sample(fraction=1.0, shuffle=True, seed=3)


def made(gain_of_groups, *, num_origins=60, per_group=2, seed=0):
    rng = np.random.default_rng(seed)
    base = 1 + 0.1 * rng.random((len(gain_of_groups) * per_group, num_origins))
    gain = np.repeat(np.array(gain_of_groups), per_group)[:, None]
    return base * (1 - gain) + 0.01 * rng.standard_normal(base.shape), base


def test_a_gain_on_every_group_carries_over():
    model, base = made([0.10, 0.12, 0.09, 0.11, 0.10, 0.13])
    (check,) = of_this_kind(
        losses(model, {"naive": base, "drift": base}), ("naive", "drift"), overlap=1
    )
    assert check.outcome == PASS
    assert check.found.startswith("skill 10.8 % against no change, lower bound 9.")
    assert check.found.endswith("% over 6 held-out groups")
    assert check.reason == "What to expect of series that nobody has forecast yet."


def test_a_gain_on_half_of_the_groups_does_not():
    gains = [0.3, 0.3, 0.3, -0.1, -0.1, -0.1]
    model, base = made(gains)
    d_NT = base - model
    assert panel_test(d_NT, h=1, estimand="these series").p_value < 1e-6
    (check,) = of_this_kind(losses(model, {"naive": base}), ("naive",), overlap=1)
    assert check.outcome == FAIL
    assert "skill 10.0 % against no change, lower bound -" in check.found


def test_the_weakest_baseline_is_named():
    model, base = made([0.1] * 6)
    table = losses(model, {"naive": 2 * base, "drift": base * 0.7})
    (check,) = of_this_kind(table, ("naive", "drift"), overlap=1)
    assert check.outcome == FAIL
    assert "against drift" in check.found


def test_siblings_are_one_piece_of_evidence():
    model, base = made([0.3, 0.02, 0.25, 0.01, 0.2], per_group=40)
    together = of_this_kind(losses(model, {"naive": base}, per_group=40), ("naive",), overlap=1)
    apart = of_this_kind(losses(model, {"naive": base}, per_group=2), ("naive",), overlap=1)
    assert "over 5 held-out groups" in together[0].found
    assert "over 100 held-out groups" in apart[0].found
    assert bound(together[0]) < bound(apart[0])


def test_one_group_is_too_few_to_speak_of_others():
    model, base = made([0.1], per_group=6)
    (check,) = of_this_kind(losses(model, {"naive": base}, per_group=6), ("naive",), overlap=1)
    assert check.outcome == INCONCLUSIVE
    assert "lower bound unknown over 1 held-out group" in check.found
    assert not check.found.endswith("groups")
    assert check.reason.startswith("1 independent series, at least 2 are needed")


def test_it_tests_what_the_panel_test_tests_with_gaps_too():
    model, base = made([0.2, 0.2, 0.2, 0.2])
    base[:, ::7] += 0.5  # more to gain at some origins: another order of the cells is seen
    gaps = [{"item_id": "item-002", "origin": T1 + timedelta(hours=n)} for n in range(35)]
    (check,) = of_this_kind(losses(model, {"naive": base}, skip=gaps), ("naive",), overlap=1)
    d_NT, kept = base - model, base.copy()
    d_NT[4:6, :35], kept[4:6, :35] = np.nan, np.nan
    clusters_N = np.arange(8) // 2
    expected = panel_test(d_NT, h=1, estimand="new series", clusters_N=clusters_N)
    share = expected.lower_bound() / np.nanmean(kept, axis=0).mean()
    assert bound(check) == pytest.approx(100 * share, abs=0.051)


def test_nothing_is_said_without_held_out_series():
    model, base = made([0.1] * 4)
    table = losses(model, {"naive": base}, held_out=False)
    assert of_this_kind(table, ("naive",), overlap=1) == ()
    once = losses(model[:, :1], {"naive": base[:, :1]})
    assert of_this_kind(once, ("naive",), overlap=1) == ()


def bound(check):
    """The lower bound that a claim names, in percent."""
    return float(check.found.split("lower bound ")[1].split(" %")[0])
