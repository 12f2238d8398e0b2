"""Skill and tests come from one loss per origin, and the headline cannot be misread."""

import math
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from toto_core.errors import DataError
from toto_core.evaluation.headline import caveat, headline
from toto_core.evaluation.metrics import Tally
from toto_core.evaluation.scores import (
    compare,
    evaluation_report,
    item_scores,
)
from toto_core.evaluation.significance import dm_test, ewc_dm_test

START = datetime(2024, 1, 1, tzinfo=UTC)
LEVELS = {"model": 0.8, "naive": 1.0, "drift": 1.1, "seasonal_naive": 0.9}


def losses(*, n=64, items=("a", "b", "c"), held_out=(), source="candidate", seed=0, **levels):
    """Losses around the given means; origins share a shock, as series of one time do."""
    rng = np.random.default_rng(seed)
    shocks = np.exp(0.1 * rng.standard_normal(n))
    rows = [
        {
            "item_id": item,
            "group": item,
            "variate": "y",
            "held_out": item in held_out,
            "origin": START + timedelta(days=day),
            "forecaster": name,
            "source": source,
            "sql": level * shocks[day] * math.exp(0.05 * rng.standard_normal()),
            "scale": 2.0,
            "num_steps": 4,
            "cov80": 0.75,
        }
        for item in items
        for day in range(n)
        for name, level in (LEVELS | levels).items()
    ]
    return pl.DataFrame(rows).with_columns(
        mase=pl.col("sql"),
        mae=pl.col("sql") * 2,
        ql=pl.col("sql") * 2,
        mse=pl.col("sql") ** 2,
        abs_target=pl.lit(10.0),
        smape=pl.lit(0.2),
        width80=pl.lit(3.0),
        winkler80=pl.lit(4.0),
    )


def test_comparison_is_the_test_of_the_mean_over_series_at_each_origin():
    table = losses()
    found = compare(table, "naive", overlap=2)
    means = {
        name: np.array(
            [
                rows["sql"].mean()
                for rows in table.filter(pl.col("forecaster") == name)
                .sort("origin")
                .partition_by("origin")
            ]
        )
        for name in ("model", "naive")
    }
    d = means["naive"] - means["model"]
    test = ewc_dm_test(d, h=2, alternative="greater")
    base = means["naive"].mean()
    assert found["p_value"] == pytest.approx(test.p_value)
    assert found["statistic"] == pytest.approx(test.statistic)
    assert (found["n"], found["h"], found["h_eff"], found["df"]) == (64, 2, test.h_eff, test.df)
    assert found["p_hln"] == pytest.approx(dm_test(d, h=2, alternative="greater").p_value)
    assert found["skill"] == pytest.approx(1 - means["model"].mean() / base)
    assert found["lower_bound"] == pytest.approx(test.lower_bound() / base)
    assert (found["lower"], found["upper"]) == pytest.approx(
        tuple(bound / base for bound in test.interval())
    )
    assert found["lower"] < found["lower_bound"] < found["skill"] < found["upper"]


def test_more_series_of_the_same_time_are_no_more_evidence():
    few = losses(items=("a",), seed=3)
    copies = [few.with_columns(item_id=pl.lit(name)) for name in "abcdefgh"]
    one, many = (compare(table, "naive", overlap=1) for table in (few, pl.concat(copies)))
    assert many["p_value"] == pytest.approx(one["p_value"])
    assert many["n"] == one["n"]


def test_a_forecaster_against_itself_is_inconclusive():
    table = losses()
    own = table.filter(pl.col("forecaster") == "model").with_columns(forecaster=pl.lit("naive"))
    table = pl.concat([table.filter(pl.col("forecaster") != "naive"), own])
    found = compare(table, "naive", overlap=1)
    assert found["skill"] == 0
    assert found["outcome"] == "inconclusive"
    assert "zero variance" in str(found["reason"])
    assert math.isnan(float(found["p_value"]))
    assert math.isnan(float(found["p_hln"]))


def test_one_origin_is_inconclusive():
    found = compare(losses(n=1), "naive", overlap=1)
    assert (found["outcome"], found["n"]) == ("inconclusive", 1)


def test_different_origins_are_refused():
    table = losses()
    cut = pl.col("origin") < START + timedelta(days=60)
    table = table.filter((pl.col("forecaster") != "naive") | cut)
    with pytest.raises(DataError, match="model and naive were judged on 192 and 180 pairs"):
        compare(table, "naive", overlap=1)


def test_a_baseline_that_is_not_there_is_refused():
    with pytest.raises(DataError, match="model and theta were judged on 192 and 0 pairs"):
        compare(losses(), "theta", overlap=1)


def headline_of(candidate, **blocks):
    tables = {"candidate": candidate, **blocks}
    return headline(
        {
            block: {
                name: compare(table, name, overlap=1)
                for name in ("naive", "drift", "seasonal_naive")
            }
            for block, table in tables.items()
        }
    )


def test_headline_of_a_better_model():
    text = headline_of(losses())
    assert text.startswith("Better than no change: its error is 19.7 % lower")
    assert "% lower than that of repeating the last value (two-sided 95 % interval" in text
    assert text.endswith("; also better than drift and seasonal naive.")


def test_headline_says_what_is_not_won():
    text = headline_of(losses(model=0.95), held_out=losses(model=1.05, seed=1))
    assert text.startswith("Better than no change: ")
    assert "not shown to be better than seasonal naive (error 5." in text
    assert "% higher, p = 1)" in text
    assert "on held-out series not shown to beat no change (error" in text


def test_headline_of_an_indistinguishable_model():
    text = headline_of(losses(model=0.999))
    assert text.startswith("Not distinguishable from no change: its error is 0.")
    assert "which chance explains (one-sided p = 0." in text


def test_headline_of_a_worse_model():
    text = headline_of(losses(model=1.25))
    assert text.startswith("WORSE than no change: its error is 1.2")
    assert "times that of repeating the last value" in text


@pytest.mark.parametrize("n", [64, 5])
def test_headline_of_a_model_six_times_worse_shouts_whatever_the_test_says(n):
    text = headline_of(losses(n=n, model=6.1))
    ratio = 1 - float(compare(losses(n=n, model=6.1), "naive", overlap=1)["skill"])
    start = f"WORSE THAN NO CHANGE: ITS ERROR IS {ratio:.1f} TIMES THAT OF REPEATING THE LAST VALUE"
    assert text.startswith(start)
    assert 5.5 < ratio < 6.7


def test_headline_does_not_claim_what_is_not_decided():
    text = headline_of(losses(n=5))
    assert text.startswith("Not decided against no change (error 19.3 % lower so far): ")
    assert "5 origins, at least 8 (8 for each of 1 that overlap) are needed" in text


def profile_of(table):
    """Forecasts 0 to 8 of targets that are 3.5, of the series that are not held out."""
    keys = table.filter(pl.col("forecaster") == "model")
    forecasts = keys.select(
        *("item_id", "variate", "origin"),
        timestamp="origin",
        target=pl.lit(3.5),
        step=pl.lit(1),
        model=pl.Series(np.tile(np.arange(9.0), (keys.height, 1))),
    )
    facts = keys.select("item_id", "variate", "group", "held_out", "scale").unique()
    return Tally(facts, forecasters=["model"], source="candidate").add_all([forecasts]).profile


def report_of(table, **options):
    settings = {"overlap": 1, "exclusions": [], "outside": [], "seasonality": {"1h": 24}}
    own = table.filter(pl.col("source") == "candidate")
    return evaluation_report(table, profile_of(own), **(settings | options))


def test_report_keeps_seen_held_out_and_refits_apart():
    table = pl.concat(
        [
            losses(held_out=("c",)),
            losses(source="crossval", held_out=("c",), model=0.5, seed=5),
        ]
    )
    report = report_of(table)
    assert list(report["skill"]) == ["candidate", "held_out", "crossval"]
    own = table.filter((pl.col("source") == "candidate") & ~pl.col("held_out"))
    for name, rows in {
        "candidate": own,
        "held_out": table.filter((pl.col("source") == "candidate") & pl.col("held_out")),
        "crossval": table.filter((pl.col("source") == "crossval") & ~pl.col("held_out")),
    }.items():
        assert report["skill"][name]["naive"] == compare(rows, "naive", overlap=1)
    seen = own.filter(pl.col("forecaster") == "model")["sql"].mean()
    assert report["pooled"]["model"]["sql"] == pytest.approx(seen)
    assert report["by_variate"]["y"]["model"] == report["pooled"]["model"]
    assert report["coverage"]["0.4"] == 0.0
    assert report["coverage"]["0.5"] == 1.0
    assert report["pit"] == [0.0] * 4 + [1.0] + [0.0] * 5
    assert [note.split(":")[0] for note in report["notes"]] == ["r2_vs_naive", "owa", "pit"]
    assert report["num_series"] == 3
    assert report["num_origins"] == 64


def test_report_without_held_out_series_and_refits_has_empty_blocks():
    report = report_of(losses())
    assert report["skill"]["held_out"] == {}
    assert report["skill"]["crossval"] == {}
    assert report["scores"] == {}


def test_each_series_has_its_own_skill():
    table = losses(held_out=("c",))
    table = table.with_columns(
        sql=pl.when((pl.col("item_id") == "b") & (pl.col("forecaster") == "model"))
        .then(pl.col("sql") * 2)
        .otherwise("sql")
    )
    scores = item_scores(table.sample(fraction=1, shuffle=True, seed=0))
    assert scores.columns == [
        *("item_id", "variate", "held_out", "origins", "mase", "sql"),
        *("skill_vs_naive", "skill_vs_drift", "skill_vs_seasonal_naive"),
    ]
    assert scores["item_id"].to_list() == ["a", "b", "c"]
    assert scores["held_out"].to_list() == [False, False, True]
    assert scores["origins"].to_list() == [64, 64, 64]
    np.testing.assert_allclose(scores["skill_vs_naive"], [0.2, -0.6, 0.2], atol=0.05)
    np.testing.assert_allclose(scores["skill_vs_seasonal_naive"], [0.11, -0.78, 0.11], atol=0.05)


def by_variate(**skills):
    """Comparisons on variates: a skill alone is not shown, a p-value makes it sure."""
    return {
        name: {"naive": comparison(*(given if isinstance(given, tuple) else (given,)))}
        for name, given in skills.items()
    }


def comparison(skill, p_value=0.5):
    outcome = "inconclusive" if math.isnan(p_value) else "ok"
    return {"skill": skill, "p_value": p_value, "outcome": outcome, "reason": "few"}


WON, LOST, DRAW = (comparison(0.104, 0.001), comparison(-0.2, 0.999), comparison(0.001, 0.49))


@pytest.mark.parametrize(
    ("variates", "words"),
    [
        ({"close": -0.0207}, "Not on close: 2.1 % worse than no change."),
        (
            {"close": (-0.072, 0.98)},
            "Not on close: 7.2 % worse than no change, more than chance explains.",
        ),
        ({"close": 0.003}, "Not on close: 0.3 % better than no change, which chance explains."),
        (
            {"close": (0.2, math.nan)},
            "Not on close: 20.0 % better than no change so far, not decided.",
        ),
        ({"close": -5.1}, "NOT ON close: ITS ERROR IS 6.1 TIMES THAT OF NO CHANGE."),
        (
            {"a": 0.01, "b": (-0.3, 0.99)},
            "Not on b (30.0 % worse than no change, more than chance explains) and a (1.0 % "
            "better, which chance explains).",
        ),
        (
            {"a": -0.01, "b": -0.02, "c": -0.03, "d": -0.04},
            "Not on 4 of 5 variates, worst on d (4.0 % worse than no change), c (3.0 % worse) and "
            "b (2.0 % worse).",
        ),
        ({}, ""),
    ],
)
def test_caveat_names_the_variates_that_are_not_won(variates, words):
    table = by_variate(volume=(0.23, 0.001), **variates)
    assert caveat(WON, table) == words


def test_caveat_of_a_single_variate_adds_nothing():
    assert caveat(DRAW, by_variate(close=0.001)) == ""


def test_caveat_adds_nothing_where_all_is_said_to_be_worse():
    lost = by_variate(close=(-0.2, 0.99), volume=(-0.2, 0.99))
    assert caveat(LOST, lost) == ""
    assert caveat(DRAW, lost).startswith("Not better on close (20.0 % worse than no change")
    shouted = by_variate(close=-5.1, volume=-0.1)
    assert caveat(LOST, shouted).startswith("NOT ON close (ITS ERROR IS 6.1 TIMES")


def test_caveat_names_what_a_loss_on_one_variate_hides():
    found = caveat(LOST, by_variate(close=-0.3, volume=(0.1, 0.01)))
    assert found == "Not better on close: 30.0 % worse than no change."


def test_caveat_says_what_could_not_be_judged():
    table = by_variate(close=-0.1, volume=(0.2, 0.001))
    assert caveat(WON, table, unjudged=["disk", "net"]) == (
        "Not on close: 10.0 % worse than no change. Not judged on disk and net."
    )


def test_report_judges_each_variate_of_the_seen_series():
    price = losses(items=("a", "b", "c"), model=1.02, seed=1).with_columns(variate=pl.lit("close"))
    volume = losses(items=("a", "b", "c"), model=0.7, seed=2).with_columns(variate=pl.lit("volume"))
    other = losses(items=("z",), held_out=("z",), seed=4).with_columns(variate=pl.lit("close"))
    refits = volume.with_columns(source=pl.lit("crossval"))
    report = report_of(
        pl.concat([price, volume, other, refits]),
        exclusions=[
            {"item_id": "a", "variate": "disk", "held_out": False, "reason": "no scale"},
            {"item_id": "z", "variate": "net", "held_out": True, "reason": "no scale"},
        ],
    )
    assert list(report["skill_by_variate"]) == ["close", "volume"]
    for name, rows in {"close": price, "volume": volume}.items():
        for baseline in ("naive", "drift", "seasonal_naive"):
            expected = compare(rows, baseline, overlap=1)
            assert report["skill_by_variate"][name][baseline] == expected
    assert report["headline"].startswith("Better than no change: ")
    assert report["headline"].endswith(report["caveat"])
    assert re.fullmatch(
        r"Not on close: [12]\.\d % worse than no change(, more than chance explains)?\. "
        r"Not judged on disk\.",
        report["caveat"],
    )


def test_report_of_one_variate_has_no_caveat():
    report = report_of(losses(model=1.25))
    assert report["caveat"] == ""
    assert report["headline"].endswith(".")
