"""Figures of any group are averages over its cells, and relative ones divide averages."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from toto_core.evaluation.metrics import METRICS, Tally, pooled_scores, scores, skill, skills
from toto_core.evaluation.metrics.leaderboards import (
    leaderboard,
    mean_ranks,
    relative_errors,
    win_rates,
)
from toto_core.evaluation.metrics.relative import out_of_sample_r2, owa

START = datetime(2024, 1, 1, tzinfo=UTC)
FORECASTERS = ("model", "naive")
SCALES = {"a": 0.5, "b": 2.0}


def forecasts(*, steps=2, missing=(), seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {
            "item_id": item,
            "variate": variate,
            "origin": START + timedelta(days=day),
            "step": step,
            "timestamp": START,
            "target": None if (item, day, step) in missing else rng.standard_normal() + 3,
        }
        for item in SCALES
        for variate in ("cpu", "net")
        for day in range(3)
        for step in range(1, steps + 1)
    ]
    quantiles = np.sort(rng.standard_normal((2, len(rows), 9)), axis=2) + 3
    return pl.DataFrame(rows).with_columns(model=quantiles[0], naive=quantiles[1] + 0.5)


def losses_of(table):
    facts = pl.DataFrame(
        [
            {"item_id": item, "variate": variate, "group": "g", "held_out": False, "scale": scale}
            for item, scale in SCALES.items()
            for variate in ("cpu", "net")
        ]
    )
    return Tally(facts, forecasters=FORECASTERS, source="candidate").add_all([table]).losses()


def by_hand(rows, forecaster):
    """Figures of rows of forecasts, cell by cell."""
    rows = rows.drop_nulls("target")
    y, q = rows["target"].to_numpy(), rows[forecaster].to_numpy()
    scale = rows["item_id"].replace_strict(SCALES).to_numpy()
    error, width = y - q[:, 4], q[:, 8] - q[:, 0]
    pinball = np.mean(
        [2 * np.abs((y - q[:, k]) * ((y <= q[:, k]) - (k + 1) / 10)) for k in range(9)], axis=0
    )
    outside = np.maximum(q[:, 0] - y, 0) + np.maximum(y - q[:, 8], 0)
    return {
        "mase": np.mean(np.abs(error) / scale),
        "sql": np.mean(pinball / scale),
        "wql": pinball.sum() / np.abs(y).sum(),
        "mql": pinball.mean(),
        "mae": np.abs(error).mean(),
        "rmse": math.sqrt(np.mean(error**2)),
        "smape": np.mean(2 * np.abs(error) / (np.abs(y) + np.abs(q[:, 4]))),
        "msis80": np.mean((width + 10 * outside) / scale),
        "winkler80": np.mean(width + 10 * outside),
        "coverage80": np.mean(outside == 0),
        "sharpness": np.mean(width / scale),
        "scaled_mse": np.mean((error / scale) ** 2),
    }


@pytest.mark.parametrize(
    "by", [[], ["item_id"], ["variate"], ["group"], ["origin"], ["item_id", "variate", "origin"]]
)
def test_figures_of_every_group_are_averages_over_its_cells(by):
    table = forecasts(steps=4, missing={("a", 0, 1), ("b", 2, 3)}).with_columns(group=pl.lit("g"))
    found = scores(losses_of(table), by)
    assert found.columns == [*by, "forecaster", "num_cells", *METRICS]
    assert found.height == 2 * max(1, table.select(by).unique().height if by else 1)
    for row in found.to_dicts():
        cells = table.filter(pl.col(key) == row[key] for key in by) if by else table
        own, naive = by_hand(cells, row["forecaster"]), by_hand(cells, "naive")
        own["owa"] = (own["smape"] / naive["smape"] + own["mase"] / naive["mase"]) / 2
        own["r2_vs_naive"] = 1 - own.pop("scaled_mse") / naive["scaled_mse"]
        assert row["num_cells"] == cells["target"].count()
        for metric in METRICS:
            assert row[metric] == pytest.approx(own[metric], rel=1e-9), (by, metric)


def test_series_weigh_alike_if_asked():
    missing = {("a", day, step) for day in (0, 1) for step in (1, 2)}
    losses = losses_of(forecasts(missing=missing))
    cells, series = (
        scores(losses, average=average).filter(pl.col("forecaster") == "model").to_dicts()[0]
        for average in ("cells", "series")
    )
    rows = scores(losses, ["item_id", "variate"]).filter(pl.col("forecaster") == "model")
    for metric in ("mase", "sql", "mae", "smape", "msis80", "coverage80", "wql"):
        assert series[metric] == pytest.approx(rows[metric].mean())
    assert series["sql"] != pytest.approx(cells["sql"])
    assert series["num_cells"] == cells["num_cells"]


def test_a_series_without_a_scale_weighs_nothing_in_the_mean_over_series():
    losses = losses_of(forecasts())
    is_b = pl.col("item_id") == "b"
    cut = losses.with_columns(pl.when(~is_b).then(pl.col("sql", "mase")))
    only_a = scores(losses.filter(~is_b), average="series").filter(forecaster="model")
    found = scores(cut, average="series").filter(forecaster="model")
    for metric in ("sql", "mase", "msis80", "sharpness"):
        assert found[metric].item() == pytest.approx(only_a[metric].item())
    assert found["mae"].item() != pytest.approx(only_a["mae"].item())


def test_a_loss_that_is_no_number_is_not_passed_over():
    losses = losses_of(forecasts())
    losses[0, "sql"] = math.nan
    assert math.isnan(pooled_scores(losses)["model"]["sql"])
    losses[0, "sql"] = None
    assert math.isfinite(pooled_scores(losses)["model"]["sql"])


def test_order_of_rows_does_not_matter():
    losses = losses_of(forecasts())
    shuffled = losses.sample(fraction=1, shuffle=True, seed=0)
    found = scores(shuffled, ["item_id"])
    assert_frame_equal(found, scores(losses, ["item_id"]))


@pytest.mark.parametrize(
    ("model", "baseline", "expected"),
    [
        (0.8, 1.0, 0.2),
        (3.0, 1.0, -2.0),
        (0.0, 0.0, 0.0),
        (1.0, 0.0, -math.inf),
        (math.nan, 1.0, math.nan),
        (1.0, math.nan, math.nan),
        (math.nan, 0.0, math.nan),
    ],
)
def test_skill_has_one_answer(model, baseline, expected):
    assert skill(model, baseline) == pytest.approx(expected, nan_ok=True)
    assert skills(np.array([model, 1.0]), np.array([baseline, 2.0])).tolist() == pytest.approx(
        [expected, 0.5], nan_ok=True
    )


def test_owa_divides_the_averages():
    assert owa(smape=0.1, mase=0.9, base_smape=0.2, base_mase=1.0) == pytest.approx(0.7)
    assert math.isnan(owa(smape=0.1, mase=0.9, base_smape=0.0, base_mase=1.0))


def test_ordinary_r2_tells_the_length_of_the_window():
    """On a random walk no change is the best forecast; only R2 against it says so."""
    walks = np.random.default_rng(0).standard_normal((2000, 1001)).cumsum(axis=1)
    ordinary, against_naive = {}, {}
    for steps in (16, 64, 250, 1000):
        y, naive = walks[:, 1 : steps + 1], walks[:, :steps]
        mse = np.mean((y - naive) ** 2, axis=1)
        ordinary[steps] = float(np.median(1 - mse / y.var(axis=1)))
        against_naive[steps] = out_of_sample_r2(mse=mse.mean(), base_mse=mse.mean())
        worse = naive + 5 * np.abs(y - naive).mean()
        five_times = np.mean((y - worse) ** 2, axis=1)
        if steps == 1000:
            assert np.median(1 - five_times / y.var(axis=1)) == pytest.approx(0.86, abs=0.01)
        assert out_of_sample_r2(mse=five_times.mean(), base_mse=mse.mean()) < -10
    assert list(against_naive.values()) == [0.0] * 4
    expected = {16: 0.48, 64: 0.87, 250: 0.97, 1000: 0.99}  # as docs/evaluation.md says
    assert ordinary == pytest.approx(expected, abs=0.01)
    # The whole path from one origin: the same best forecast now looks worthless.
    path = walks[:, 1:17]
    of_path = 1 - np.mean((path - walks[:, :1]) ** 2, axis=1) / path.var(axis=1)
    assert np.median(of_path) == pytest.approx(-1.44, abs=0.01)


ERRORS = np.array([[2.0, 1.0, 4.0], [1.0, 1.0, 0.5], [4.0, 1.0, 400.0]])


def test_leaderboard_by_hand():
    board = leaderboard(ERRORS, baseline=0)
    ratios = [(1, 0.5, 2), (1, 1, 0.5), (1, 0.25, 100)]
    assert board.relative_error == pytest.approx(np.prod(ratios, axis=0) ** (1 / 3))
    assert board.mean_rank == pytest.approx([(2 + 2.5 + 2) / 3, (1 + 2.5 + 1) / 3, (3 + 1 + 3) / 3])
    assert mean_ranks(ERRORS) == pytest.approx(board.mean_rank)


def test_order_of_models_does_not_depend_on_the_baseline():
    one, other = (leaderboard(ERRORS, baseline=k).relative_error for k in (0, 2))
    assert one / one[1] == pytest.approx(other / other[1])


def test_ratios_are_clipped_unless_told():
    errors = np.array([[1.0, 1e-5], [1.0, 1e5]])
    assert relative_errors(errors, baseline=0)[:, 1].tolist() == [0.01, 100.0]
    assert relative_errors(errors, baseline=0, clip=None)[:, 1].tolist() == [1e-5, 1e5]


def test_ties_are_half_a_win():
    assert win_rates(np.array([[1.0, 1.0, 2.0]])).tolist() == [0.75, 0.75, 0.0]


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_errors_of_tasks_are_positive_numbers(bad):
    errors = ERRORS.copy()
    errors[1, 2] = bad
    with pytest.raises(ValueError, match=rf"1 of 9 errors are not .*errors\[1, 2\] = {bad}; leave"):
        leaderboard(errors, baseline=0)
