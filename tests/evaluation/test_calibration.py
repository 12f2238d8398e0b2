"""Coverage is what it says, and its standard error knows that origins are the sample."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from toto_core.evaluation.calibration import calibration_scores
from toto_core.evaluation.metrics import QUANTILE_LEVELS, Tally

START = datetime(2024, 1, 1, tzinfo=UTC)
NORMAL = np.array([-1.2816, -0.8416, -0.5244, -0.2533, 0, 0.2533, 0.5244, 0.8416, 1.2816])


def tally(target, quantiles, *, per_origin=1, scale=2.0):
    count = len(target)
    origins = [START + timedelta(hours=k // per_origin) for k in range(count)]
    forecasts = pl.DataFrame(
        {
            "item_id": ["a"] * count,
            "variate": ["y"] * count,
            "origin": origins,
            "step": [1 + k % per_origin for k in range(count)],
            "timestamp": origins,
            "target": np.array(target),
            "model": quantiles,
        }
    )
    facts = pl.DataFrame(
        {"item_id": "a", "variate": "y", "group": "a", "held_out": False, "scale": [scale]}
    )
    return Tally(facts, forecasters=["model"], source="candidate").add_all([forecasts])


def scores_of(*args, **options):
    found = tally(*args, **options)
    return calibration_scores(found.losses(), found.profile.coverage(), forecaster="model")


@pytest.mark.parametrize(("stretch", "inside"), [(1.0, 0.8), (0.5, 0.478), (2.0, 0.99)])
def test_true_quantiles_cover_and_stretched_ones_do_not(stretch, inside):
    target = np.random.default_rng(0).standard_normal(20_000)
    quantiles = np.tile(stretch * NORMAL, (len(target), 1))
    scores = scores_of(target, quantiles)
    assert scores["coverage80"] == pytest.approx(inside, abs=0.01)
    assert scores["sharpness"] == pytest.approx(stretch * 2.5632 / 2)
    shares = tally(target, quantiles).profile.coverage()
    assert shares["level"].to_list() == list(QUANTILE_LEVELS)
    error = np.abs(shares["coverage"].to_numpy() - np.array(QUANTILE_LEVELS)).mean()
    assert scores["mean_coverage_error"] == pytest.approx(error)
    assert (error < 0.01) == (stretch == 1.0)


def test_standard_error_is_clustered_by_origin():
    shocks = np.repeat(np.random.default_rng(0).standard_normal(500), 20)
    quantiles = np.tile(NORMAL, (len(shocks), 1))
    clustered, naive = (
        scores_of(shocks, quantiles, per_origin=per_origin)["coverage80_std_error"]
        for per_origin in (20, 1)
    )
    assert clustered == pytest.approx(math.sqrt(0.8 * 0.2 / 500), rel=0.1)
    assert clustered == pytest.approx(math.sqrt(20) * naive, rel=1e-9)


def test_sharpness_is_about_series_with_a_scale():
    target, quantiles = np.zeros(4), np.tile(NORMAL, (4, 1))
    assert scores_of(target, quantiles, scale=4.0)["sharpness"] == pytest.approx(2.5632 / 4)
    without = scores_of(target, quantiles, scale=0.0)
    assert math.isnan(without["sharpness"])
    assert without["coverage80"] == 1.0


def test_nothing_observed_is_nan_and_not_an_error():
    scores = scores_of([math.nan], np.zeros((1, 9)))
    assert all(math.isnan(value) for value in scores.values())
