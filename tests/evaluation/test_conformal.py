"""Corrections restore coverage, shrink where origins disagree, and never see the test period."""

import math
import re
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from toto_core.data.splits import to_us
from toto_core.errors import DataError
from toto_core.evaluation.conformal import Calibration, between
from toto_core.evaluation.conformal.learning import MIN_SCORES_OF_STEP, learn
from toto_core.evaluation.conformal.tails import MIN_EXCESSES, Tail, fit_tail
from toto_core.evaluation.metrics import QUANTILE_LEVELS

LEVELS = np.array(QUANTILE_LEVELS)
START = datetime(2024, 1, 1, tzinfo=UTC)
Z = stats.norm.ppf(LEVELS)
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000


def forecasts(target_NOH, quantile_NOHQ):
    """A table of forecasts of N series from O origins, H steps each."""
    index = np.indices(target_NOH.shape).reshape(3, -1)
    origin = to_us(START) + index[1] * DAY_US
    return pl.DataFrame(
        {
            "item_id": [f"s{k}" for k in index[0]],
            "variate": ["y"] * len(origin),
            "origin": origin,
            "step": (index[2] + 1).astype(np.int32),
            "timestamp": origin + index[2] * HOUR_US,
            "target": target_NOH.ravel().astype(np.float32),
            "model": pl.Series(
                quantile_NOHQ.reshape(-1, 9).astype(np.float32), dtype=pl.Array(pl.Float32, 9)
            ),
        },
    ).cast({"origin": pl.Datetime("us", "UTC"), "timestamp": pl.Datetime("us", "UTC")})


def normal(seed=0, *, num=12, origins=24, steps=6, stretch=1.0, bias=0.0, scale=None, shock=0.0):
    """Normal targets of series of very different size, and quantiles that are wrong as told."""
    rng = np.random.default_rng(seed)
    size = np.logspace(-2, 3, num)[:, None, None]
    noise = rng.standard_normal((num, origins, steps)) + shock * rng.standard_normal((origins, 1))
    by_step = np.ones(steps) if scale is None else np.asarray(scale)
    quantile = size[..., None] * (stretch * by_step[:, None] * Z + bias)
    return forecasts(size * noise, np.broadcast_to(quantile, (*noise.shape, 9)))


def learnt(table, **changes):
    steps = table["step"].to_list()
    settings = {
        "method": "pooled",
        "shrinkage": True,
        "prediction_length": max(steps),
        "min_origins": 2,
        "min_scores": 10,
        "before_us": to_us(START + timedelta(days=365)),
        "candidate": "a" * 64,
    }
    return learn(table, **settings | changes)


def corrected(calibration, table):
    return calibration.corrected(
        table["model"].to_numpy(), table["step"].to_numpy().astype(np.int64)
    )


def coverage(target, quantiles):
    return (target[:, None] <= quantiles).mean(axis=0)


def coverage_error(table, quantiles):
    return float(
        np.abs(coverage(table["target"].to_numpy().astype(float), quantiles) - LEVELS).mean()
    )


@pytest.mark.parametrize("method", ["pooled", "per_step"])
@pytest.mark.parametrize("wrong", [{"stretch": 0.5}, {"stretch": 2.0}, {"bias": 0.7}])
def test_wrong_spread_and_bias_are_corrected_on_fresh_series_of_any_size(method, wrong):
    calibration = learnt(normal(0, **wrong), method=method)
    fresh = normal(1, num=40, **wrong)
    before = coverage_error(fresh, fresh["model"].to_numpy().astype(float))
    after = coverage_error(fresh, corrected(calibration, fresh).astype(float))
    assert before > 0.08
    assert after < 0.025
    assert calibration.weights[0] > 0.9


def test_steps_are_corrected_apart_where_they_differ():
    scale = [0.4, 0.6, 1.0, 1.0, 1.8, 2.6]  # too narrow at first, too wide at last
    table, fresh = normal(0, scale=scale, num=30), normal(1, scale=scale, num=60)
    apart, alike = (learnt(table, method=method) for method in ("per_step", "pooled"))
    assert len(apart.shifts) == 6
    assert len(alike.shifts) == 1
    for step in (1, 6):
        rows = fresh.filter(pl.col("step") == step)
        own, shared = (
            coverage_error(rows, corrected(c, rows).astype(float)) for c in (apart, alike)
        )
        assert own < 0.03
        assert shared > 0.05


def test_common_and_own_part_of_a_step_are_shrunk_apart():
    table = normal(0, num=30, stretch=0.5, scale=[0.9, 0.95, 1.0, 1.0, 1.05, 1.1], shock=0.5)
    shared = np.array(learnt(table, method="pooled", shrinkage=False).shifts)
    alone = np.array(learnt(table, method="per_step", shrinkage=False).shifts)
    shrunk = learnt(table, method="per_step")
    common, own = shrunk.weights
    assert 0 < own < common - 0.1
    np.testing.assert_allclose(shrunk.shifts, common * shared + own * (alone - shared))


def test_weight_is_one_less_the_jackknife_variance_over_the_size():
    table = normal(0, origins=16, stretch=0.6, shock=1.0)  # eight blocks of two origins
    whole = np.array(learnt(table, shrinkage=False).shifts[0])
    starts = table["origin"].unique().sort()
    without = [
        learnt(
            table.filter(~pl.col("origin").is_in(starts[k : k + 2].to_list())), shrinkage=False
        ).shifts[0]
        for k in range(0, 16, 2)
    ]
    variance = 7 * np.var(without, axis=0)  # (G - 1) / G times the sum of squares
    weight = learnt(table).weights[0]
    assert weight == pytest.approx(1 - variance.sum() / np.square(whole).sum())
    assert 0.1 < weight < 0.95


def test_true_quantiles_are_left_nearly_alone_and_shrinkage_is_why():
    table = normal(3, shock=0.0)
    assert np.abs(learnt(table).shifts or [0.0]).max() <= 0.02
    alone, shrunk = (
        learnt(normal(7, shock=2.0, stretch=math.sqrt(5)), shrinkage=shrinkage)
        for shrinkage in (False, True)
    )
    assert alone.weights == (1.0, 0.0)
    assert shrunk.weights[0] < 0.9
    kept = np.array(shrunk.shifts) if shrunk.shifts else np.zeros((1, 9))
    np.testing.assert_allclose(kept, shrunk.weights[0] * np.array(alone.shifts))


def test_shift_is_the_conformal_order_statistic():
    scores = np.arange(1.0, 20.0)  # n = 19: ranks 2, 4, 6, 8, 10, 12, 14, 16, 18 hit exactly
    quantile = np.broadcast_to(np.linspace(0, 1, 9), (1, 19, 1, 9)).copy()
    table = forecasts(scores.reshape(1, 19, 1), quantile)
    shifts = np.array(learnt(table, shrinkage=False).shifts[0])
    np.testing.assert_allclose(shifts, np.arange(2, 19, 2) - np.linspace(0, 1, 9), atol=1e-6)
    short = table.filter(pl.col("target") <= 12)  # n = 12: 1.3, 2.6, .. outwards, 6.5 in the middle
    shifts = np.array(learnt(short, shrinkage=False).shifts[0]) + np.linspace(0, 1, 9)
    np.testing.assert_allclose(shifts, [1, 2, 3, 5, 6.5, 8, 10, 11, 12], atol=1e-6)


def test_conformal_coverage_holds_with_few_exchangeable_scores():
    levels = []
    for seed in range(400):
        table = normal(seed, num=1, origins=15, steps=1, stretch=0.3)
        fresh = normal(10_000 + seed, num=1, origins=50, steps=1, stretch=0.3)
        found = corrected(learnt(table, shrinkage=False), fresh)
        levels.append(coverage(fresh["target"].to_numpy().astype(float), found.astype(float)))
    mean = np.mean(levels, axis=0)  # n = 15: the rank 14 of 16 covers 0.875, rank 15 0.9375
    ranks = np.array([1, 3, 4, 6, 8, 10, 12, 13, 15])
    np.testing.assert_allclose(mean, ranks / 16, atol=0.02)


def test_leak_from_the_test_period_is_caught():
    table = normal()
    t1 = table["timestamp"].max()
    with pytest.raises(
        DataError, match=r"calibrate: 12 of 1728 targets lie at or after T1 = 2024-"
    ):
        learnt(table, before_us=to_us(t1))
    assert learnt(table, before_us=to_us(t1) + 1).num_scores == 1728


def test_crossing_quantiles_are_refused_and_not_mended():
    table = normal()
    quantiles = table["model"].to_numpy().copy()
    quantiles[5, 3] = quantiles[5, 4] + 1
    calibration = learnt(normal(stretch=0.5))
    message = r"calibration: 1 of 1728 forecasts have crossing quantiles, rising ones are needed"
    with pytest.raises(DataError, match=message):
        calibration.corrected(quantiles, table["step"].to_numpy().astype(np.int64))
    with pytest.raises(DataError, match=message):
        learnt(table.with_columns(model=pl.Series(quantiles, dtype=pl.Array(pl.Float32, 9))))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"min_origins": 25}, r"not calibrated: 1728 scores at 24 origins, at least 10 at 25 are"),
        (
            {"min_scores": 1729},
            r"not calibrated: 1728 scores at 24 origins, at least 1729 at 2 are",
        ),
        ({"method": "none"}, r"calibrate\.method = none"),
    ],
)
def test_too_few_scores_and_none_correct_nothing_and_say_why(changes, reason):
    table = normal(stretch=0.5)
    calibration = learnt(table, **changes)
    assert not calibration.is_on
    np.testing.assert_array_equal(corrected(calibration, table), table["model"].to_numpy())
    assert re.search(reason, calibration.reason)


def test_missing_targets_and_flat_forecasts_are_no_scores():
    table = normal(num=2)
    holes = pl.when(pl.col("step") == 1).then(None).otherwise(pl.col("target"))
    flat = table["model"].to_numpy().copy()
    flat[table["item_id"].to_numpy() == "s1"] = 3.0
    table = table.with_columns(
        target=holes.cast(pl.Float32), model=pl.Series(flat, dtype=pl.Array(pl.Float32, 9))
    )
    calibration = learnt(table, method="per_step", shrinkage=False)
    assert calibration.num_scores == 24 * 5
    assert calibration.num_forecasts == 24
    found = corrected(calibration, table)
    assert (found[table["item_id"].to_numpy() == "s1"] == 3.0).all()


def test_step_with_few_scores_is_corrected_like_all():
    table = normal(num=MIN_SCORES_OF_STEP, origins=8, stretch=0.5)
    rare = pl.col("step") == 2
    kept = table.filter(~rare | (pl.col("origin") < pl.lit(START) + pl.duration(days=0.9)))
    kept = kept.filter(~rare | (pl.col("item_id") != "s0"))
    assert kept.filter(rare).height == MIN_SCORES_OF_STEP - 1
    apart = learnt(kept, method="per_step", shrinkage=False)
    alike = learnt(kept, method="pooled", shrinkage=False)
    np.testing.assert_array_equal(apart.shifts[1], alike.shifts[0])
    assert apart.shifts[0] != alike.shifts[0]


NARROW = learnt(normal(stretch=0.5))


@given(
    arrays(np.float32, (5, 4, 9), elements=st.floats(-1e6, 1e6, width=32)),
    arrays(np.float64, (3, 9), elements=st.floats(-3, 3)),
)
def test_corrected_quantiles_always_rise(values, shifts):
    moved = NARROW.model_copy(update={"shifts": tuple(map(tuple, shifts.tolist()))})
    found = moved.corrected(np.sort(values, axis=-1), np.arange(1, 5))
    assert found.dtype == np.float32
    assert (np.diff(found, axis=-1) >= 0).all()


def test_correction_of_ten_thousand_series_takes_a_fraction_of_a_second():
    size = np.random.default_rng(0).random((10_000, 48, 1)).astype(np.float32)
    quantiles = size * np.arange(9, dtype=np.float32)
    calibration = learnt(normal(stretch=0.5, steps=48, num=3), method="per_step")
    started = time.process_time()
    found = calibration.at_levels(
        calibration.corrected(quantiles, np.arange(1, 49)), [0.05, *QUANTILE_LEVELS, 0.95]
    )
    assert time.process_time() - started < 2.0
    assert found.shape == (10_000, 48, 11)


@pytest.mark.parametrize(
    ("distribution", "error"),
    [
        (stats.norm(3, 2), 1e-6),
        (stats.uniform(), 0.008),
        (stats.expon(), 0.015),
        (stats.t(3), 0.02),
        (stats.gumbel_r(), 0.01),
    ],
)
def test_levels_between_the_nine_are_near_the_truth(distribution, error):
    levels = np.linspace(0.1, 0.9, 161)
    nine = distribution.ppf(LEVELS).astype(np.float32)
    found = between(nine, QUANTILE_LEVELS, levels.tolist())
    assert (np.diff(found) >= 0).all()
    spread = distribution.ppf(0.9) - distribution.ppf(0.1)
    assert np.abs(found - distribution.ppf(levels)).max() <= error * spread
    assert between(nine, QUANTILE_LEVELS, QUANTILE_LEVELS) is nine
    np.testing.assert_array_equal(between(nine, QUANTILE_LEVELS, (0.1, 0.3, 0.9)), nine[[0, 2, 8]])


def test_levels_outside_are_refused():
    with pytest.raises(
        ValueError, match=r"quantiles: levels = \[0\.95\], 0\.1 to 0\.9 are allowed"
    ):
        between(Z.astype(np.float32), QUANTILE_LEVELS, [0.5, 0.95])


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.4])
def test_tail_finds_the_distribution_it_was_drawn_from(shape):
    draws = stats.genpareto(shape, scale=2.0).rvs(20_000, random_state=1)
    tail = fit_tail(draws, share=0.1, num_forecasts=200_000)
    assert tail is not None
    assert tail.shape == pytest.approx(shape, abs=0.03)
    assert tail.scale == pytest.approx(2.0, rel=0.03)
    known = Tail(share=0.1, limit=0.001, scale=2.0, shape=shape, num_excesses=99)
    levels = np.array([0.9, 0.95, 0.99, 0.999])
    expected = stats.genpareto(shape, scale=2.0).ppf(1 - (1 - levels) / 0.1)
    np.testing.assert_allclose(known.excess((1 - levels).tolist()), expected, atol=1e-9)


def test_tail_needs_excesses_and_names_its_limit():
    assert fit_tail(np.ones(MIN_EXCESSES - 1), share=0.1, num_forecasts=10_000) is None
    assert fit_tail(np.ones(MIN_EXCESSES), share=0.1, num_forecasts=9) is None
    tail = fit_tail(np.linspace(0.1, 1, MIN_EXCESSES), share=0.1, num_forecasts=1000)
    assert tail is not None
    assert tail.limit == 1 / 1001


@pytest.mark.parametrize("draw", [stats.norm(), stats.t(3), stats.laplace()])
def test_levels_beyond_the_nine_are_covered_on_fresh_series(draw):
    def table(seed):
        noise = draw.rvs((20, 30, 4), random_state=seed)
        nine = np.broadcast_to(draw.ppf(LEVELS), (*noise.shape, 9))
        return forecasts(noise, nine)

    calibration, fresh = learnt(table(0)), table(1)
    levels = [0.01, 0.025, 0.05, 0.5, 0.95, 0.975, 0.99]
    found = calibration.at_levels(corrected(calibration, fresh), levels)
    shares = coverage(fresh["target"].to_numpy().astype(float), found.astype(float))
    np.testing.assert_allclose(shares, levels, atol=0.015)
    lowest, highest = calibration.range
    assert lowest == pytest.approx(1 / 601)
    assert highest == pytest.approx(1 - 1 / 601)


def test_levels_beyond_what_was_seen_are_refused_by_name():
    calibration = learnt(normal())
    message = r"quantile_levels = \[0\.001\], numbers from 0\.00346 to 0\.9965 are allowed, as 288"
    with pytest.raises(ValueError, match=message):
        calibration.at_levels(np.zeros((1, 9), np.float32), [0.001])
    tailless = calibration.model_copy(update={"upper": None})
    with pytest.raises(ValueError, match=r"numbers from 0\.00346 to 0\.9 are allowed"):
        tailless.at_levels(np.zeros((1, 9), np.float32), [0.95])


def test_file_holds_all_of_it_and_is_small(tmp_path):
    calibration = learnt(normal(stretch=0.5), method="per_step")
    path = tmp_path / "calibration.json"
    calibration.save(path)
    assert Calibration.load(path, candidate="a" * 64) == calibration
    assert path.stat().st_size < 20_000
    learnt(normal(stretch=0.5), method="per_step").save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
