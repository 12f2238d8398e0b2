"""Coverage is what it says, and its standard error knows that origins are the sample."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from toto_core.evaluation.calibration import calibration_scores, coverage, coverage_table
from toto_core.evaluation.metrics import QUANTILE_LEVELS

START = datetime(2024, 1, 1, tzinfo=UTC)
NORMAL = np.array([-1.2816, -0.8416, -0.5244, -0.2533, 0, 0.2533, 0.5244, 0.8416, 1.2816])
FACTS = pl.DataFrame({"item_id": ["a"], "variate": ["y"], "scale": [2.0]})


def forecasts(target, quantiles, *, per_origin=1):
    count = len(target)
    return pl.DataFrame(
        {
            "item_id": ["a"] * count,
            "variate": ["y"] * count,
            "origin": [START + timedelta(hours=k // per_origin) for k in range(count)],
            "target": target,
            "model": quantiles,
        }
    )


def test_coverage_by_hand():
    target = np.array([1.0, 2.0, 3.0, np.nan])
    quantiles = np.array([[1.0, 1.5]] * 4)
    assert coverage(target, quantiles).tolist() == [1 / 3, 1 / 3]
    assert np.isnan(coverage(np.array([np.nan]), quantiles[:1])).all()


@pytest.mark.parametrize(("stretch", "inside"), [(1.0, 0.8), (0.5, 0.478), (2.0, 0.99)])
def test_true_quantiles_cover_and_stretched_ones_do_not(stretch, inside):
    target = np.random.default_rng(0).standard_normal(20_000)
    table = forecasts(target, np.tile(stretch * NORMAL, (len(target), 1)))
    scores = calibration_scores(table, FACTS, forecaster="model")
    assert scores["coverage80"] == pytest.approx(inside, abs=0.01)
    assert scores["sharpness"] == pytest.approx(stretch * 2.5632 / 2)
    shares = coverage_table(table, forecasters=["model"])
    assert shares["level"].to_list() == list(QUANTILE_LEVELS)
    error = np.abs(shares["coverage"].to_numpy() - np.array(QUANTILE_LEVELS)).mean()
    assert scores["mean_coverage_error"] == pytest.approx(error)
    assert (error < 0.01) == (stretch == 1.0)


def test_standard_error_is_clustered_by_origin():
    shocks = np.repeat(np.random.default_rng(0).standard_normal(500), 20)
    quantiles = np.tile(NORMAL, (len(shocks), 1))
    clustered, naive = (
        calibration_scores(
            forecasts(shocks, quantiles, per_origin=per_origin), FACTS, forecaster="model"
        )["coverage80_std_error"]
        for per_origin in (20, 1)
    )
    assert clustered == pytest.approx(math.sqrt(0.8 * 0.2 / 500), rel=0.1)
    assert clustered == pytest.approx(math.sqrt(20) * naive, rel=1e-9)


def test_nothing_observed_is_nan_and_not_an_error():
    scores = calibration_scores(forecasts([math.nan], np.zeros((1, 9))), FACTS, forecaster="model")
    assert all(math.isnan(value) for value in scores.values())
