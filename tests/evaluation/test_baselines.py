"""The baselines see the past only, are centred as they claim and survive gaps and short pasts."""

import json
from pathlib import Path

import numpy as np
import pytest

from toto_core.evaluation.baselines import SIMPLE, baseline_quantiles, change_quantiles
from toto_core.evaluation.metrics import QUANTILE_LEVELS

H, MEDIAN = 6, 4


def walk(num_steps, *, seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    values = 50 + rng.standard_normal(num_steps).cumsum()
    values[rng.random(num_steps) < missing] = np.nan
    return values.astype(np.float32)


def forecast(values, positions, **options):
    defaults = {
        "prediction_length": H,
        "context_length": 100,
        "naive_window": 80,
        "seasonality": 4,
        "moving_window": 5,
        "names": SIMPLE,
    }
    return baseline_quantiles(values, np.array(positions), **(defaults | options))


def test_naive_is_the_last_value_with_the_quantiles_of_past_changes():
    values = walk(300)
    naive = forecast(values, [200, 260])["naive"]
    for row, position in enumerate((200, 260)):
        for h in range(1, H + 1):
            past = values[position - 80 : position] - values[position - 80 - h : position - h]
            spread = np.quantile(past.astype(float), QUANTILE_LEVELS)
            expected = values[position - 1] + spread - spread[MEDIAN]
            np.testing.assert_allclose(naive[row, h - 1], expected, rtol=1e-6)


def test_naive_median_is_exactly_the_last_observed_value():
    values = walk(300, missing=0.3)
    positions = np.arange(120, 290, 7)
    last = [values[:p][np.isfinite(values[:p])][-1] for p in positions]
    naive = forecast(values, positions)["naive"]
    np.testing.assert_array_equal(naive[:, :, MEDIAN], np.repeat(np.array(last)[:, None], H, 1))


def test_drift_continues_the_line_through_the_context():
    values = walk(300)
    forecasts = forecast(values, [200])
    slope = (values[199] - values[100]) / 99
    line = values[199] + slope * np.arange(1, H + 1)
    np.testing.assert_allclose(forecasts["drift"][0, :, MEDIAN], line, rtol=1e-6)
    np.testing.assert_allclose(
        forecasts["drift"][0] - line[:, None],
        forecasts["naive"][0] - values[199],
        atol=1e-4,
    )


def test_drift_starts_from_the_last_observed_value_where_the_newest_are_missing():
    values = np.arange(40, dtype=np.float32)
    values[37:] = np.nan
    assert forecast(values, [40])["drift"][0, :, MEDIAN].tolist() == list(range(40, 40 + H))


def test_seasonal_naive_repeats_the_last_season_and_then_the_same_again():
    values = walk(300)
    median = forecast(values, [200])["seasonal_naive"][0, :, MEDIAN]
    assert median.tolist() == [*values[196:200], *values[196:198]]


def test_seasonal_spread_comes_from_changes_over_as_many_seasons():
    values = walk(300)
    seasonal = forecast(values, [200])["seasonal_naive"][0]
    for step, lag in ((1, 4), (4, 4), (5, 8), (6, 8)):
        past = (values[120:200] - values[120 - lag : 200 - lag]).astype(float)
        spread = np.quantile(past, QUANTILE_LEVELS)
        centre = seasonal[step - 1, MEDIAN]
        np.testing.assert_allclose(seasonal[step - 1], centre + spread - spread[MEDIAN], rtol=1e-6)


def test_seasonal_naive_takes_an_older_season_where_the_last_is_missing():
    values = walk(300)
    values[197] = np.nan
    median = forecast(values, [200])["seasonal_naive"][0, :, MEDIAN]
    assert median[1] == values[193]
    values[1:200:4] = np.nan  # no value of this phase at all
    median = forecast(values, [200])["seasonal_naive"][0, :, MEDIAN]
    assert median[1] == values[199]


@pytest.mark.parametrize("seasonality", [1, 150])
def test_seasonal_naive_is_naive_without_a_season(seasonality):
    forecasts = forecast(walk(300), [120, 140], seasonality=seasonality)
    np.testing.assert_array_equal(forecasts["seasonal_naive"], forecasts["naive"])


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_nothing_at_or_after_an_origin_is_read(missing):
    values = walk(300, missing=missing)
    changed = values.copy()
    changed[200:] = np.random.default_rng(9).standard_normal(100) * 1e3
    before, after = forecast(values, [180, 200]), forecast(changed, [180, 200])
    beyond = forecast(changed, [180, 201])
    for name in SIMPLE:
        np.testing.assert_array_equal(before[name], after[name])
        assert not np.array_equal(before[name][1], beyond[name][1])


def test_origins_do_not_influence_each_other():
    values = walk(400, missing=0.2)
    positions = [90, 200, 201, 390]
    together = forecast(values, positions)
    for row, position in enumerate(positions):
        alone = forecast(values, [position])
        for name in SIMPLE:
            np.testing.assert_array_equal(together[name][row], alone[name][0])


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(walk(300, missing=0.7), id="mostly missing"),
        pytest.param(np.full(300, 3.5, dtype=np.float32), id="constant"),
        pytest.param(
            np.where(np.arange(300) == 2, 7, np.nan).astype(np.float32), id="one value only"
        ),
        pytest.param(1e30 * walk(300), id="huge"),
    ],
)
def test_quantiles_are_finite_and_rise(values):
    for quantiles in forecast(values, [3, 5, 12, 290]).values():
        assert quantiles.shape == (4, H, len(QUANTILE_LEVELS))
        assert quantiles.dtype == np.float32
        assert np.isfinite(quantiles).all()
        assert (np.diff(quantiles, axis=-1) >= 0).all()


def test_all_baselines_move_and_stretch_with_the_series():
    values = walk(300, missing=0.1)
    plain, moved = forecast(values, [150, 250]), forecast(4 * values - 32, [150, 250])
    for name in SIMPLE:
        np.testing.assert_allclose(moved[name], 4 * plain[name] - 32, rtol=1e-4, atol=1e-3)


def test_too_few_changes_take_the_spread_of_fewer_steps():
    values = walk(13)
    quantiles, enough = change_quantiles(values, np.array([13]), lags=np.arange(1, 7), window=80)
    assert enough.all()  # 12, 11 and 10 changes over 1, 2 and 3 steps are enough, then fewer
    np.testing.assert_array_equal(quantiles[0, 3:], np.repeat(quantiles[0, 2:3], 3, axis=0))
    assert not np.array_equal(quantiles[0, 1], quantiles[0, 2])


def test_chunks_of_origins_do_not_change_the_result(monkeypatch):
    values, positions = walk(300, missing=0.2), np.arange(100, 290, 10)
    whole = forecast(values, positions)
    monkeypatch.setattr("toto_core.evaluation.baselines.changes.MAX_WINDOW_NUMBERS", 1000)
    for name, quantiles in forecast(values, positions).items():
        np.testing.assert_array_equal(quantiles, whole[name])


def test_an_origin_without_a_past_is_refused():
    values = walk(100)
    values[:20] = np.nan
    with pytest.raises(ValueError, match="2 of 3 origins have no observed value before them"):
        forecast(values, [0, 20, 50])


def test_empirical_naive_covers_a_random_walk():
    values = walk(12_000, seed=3)
    positions = np.arange(1000, 11_900, 10)
    naive = forecast(values, positions, naive_window=1000)["naive"]
    target = values[positions[:, None] + np.arange(H)]
    coverage = (target[:, :, None] <= naive).mean(axis=(0, 1))
    np.testing.assert_allclose(coverage, QUANTILE_LEVELS, atol=0.05)


def golden(method):
    path = Path(__file__).parents[1] / "golden" / "metrics.json"
    cases = json.loads(path.read_text())["R_forecast_accuracy"]
    return [pytest.param(case, id=case["series"]) for case in cases if case["method"] == method]


def like_r(case, name):
    """Quantiles and median [H] of one baseline at the end of a series of R."""
    train, steps = np.array(case["train"], np.float32), len(case["mean"])
    quantiles = baseline_quantiles(
        train,
        np.array([len(train)]),
        prediction_length=steps,
        context_length=len(train),
        naive_window=len(train),
        seasonality=case["frequency"],
        names=[name],
    )[name][0]
    return quantiles, quantiles[:, MEDIAN]


@pytest.mark.parametrize("case", golden("naive"))
def test_gaussian_no_change_has_the_intervals_of_r(case):
    quantiles, median = like_r(case, "naive_gaussian")
    np.testing.assert_allclose(median, case["mean"], rtol=1e-6)
    for percent, lower, upper in zip(case["levels"], case["lower"], case["upper"], strict=True):
        if percent in (20, 40, 60, 80):
            far = percent // 20
            np.testing.assert_allclose(quantiles[:, MEDIAN - far], lower, rtol=1e-5)
            np.testing.assert_allclose(quantiles[:, MEDIAN + far], upper, rtol=1e-5)


@pytest.mark.parametrize("case", golden("rwdrift"))
def test_drift_has_the_line_of_r(case):
    np.testing.assert_allclose(like_r(case, "drift")[1], case["mean"], rtol=1e-6)


@pytest.mark.parametrize("case", golden("snaive"))
def test_seasonal_naive_has_the_median_of_r(case):
    np.testing.assert_allclose(like_r(case, "seasonal_naive")[1], case["mean"], rtol=1e-6)


def test_moving_average_is_the_mean_of_what_is_observed_among_the_newest():
    values = walk(300)
    values[[196, 199]] = np.nan
    found = forecast(values, [200])["moving_average"][0]
    np.testing.assert_allclose(found[:, MEDIAN], values[[195, 197, 198]].mean(), rtol=1e-6)
    values[195:200] = np.nan
    assert (forecast(values, [200])["moving_average"][0, :, MEDIAN] == values[194]).all()
