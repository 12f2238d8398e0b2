"""The demo fleet is repeatable, has something to forecast and holds the faults it promises."""

import numpy as np
import polars as pl
import pytest

from toto_core.data.demo import GROUPS, LEGACY, START_US, VARIATES, simulate_fleet
from toto_core.data.frequency import HOUR_US, infer_freq, parse_freq
from toto_core.data.tables import ITEMS_SCHEMA, SERIES_SCHEMA

NUM_DAYS = 120


def simulate(**changes):
    settings = {"num_services": 24, "num_days": NUM_DAYS, "freq": parse_freq("1h"), "seed": 0}
    return simulate_fleet(**(settings | changes))


@pytest.fixture(scope="module")
def fleet():
    return simulate()


@pytest.fixture(scope="module")
def healthy(fleet):
    """Item to its values on the grid, [4, T], gaps filled with the last value."""
    rows = fleet.rows.filter(~pl.col("item_id").str.starts_with("legacy"))
    rows = rows.unique(["item_id", "variate", "timestamp"], keep="first").filter(
        pl.col("value").is_finite()
    )
    hours = pl.datetime_range(
        pl.from_epoch(pl.lit(START_US), "us"),
        pl.from_epoch(pl.lit(START_US + (24 * NUM_DAYS - 1) * HOUR_US), "us"),
        "1h",
        time_zone="UTC",
    )
    grid = pl.select(timestamp=hours)
    return {
        item: np.stack(
            [
                grid.join(part.filter(pl.col("variate") == name), on="timestamp", how="left")[
                    "value"
                ]
                .fill_null(strategy="forward")
                .fill_null(strategy="backward")
                .to_numpy()
                for name in VARIATES
            ]
        )
        for (item,), part in rows.partition_by("item_id", as_dict=True).items()
    }


def test_tables_have_their_schemas_and_order(fleet):
    assert fleet.rows.schema == SERIES_SCHEMA
    assert fleet.items.schema == ITEMS_SCHEMA
    assert fleet.items["item_id"].n_unique() == 24 + len(LEGACY)
    assert fleet.items["group"].n_unique() >= 10
    keys = fleet.rows.select("item_id", "variate", "timestamp")
    assert keys.equals(keys.sort("item_id", "variate", "timestamp"))
    assert fleet.rows["timestamp"].min().isoformat() == "2025-01-06T00:00:00+00:00"


def test_same_seed_gives_the_same_fleet_and_another_one_does_not(fleet):
    assert simulate().rows.equals(fleet.rows)
    assert not simulate(seed=1).rows.equals(fleet.rows)


def test_service_keeps_its_values_when_others_are_added(fleet):
    def service(rows):
        kept = rows.filter(pl.col("item_id") == "cart-1", pl.col("value").is_finite())
        return kept.unique(["variate", "timestamp"], keep="first").sort("variate", "timestamp")

    few, many = service(simulate(num_services=3).rows), service(fleet.rows)
    both = few.join(many, on=["variate", "timestamp"])
    assert both.height > 0.99 * few.height
    assert (both["value"] == both["value_right"]).mean() > 0.99


@pytest.mark.parametrize("freq", ["5min", "1D"])
def test_other_frequencies_are_simulated(freq):
    fleet = simulate(num_services=2, num_days=60, freq=parse_freq(freq))
    cpu = fleet.rows.filter(pl.col("item_id") == "checkout-1", pl.col("variate") == "cpu")
    found = infer_freq(cpu["timestamp"].to_physical().to_numpy())
    assert found is not None
    assert found.canonical == freq


def test_each_planted_fault_is_there(fleet):
    rows = fleet.rows
    assert rows["value"].is_nan().any()
    assert rows["value"].is_infinite().any()
    assert (rows.filter(pl.col("variate") == "cpu")["value"] < 0).any()
    repeated = rows.group_by("item_id", "variate", "timestamp").agg(
        pl.len(), pl.col("value").n_unique().alias("values")
    )
    repeated = repeated.filter(pl.col("len") > 1)
    assert (repeated["values"] == 1).any()
    assert (repeated["values"] > 1).any()
    series = {item: rows.filter(pl.col("item_id") == item) for item in LEGACY}
    constant = series["legacy-constant"].group_by("variate").agg(pl.col("value").n_unique())
    assert constant["value"].to_list() == [1] * 4
    assert series["legacy-short"].height < 4 * 128
    assert series["legacy-silent"].height < 0.3 * 4 * 400
    clock = series["legacy-irregular"].filter(pl.col("variate") == "cpu")["timestamp"].diff()
    assert clock.drop_nulls().value_counts()["count"].max() < 5


def test_planted_faults_are_a_small_share(fleet):
    rows = fleet.rows
    broken = rows["item_id"].str.starts_with("legacy").sum()
    broken += (~rows["value"].is_finite()).sum() + (rows["value"] < 0).sum()
    broken += rows.height - rows.unique(["item_id", "variate", "timestamp"]).height
    assert 0 < broken < 0.025 * rows.height


def test_scrapes_are_missing_alone_and_together(healthy, fleet):
    share = fleet.rows.height / (4 * 24 * 24 * NUM_DAYS)
    assert 0.97 < share < 0.999 + 4 * len(LEGACY) * 400 / (4 * 24 * 24 * NUM_DAYS)


def test_day_and_week_repeat_but_a_permutation_does_not(healthy):
    """Seasonal lags predict better than the last value, unless time is shuffled."""

    def error(values, lag):
        return np.mean(np.abs(values[lag:] - values[:-lag]))

    rng = np.random.default_rng(0)
    cpu = np.stack([values[0] for item, values in healthy.items() if _is_web(item)])
    assert np.mean([error(one, 24) / error(one, 12) for one in cpu]) < 0.85
    shuffled = rng.permuted(cpu, axis=1)
    assert np.mean([error(one, 24) / error(one, 12) for one in shuffled]) > 0.95


def test_averages_of_past_days_beat_yesterday(healthy):
    gains = []
    for item, values in healthy.items():
        if not _is_web(item):
            continue
        days = values[3].reshape(NUM_DAYS, 24)
        yesterday = np.abs(days[7:] - days[6:-1]).mean()
        average = (days[6:-1] + days[5:-2] + days[:-7]) / 3
        gains.append(1 - np.abs(days[7:] - average).mean() / yesterday)
    assert 0.05 < np.mean(gains) < 0.35


def test_resources_follow_requests(healthy):
    for item, (cpu, latency, memory, requests) in healthy.items():
        if _is_web(item):
            assert np.corrcoef(cpu, requests)[0, 1] > 0.5
            assert np.corrcoef(np.log(latency), requests)[0, 1] > 0.05
        assert memory.min() >= 0
        assert memory.max() <= 100


def test_memory_leaks_and_restarts(healthy):
    memory = healthy["checkout-1"][2]
    steps = np.diff(memory)
    assert np.median(steps) > 0
    assert steps.min() < -10


def test_batch_services_rest_most_of_the_time(healthy):
    for item, values in healthy.items():
        share = np.mean(values[3] == 0)
        assert share > 0.6 if not _is_web(item) else share < 0.01


def test_siblings_share_the_shape_of_their_day(healthy):
    def day(item):
        return np.log1p(healthy[item][3]).reshape(NUM_DAYS, 24).mean(axis=0)

    siblings = np.mean([np.corrcoef(day(f"{g}-1"), day(f"{g}-2"))[0, 1] for g in GROUPS[:9]])
    strangers = np.mean(
        [np.corrcoef(day(f"{a}-1"), day(f"{b}-2"))[0, 1] for a in GROUPS[:9] for b in GROUPS[:9]]
    )
    assert siblings > 0.9 > strangers


def _is_web(item):
    return GROUPS.index(item.split("-")[0]) < 9
