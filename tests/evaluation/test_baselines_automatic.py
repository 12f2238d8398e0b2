"""Fitted baselines agree with R's, stay in their budget and say where they have no forecast."""

import json
from pathlib import Path

import numpy as np
import pytest

from toto_core.config import EvaluateParams
from toto_core.errors import ConfigError, DataError
from toto_core.evaluation import extras
from toto_core.evaluation.baselines import Series, automatic, panel_quantiles
from toto_core.evaluation.baselines.automatic import automatic_quantiles, points_within
from toto_core.evaluation.extras import check_installed

H, MEDIAN = 6, 4
GOLDEN = Path(__file__).parents[1] / "golden" / "metrics.json"
# Largest distance from R's forecast over the mean level: R fits Theta to data that it has
# seasonally adjusted in another way, and ETS by another optimiser, which may choose another model.
CLOSE = {"auto_theta": ("thetaf", 0.06), "auto_ets": ("ets", 0.04)}


def seasonal(num_steps, *, seed=0, season=12):
    rng = np.random.default_rng(seed)
    wave = 8 * np.sin(2 * np.pi * np.arange(num_steps) / season)
    return (50 + wave + rng.standard_normal(num_steps)).astype(np.float32)


def fitted(name, values, positions, *, length=H, season=12, budget_s=60.0):
    return automatic_quantiles(
        name,
        values,
        np.array(positions),
        prediction_length=length,
        seasonality=season,
        budget_s=budget_s,
    )


@pytest.mark.parametrize("name", CLOSE)
@pytest.mark.parametrize("series", ["AirPassengers", "Nile", "USAccDeaths", "EuStockDAX"])
def test_point_forecasts_are_close_to_those_of_r(name, series):
    method, tolerance = CLOSE[name]
    cases = json.loads(GOLDEN.read_text())["R_forecast_accuracy"]
    case = next(c for c in cases if (c["series"], c["method"]) == (series, method))
    train, mean = np.array(case["train"], np.float32), np.array(case["mean"])
    found, failed = fitted(
        name, train, [len(train)], length=len(mean), season=case["frequency"], budget_s=1e3
    )
    assert failed == {}
    assert np.abs(found[0, :, MEDIAN] - mean).max() < tolerance * mean.mean()


@pytest.mark.parametrize("name", CLOSE)
def test_quantiles_rise_and_say_the_same_again(name):
    values = seasonal(160)
    values[[100, 120, 121]] = np.nan
    first, failed = fitted(name, values, [110, 122, 150])
    assert failed == {}
    assert first.dtype == np.float32
    assert (np.diff(first, axis=-1) >= 0).all()
    np.testing.assert_array_equal(first, fitted(name, values, [110, 122, 150])[0])


@pytest.mark.parametrize("name", CLOSE)
def test_nothing_from_an_origin_on_is_read(name):
    values = seasonal(160)
    changed = values.copy()
    changed[120:] = 1e6
    before, _ = fitted(name, values, [100, 120])
    after, _ = fitted(name, changed, [100, 120])
    np.testing.assert_array_equal(before, after)


def test_the_budget_cuts_the_history():
    values = seasonal(400)
    most = points_within("auto_theta", 1.0, num_origins=100, seasonality=12)
    assert most == 100
    budget_s = 1.0 / 100  # of one origin
    short, _ = fitted("auto_theta", values, [400], budget_s=budget_s)
    same, _ = fitted("auto_theta", values[300:], [100], budget_s=budget_s)
    whole, _ = fitted("auto_theta", values, [400])
    np.testing.assert_array_equal(short, same)
    assert not np.array_equal(short, whole)


@pytest.mark.parametrize(
    ("name", "options", "positions", "reason"),
    [
        pytest.param(
            "auto_ets", {"season": 25}, [120], "the season is longer than 24 steps", id="season"
        ),
        pytest.param(
            "auto_theta",
            {"budget_s": 0.001},
            [120],
            "the budget allows 10 of 36 points",
            id="budget",
        ),
        pytest.param(
            "auto_theta", {}, [30, 100], "less than 36 points of history", id="short history"
        ),
    ],
)
def test_an_origin_without_a_fit_has_its_reason(name, options, positions, reason):
    found, failed = fitted(name, seasonal(130), positions, **options)
    assert {key: rows.tolist() for key, rows in failed.items()} == {reason: [0]}
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1:]).all()


def test_what_takes_far_longer_than_its_budget_is_stopped(monkeypatch):
    monkeypatch.setattr(automatic, "PATIENCE", 0.0)
    with pytest.raises(
        DataError,
        match=r"auto_theta: \d+ s of processor time at 1 of 2 origins of a series, "
        r"evaluate.auto_budget = 60 s allows 0; raise it or take auto_theta out",
    ):
        fitted("auto_theta", seasonal(130), [100, 120])


def test_without_the_extra_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(extras, "PACKAGE", "no_such_package")
    check_installed(("naive", "drift"))
    with pytest.raises(
        ConfigError,
        match=r"evaluate.baselines = auto_ets, no_such_package is needed for them and not "
        r"installed; run pip install toto-pipeline\[baselines\], or take them out",
    ):
        check_installed(("naive", "auto_ets"))


def test_seasonal_naive_stands_in_and_is_counted():
    params = EvaluateParams(
        baselines=("naive", "drift", "seasonal_naive", "auto_theta"),
        seasonality=None,
        naive_window=50,
        moving_window=5,
        auto_budget=60.0,
        batch_size=8,
    )
    panel = [
        Series(seasonal(130), np.array([30, 100]), 12),
        Series(np.full(130, 3.0, dtype=np.float32), np.array([100]), 1),
    ]
    found, fallbacks = panel_quantiles(panel, prediction_length=H, context_length=60, params=params)
    told = [(f.baseline, f.series, f.reason, f.num_origins) for f in fallbacks]
    assert ("auto_theta", 0, "less than 36 points of history", 1) in told
    first = found[0]
    np.testing.assert_array_equal(first["auto_theta"][0], first["seasonal_naive"][0])
    assert not np.array_equal(first["auto_theta"][1], first["seasonal_naive"][1])
    assert all(np.isfinite(values).all() for part in found for values in part.values())
