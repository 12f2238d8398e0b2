"""Every stored figure of fev, GluonTS, utilsforecast, R and a plain loop is found again."""

import json
import math
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from toto_core.evaluation.calibration import calibration_scores
from toto_core.evaluation.metrics import Tally, scores, seasonal_errors
from toto_core.evaluation.metrics.crps import crps_ensemble, crps_gaussian
from toto_core.evaluation.metrics.intervals import interval_score, quantile_score
from toto_core.evaluation.metrics.leaderboards import (
    bootstrap_interval,
    relative_errors,
    skill_scores,
    win_rates,
)
from toto_core.evaluation.metrics.points import percentage_errors
from toto_core.evaluation.metrics.relative import owa

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metrics.json").read_text())
CASES = GOLDEN["cases"]
START = datetime(2024, 1, 1, tzinfo=UTC)
END_US = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1e6)
# GluonTS takes neighbours as the season of a history shorter than one.
NEIGHBOURS = "E_history_shorter_than_season"
every_case = pytest.mark.parametrize("name", sorted(CASES))


def numbers(values):
    return np.array(values, dtype=float)


def close(value, expected):
    return value == pytest.approx(math.nan if expected is None else expected, rel=1e-9, nan_ok=True)


def hours(count):
    return [START + timedelta(hours=k) for k in range(count)]


class Case:
    """A stored case as arrays of cells and as tables."""

    def __init__(self, inputs):
        self.past = inputs["past"]
        self.target = numbers(inputs["y_true"])
        self.quantiles = numbers(inputs["q"])
        self.levels = inputs["quantile_levels"]
        self.season = inputs["seasonality"]
        self.names = [f"s{k}" for k in range(len(self.past))]
        self.median = self.quantiles[:, :, self.levels.index(0.5)]
        self.tallies = {}

    def scales(self, **options):
        tables = [
            pl.DataFrame(
                {
                    "item_id": [name] * len(past),
                    "variate": ["y"] * len(past),
                    "timestamp": hours(len(past)),
                    "value": numbers(past),
                }
            ).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))
            for name, past in zip(self.names, self.past, strict=True)
        ]
        seasons = pl.DataFrame({"item_id": self.names, "season": self.season})
        return seasonal_errors(pl.concat(tables).lazy(), seasons, before_us=END_US, **options)

    def tally(self, **options):
        key = json.dumps(options, sort_keys=True)
        if key not in self.tallies:
            self.tallies[key] = self.new_tally(**options)
        return self.tallies[key]

    def new_tally(self, **options):
        num_steps = self.target.shape[1]
        tables = [
            pl.DataFrame(
                {
                    "item_id": [name] * num_steps,
                    "variate": ["y"] * num_steps,
                    "origin": [START] * num_steps,
                    "step": np.arange(1, num_steps + 1, dtype=np.int32),
                    "timestamp": hours(num_steps),
                    "target": self.target[k],
                    "model": self.quantiles[k],
                }
            )
            for k, name in enumerate(self.names)
        ]
        facts = self.scales(**options.pop("scales", {})).with_columns(
            group="item_id", held_out=pl.lit(value=False)
        )
        options |= {"forecasters": ["model"], "source": "candidate", "levels": self.levels}
        return Tally(facts, **options).add_all(tables)

    def pooled(self, *, average="cells", **options):
        return scores(self.tally(**options).losses(), average=average).to_dicts()[0]

    def series(self, **options):
        rows = scores(self.tally(**options).losses(), ["item_id"]).to_dicts()
        return {row["item_id"]: row for row in rows}

    def level_losses(self, level, scale=1.0):
        quantile = self.quantiles[:, :, self.levels.index(level)]
        flat = quantile_score(self.target.ravel(), quantile.ravel(), level=level)
        return flat.reshape(quantile.shape) / np.expand_dims(scale, -1)

    def usable_scales(self, **options):
        scale = self.scales(**options)["scale"].cast(pl.Float64).to_numpy()
        return np.where(scale > 0, scale, np.nan)


@cache
def case_of(name):
    return Case(CASES[name]["inputs"])


def rmsse(case, rows):
    """Root of the mean squared error in units of the root mean square seasonal change."""
    scale = case.scales(power=2).filter(pl.col("scale") > 0)
    rows = rows.drop("scale").join(scale, on=["item_id", "variate"])
    ratios = rows["mse"] / rows["scale"] ** 2
    return math.sqrt((ratios * rows["num_steps"]).sum() / rows["num_steps"].sum())


@every_case
def test_fev_over_all_cells(name):
    case, fev = case_of(name), CASES[name]["fev"]
    pooled, losses = case.pooled(), case.tally().losses()
    mean_abs = np.nanmean(np.abs(case.target))
    found = {
        "MAE": pooled["mae"],
        "MASE": pooled["mase"],
        "MQL": pooled["mql"],
        "MSE": pooled["rmse"] ** 2,
        "RMSE": pooled["rmse"],
        "SMAPE": pooled["smape"],
        "SQL": pooled["sql"],
        "WAPE": pooled["mae"] / mean_abs,
        "WQL": pooled["wql"],
        "RMSSE": rmsse(case, losses),
        "MAPE": np.nanmean(percentage_errors(case.target.ravel(), case.median.ravel())),
    }
    for level in case.levels:
        found[f"MQL[{level}]"] = np.nanmean(case.level_losses(level))
        found[f"WQL[{level}]"] = np.nanmean(case.level_losses(level)) / mean_abs
        found[f"SQL[{level}]"] = np.nanmean(case.level_losses(level, case.usable_scales()))
    assert found.keys() == fev.keys()
    for metric, value in found.items():
        assert close(value, fev[metric]), metric


@every_case
def test_gluonts_over_all_cells(name):
    case, stored = case_of(name), CASES[name]["gluonts_ev"]
    scales = {"short_history": "neighbours"} if name == NEIGHBOURS else {}
    tally = case.tally(scales=scales)
    pooled, coverage = case.pooled(scales=scales), tally.profile.coverage()
    mean_abs = np.nanmean(np.abs(case.target))
    calibration = calibration_scores(tally.losses(), coverage, forecaster="model")
    found = {
        "MSE[mean]": pooled["rmse"] ** 2,
        "MSE[0.5]": pooled["rmse"] ** 2,
        "MAE[0.5]": pooled["mae"],
        "MASE[0.5]": pooled["mase"],
        "MAPE[0.5]": np.nanmean(percentage_errors(case.target.ravel(), case.median.ravel())),
        "sMAPE[0.5]": pooled["smape"],
        "RMSE[mean]": pooled["rmse"],
        "NRMSE[mean]": pooled["rmse"] / mean_abs,
        "ND[0.5]": pooled["mae"] / mean_abs,
        "mean_weighted_sum_quantile_loss": pooled["wql"],
        "average_mean_scaled_quantile_loss": pooled["sql"],
        "MAE_coverage": calibration["mean_coverage_error"],
    }
    for level, share in coverage.select("level", "coverage").iter_rows():
        found[f"coverage[{level}]"] = share
        loss = np.nanmean(case.level_losses(level))
        found[f"weighted_sum_quantile_loss[{level}]"] = loss / mean_abs
    if "MSIS" in stored:
        low, high = (case.quantiles[:, :, case.levels.index(q)] for q in (0.025, 0.975))
        score = interval_score(case.target.ravel(), low.ravel(), high.ravel(), alpha=0.05)
        found["MSIS"] = np.nanmean(score.reshape(low.shape) / case.usable_scales()[:, None])
    assert found.keys() == stored.keys()
    for metric, value in found.items():
        assert close(value, stored[metric]), metric


@every_case
def test_gluonts_of_each_series(name):
    case, stored = case_of(name), CASES[name]["gluonts_ev_per_series_axis1"]
    scales = {"short_history": "neighbours"} if name == NEIGHBOURS else {}
    rows = case.series(scales=scales)
    found = {
        "MSE[0.5]": "mse",
        "MAE[0.5]": "mae",
        "MASE[0.5]": "mase",
        "sMAPE[0.5]": "smape",
        "RMSE[mean]": "rmse",
        "mean_weighted_sum_quantile_loss": "wql",
        "average_mean_scaled_quantile_loss": "sql",
    }
    for k, item in enumerate(case.names):
        if item not in rows:  # no target at all: GluonTS gives nothing, or zero for a sum
            assert {stored[metric][k] for metric in found} <= {None, 0.0}
            continue
        row = rows[item] | {"mse": rows[item]["rmse"] ** 2}
        if not case.target[k].any():  # GluonTS leaves the sum as it is where |y| sums to zero
            assert math.isnan(row["wql"])
            row["wql"] = row["mql"] * row["num_cells"]
        for metric, own in found.items():
            assert close(row[own], stored[metric][k]), (metric, item)


@every_case
def test_utilsforecast_of_each_series(name):
    case, stored = case_of(name), CASES[name]["utilsforecast"]
    options = {"zero_scale": "infinite", "doubled": False}
    rows, doubled = case.series(**options), case.series()
    losses = case.tally().losses()
    for item, row in rows.items():
        scale = case.scales().filter(pl.col("item_id") == item)["scale"].item()
        own = losses.filter(pl.col("item_id") == item)
        place = case.names.index(item)
        target, median = case.target[place], case.median[place]
        found = {
            "mae": row["mae"],
            "mse": row["rmse"] ** 2,
            "rmse": row["rmse"],
            "smape (0..1 scale)": row["smape"] / 2,
            "mape": np.nanmean(percentage_errors(target, median)) if target.any() else None,
            "mase": row["mase"],
            "mqloss": row["mql"],
            "scaled_mqloss": row["sql"],
            "coverage80": row["coverage80"],
            "winkler80": row["winkler80"],
        }
        if target.any():  # utilsforecast divides by a tiny number instead of zero
            found["nd"] = row["mae"] / np.nanmean(np.abs(target))
            # It sums |y| over the observed steps, but divides by all of them.
            observed = np.isfinite(target).mean()
            found["scaled_crps"] = doubled[item]["wql"] / observed
        if scale:
            found["rmsse"] = rmsse(case, own)
        for metric, value in found.items():
            expected = stored[metric][item]
            expected = math.inf if expected == "inf" else expected
            if metric in {"coverage80", "winkler80"} and np.isnan(target).any():
                continue  # utilsforecast counts a missing target as a miss
            assert close(math.nan if value is None else value, expected), (metric, item)


@every_case
def test_plain_loop(name):
    case, plain = case_of(name), CASES[name]["own_plain_loop"]
    pooled = case.pooled()
    assert pooled["num_cells"] == plain["n_scored"] or plain["series_dropped_from_scaled"]
    for own, stored in (("mase", "MASE"), ("sql", "SQL"), ("wql", "WQL")):
        assert close(pooled[own], plain[stored]), own
    assert close(pooled["mql"] / 2, plain["pinball_mean_no_factor2"])
    assert close(pooled["coverage80"], plain["interval_coverage_0p1_0p9"])
    shares = case.tally().profile.coverage()["coverage"].to_list()
    assert shares == pytest.approx(list(plain["coverage"].values()))
    assert case.scales()["scale"].to_list() == [
        None if scale is None else pytest.approx(scale, rel=1e-12)
        for scale in plain["seasonal_error"]
    ]
    dropped = [k for k, scale in enumerate(case.usable_scales()) if np.isnan(scale)]
    assert dropped == plain["series_dropped_from_scaled"]


def test_missing_targets_average_over_cells_or_over_series():
    case = case_of("C_nan_past_and_true")
    assert case.pooled()["mase"] == pytest.approx(2.0325, abs=1e-4)
    series = case.pooled(average="series")["mase"]
    assert series == pytest.approx(2.1338, abs=1e-4)
    stored = CASES["C_nan_past_and_true"]["utilsforecast"]["mase"]
    assert series == pytest.approx(np.mean(list(stored.values())))


def test_a_constant_history_is_left_out_or_infinite():
    case = case_of("D_one_constant_history")
    assert math.isfinite(case.pooled()["sql"])
    assert case.pooled(zero_scale="infinite")["sql"] == math.inf


def test_a_short_history_is_left_out_or_scaled_by_neighbours():
    case = case_of(NEIGHBOURS)
    assert case.pooled()["mase"] == pytest.approx(1.3803, abs=1e-4)
    other = case.pooled(scales={"short_history": "neighbours"})["mase"]
    assert other == pytest.approx(1.1584, abs=1e-4)
    # A history of exactly a season has no pair either, and is left out by all.
    exact = case_of("I_history_equals_season")
    same = exact.pooled(scales={"short_history": "neighbours"})["mase"]
    assert same == exact.pooled()["mase"]


def test_quantile_losses_are_doubled_or_not():
    case = case_of("A_equal_len")
    assert case.pooled(doubled=False)["sql"] == pytest.approx(case.pooled()["sql"] / 2)


def test_squares_scale_by_squares():
    case = case_of("A_equal_len")
    assert (case.scales(power=2)["scale"] > case.scales()["scale"]).all()


@pytest.mark.parametrize(
    "stored", GOLDEN["R_forecast_accuracy"], ids=lambda r: r["series"] + "-" + r["method"]
)
def test_accuracy_of_r(stored):
    mean = numbers([stored["mean"]])
    inputs = {
        "past": [stored["train"]],
        "y_true": [stored["test"]],
        "q": np.repeat(mean[:, :, None], 3, axis=2),
        "quantile_levels": [0.1, 0.5, 0.9],
        "seasonality": stored["frequency"],
    }
    case, expected = Case(inputs), stored["accuracy_test"]
    pooled = case.pooled()
    assert close(pooled["mae"], expected["MAE"])
    assert close(pooled["rmse"], expected["RMSE"])
    assert close(pooled["mase"], expected["MASE"])
    share = np.nanmean(percentage_errors(case.target[0], case.median[0]))
    assert close(100 * share, expected["MAPE"])


def test_fev_aggregation_with_clip_and_bootstrap():
    stored = GOLDEN["fev_aggregation"]
    errors = numbers(stored["relative_errors_unclipped"])
    ratios = relative_errors(errors, baseline=0, clip=tuple(map(float, stored["clip"])))
    options = {name: stored[name] for name in ("num_resamples", "seed", "alpha") if name in stored}
    for key, statistic in (("skill_score", skill_scores), ("win_rate", win_rates)):
        lower, upper = bootstrap_interval(ratios, statistic, **options)
        assert statistic(ratios) == pytest.approx(stored[key]["point"], abs=1e-12)
        assert lower == pytest.approx(stored[key]["lower"], abs=1e-12)
        assert upper == pytest.approx(stored[key]["upper"], abs=1e-12)


def test_owa_of_m4_averages_first():
    stored = GOLDEN["m4_owa"]
    means = {key: float(np.mean(stored[key])) for key in stored if not key.startswith("owa")}
    found = owa(
        smape=means["smape"],
        mase=means["mase"],
        base_smape=means["smape_naive2"],
        base_mase=means["mase_naive2"],
    )
    assert found == pytest.approx(stored["owa_m4_average_then_ratio"], rel=1e-12)
    assert abs(found - stored["owa_wrong_mean_of_per_series_ratios"]) > 0.04


def test_crps_interval_and_quantile_scores():
    stored = GOLDEN["crps"]
    y, members = numbers(stored["y"]), numbers(stored["ensemble"])
    np.testing.assert_allclose(crps_ensemble(y, members), stored["scoringrules_crps_ensemble_nrg"])
    np.testing.assert_allclose(crps_ensemble(y, members), stored["properscoring_crps_ensemble"])
    fair = crps_ensemble(y, members, fair=True)
    np.testing.assert_allclose(fair, stored["scoringrules_crps_ensemble_fair"])
    normal = stored["gaussian"]
    found = crps_gaussian(y, normal["mu"], normal["sigma"])
    np.testing.assert_allclose(found, normal["scoringrules"])
    np.testing.assert_allclose(found, normal["properscoring"])
    interval = stored["interval_score_90"]
    ends = (np.full(len(y), interval[end]) for end in ("lower", "upper"))
    np.testing.assert_allclose(
        interval_score(y, *ends, alpha=interval["alpha"]), interval["scoringrules"]
    )
    quantile = stored["quantile_score_0p3"]
    found = quantile_score(
        y, np.full(len(y), quantile["q"]), level=quantile["alpha"], doubled=False
    )
    np.testing.assert_allclose(found, quantile["scoringrules"])
