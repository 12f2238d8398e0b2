"""The list of series: ranks by hand, what is cut off, and the size with very many of them."""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from toto_core.report.series_part import MAX_LISTED, SKILL, series_section, series_table

START = datetime(2026, 1, 1, tzinfo=UTC)


def losses(models, *, naive=1.0, seasonal=2.0, num_origins=2):
    """One series for each loss of the model, the same at every origin."""
    forecasters = {"naive": naive, "seasonal_naive": seasonal}
    rows = [
        (f"s{n:05d}", "x", n == 0, START + timedelta(days=k), name, "candidate", loss, 0.8)
        for n, model in enumerate(models)
        for k in range(num_origins)
        for name, loss in {"model": model, **forecasters}.items()
    ]
    names = ["item_id", "variate", "held_out", "origin", "forecaster", "source", "sql", "cov80"]
    return pl.DataFrame(rows, schema=names, orient="row")


def test_series_table_ranks_by_skill_against_no_change():
    table = series_table(losses([0.5, 0.25, 3.0]))
    assert table["item_id"].to_list() == ["s00001", "s00000", "s00002"]
    assert table[SKILL + "naive"].to_list() == [0.75, 0.5, -2.0]
    assert table[SKILL + "seasonal_naive"].to_list() == [0.875, 0.75, -0.5]
    assert table["held_out"].to_list() == [False, True, False]
    assert table["num_origins"].to_list() == [2, 2, 2]


def test_series_table_of_a_baseline_without_loss_is_minus_infinity_or_a_tie():
    table = series_table(losses([0.5, 0.0], naive=0.0))
    assert table[SKILL + "naive"].to_list() == [0.0, -np.inf]


def test_series_table_leaves_out_refits_and_what_has_no_loss():
    table = losses([0.5, 0.25])
    refit = table.with_columns(source=pl.lit("crossval"), sql=pl.lit(9.0))
    missing = table.with_columns(item_id=pl.lit("gone"), sql=pl.lit(None, pl.Float64))
    assert series_table(pl.concat([table, refit, missing])).equals(series_table(table))
    assert not series_table(table.head(0)).height


def test_series_section_says_how_many_gain_and_shows_both_ends():
    html = series_section(series_table(losses(np.arange(1, 26) / 10)), ["naive"], first="naive")
    assert "<figcaption>9 of 25 series gain over no change</figcaption>" in html
    worst, best = (
        html[html.index(f"<caption>{end}</caption>") :].split("</table>")[0]
        for end in ("Worst", "Best")
    )
    assert re.findall(r'"row">(s\d+)', worst) == [f"s{n:05d}" for n in range(24, 18, -1)]
    assert re.findall(r'"row">(s\d+)', best) == [f"s{n:05d}" for n in range(6)]
    assert 's00000 / x (held out)</th><td class="num">90.0' in best
    everything = html[html.index("All 25 series") :]
    assert everything.count("<tr>") == 1 + 25
    assert '<table class="sortable">' in everything


def test_series_section_counts_the_very_bad_into_the_first_bar():
    html = series_section(series_table(losses([0.5, 7.0, 9.0])), ["naive"], first="naive")
    assert "2 below \N{MINUS SIGN}100\N{NARROW NO-BREAK SPACE}% are in the first bar." in html


def test_series_section_of_ten_thousand_series_stays_small():
    models = np.linspace(0.1, 2.5, 10_000)
    html = series_section(
        series_table(losses(models, num_origins=1)), ["naive", "seasonal_naive"], first="naive"
    )
    assert len(html) < 150_000
    listed = html[html.index("The 150 best and the 150 worst of") :]
    assert listed.count("<tr>") == 1 + MAX_LISTED
    assert "reports/plots/items.csv" in listed
