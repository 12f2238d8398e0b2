"""The Diebold-Mariano tests equal R and the stored gate statistic."""

import math

import numpy as np
import pytest
from dm_golden import GOLDEN, differential
from scipy import stats

from toto_core.evaluation.significance import dm_test, ewc_dm_test, ewc_rows


def alternative_of(row):
    return "two-sided" if row["alternative"] == "two.sided" else row["alternative"]


def test_dm_test_equals_r_on_every_stored_row():
    compared = 0
    for row in GOLDEN["dm_test_R"]:
        d = differential(row)
        options = {"h": row["h"], "alternative": alternative_of(row)}
        if row["status"] == "error":
            pattern = "missing or infinite" if "NAs" in row["message"] else "variance of d = 0"
            with pytest.raises(ValueError, match=pattern):
                dm_test(d, variance=row["varestimator"], **options)
        else:
            result = dm_test(d, variance=row["varestimator"], **options)
            assert result.statistic == pytest.approx(row["statistic"], abs=1e-9)
            assert result.p_value == pytest.approx(row["p_value"], abs=1e-9)
            assert bool(result.reason) == (row["status"] == "warning")
        compared += 1
    assert compared == 384


def test_dm_test_says_that_a_negative_variance_made_it_use_h_1():
    result = dm_test(differential({"dataset": "negvar24", "power": 1}), h=5)
    assert (result.h, result.h_eff) == (5, 1)
    assert "is not positive at h = 5; h = 1 was used" in result.reason


def test_ewc_equals_every_stored_row():
    outcomes = {"ok": 0, "inconclusive": 0}
    for row in GOLDEN["ewc_adaptive_own"]:
        d = np.array(row["d"]) if "d" in row else differential(row)
        result = ewc_dm_test(d, h=row["h"], alternative="greater")
        assert result.outcome == row["status"]
        assert result.h_eff == row.get("h_eff", row["h"])
        outcomes[result.outcome] += 1
        if result.outcome == "ok":
            opposite = ewc_dm_test(d, h=row["h"], alternative="less")
            assert result.df == row["B"]
            assert result.statistic == pytest.approx(row["statistic"], abs=1e-9)
            assert result.p_value == pytest.approx(row["p_greater"], abs=1e-9)
            assert opposite.p_value == pytest.approx(row["p_less"], abs=1e-9)
            lrv = result.std_error**2 * result.n
            assert lrv == pytest.approx(row["long_run_variance"], rel=1e-9)
        else:
            words = {
                "n<8h": "that overlap) are needed",
                "n<8*h_eff": "that hang together) are needed",
                "zero variance": "zero variance",
            }
            assert words[row["reason"]] in result.reason
            assert math.isnan(result.p_value)
    assert outcomes == {"ok": 30, "inconclusive": 13}


def test_statistic_by_hand():
    d = np.array([1.0, 0.0, 2.0, 1.0])  # mean 1, variance 1/2, HLN factor sqrt(3/4)
    result = dm_test(d, h=1, alternative="greater")
    assert result.statistic == pytest.approx(1 / math.sqrt(0.5 / 4) * math.sqrt(3 / 4))
    assert result.p_value == pytest.approx(stats.t.sf(result.statistic, 3))


def test_alternatives_are_mirror_images():
    d = differential({"dataset": "n250", "power": 1})
    for test in (dm_test, ewc_dm_test):
        greater, less = (test(d, h=2, alternative=a).p_value for a in ("greater", "less"))
        assert greater + less == pytest.approx(1)
        assert test(-d, h=2, alternative="greater").p_value == pytest.approx(less)
        assert test(d, h=2, alternative="two-sided").p_value == pytest.approx(
            2 * min(greater, less)
        )


def test_a_better_model_has_a_small_p_value_and_a_positive_lower_bound():
    d = 1 + 0.1 * np.random.default_rng(0).standard_normal(64)
    result = ewc_dm_test(d, h=1, alternative="greater")
    assert result.p_value < 1e-6
    assert 0 < result.interval()[0] < result.lower_bound() < result.mean < result.interval()[1]
    assert result.lower_bound() == pytest.approx(
        result.mean - stats.t.ppf(0.95, result.df) * result.std_error
    )


def test_statistic_does_not_depend_on_the_unit_of_the_loss():
    d = differential({"dataset": "n60", "power": 2})
    for test in (dm_test, ewc_dm_test):
        assert test(1e6 * d, h=2).statistic == pytest.approx(test(d, h=2).statistic)


def test_inconclusive_has_no_bounds():
    result = ewc_dm_test(np.zeros(60), h=1)
    assert result.outcome == "inconclusive"
    assert math.isnan(result.lower_bound())
    assert all(math.isnan(bound) for bound in result.interval())


def test_too_few_origins_say_how_many_are_needed():
    result = ewc_dm_test(np.random.default_rng(0).standard_normal(30), h=4)
    assert result.reason == "30 origins, at least 32 (8 for each of 4 that overlap) are needed"


@pytest.mark.parametrize(
    ("test", "d", "options", "message"),
    [
        pytest.param(
            dm_test,
            [1.0, math.nan, 2.0],
            {"h": 1},
            "dm_test: d has 1 missing or infinite of 3 values",
            id="missing",
        ),
        pytest.param(
            ewc_dm_test,
            [1.0, math.inf, math.nan],
            {"h": 1},
            "ewc_dm_test: d has 2 missing or infinite of 3 values",
            id="infinite",
        ),
        pytest.param(
            dm_test, [1.0], {"h": 1}, "dm_test: 1 origins, at least 2 are needed", id="short"
        ),
        pytest.param(
            ewc_dm_test, [1.0, 2.0], {"h": 0}, r"ewc_dm_test: h = 0, 1 to 2 \(the", id="no overlap"
        ),
        pytest.param(
            dm_test, [1.0, 2.0], {"h": 3}, r"dm_test: h = 3, 1 to 2 \(the origins\)", id="h above n"
        ),
        pytest.param(
            dm_test, [2.5, 2.5], {"h": 1}, "variance of d = 0 over 2 origins", id="constant"
        ),
    ],
)
def test_a_caller_s_mistake_is_named(test, d, options, message):
    with pytest.raises(ValueError, match=message):
        test(np.array(d), **options)


def moving_sums(num_rows, n, h):
    noise = np.random.default_rng([n, h]).standard_normal((num_rows, n + h - 1))
    return np.lib.stride_tricks.sliding_window_view(noise, h, axis=1).sum(axis=2)


def test_rows_agree_with_one_test_at_a_time():
    d = moving_sums(50, 60, 2) + 0.3
    d[25:] = d[25:].cumsum(axis=1)  # too persistent to be decided
    rows = ewc_rows(d, h=2)
    assert 0 < np.count_nonzero(rows.conclusive) < 50
    for index in range(50):
        one = ewc_dm_test(d[index], h=2)
        assert (one.df, one.h_eff) == (rows.df[index], rows.h_eff[index])
        assert (one.outcome == "ok") == rows.conclusive[index]
        assert one.mean == pytest.approx(rows.mean[index])
        if one.outcome == "ok":
            assert one.std_error == pytest.approx(rows.std_error[index])
