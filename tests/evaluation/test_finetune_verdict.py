"""A fine-tuned model passes only where it is better than the model that it began as."""

import numpy as np
import polars as pl
import pytest
from test_gate import PASS, check, judged, losses, panel

from toto_core.evaluation.verdict import FAIL, INCONCLUSIVE

NAME = "better than its base model"


def verdict_beside(gain, *, num_origins=64, noise=0.1):
    """The verdict on a model with 20 % skill whose base loses more than it by this share."""
    model, baseline = panel(0, skill=0.20, num_origins=num_origins)
    base = model * (1 + gain) * np.random.default_rng(7).normal(1, noise, baseline.shape)
    table = losses(model, baseline)
    own = losses(base, baseline).filter(pl.col("forecaster") == "model")
    table = pl.concat([table, own.with_columns(forecaster=pl.lit("base"))])
    return judged(model, baseline, table=table)


@pytest.mark.parametrize(
    ("gain", "outcome", "reason"),
    [
        pytest.param(0.1, PASS, "Fine-tuning has gained more than chance", id="better"),
        pytest.param(-0.1, FAIL, "Fine-tuning has made it worse on these series", id="worse"),
        pytest.param(0.012, INCONCLUSIVE, "Chance explains what fine-tuning has", id="alike"),
    ],
)
def test_fine_tune_is_held_against_its_base(gain, outcome, reason):
    verdict = verdict_beside(gain)
    found = check(verdict, NAME)
    assert (found.outcome, verdict.outcome) == (outcome, outcome)
    assert found.reason.startswith(reason)
    assert found.found.startswith(f"skill {100 * verdict.tests['base']['skill']:.1f} %, p ")
    assert found.allowed == "skill above 0.0 % with p at most 0.05"


def test_a_gain_below_the_margin_is_enough_against_the_base():
    verdict = verdict_beside(0.005, noise=0.001)
    assert 0 < verdict.tests["base"]["skill"] < 0.01
    assert check(verdict, NAME).outcome == PASS


def test_a_correction_is_no_gain_over_the_base():
    model, baseline = panel(0, skill=0.20)
    table = losses(model, baseline)
    raw = losses(1.1 * model, baseline).filter(pl.col("forecaster") == "model")
    base = losses(1.05 * model, baseline).filter(pl.col("forecaster") == "model")
    table = pl.concat(
        [
            table,
            base.with_columns(forecaster=pl.lit("base")),
            raw.with_columns(source=pl.lit("uncalibrated")),
        ]
    )
    verdict = judged(model, baseline, table=table)
    assert check(verdict, NAME).outcome == FAIL
    assert verdict.tests["base"]["skill"] == pytest.approx(1 - 1.1 / 1.05)


def test_without_a_base_nothing_is_asked():
    verdict = judged(*panel(0, skill=0.2))
    assert NAME not in {found.name for found in verdict.checks}
    assert "base" not in verdict.tests


def test_the_base_counts_in_no_other_check():
    with_base, without = verdict_beside(-0.1), judged(*panel(0, skill=0.20))
    others = [found for found in with_base.checks if found.name != NAME]
    assert others == list(without.checks)


def test_too_few_origins_for_the_base_are_inconclusive():
    found = check(verdict_beside(0.1, num_origins=4), NAME)
    assert (found.outcome, found.found) == (INCONCLUSIVE, "too few origins")
