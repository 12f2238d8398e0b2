"""Losses are right in units, weights and groups, and do not see the test period."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

import toto_core.evaluation.metrics.cells as cells_module
from toto_core.evaluation.metrics import (
    QUANTILE_LEVELS,
    Tally,
    cell_losses,
    origin_losses,
    pooled_scores,
    seasonal_errors,
)

START = datetime(2024, 1, 1, tzinfo=UTC)


def hours(first, count):
    return [START + timedelta(hours=first + k) for k in range(count)]


def numbers(values):
    return np.array(values, dtype=float)


def series_table(histories):
    return pl.concat(
        pl.DataFrame(
            {
                "item_id": [f"s{k}"] * len(past),
                "variate": ["y"] * len(past),
                "timestamp": hours(0, len(past)),
                "value": numbers(past),
            }
        ).cast({"timestamp": pl.Datetime("us", "UTC")})
        for k, past in enumerate(histories)
    )


def test_quantile_loss_by_hand():
    cells = cell_losses(np.array([10.0]), np.full((1, 9), 7.0))
    # 2 (y - z) q, averaged over the levels: 2 * 3 * 0.5
    assert cells.ql[0] == pytest.approx(3.0)
    cells = cell_losses(np.array([7.0]), np.full((1, 9), 10.0))
    assert cells.ql[0] == pytest.approx(3.0)
    assert (cells.ae[0], cells.se[0], cells.inside80[0]) == (3.0, 9.0, 0.0)


def test_true_quantiles_have_the_smallest_loss():
    rng = np.random.default_rng(0)
    target = rng.standard_normal(50_000)
    truth = np.quantile(rng.standard_normal(200_000), QUANTILE_LEVELS)
    loss = {
        name: cell_losses(target, np.tile(quantiles, (len(target), 1))).ql.mean()
        for name, quantiles in {
            "truth": truth,
            "wide": 1.5 * truth,
            "narrow": 0.5 * truth,
            "moved": truth + 0.2,
        }.items()
    }
    assert min(loss, key=lambda name: loss[name]) == "truth"
    assert loss["truth"] < 0.99 * min(loss[name] for name in ("wide", "narrow", "moved"))


def two_series_forecasts(seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {
            "item_id": name,
            "variate": "y",
            "origin": START + timedelta(days=day),
            "step": step,
            "timestamp": START,
        }
        for name in ("a", "b")
        for day in range(3)
        for step in (1, 2)
    ]
    quantiles = np.sort(rng.standard_normal((len(rows), 9)), axis=1)
    return pl.DataFrame(rows).with_columns(
        pl.col("step").cast(pl.Int32),
        target=rng.standard_normal(len(rows)),
        model=quantiles,
        naive=quantiles + 1,
    )


def facts(scale_b=2.0):
    return pl.DataFrame(
        {
            "item_id": ["a", "b"],
            "variate": ["y", "y"],
            "group": ["g", "g"],
            "held_out": [False, True],
            "scale": [0.5, scale_b],
        }
    )


def test_losses_are_means_over_observed_steps():
    forecasts = two_series_forecasts()
    forecasts[1, "target"] = None
    losses = origin_losses(forecasts, facts(), forecasters=["model", "naive"], source="candidate")
    assert losses.height == 12
    assert losses.columns[:7] == [
        *("item_id", "group", "variate", "held_out", "origin", "forecaster", "source"),
    ]
    first = losses.row(0, named=True)
    assert (first["forecaster"], first["num_steps"]) == ("model", 1)
    cells = cell_losses(forecasts["target"].to_numpy()[:1], forecasts["model"].to_numpy()[:1])
    assert first["sql"] == pytest.approx(cells.ql[0] / 0.5)
    assert first["mase"] == pytest.approx(cells.ae[0] / 0.5)
    assert first["abs_target"] == pytest.approx(abs(forecasts["target"][0]))


@pytest.mark.parametrize("scale", [0.0, None])
def test_a_series_without_a_scale_has_no_scaled_loss(scale):
    forecasts = two_series_forecasts()
    losses = origin_losses(forecasts, facts(scale), forecasters=["model"], source="candidate")
    assert losses.filter(pl.col("item_id") == "b")["sql"].null_count() == 3
    only_a = losses.filter(pl.col("item_id") == "a")
    pooled = pooled_scores(losses)["model"]
    assert pooled["sql"] == pytest.approx(pooled_scores(only_a)["model"]["sql"])
    assert pooled["mae"] != pytest.approx(pooled_scores(only_a)["model"]["mae"])


def test_scaled_losses_do_not_depend_on_units():
    forecasts = two_series_forecasts()
    larger = forecasts.with_columns(
        pl.col("target") * 1000, model=forecasts["model"].to_numpy() * 1000
    )
    scaled = facts().with_columns(pl.col("scale") * 1000)
    options = {"forecasters": ["model"], "source": "candidate"}
    before, after = (
        pooled_scores(origin_losses(table, fact, **options))["model"]
        for table, fact in ((forecasts, facts()), (larger, scaled))
    )
    for metric in ("mase", "sql", "wql", "coverage80"):
        assert after[metric] == pytest.approx(before[metric])
    assert after["mae"] == pytest.approx(1000 * before["mae"])


def test_r2_is_against_no_change():
    forecasts = two_series_forecasts()
    losses = origin_losses(forecasts, facts(), forecasters=["model", "naive"], source="candidate")
    scores = pooled_scores(losses)
    scale = np.repeat([0.5, 2.0], 6)
    errors = {
        name: (forecasts["target"].to_numpy() - forecasts[name].to_numpy()[:, 4]) / scale
        for name in ("model", "naive")
    }
    expected = 1 - np.sum(errors["model"] ** 2) / np.sum(errors["naive"] ** 2)
    assert scores["model"]["r2_vs_naive"] == pytest.approx(expected)
    assert scores["naive"]["r2_vs_naive"] == 0


def test_one_level_may_be_scored_without_the_factor():
    cells = cell_losses(np.array([10.0]), np.full((1, 9), 7.0), doubled=False)
    assert cells.ql[0] == pytest.approx(1.5)


def test_interval_and_symmetric_error_by_hand():
    quantiles = np.tile(np.arange(1.0, 10.0), (3, 1))
    cells = cell_losses(np.array([5.0, 11.0, 0.5]), quantiles)
    assert cells.width80.tolist() == [8.0] * 3
    assert cells.winkler80.tolist() == pytest.approx([8.0, 8 + 2 / 0.2 * 2, 8 + 2 / 0.2 * 0.5])
    assert cells.sape.tolist() == pytest.approx([0.0, 2 * 6 / 16, 2 * 4.5 / 5.5])
    assert cells.inside80.tolist() == [1.0, 0.0, 0.0]
    zero = cell_losses(np.zeros(1), np.zeros((1, 9)))
    assert zero.sape.tolist() == [0.0]


def test_the_interval_holds_its_ends():
    quantiles = np.tile(np.arange(1.0, 10.0), (4, 1))
    cells = cell_losses(np.array([1.0, 9.0, 0.99, 9.01]), quantiles)
    assert cells.inside80.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_missing_targets_lose_nothing():
    quantiles = np.tile(np.arange(9.0), (2, 1))
    cells = cell_losses(np.array([math.nan, 4.0]), quantiles)
    assert cells.observed.tolist() == [False, True]
    for loss in ("ql", "ae", "se", "sape", "inside80", "width80", "winkler80"):
        assert getattr(cells, loss)[0] == 0


def test_losses_do_not_depend_on_where_blocks_end(monkeypatch):
    rng = np.random.default_rng(0)
    target, quantiles = rng.standard_normal(50), np.sort(rng.standard_normal((50, 9)), axis=1)
    whole = cell_losses(target, quantiles)
    monkeypatch.setattr(cells_module, "BLOCK", 7)
    cut = cell_losses(target, quantiles)
    for field in ("ql", "winkler80", "num_below", "num_to"):
        np.testing.assert_array_equal(getattr(cut, field), getattr(whole, field))


def test_without_no_change_there_is_no_r2():
    losses = origin_losses(
        two_series_forecasts(), facts(), forecasters=["model"], source="candidate"
    )
    assert math.isnan(pooled_scores(losses)["model"]["r2_vs_naive"])


def test_steps_are_scored_apart():
    forecasts = two_series_forecasts()
    seen = facts().with_columns(held_out=pl.lit(value=False))
    tally = Tally(seen, forecasters=["model", "naive"], source="candidate").add_all([forecasts])
    table = tally.profile.by_step()
    assert table.columns == ["step", "forecaster", "mase", "sql", "num_cells"]
    assert table.height == 4
    for step in (1, 2):
        rows = forecasts.with_columns(scale=np.repeat([0.5, 2.0], 6)).filter(pl.col("step") == step)
        error = np.abs(rows["target"].to_numpy() - rows["model"].to_numpy()[:, 4])
        found = table.filter((pl.col("step") == step) & (pl.col("forecaster") == "model"))
        assert found["mase"].item() == pytest.approx(np.mean(error / rows["scale"].to_numpy()))


def test_scale_does_not_see_the_test_period():
    past = np.random.default_rng(0).standard_normal(50).cumsum()
    seasons = pl.DataFrame({"item_id": ["s0"], "season": [4]})
    cut_us = int(hours(40, 1)[0].timestamp() * 1e6)
    before = seasonal_errors(series_table([past]).lazy(), seasons, before_us=cut_us)
    past[40:] = 1e6
    after = seasonal_errors(series_table([past]).lazy(), seasons, before_us=cut_us)
    assert before.equals(after)
    assert before["scale"].item() == pytest.approx(np.abs(past[4:40] - past[:36]).mean())
