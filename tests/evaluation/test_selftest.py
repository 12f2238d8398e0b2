"""The gate's self-test: it holds on simulated series, and it would notice if it did not."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from toto_core.config import load_params
from toto_core.evaluation import selftest
from toto_core.evaluation.significance import EWCRows

ROOT = Path(__file__).parents[2]
PARAMS = load_params(ROOT / "params.yaml")


def test_gate_lets_in_skill_alone():
    findings = selftest.selftest(PARAMS, num_panels=1)
    assert [finding.name for finding in findings if not finding.is_fine] == []
    assert [finding.found for finding in findings[:3]] == [
        "0 of 1 panels pass",
        "0 of 1 panels pass",
        "1 of 1 panels pass",
    ]


@pytest.mark.slow
def test_gate_lets_in_skill_alone_on_many_panels():
    findings = selftest.selftest(PARAMS, num_panels=12, seed=1000)
    assert [finding.name for finding in findings if not finding.is_fine] == []


def test_oracle_has_about_ten_percent_skill():
    _, verdict = selftest.judged(selftest.SKILLFUL, PARAMS, seed=0)
    assert verdict.tests["naive"]["skill"] == pytest.approx(0.1, abs=0.02)


def test_selftest_notices_an_oracle_that_does_not_pass(monkeypatch):
    """All but a random walk, which nobody can forecast better than no change."""
    monkeypatch.setattr(selftest, "PERSISTENCE", 0.999)
    findings = {f.name: f for f in selftest.selftest(PARAMS, num_panels=1)}
    assert not findings["the law of the series passes"].is_fine
    assert findings["the law of the series passes"].found == "0 of 1 panels pass"


def test_selftest_notices_a_gate_that_lets_anything_in(monkeypatch):
    real = selftest.judged
    skilful = [real(selftest.SKILLFUL, PARAMS, seed=0)]
    monkeypatch.setattr(selftest, "judged", lambda *_, **__: skilful[0])
    findings = {f.name: f.is_fine for f in selftest.selftest(PARAMS, num_panels=1)}
    assert not findings["no change plus noise does not pass"]
    assert findings["the law of the series passes"]


def test_sign_flips_notice_a_test_that_takes_dependent_origins_for_independent(monkeypatch):
    def plain(d, *, h):
        n = d.shape[1]
        error = d.std(axis=1, ddof=1) / np.sqrt(n)
        ones = np.ones(len(d), np.int64)
        return EWCRows(d.mean(axis=1), error, (n - 1) * ones, h * ones, error > 0)

    losses, _ = selftest.judged(selftest.SKILLFUL, PARAMS, seed=0)
    origins = losses["origin"].unique().sort()
    stretches = np.random.default_rng(0).gamma(8, 1 / 8, len(origins) // 4).repeat(4)
    level = pl.DataFrame({"origin": origins, "level": stretches})
    of_model = pl.col("forecaster") == "model"
    sql = pl.when(of_model).then(0.0).otherwise("level")
    hanging = losses.join(level, on="origin").with_columns(sql=sql)
    assert selftest.sign_flips(hanging, seed=0) > selftest.LEAST_P
    monkeypatch.setattr(selftest, "ewc_rows", plain)
    assert selftest.sign_flips(hanging, seed=0) < selftest.LEAST_P


def test_main_ends_with_one_where_a_finding_is_not_fine(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["selftest"])
    made = [selftest.Finding("a", True, "x"), selftest.Finding("b", False, "y")]
    monkeypatch.setattr(selftest, "selftest", lambda *_, **__: made)
    with pytest.raises(SystemExit) as ended:
        selftest.main()
    assert ended.value.code == 1
    assert capsys.readouterr().out == "ok: a: x\nNOT OK: b: y\n"
