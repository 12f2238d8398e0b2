"""The gate: each check's outcomes, and that the gate as a whole lets nothing useless through."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toto_core.config import RegisterParams
from toto_core.evaluation import gate
from toto_core.evaluation.checks import Provenance
from toto_core.evaluation.protocol import Frozen, protocol_hash
from toto_core.evaluation.verdict import FAIL, INCONCLUSIVE, PASS, worst
from toto_core.evaluation.verdict import MANDATORY as BASELINES

T1 = datetime(2026, 1, 1, tzinfo=UTC)
PARAMS = RegisterParams(
    margin=0.01,
    alpha=0.05,
    min_origins=40,
    min_fold_wins=4,
    max_fold_loss=0.05,
    min_item_wins=0.6,
    max_group_loss=0.10,
    max_variate_loss=0.02,
    min_median_skill=0.0,
    coverage=(0.72, 0.88),
    max_coverage_error=0.05,
    max_attempts=20,
    max_successor_loss=0.01,
    licences={},
)


PROTOCOL = {"gate": {"margin": 0.01}}
FROZEN = Frozen(PROTOCOL, protocol_hash(PROTOCOL), PROTOCOL, ())


def losses(model, baseline, *, cov80=0.8):
    """A losses table from arrays [series, origin]; all baselines lose alike, medians as all."""
    frames = []
    for forecaster in ("model", *BASELINES):
        values = model if forecaster == "model" else baseline
        series, origin = np.indices(baseline.shape).reshape(2, -1)
        frames.append(
            pl.DataFrame(
                {
                    "item_id": [f"item-{n // 2}" for n in series],
                    "group": [f"group-{n // 4}" for n in series],
                    "variate": [f"v{n % 2}" for n in series],
                    "held_out": False,
                    "origin": [T1 + timedelta(days=int(o)) for o in origin],
                    "forecaster": forecaster,
                    "source": "candidate",
                    "sql": values.reshape(-1),
                    "mase": values.reshape(-1),
                    "cov80": cov80,
                    "num_steps": 24,
                    "scale": 1.0,
                }
            )
        )
    return pl.concat(frames)


def splits(num_origins):
    return {
        "overlap": 1,
        "step_us": 3_600_000_000,
        "validation_start": (T1 - timedelta(days=14)).isoformat(),
        "test_start": T1.isoformat(),
        "test_end": (T1 + timedelta(days=num_origins)).isoformat(),
        "test_origins": [(T1 + timedelta(days=n)).isoformat() for n in range(num_origins)],
    }


def judged(model, baseline, **changes):
    table = losses(model, baseline, cov80=changes.pop("cov80", 0.8))
    evaluation = {
        "seasonality": 24,
        "exclusions": [],
        "headline": "words",
        "contamination": {"overlap": "none", "asked": 12, "checkable": 11, "unknown": []},
        "coverage": {f"{q / 10:.1f}": q / 10 for q in range(1, 10)},
    } | changes.pop("evaluation", {})
    provenance = changes.pop(
        "provenance", Provenance(T1 - timedelta(days=14, hours=1), "same", "same")
    )
    return gate.judge(
        changes.pop("table", table),
        splits=splits(baseline.shape[1]) | changes.pop("splits", {}),
        evaluation=evaluation,
        provenance=provenance,
        frozen=changes.pop("frozen", FROZEN),
        earlier_p_values=changes.pop("earlier_p_values", ()),
        params=PARAMS.model_copy(update=changes),
    )


def check(verdict, name):
    return next(found for found in verdict.checks if found.name == name)


def claimed(verdict, name):
    return next(found for found in verdict.claims if found.name == name)


def panel(seed, *, num_series=12, num_origins=64, skill=0.0, noise=0.1):
    """Losses with a shock that all series share at an origin, and a model with this skill."""
    rng = np.random.default_rng([seed, 1])
    baseline = rng.gamma(8, 1 / 8, (num_series, num_origins)) * rng.gamma(30, 1 / 30, num_origins)
    return baseline * (1 - skill) * rng.normal(1, noise, baseline.shape), baseline


def test_judge_passes_an_oracle_with_ten_percent_skill():
    verdict = judged(*panel(0, skill=0.10))
    assert [c for c in verdict.checks if c.outcome != PASS] == []
    assert verdict.outcome == PASS
    assert verdict.tests["naive"]["skill"] == pytest.approx(0.1, abs=0.02)


def test_judge_refuses_the_baseline_plus_noise():
    outcomes = [judged(*panel(seed)).outcome for seed in range(12)]
    assert PASS not in outcomes


def test_judge_refuses_a_model_six_times_worse():
    model, baseline = panel(0, skill=-5.0)
    verdict = judged(model, baseline)
    assert verdict.outcome == FAIL
    found = check(verdict, "size of the gain over no change")
    assert (found.outcome, found.reason) == (FAIL, "The model is worse than no change.")
    assert found.found.startswith("skill -50")


def test_judge_fails_a_bad_model_even_where_origins_are_few():
    model, baseline = panel(0, num_origins=12, skill=-1.0)
    assert judged(model, baseline).outcome == FAIL


def test_judge_is_inconclusive_about_a_good_model_with_few_origins():
    model, baseline = panel(0, num_origins=32, skill=0.3)
    verdict = judged(model, baseline)
    assert verdict.outcome == INCONCLUSIVE
    assert check(verdict, "origins").reason == "32 origins are fewer than 40."


def test_judge_is_inconclusive_where_the_model_equals_the_baseline():
    _, baseline = panel(0)
    verdict = judged(np.ones_like(baseline) * 0.5, np.ones_like(baseline))
    assert check(verdict, "better than no change").outcome == INCONCLUSIVE
    assert "zero variance" in check(verdict, "better than no change").reason
    assert verdict.outcome == INCONCLUSIVE


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_judge_fails_missing_model_forecasts(value):
    model, baseline = panel(0, skill=0.2)
    table = losses(model, baseline).with_columns(
        pl.when((pl.col("forecaster") == "model") & (pl.col("item_id") == "item-2"))
        .then(pl.lit(value, pl.Float64))
        .otherwise(pl.col("sql"))
        .alias("sql")
    )
    verdict = judged(model, baseline, table=table)
    found = check(verdict, "complete forecasts")
    assert verdict.outcome == FAIL
    assert found.found == "128 of 768 forecasts missing or not finite"
    assert "item-2/v0" in found.reason


def test_judge_counts_excluded_series_and_pairs():
    model, baseline = panel(0, skill=0.2)
    verdict = judged(model, baseline, evaluation={"exclusions": [{"held_out": False}]})
    assert check(verdict, "exclusions").found == "7.7 % left out, 1 series"
    assert verdict.outcome == INCONCLUSIVE
    table = losses(model, baseline).with_columns(
        pl.when((pl.col("forecaster") == "drift") & (pl.col("item_id") == "item-1"))
        .then(None)
        .otherwise(pl.col("sql"))
        .alias("sql")
    )
    found = check(judged(model, baseline, table=table), "exclusions")
    assert (found.outcome, found.found) == (INCONCLUSIVE, "16.7 % left out, 2 series")


@pytest.mark.parametrize("scale", [None, 0.0, float("nan")])
def test_judge_leaves_out_series_without_a_scale_for_all(scale):
    model, baseline = panel(0, skill=0.2)
    unscaled = (pl.col("item_id") == "item-1") & (pl.col("variate") == "v0")
    table = losses(model, baseline).with_columns(
        pl.when(unscaled).then(pl.lit(scale, pl.Float64)).otherwise("scale").alias("scale"),
        pl.when(unscaled).then(None).otherwise("sql").alias("sql"),
    )
    verdict = judged(model, baseline, table=table)
    assert check(verdict, "complete forecasts").outcome == PASS
    assert check(verdict, "exclusions").found == "8.3 % left out, 1 series"
    assert verdict.outcome == INCONCLUSIVE


def test_judge_needs_every_baseline():
    model, baseline = panel(0, skill=0.1)
    table = losses(model, baseline).with_columns(
        pl.when(pl.col("forecaster") == "seasonal_naive")
        .then(pl.col("sql") * 0.85)
        .otherwise(pl.col("sql"))
        .alias("sql")
    )
    verdict = judged(model, baseline, table=table)
    assert check(verdict, "better than no change").outcome == PASS
    assert check(verdict, "better than seasonal naive").outcome == FAIL
    assert verdict.outcome == FAIL


def test_judge_fails_a_gain_that_sits_in_one_period():
    model, baseline = panel(0, noise=0.02)
    model[:, :13] *= 0.3
    model[:, 13:] *= 1.02
    verdict = judged(model, baseline)
    assert check(verdict, "consistency over time").outcome == FAIL
    assert "in 1 of 5 periods" in check(verdict, "consistency over time").found


def test_judge_fails_one_catastrophic_period():
    model, baseline = panel(0, skill=0.3)
    model[:, 20:26] *= 3.5
    found = check(judged(model, baseline), "worst period")
    assert found.outcome == FAIL
    assert found.allowed == "at least -5.0 %"


def test_judge_fails_a_gain_of_few_series_and_a_lost_group():
    model, baseline = panel(0, noise=0.02)
    model[:5] *= 0.3
    model[5:] *= 1.15
    verdict = judged(model, baseline)
    assert check(verdict, "series that gain").found.startswith("41.7 % of 12 series")
    assert check(verdict, "worst group").outcome == FAIL
    assert "in group-2 against" in check(verdict, "worst group").found


@pytest.mark.parametrize(
    ("cov80", "outcome", "word"),
    [(0.71, FAIL, "narrow"), (0.72, PASS, "says"), (0.88, PASS, "says"), (0.95, FAIL, "wide")],
)
def test_judge_holds_the_interval_to_its_coverage(cov80, outcome, word):
    found = check(judged(*panel(0, skill=0.2), cov80=cov80), "coverage of the 80 % interval")
    assert found.outcome == outcome
    assert word in found.reason


def test_judge_holds_the_quantiles_to_their_levels():
    off = {f"{q / 10:.1f}": q / 10 + 0.06 for q in range(1, 10)}
    verdict = judged(*panel(0, skill=0.2), evaluation={"coverage": off})
    assert check(verdict, "coverage of the quantiles").found == "off by 6.0 % on average"
    assert verdict.outcome == FAIL


def test_judge_says_what_the_correction_did_or_why_there_was_none():
    off = {f"{q / 10:.1f}": q / 10 + 0.01 for q in range(1, 10)}
    before = {"reason": "", "before": {"calibration": {"mean_coverage_error": 0.034}}}
    verdict = judged(*panel(0, skill=0.2), evaluation={"coverage": off, "calibrate": before})
    found = check(verdict, "coverage of the quantiles")
    assert found.found == "off by 1.0 % on average, by 3.4 % before the correction"
    few = {"reason": "not calibrated: 24 scores at 2 origins, at least 500 at 8 are needed"}
    verdict = judged(*panel(0, skill=0.2), evaluation={"coverage": off, "calibrate": few})
    found = check(verdict, "coverage of the quantiles")
    assert (found.outcome, found.found) == (PASS, "off by 1.0 % on average")
    assert found.reason.endswith("should be. Not calibrated: 24 scores at 2 origins, at least 500 "
                                 "at 8 are needed.")  # fmt: skip


@pytest.mark.parametrize(
    ("provenance", "outcome", "words"),
    [
        (Provenance(T1 - timedelta(days=14), "same", "same"), FAIL, "not before T0"),
        (
            Provenance(T1 - timedelta(days=15), "1234", "5678"),
            FAIL,
            "Trained on splits 1234, judged on 5678.",
        ),
        (Provenance(None, "same", "same"), INCONCLUSIVE, "does not say where training ended"),
        (Provenance(T1 - timedelta(days=15), None, "x"), INCONCLUSIVE, "which splits"),
    ],
)
def test_judge_asks_where_the_model_comes_from(provenance, outcome, words):
    verdict = judged(*panel(0, skill=0.2), provenance=provenance)
    assert check(verdict, "provenance").outcome == outcome
    assert words in check(verdict, "provenance").reason


def test_judge_divides_the_level_by_the_attempts_and_ends_after_the_last():
    model, baseline = panel(0, skill=0.1)
    fourth = judged(model, baseline, earlier_p_values=[0.4, None, 0.04])
    assert fourth.tests["naive"]["level"] == pytest.approx(0.0125)
    assert check(fourth, "attempts").reason == "The significance level is divided by 4."
    last = judged(model, baseline, earlier_p_values=[0.5] * 20)
    assert last.outcome == INCONCLUSIVE
    assert check(last, "attempts").reason == (
        "This test period is used up: a later test period is required."
    )


def test_judge_halves_the_level_for_few_origins_and_for_skew():
    model, baseline = panel(0, num_origins=50, skill=0.1)
    verdict = judged(model, baseline)
    assert verdict.tests["naive"]["level"] == pytest.approx(0.025)
    allowed = check(verdict, "better than no change").allowed
    assert allowed.endswith("p at most 0.025, halved for few or lopsided origins")
    model, baseline = panel(0, skill=0.1)
    allowed = check(judged(model, baseline), "better than no change").allowed
    assert allowed.endswith("p at most 0.05")
    model[:, 7] *= 3
    verdict = judged(model, baseline)
    assert abs(verdict.tests["naive"]["skewness"]) > 1
    assert verdict.tests["naive"]["level"] == pytest.approx(0.025)


def test_judge_ignores_held_out_rows_and_refits():
    model, baseline = panel(0, skill=0.1)
    table = losses(model, baseline)
    spoilt = table.with_columns(sql=pl.lit(1e6), item_id="x" + pl.col("item_id"))
    other = [spoilt.with_columns(held_out=True), spoilt.with_columns(source=pl.lit("crossval"))]
    verdict = judged(model, baseline, table=pl.concat([table, *other]))
    assert verdict.checks == judged(model, baseline).checks
    assert verdict.tests == judged(model, baseline).tests


def test_judge_misses_no_planned_origin():
    verdict = judged(*panel(0, skill=0.2), splits={"test_origins": ["x"] * 70})
    assert check(verdict, "origins").reason == "6 of 70 planned origins have no loss."


def test_judge_without_any_loss_is_no_pass():
    model, baseline = panel(0)
    verdict = judged(model, baseline, table=losses(model, baseline).head(0))
    assert verdict.outcome == FAIL


def test_judge_asks_for_more_than_the_margin():
    model, baseline = panel(0, skill=0.005, noise=0.002)
    verdict = judged(model, baseline)
    assert check(verdict, "better than no change").outcome == FAIL
    assert check(judged(model, baseline, margin=0.0), "better than no change").outcome == PASS


def test_judge_asks_for_a_lower_bound_above_zero():
    model, baseline = panel(0, skill=0.03, noise=0.02)
    model *= np.random.default_rng([1, 3]).permutation(np.repeat([0.3, 1.7], 32))
    found = check(judged(model, baseline), "size of the gain over no change")
    assert found.outcome == FAIL
    assert found.reason == "The gain may be nothing."


def test_judge_asks_for_two_seasonal_cycles():
    verdict = judged(*panel(0, skill=0.2), evaluation={"seasonality": {"1h": 24, "1D": 24 * 33}})
    found = check(verdict, "seasonal cycles")
    assert (found.outcome, found.found) == (INCONCLUSIVE, "1.9 cycles of 792 steps")
    assert check(judged(*panel(0, skill=0.2)), "seasonal cycles").outcome == PASS


def test_judge_refuses_splits_whose_validation_follows_the_test():
    late = (T1 + timedelta(days=1)).isoformat()
    verdict = judged(*panel(0, skill=0.2), splits={"validation_start": late})
    assert check(verdict, "provenance").reason == "Validation starts after the test does."


def test_judge_is_inconclusive_with_few_degrees_of_freedom():
    verdict = judged(*panel(0, skill=0.2), splits={"overlap": 8})
    assert "4 degrees of freedom" in check(verdict, "origins").reason
    assert verdict.outcome == INCONCLUSIVE


def test_claims_name_the_weakest_baseline():
    skill = {
        "held_out": {"naive": claim(0.2, 0.1), "drift": claim(0.1, -0.1)},
        "crossval": {"naive": claim(0.1, 0.05), "drift": claim(0.2, 0.01)},
    }
    verdict = judged(*panel(0, skill=0.1), evaluation={"skill": skill})
    assert [(found.name, found.outcome, found.found) for found in verdict.claims[:2]] == [
        ("new series", FAIL, "skill 10.0 % against drift, lower bound -10.0 %"),
        ("rolling refits", PASS, "skill 10.0 % against no change, lower bound 5.0 %"),
    ]
    assert verdict.outcome == PASS


@pytest.mark.parametrize(
    ("naive", "drift", "outcome", "words"),
    [
        ((0.1, 0.05), (0.2, -0.01), FAIL, "skill 20.0 % against drift, lower bound -1.0 %"),
        ((0.1, 0.05), (0.2, None), INCONCLUSIVE, "against drift, lower bound unknown"),
        ((-0.1, None), (0.2, None), FAIL, "skill -10.0 % against no change"),
    ],
)
def test_claims_need_the_one_sided_bound_against_each_baseline(naive, drift, outcome, words):
    table = {"held_out": {"naive": claim(*naive), "drift": claim(*drift)}}
    verdict = judged(*panel(0, skill=0.1), evaluation={"skill": table})
    found = claimed(verdict, "new series")
    assert found.outcome == outcome
    assert words in found.found
    assert found.allowed == "one-sided 95 % lower bound above 0 % against each baseline"


@pytest.mark.parametrize(
    ("share", "outcome", "words"),
    [
        (0.65, INCONCLUSIVE, "65.0 % of the truth inside its 80 % interval on v1"),
        (0.95, INCONCLUSIVE, "95.0 % of the truth inside its 80 % interval on v1"),
        (0.75, PASS, "75.0 % of the truth inside its 80 % interval on v1"),
    ],
)
def test_claims_say_where_no_change_is_no_fair_opponent(share, outcome, words):
    model, baseline = panel(0, skill=0.2)
    of_naive = (pl.col("forecaster") == "naive") & (pl.col("variate") == "v1")
    table = losses(model, baseline).with_columns(
        cov80=pl.when(of_naive).then(share).otherwise("cov80")
    )
    verdict = judged(model, baseline, table=table)
    found = claimed(verdict, "spread of no change")
    assert (found.name, found.outcome, found.found) == ("spread of no change", outcome, words)
    assert verdict.outcome == PASS


def claim(skill, lower_bound):
    """A comparison whose two-sided interval reaches below the one-sided bound."""
    return {"skill": skill, "lower_bound": lower_bound, "lower": -9.0}


def by_variate(first, second, *, noise=0.02, num_origins=64, seed=0):
    """A panel whose even series (v0) have one skill and whose odd ones (v1) have another."""
    model, baseline = panel(seed, noise=noise, num_origins=num_origins)
    model[0::2] *= 1 - first
    model[1::2] *= 1 - second
    return model, baseline


def test_judge_fails_a_variate_that_loses_however_much_the_others_gain():
    verdict = judged(*by_variate(0.5, -0.05, noise=0.05), min_item_wins=0.5)
    assert [found.name for found in verdict.checks if found.outcome != PASS] == ["worst variate"]
    found = check(verdict, "worst variate")
    assert found.found.startswith("skill -4.7 % on v1")
    assert "on v1 against no change" in found.found
    assert found.allowed == "skill at least -2.0 %, no loss with p at most 0.0083"
    assert found.reason == "No change would serve v1 better."
    assert verdict.outcome == FAIL


def test_judge_counts_the_best_baseline_of_each_variate():
    model, baseline = by_variate(0.5, 0.3)
    table = losses(model, baseline).with_columns(
        sql=pl.when((pl.col("forecaster") == "drift") & (pl.col("variate") == "v1"))
        .then(pl.col("sql") * 0.65)
        .otherwise("sql")
    )
    found = check(judged(model, baseline, table=table), "worst variate")
    assert found.outcome == FAIL
    assert "on v1 against drift" in found.found
    assert found.reason == "Drift would serve v1 better."


def test_judge_names_all_variates_that_lose():
    found = check(judged(*by_variate(-0.05, -0.2)), "worst variate")
    assert found.found.startswith("skill -19.9 % on v1")
    assert found.reason == "A baseline would serve v0 and v1 better."


def test_judge_fails_a_small_loss_only_where_chance_does_not_explain_it():
    sure = check(judged(*by_variate(0.5, -0.01, noise=0.005)), "worst variate")
    assert sure.outcome == FAIL
    assert sure.found.startswith("skill -1.")
    assert "no change, p " in sure.found
    doubtful = by_variate(0.5, -0.01, noise=0.1)
    found = check(judged(*doubtful), "worst variate")
    assert found.outcome == PASS
    assert found.reason == "What v1 loses is within the tolerance and within chance."
    assert check(judged(*doubtful, max_variate_loss=0.0), "worst variate").outcome == FAIL


def test_judge_fails_ties_on_a_variate_as_seldom_as_it_says_and_large_losses_always():
    def outcomes(skill, seeds):
        panels = (by_variate(0.3, skill, noise=0.4, seed=seed) for seed in seeds)
        return [check(judged(*panel), "worst variate").outcome for panel in panels]

    # The standard error of a skill is 2 %, so that a tie fails 16 % of the time.
    ties = np.mean([outcome == FAIL for outcome in outcomes(0.0, range(100))])
    assert 0.06 < ties < 0.28
    # Tolerance and four standard errors.
    assert set(outcomes(-0.10, range(25))) == {FAIL}


@pytest.mark.parametrize("where", ["losses", "evaluation"])
def test_judge_does_not_pass_a_variate_that_nothing_is_known_of(where):
    model, baseline = panel(0, skill=0.2)
    table = losses(model, baseline)
    evaluation = {"exclusions": []}
    if where == "losses":
        gone = pl.col("variate") == "v1"
        table = table.with_columns(scale=pl.when(gone).then(None).otherwise("scale"))
    else:
        rows = [
            {"item_id": "x", "variate": name, "held_out": name == "v3"} for name in ("v2", "v3")
        ]
        evaluation = {"exclusions": rows}
    found = check(judged(model, baseline, table=table, evaluation=evaluation), "worst variate")
    name = "v1" if where == "losses" else "v2"
    assert found.outcome == INCONCLUSIVE
    assert found.reason == f"Nothing is known of {name}: no series of it could be judged."


def test_judge_of_few_origins_decides_nothing_on_variates():
    found = check(judged(*panel(0, num_origins=3)), "worst variate")
    assert (found.outcome, found.found) == (INCONCLUSIVE, "too few origins")


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([PASS, PASS], PASS),
        ([PASS, INCONCLUSIVE], INCONCLUSIVE),
        ([INCONCLUSIVE, FAIL, PASS], FAIL),
        ([], INCONCLUSIVE),
    ],
)
def test_worst_orders_the_outcomes(outcomes, expected):
    assert worst(outcomes) == expected


def test_judge_fails_what_training_has_seen():
    record = {"overlap": "found", "items": ["item-1"]}
    verdict = judged(*panel(0, skill=0.2), evaluation={"contamination": record})
    assert verdict.outcome == FAIL
    assert [found.name for found in verdict.checks if found.outcome != PASS] == ["unseen targets"]


@pytest.mark.parametrize(
    ("earlier", "divisor"),
    [
        ([], 1),
        ([0.5], 2),
        ([0.03], 2),  # not proven among two
        ([0.02], 1),
        ([0.001, 0.016, 0.9], 2),
        ([0.001, 0.03, 0.9], 3),
        ([None, 0.001], 2),
        ([0.5] * 19, 20),
    ],
)
def test_holm_divisor_leaves_out_the_candidates_that_are_proven(earlier, divisor):
    assert gate.holm_divisor(earlier, 0.05) == divisor
    assert gate.holm_divisor(earlier[::-1], 0.05) == divisor


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=8))
def test_holm_divisor_proves_what_holms_rule_proves(p_values):
    *earlier, newest = p_values
    order = sorted(range(len(p_values)), key=lambda n: p_values[n])
    proven = set()
    for place, n in enumerate(order):
        if p_values[n] > 0.05 / (len(p_values) - place):
            break
        proven.add(n)
    is_proven = newest <= 0.05 / gate.holm_divisor(earlier, 0.05)
    assert is_proven == (len(earlier) in proven)


def test_verdict_has_the_largest_p_value_of_all_baselines():
    model, baseline = panel(0, skill=0.05)
    table = losses(model, baseline).with_columns(
        sql=pl.when(pl.col("forecaster") == "drift").then(pl.col("sql") * 0.97).otherwise("sql")
    )
    verdict = judged(model, baseline, table=table)
    assert verdict.p_value == verdict.tests["drift"]["p_value"] > verdict.tests["naive"]["p_value"]
    few = judged(*panel(0, num_origins=50, skill=0.05))
    assert few.p_value == 2 * few.tests["naive"]["p_value"]
    assert judged(np.ones((4, 64)) * 0.5, np.ones((4, 64))).p_value is None
    assert judged(*panel(0, num_origins=3)).p_value is None


def with_medians(model, baseline, medians):
    """The same quantile losses, but other errors of the model's median."""
    own = losses(medians, baseline).select("item_id", "variate", "origin", "forecaster", "mase")
    keys = ["item_id", "variate", "origin", "forecaster"]
    return losses(model, baseline).drop("mase").join(own, on=keys, maintain_order="left")


@pytest.mark.parametrize(
    ("skill", "outcome", "reason"),
    [
        (0.1, PASS, "The median alone is the better forecast."),
        (0.003, INCONCLUSIVE, "The gain may be spread alone: that of the median is not more than"),
        (-0.1, FAIL, "Without its spread the model would lose: its median is the worse forecast."),
    ],
)
def test_judge_lets_no_model_win_by_its_spread_alone(skill, outcome, reason):
    model, baseline = panel(0, skill=0.2)
    medians, _ = panel(0, skill=skill)
    table = with_medians(model, baseline, medians)
    verdict = judged(model, baseline, table=table, min_median_skill=-0.01)
    found = check(verdict, "median alone")
    assert found.outcome == verdict.outcome == outcome
    assert found.reason.startswith(reason)
    assert "against no change, lower bound" in found.found


def test_judge_asks_the_median_for_the_skill_that_params_name():
    medians, baseline = panel(0, skill=0.05)
    table = with_medians(panel(0, skill=0.2)[0], baseline, medians)
    found = check(judged(medians, baseline, table=table, min_median_skill=0.1), "median alone")
    assert (found.outcome, found.allowed) == (
        FAIL,
        "skill at least 10.0 %, its lower bound above 0 %",
    )


def test_judge_of_a_median_that_equals_the_baselines_is_inconclusive():
    model, baseline = panel(0, skill=0.2)
    found = check(
        judged(model, baseline, table=with_medians(model, baseline, baseline)), "median alone"
    )
    assert (found.outcome, found.found) == (
        INCONCLUSIVE,
        "skill 0.0 % against no change, lower bound unknown",
    )
    assert found.reason == "The gain may be spread alone: that of the median cannot be tested."


def test_judge_counts_rows_that_are_absent_as_those_that_are_empty():
    model, baseline = panel(0, skill=0.2)
    table = losses(model, baseline)
    first = pl.col("origin") == T1
    without_model = table.filter(~((pl.col("forecaster") == "model") & first))
    found = check(judged(model, baseline, table=without_model), "complete forecasts")
    assert (found.outcome, found.found) == (FAIL, "12 of 768 forecasts missing or not finite")
    without_drift = table.filter(~((pl.col("forecaster") == "drift") & first))
    verdict = judged(model, baseline, table=without_drift)
    assert check(verdict, "exclusions").outcome == INCONCLUSIVE
    assert check(verdict, "exclusions").reason.endswith(
        " Left out: item-0/v0, item-0/v1, item-1/v0, item-1/v1, item-2/v0 and 7 more."
    )
    assert check(verdict, "origins").reason == "1 of 64 planned origins have no loss."


def test_judge_lists_series_that_were_excluded_before_it():
    listed = [
        {"item_id": "x", "variate": "v", "held_out": False},
        {"item_id": "y", "variate": "v", "held_out": True},
    ]
    found = check(judged(*panel(0, skill=0.2), evaluation={"exclusions": listed}), "exclusions")
    assert found.reason.endswith(" Left out: x/v.")
    assert "Left out" not in check(judged(*panel(0, skill=0.2)), "exclusions").reason


def test_judge_needs_each_calendar_to_end_before_validation_does():
    ends = {"1h": T1 - timedelta(days=14), "1D": T1 - timedelta(days=14, hours=-12)}
    asked = Provenance(T1 - timedelta(days=15), "same", "same", ends)
    found = check(judged(*panel(0, skill=0.2), provenance=asked), "provenance")
    assert (found.outcome, found.reason) == (
        FAIL,
        "The newest 1D point tells of the time until 2025-12-18 12:00.",
    )


def test_judge_lets_clocks_of_the_origins_frequency_run_minutes_apart():
    ends = {"5min": T1 - timedelta(days=14, minutes=-4)}
    asked = Provenance(T1 - timedelta(days=14, minutes=1), "same", "same", ends)
    for freq, outcome in (("5min", PASS), ("1h", FAIL)):
        verdict = judged(*panel(0, skill=0.2), provenance=asked, splits={"freq": freq})
        assert check(verdict, "provenance").outcome == outcome


def test_judge_reports_the_frozen_protocol():
    laxer = Frozen(
        {"gate": {"margin": 0.0}}, protocol_hash({"gate": {"margin": 0.0}}), PROTOCOL, ()
    )
    verdict = judged(*panel(0, skill=0.2), frozen=laxer)
    assert verdict.outcome == FAIL
    assert check(verdict, "frozen protocol").found == "gate.margin = 0.01, 0.0 was frozen"


def blocks(first, second):
    """Losses of candidate, new series and refits, the latter two with a skill for each variate."""
    model, baseline = by_variate(first, second)
    other = losses(model, baseline).with_columns(item_id="x" + pl.col("item_id"))
    own = losses(*panel(0, skill=0.2))
    return pl.concat(
        [own, other.with_columns(held_out=True), other.with_columns(source=pl.lit("crossval"))]
    )


@pytest.mark.parametrize("name", ["new series by variate", "rolling refits by variate"])
@pytest.mark.parametrize(
    ("second", "outcome", "found"),
    [
        (0.1, PASS, "2 of 2 variates gain; skill 10"),
        (-0.2, FAIL, "1 of 2 variates gain; skill -19.9 % on v1 against no change, lower bound -2"),
    ],
)
def test_claims_look_at_each_variate_of_new_series_and_refits(name, second, outcome, found):
    verdict = judged(*panel(0, skill=0.2), table=blocks(0.3, second))
    claim_ = claimed(verdict, name)
    assert claim_.outcome == outcome
    assert claim_.found.startswith(found)
    assert verdict.outcome == PASS


def test_claims_on_variates_need_several_variates():
    table = blocks(0.3, 0.1).with_columns(
        variate=pl.lit("v0"), item_id=pl.col("item_id") + pl.col("variate")
    )
    names = {found.name for found in judged(*panel(0, skill=0.2), table=table).claims}
    assert not {"new series by variate", "rolling refits by variate"} & names


def test_claims_say_where_series_are_not_there_at_each_origin():
    model, baseline = panel(0, skill=0.2)
    late = (pl.col("item_id") == "item-3") & (pl.col("origin") < T1 + timedelta(days=30))
    verdict = judged(model, baseline, table=losses(model, baseline).filter(~late))
    found = claimed(verdict, "series at every origin")
    assert (found.outcome, found.found) == (
        INCONCLUSIVE,
        "92.2 % of the pairs, fewest 34 of 64 for item-3/v0",
    )
    assert claimed(judged(model, baseline), "series at every origin").outcome == PASS
    assert verdict.outcome == PASS


@pytest.mark.parametrize(
    ("records", "outcome", "found"),
    [
        ([{"overlap": "none"}] * 2, PASS, "overlap: none in 2 of 2 folds"),
        (
            [{"overlap": "none"}, {"overlap": "found", "items": ["b", "a"]}],
            FAIL,
            "overlap: none in 1 of 2 folds, found for a, b",
        ),
        ([{"overlap": "none"}, None], INCONCLUSIVE, "none in 1 of 2 folds, unknown in 1"),
    ],
)
def test_claims_say_whether_refits_have_seen_their_targets(records, outcome, found):
    verdict = judged(*panel(0, skill=0.2), evaluation={"refits": records})
    claim_ = claimed(verdict, "rolling refits, unseen targets")
    assert claim_.outcome == outcome
    assert found in claim_.found
    assert verdict.outcome == PASS
