"""One pass over chunks gives what one table gives, and refuses what is no forecast."""

import itertools
import math
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from toto_core.errors import DataError
from toto_core.evaluation.metrics import ORIGIN_KEYS, QUANTILE_LEVELS, Tally
from toto_core.evaluation.metrics.chunks import whole_runs

START = datetime(2024, 1, 1, 22, tzinfo=UTC)
FORECASTERS = ("model", "naive")


def forecasts(items=("a", "b", "c"), *, origins=4, steps=3, seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {
            "item_id": item,
            "variate": "y",
            "origin": START + timedelta(days=day),
            "step": step,
            "timestamp": START + timedelta(days=day, hours=step - 1),
        }
        for item in items
        for day in range(origins)
        for step in range(1, steps + 1)
    ]
    quantiles = np.sort(rng.standard_normal((2, len(rows), 9)), axis=2)
    return pl.DataFrame(rows).with_columns(
        target=rng.standard_normal(len(rows)), model=quantiles[0], naive=quantiles[1]
    )


def facts(items=("a", "b", "c"), *, held_out=(), scale=2.0):
    return pl.DataFrame(
        {
            "item_id": items,
            "variate": "y",
            "group": items,
            "held_out": [item in held_out for item in items],
            "scale": scale,
        }
    )


def tally_of(*tables, known=None, **options):
    known = facts() if known is None else known
    options = {"forecasters": FORECASTERS, "source": "candidate"} | options
    return Tally(known, **options).add_all(tables)


def outcomes(tally):
    profile = tally.profile
    tables = (profile.by_step(), profile.by_hour(), profile.coverage(), profile.pit())
    return (tally.losses(), *tables)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 36), max_size=6), st.integers(0, 5))
def test_chunks_change_nothing(cuts, seed):
    table = forecasts(seed=seed)
    edges = [0, *sorted(cuts), table.height]
    parts = [table[a:b] for a, b in itertools.pairwise(edges)]
    whole = list(whole_runs(parts))
    assert pl.concat(whole).equals(table)
    keys = [tuple(row) for part in whole for row in part.select(ORIGIN_KEYS).unique().rows()]
    assert len(keys) == len(set(keys))
    for one, many in zip(outcomes(tally_of(table)), outcomes(tally_of(*parts)), strict=True):
        assert_frame_equal(one, many)


def test_a_series_and_origin_in_two_pieces_is_refused():
    table = forecasts()
    tally = tally_of(table)
    tally.add(table[:1])
    with pytest.raises(ValueError, match="tally: 1 of 13 pairs of series and origin came in sev"):
        tally.losses()


def test_nothing_to_judge_gives_an_empty_table():
    empty = tally_of(forecasts().with_columns(target=pl.lit(None, pl.Float32))).losses()
    assert empty.height == 0
    assert empty.schema == tally_of(forecasts()).losses().schema


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda q: q[::-1].copy(), "crossing"),
        (lambda q: np.where(np.arange(9) == 3, math.nan, q), "not finite"),
        (lambda q: np.where(np.arange(9) == 8, math.inf, q), "not finite"),
    ],
)
def test_quantiles_that_no_forecast_can_have_are_refused(spoil, words):
    table = forecasts()
    quantiles = table["naive"].to_numpy().copy()
    quantiles[16] = spoil(quantiles[16])
    expected = (
        f"evaluate: the quantiles of naive are {words} in 1 of 36 cells, first of b/y at "
        "2024-01-02 22:00:00+00:00 step 2, finite and rising ones are needed"
    )
    with pytest.raises(DataError, match=re.escape(expected)):
        tally_of().add(table.with_columns(naive=quantiles))


def test_quantiles_without_a_target_are_not_judged():
    table = forecasts()
    quantiles = table["naive"].to_numpy().copy()
    quantiles[16] = math.nan
    table[16, "target"] = None
    losses = tally_of(table.with_columns(naive=quantiles)).losses()
    row = losses.filter((pl.col("item_id") == "b") & (pl.col("forecaster") == "naive"))[1]
    assert row["num_steps"].item() == 2


def test_other_series_are_passed_over():
    tally = tally_of(forecasts(), known=facts(("a", "c")))
    assert tally.losses()["item_id"].unique(maintain_order=True).to_list() == ["a", "c"]
    assert tally.profile.by_step()["num_cells"].to_list() == [8] * 6


def test_held_out_series_have_losses_but_no_part_in_the_profile():
    table = forecasts()
    with_them = tally_of(table, known=facts(held_out=("b",)))
    without = tally_of(table.filter(pl.col("item_id") != "b"))
    assert set(with_them.losses()["item_id"]) == {"a", "b", "c"}
    for one, other in zip(outcomes(with_them)[1:], outcomes(without)[1:], strict=True):
        assert_frame_equal(one, other)


def test_hours_are_those_of_the_targets():
    table = forecasts()
    hours = tally_of(table).profile.by_hour().filter(pl.col("forecaster") == "model")
    assert hours["hour"].to_list() == [0, 22, 23]
    late = table.filter(pl.col("timestamp").dt.hour() == 0)
    error = np.abs(late["target"].to_numpy() - late["model"].to_numpy()[:, 4])
    assert hours["mase"][0] == pytest.approx(error.mean() / 2)
    assert hours["num_cells"][0] == late.height


def test_coverage_counts_a_target_on_a_quantile_as_below_it():
    table = forecasts()
    table = table.with_columns(target=pl.Series(table["model"].to_numpy()[:, 4]))
    shares = tally_of(table).profile.coverage().filter(pl.col("forecaster") == "model")
    assert shares["level"].to_list() == list(QUANTILE_LEVELS)
    assert shares["coverage"].to_list() == [0.0] * 4 + [1.0] * 5


def test_coverage_equals_a_direct_count():
    table = forecasts(origins=40)
    shares = tally_of(table).profile.coverage().filter(pl.col("forecaster") == "naive")
    direct = (table["target"].to_numpy()[:, None] <= table["naive"].to_numpy()).mean(axis=0)
    np.testing.assert_allclose(shares["coverage"], direct)


@pytest.mark.parametrize("scale", [0.0, None, math.nan])
def test_a_series_without_a_scale_stays_in_what_needs_none(scale):
    known = facts(scale=pl.Series([2.0, scale, 2.0], dtype=pl.Float64))
    tally = tally_of(forecasts(), known=known)
    assert tally.profile.by_step()["num_cells"].to_list() == [8] * 6
    assert tally.losses().filter(pl.col("item_id") == "b")["sql"].null_count() == 8
    everywhere = tally_of(forecasts()).profile
    assert tally.profile.coverage().equals(everywhere.coverage())
    assert tally.profile.pit().equals(everywhere.pit())
