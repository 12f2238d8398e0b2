"""The tests with fixed smoothing equal the stored arithmetic, and refuse what they cannot do."""

from collections import Counter

import numpy as np
import pytest
from dm_golden import GOLDEN, differential

from toto_core.evaluation.significance import ewc_test, wce_test, wpe_test
from toto_core.evaluation.significance.fixed_smoothing import fixed_b_critical_value, whole_root


def test_every_stored_row_is_equalled():
    compared = Counter()
    for row in GOLDEN["fixed_smoothing_own"]:
        d, name = differential(row), row["test"].split("-")[0]
        compared[name] += 1
        if name == "WCE":
            found = wce_test(d)
            assert (found.bandwidth, found.b) == (row["M"], pytest.approx(row["b"]))
            for level, value in row["critical_values"].items():
                assert found.critical_values[float(level)] == pytest.approx(value, abs=1e-9)
        else:
            options = {"h": row["h"]} if name == "EWC" else {}
            found = (ewc_test if name == "EWC" else wpe_test)(d, **options)
            assert found.df == row["df"]
            assert found.p_value == pytest.approx(row["p_greater"], abs=1e-9)
            assert bool(found.reason) == row.get("refuse_n_over_2h_lt_2", False)
        assert found.statistic == pytest.approx(row["statistic"], abs=1e-9)
        assert found.std_error**2 * d.size == pytest.approx(row["long_run_variance"], rel=1e-9)
    assert compared == {"EWC": 40, "WPE": 10, "WCE": 10}


def test_alternatives_of_the_stored_rows():
    for row in GOLDEN["fixed_smoothing_own"]:
        name = row["test"].split("-")[0]
        if name == "WCE":
            continue
        d = differential(row)
        for alternative, key in (("less", "p_less"), ("two-sided", "p_two")):
            options = {"alternative": alternative}
            options |= {"h": row["h"]} if name == "EWC" else {}
            found = (ewc_test if name == "EWC" else wpe_test)(d, **options)
            assert found.p_value == pytest.approx(row[key], abs=1e-9)


def test_smoothing_that_is_asked_for_is_used():
    d = np.random.default_rng(1).standard_normal(64).cumsum()
    assert wpe_test(d).df == 8
    assert wpe_test(d, num_ordinates=2).df == 4
    assert wpe_test(d, num_ordinates=2).std_error > wpe_test(d).std_error
    assert wce_test(d).bandwidth == 8
    assert wce_test(d, bandwidth=64).b == 1.0
    assert wce_test(d, bandwidth=64).critical_values[0.975] > 2 * 1.96


def test_too_few_origins_for_two_cosines_are_said():
    found = ewc_test(np.random.default_rng(2).standard_normal(24), h=12)
    assert found.df == 2
    assert (
        found.reason == "24 origins carry 1 cosines at h = 12; 2 were used, which rejects too often"
    )


def test_whole_roots_of_powers_are_exact():
    assert [whole_root(k**3, 3) for k in range(1, 40)] == list(range(1, 40))
    assert [whole_root(k**3 - 1, 3) for k in range(2, 40)] == list(range(1, 39))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(
            lambda: ewc_test(np.ones(9), h=1),
            "ewc_test: variance of d = 0 over 9 origins",
            id="constant",
        ),
        pytest.param(
            lambda: ewc_test(np.arange(9.0), h=10), r"ewc_test: h = 10, 1 to 9 \(the", id="overlap"
        ),
        pytest.param(
            lambda: wpe_test(np.arange(9.0), num_ordinates=5),
            "wpe_test: num_ordinates = 5, 1 to 4 is allowed for 9 origins",
            id="ordinates",
        ),
        pytest.param(
            lambda: wce_test(np.arange(9.0), bandwidth=9.5),
            r"wce_test: bandwidth = 9.5, 1 to 9 \(the origins\) is allowed",
            id="bandwidth",
        ),
        pytest.param(
            lambda: fixed_b_critical_value(0.1, 0.8),
            "level = 0.8, one of 0.9, 0.95, 0.975, 0.99 is needed",
            id="level",
        ),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
