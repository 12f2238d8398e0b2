"""A season is read off the past alone: found where there is one, and else not."""

import numpy as np
import polars as pl
import pytest

from toto_core.data.tables import Item
from toto_core.evaluation.baselines.seasons import (
    candidate_seasons,
    infer_season,
    item_season,
    season_of,
    seasonal_error,
)
from toto_core.evaluation.metrics import seasonal_errors

HOUR_US = 3_600_000_000


def wave(num_steps, *periods, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(num_steps)
    waves = sum(np.sin(2 * np.pi * time / period) for period in periods)
    return (10 + waves + noise * rng.standard_normal(num_steps)).astype(np.float32)


def item(values, *, roles=("target",), freq="1h"):
    values = np.atleast_2d(values)
    return Item(
        item_id="a",
        freq=freq,
        group="a",
        source="test",
        timestamps=HOUR_US * np.arange(values.shape[1], dtype=np.int64),
        values=values,
        variates=tuple(f"v{k}" for k in range(len(values))),
        roles=roles,
    )


@pytest.mark.parametrize(
    ("freq", "expected"),
    [
        ("1h", (24, 168)),
        ("5min", (12, 288, 2016)),
        ("1D", (7, 365)),
        ("1B", (5, 261)),
        ("1W", (52,)),
        ("1M", (12,)),
        ("1Q", (4,)),
        ("1Y", ()),
    ],
)
def test_candidates_are_the_natural_cycles(freq, expected):
    assert candidate_seasons(freq) == expected


@pytest.mark.parametrize(
    ("values", "season"),
    [
        pytest.param(wave(1000, 24), 24, id="a day"),
        pytest.param(wave(1000, 168), 168, id="a week"),
        pytest.param(wave(1500, 24, 168), 168, id="both, so the week"),
        pytest.param(wave(1000, 24) + 0.05 * np.arange(1000), 24, id="a day and a trend"),
        pytest.param(wave(1000, 24) + 1e6, 24, id="at a high level"),
        pytest.param(wave(1000, 50), 1, id="another period"),
        pytest.param(wave(70, 24), 1, id="less than three cycles"),
        pytest.param(np.full(1000, 3.0), 1, id="constant"),
        pytest.param(np.full(1000, np.nan), 1, id="nothing"),
    ],
)
def test_a_season_is_found_where_there_is_one(values, season):
    assert infer_season(values[None].astype(np.float32), (24, 168)) == season


def test_gaps_do_not_hide_a_season():
    values = wave(1000, 24)
    values[np.random.default_rng(1).random(1000) < 0.3] = np.nan
    assert infer_season(values[None], (24, 168)) == 24


def test_random_walks_seldom_have_a_season():
    walks = np.random.default_rng(0).standard_normal((200, 1200)).cumsum(axis=1)
    found = [infer_season(walk[None].astype(np.float32), (24, 168)) for walk in walks]
    assert sum(season > 1 for season in found) <= 10  # of 200


def test_only_targets_before_the_time_decide():
    series = np.stack([wave(1200, 50), wave(1200, 24)])
    both = item(series, roles=("target", "past_covariate"))
    assert item_season(both, "auto", before_us=1000 * HOUR_US) == 1
    late = wave(1200, 24)
    late[:600] = np.random.default_rng(3).standard_normal(600)
    assert item_season(item(late), "auto", before_us=600 * HOUR_US) == 1
    changed = late.copy()
    changed[600:] = 0
    before_us = 600 * HOUR_US
    assert item_season(item(changed), "auto", before_us=before_us) == 1


def test_season_is_the_one_asked_for_or_that_of_the_frequency():
    assert season_of("1h", None) == 24
    assert season_of("1h", 12) == 12
    assert item_season(item(wave(100, 24)), 7, before_us=0) == 7


@pytest.mark.parametrize("season", [1, 5, 24, 99, 100, 200])
def test_scale_is_that_of_the_metrics(season):
    values = wave(100, 24)
    values[[3, 40, 41]] = np.nan
    rows = pl.DataFrame({"item_id": "a", "variate": "v", "value": values}).with_columns(
        timestamp=pl.from_epoch(HOUR_US * np.arange(100), "us").dt.replace_time_zone("UTC")
    )
    seasons = pl.DataFrame({"item_id": ["a"], "season": [season]})
    expected = seasonal_errors(rows.lazy(), seasons, before_us=10**18)["scale"][0]
    assert seasonal_error(values, season) == (None if expected is None else pytest.approx(expected))
