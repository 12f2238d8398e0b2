"""Giacomini-White, encompassing and Clark-West equal the stored values."""

import numpy as np
import pytest
from dm_golden import GOLDEN, differential, errors

from toto_core.evaluation.significance import (
    clark_west_test,
    encompassing_test,
    giacomini_white_test,
)


def test_giacomini_white_equals_every_stored_row():
    rows = GOLDEN["giacomini_white"]
    assert len(rows) == 8
    for row in rows:
        found = giacomini_white_test(differential(row))
        assert (found.n, found.df) == (row["n_used"], row["df"])
        assert found.statistic == pytest.approx(row["wald"], rel=1e-9)
        assert found.p_value == pytest.approx(row["p_value"], rel=1e-8)


def test_giacomini_white_looks_back_over_the_overlap():
    d = np.random.default_rng(3).standard_normal(30)
    z = np.array([[d[t], d[t - 3] * d[t]] for t in range(3, 30)])
    variance = sum(
        (1 - abs(k) / 3) * sum(np.outer(z[t], z[t - k]) for t in range(27) if 0 <= t - k < 27)
        for k in range(-2, 3)
    )
    total = z.sum(axis=0)
    expected = total @ np.linalg.inv(variance) @ total
    assert giacomini_white_test(d, h=3).statistic == pytest.approx(expected)
    assert giacomini_white_test(d, h=3).statistic != pytest.approx(
        giacomini_white_test(d, h=1).statistic
    )


def test_encompassing_and_clark_west_equal_every_stored_row():
    rows = GOLDEN["encompassing_clark_west_own"]
    assert len(rows) == 12
    for row in rows:
        first, second = errors(row["dataset"])
        encompassing = encompassing_test(first, second, h=row["h"])
        assert encompassing.statistic == pytest.approx(row["encompassing_HLN"], abs=1e-9)
        assert encompassing.p_value == pytest.approx(row["encompassing_p_greater"], abs=1e-9)
        nested = clark_west_test(first, second, h=row["h"])
        assert nested.statistic == pytest.approx(row["clark_west"], abs=1e-9)
        assert nested.p_value == pytest.approx(row["clark_west_p_normal_greater"], abs=1e-9)


def test_a_worse_forecast_may_still_hold_information():
    noise = np.random.default_rng(4).standard_normal((2, 400))
    first, second = noise[0], 1.2 * noise[1]
    assert np.mean(np.square(second)) > np.mean(np.square(first))
    assert encompassing_test(first, second, h=1).p_value < 1e-6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(
            lambda: giacomini_white_test(np.arange(7.0), h=3),
            "giacomini_white_test: 7 origins, at least 8 are needed at h = 3",
            id="short",
        ),
        pytest.param(
            lambda: giacomini_white_test(np.ones(9)),
            "giacomini_white_test: variance of d = 0 over 9 origins",
            id="constant",
        ),
        pytest.param(
            lambda: clark_west_test(np.arange(9.0), np.arange(9.0), h=1),
            "clark_west_test: variance of d = 0 over 9 origins",
            id="the same forecast twice",
        ),
        pytest.param(
            lambda: clark_west_test(np.arange(9.0), np.full(9, np.nan), h=1),
            "clark_west_test: d has 9 missing or infinite of 9 values",
            id="missing",
        ),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
