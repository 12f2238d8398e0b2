"""Panel variances equal R's sandwich; the test says whose mean it is about."""

import inspect
import math

import numpy as np
import pytest
from dm_golden import GOLDEN, panel
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_core.evaluation.significance import (
    clustered_variance,
    driscoll_kraay_variance,
    ewc_dm_test,
    ewc_test,
    panel_newey_west_variance,
    panel_test,
)


def variance_of(row, d_NT):
    name = row["fn"]
    if "Driscoll-Kraay" in name:
        return driscoll_kraay_variance(d_NT, bandwidth=row["lag"] + 1)
    if "panel Newey-West" in name:
        return panel_newey_west_variance(d_NT, bandwidth=row["lag"] + 1)
    by = "both" if "two-way" in name else "series" if "cluster=id" in name else "time"
    return clustered_variance(d_NT, by=by, small_sample="HC1" in name)


def test_every_stored_row_of_sandwich_is_equalled():
    rows, d_NT = GOLDEN["sandwich_panel_R"], panel()
    assert len(rows) == 11
    for row in rows:
        found = variance_of(row, d_NT)
        assert found == pytest.approx(row["var_of_mean"], rel=1e-9)
        assert d_NT.mean() / math.sqrt(found) == pytest.approx(row["t_stat"], rel=1e-9)


def small_panel(num_series=8, n=64, seed=7):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((num_series, n)) + rng.standard_normal(n) + 0.2


def test_cosines_of_the_mean_series_equal_the_stored_ones():
    row = GOLDEN["panel_ewc_own"]
    found = ewc_test(panel().mean(axis=0), h=row["h"])
    assert found.df == row["B"]
    assert found.mean == pytest.approx(row["mean"], abs=1e-12)
    assert found.std_error**2 * found.n == pytest.approx(row["ewc_lrv"], rel=1e-9)
    assert found.statistic == pytest.approx(row["statistic"], abs=1e-9)
    assert found.p_value == pytest.approx(row["p_greater"], abs=1e-9)
    less = ewc_test(panel().mean(axis=0), h=row["h"], alternative="less")
    assert less.p_value == pytest.approx(row["p_less"], abs=1e-9)


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_about_these_series_it_is_the_test_of_their_mean(alternative):
    d_NT = small_panel()
    found = panel_test(d_NT, h=2, estimand="these series", alternative=alternative)
    of_mean = ewc_dm_test(d_NT.mean(axis=0), h=2, alternative=alternative)
    assert found.statistic == pytest.approx(of_mean.statistic)
    assert found.p_value == pytest.approx(of_mean.p_value)
    assert (found.df, found.h_eff, found.num_series) == (of_mean.df, of_mean.h_eff, 8)


def test_a_persistent_panel_is_refused():
    found = panel_test(panel(), h=3, estimand="new series")
    assert found.outcome == "inconclusive"
    assert "persistent far beyond the overlap of 3" in found.reason


def test_new_series_by_hand():
    d_NT = small_panel() + np.linspace(-1, 1, 8)[:, None]
    x_NT = d_NT - d_NT.mean()
    of_time = ewc_dm_test(d_NT.mean(axis=0), h=1).std_error ** 2
    of_series = np.var(d_NT.mean(axis=1), ddof=1) / 8
    of_cells = np.square(x_NT).sum() / d_NT.size**2
    found = panel_test(d_NT, h=1, estimand="new series")
    expected = max(of_time + of_series - of_cells, of_time, of_series)
    assert found.std_error == pytest.approx(math.sqrt(expected))
    assert expected > of_time
    assert found.df == min(7, ewc_dm_test(d_NT.mean(axis=0), h=1).df)
    assert found.lower_bound() < panel_test(d_NT, h=1, estimand="these series").lower_bound()


def test_series_that_disagree_prove_nothing_about_new_ones():
    rng = np.random.default_rng(5)
    gain_N = np.array([1.0, 1.0, 1.0, -0.8, -0.7, 1.0])
    d_NT = gain_N[:, None] + 0.1 * rng.standard_normal((6, 60))
    assert panel_test(d_NT, h=1, estimand="these series").p_value < 1e-6
    assert panel_test(d_NT, h=1, estimand="new series").p_value > 0.1


def test_series_of_one_cluster_count_once():
    rng = np.random.default_rng(6)
    of_cluster = rng.standard_normal((5, 40)) + rng.standard_normal((5, 1))
    d_NT = np.repeat(of_cluster, 20, axis=0)
    clusters_N = np.repeat(np.array([7, 3, 9, 1, 4]), 20)
    alone = panel_test(d_NT, h=1, estimand="new series")
    together = panel_test(d_NT, h=1, estimand="new series", clusters_N=clusters_N)
    once = panel_test(of_cluster, h=1, estimand="new series")
    assert (together.num_series, together.num_clusters, together.df) == (100, 5, 4)
    assert together.std_error == pytest.approx(once.std_error)
    assert together.std_error > 1.5 * alone.std_error


def test_an_absent_forecast_is_weighed_as_in_the_mean_over_what_is_there():
    d_NT = small_panel()
    d_NT[2, :10] = np.nan
    d_NT[5, 30] = np.nan
    found = panel_test(d_NT, h=2, estimand="these series")
    expected = ewc_dm_test(np.nanmean(d_NT, axis=0), h=2)
    assert found.statistic == pytest.approx(expected.statistic)
    assert panel_test(d_NT, h=2, estimand="new series").mean == pytest.approx(expected.mean)


def test_one_series_says_nothing_of_new_ones():
    found = panel_test(small_panel(1), h=1, estimand="new series")
    assert found.outcome == "inconclusive"
    assert found.reason == "1 independent series, at least 2 are needed to speak of new ones"
    assert math.isnan(found.lower_bound())
    assert panel_test(small_panel(1), h=1, estimand="these series").outcome == "ok"


def test_too_few_origins_are_inconclusive_for_new_series_too():
    found = panel_test(small_panel(n=10), h=4, estimand="new series")
    assert found.outcome == "inconclusive"
    assert "10 origins, at least 32" in found.reason


def test_all_faults_of_a_panel_are_named():
    d_NT = np.ones((3, 4))
    d_NT[0] = np.nan
    d_NT[:, 1] = np.nan
    d_NT[2, 2] = np.inf
    with pytest.raises(ValueError, match="d has 1 infinite values") as found:
        panel_test(d_NT, h=1, estimand="new series")
    assert "1 of 4 origins have no series" in str(found.value)
    assert "1 of 3 series have no origin" in str(found.value)
    with pytest.raises(ValueError, match="clusters = 2, one for each of 3 series is needed"):
        inspect.unwrap(panel_test)(
            np.ones((3, 4)), h=1, estimand="new series", clusters_N=np.arange(2)
        )
    with pytest.raises(ValueError, match="estimand = 'all series', these series or new series"):
        inspect.unwrap(panel_test)(np.ones((3, 4)), h=1, estimand="all series")
    with pytest.raises(ValueError, match="by = 'both', series or time is needed with small_sample"):
        clustered_variance(np.ones((2, 3)), by="both", small_sample=True)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(2, 9), st.integers(16, 50), st.floats(0.01, 100), st.randoms(use_true_random=False)
)
def test_neither_the_order_of_the_series_nor_the_unit_matters(num_series, n, unit, random):
    d_NT = small_panel(num_series, n, seed=n)
    order = list(range(num_series))
    random.shuffle(order)
    clusters_N = np.arange(num_series) // 2
    plain = panel_test(d_NT, h=1, estimand="new series", clusters_N=clusters_N)
    other = panel_test(
        unit * d_NT[order], h=1, estimand="new series", clusters_N=5 - clusters_N[order]
    )
    assert (other.outcome, other.df) == (plain.outcome, plain.df)
    assert other.statistic == pytest.approx(plain.statistic, nan_ok=True)


def test_new_series_are_never_surer_than_these():
    for seed in range(20):
        d_NT = small_panel(4, 40, seed=seed)
        these, new = (
            panel_test(d_NT, h=1, estimand=estimand) for estimand in ("these series", "new series")
        )
        assert new.std_error >= these.std_error * (1 - 1e-12)
        assert new.df <= these.df
