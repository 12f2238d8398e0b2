"""The classical test equals statsmodels, scores and dieboldmariano where they do the same."""

import math

import numpy as np
import pytest
from dm_golden import GOLDEN, differential
from scipy import stats

from toto_core.evaluation.significance import dm_test, long_run_variance
from toto_core.evaluation.significance.diebold_mariano import hln_factor


def test_statsmodels_is_equalled_at_any_lag():
    rows = GOLDEN["statsmodels_dm"]
    assert len(rows) == 200
    for row in rows:
        d = differential(
            {"dataset": row["dataset"], "power": 2 if row["criterion"] == "mse" else 1}
        )
        bandwidth = row["lags_used"] + 1
        long_run = float(long_run_variance(d, kernel="bartlett", bandwidth=bandwidth))
        statistic = d.mean() / math.sqrt(long_run / d.size)
        p_value = 2 * stats.norm.sf(abs(statistic))
        if row["harvey_adj"]:
            statistic *= hln_factor(d.size, row["horizon"])
            p_value = 2 * stats.t.sf(abs(statistic), d.size - 1)
        assert statistic == pytest.approx(row["statistic"], abs=1e-9)
        assert p_value == pytest.approx(row["p_value"], abs=1e-9)


def test_scores_is_equalled_where_the_variance_is_positive():
    compared = 0
    for row in GOLDEN["scores_dm"]:
        d = differential(row)
        if row["method"] != "HLN" or row["dist"] != "t" or not np.all(np.isfinite(d)):
            continue
        found = dm_test(d, h=row["h"], alternative="less")
        if row["statistic"] is None or not math.isfinite(row["statistic"]):
            assert found.reason != ""  # the variance is negative; R and this go on with h = 1
            continue
        compared += 1
        assert found.statistic == pytest.approx(row["statistic"], abs=1e-9)
        assert found.p_value == pytest.approx(row["confidence_gt_0"], abs=1e-9)
    assert compared == 36


def test_dieboldmariano_is_equalled():
    rows = [row for row in GOLDEN["dieboldmariano_pkg"] if row.get("statistic") is not None]
    for row in rows:
        alternative = "less" if row["one_sided"] else "two-sided"
        found = dm_test(differential(row), h=row["h"], alternative=alternative, variance=row["ve"])
        assert found.statistic == pytest.approx(row["statistic"], abs=1e-9)
        assert found.p_value == pytest.approx(row["p_value"], abs=1e-9)
    assert len(rows) == 152  # of 160; the others have a negative variance
