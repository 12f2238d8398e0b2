"""The error by step, by hour and by date: what the titles claim, and when nothing is drawn."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from toto_core.report.calendar_part import MAX_DOTS, calendar_section
from toto_core.report.error_lines import hour_section, step_section

START = datetime(2026, 1, 1, 6, tzinfo=UTC)


def errors(column, **curves):
    return pl.concat(
        pl.DataFrame(
            {
                column: list(range(1, len(values) + 1)),
                "forecaster": name,
                "mase": values,
                "sql": values,
                "num_cells": 10,
            }
        )
        for name, values in curves.items()
    )


@pytest.mark.parametrize(
    ("model", "naive", "said"),
    [
        ([0.1, 0.2, 0.3], [0.2, 0.3, 0.4], "the model errs least at every one of 3 steps"),
        ([0.1, 0.2, 0.3], [0.2, 0.3, 0.2], "at 2 of 3 steps; no change is better at step 3"),
        ([0.1, 0.4, 0.3], [0.2, 0.3, 0.2], "at 1 of 3 steps; no change is better at 2 steps"),
        ([0.5, 0.5, 0.5], [0.2, 0.3, 0.2], "errs least nowhere; no change is better everywhere"),
    ],
)
def test_step_section_says_where_the_model_errs_least(model, naive, said):
    html = step_section(errors("step", model=model, naive=naive), freq="1 hour")
    assert html.count(said) >= 2  # title and description
    assert "steps ahead, 1 hour each" in html


def test_step_section_names_every_forecaster_at_its_line_whoever_it_is():
    table = errors("step", model=[0.1, 0.2], naive=[0.2, 0.3], **{"<b>mine": [0.3, 0.1]})
    html = step_section(table, freq="1 day")
    assert 'class="end other0"' in html
    assert "&lt;b&gt;mine</text>" in html
    assert "<b>mine" not in html


def test_step_section_without_a_table_says_so():
    assert "No error by step" in step_section(errors("step", model=[0.1]).head(0), freq="1 hour")


def test_hour_section_warns_where_hour_and_step_are_one():
    table = errors("hour", model=[0.1, 0.2, 0.3], naive=[0.2, 0.3, 0.4])
    daily = pl.Series([START + timedelta(days=n) for n in range(3)])
    hourly = pl.Series([START + timedelta(hours=n) for n in range(3)])
    assert "every forecast starts at 06:00" in hour_section(table, daily)
    html = hour_section(table, hourly)
    assert "every forecast starts" not in html
    assert "n\xa0=\xa030 forecast values" in html
    assert "hour of the day, UTC" in html


def test_hour_section_of_a_single_hour_is_empty():
    assert hour_section(errors("hour", model=[0.1], naive=[0.2]), pl.Series([START])) == ""


def losses(model, naive):
    return pl.concat(
        pl.DataFrame(
            {
                "item_id": "a",
                "variate": "x",
                "origin": [START + timedelta(days=n) for n in range(len(values))],
                "forecaster": name,
                "source": "candidate",
                "held_out": False,
                "sql": values,
            }
        )
        for name, values in (("model", model), ("naive", naive), ("drift", naive))
    )


def test_calendar_section_counts_the_moments_and_draws_the_first_baseline_open():
    table = losses([1.0, 1.0, 1.0, 3.0], [2.0, 2.0, 2.0, 2.0])
    html = calendar_section(table, ["naive", "drift"], first="drift")
    assert "The model has the smaller loss than drift at 3 of 4 moments" in html
    assert "mean \N{MINUS SIGN}0.500 in units" in html
    assert "worst +1.000, best \N{MINUS SIGN}1.000." in html
    assert html.index("than drift at") < html.index("<details>") < html.index("than no change at")
    # The running mean: -1, -1, -1, -0.5 between -1.2 and 1.2 on 200 pixels.
    assert 'd="M0 183.3L333.3 183.3L666.7 183.3L1000 141.7"' in html


def test_calendar_section_of_one_moment_is_empty():
    assert calendar_section(losses([1.0], [2.0]), ["naive"], first="naive") == ""


def test_calendar_section_of_very_many_moments_averages_neighbours():
    num = 3 * MAX_DOTS
    html = calendar_section(losses([1.0, 3.0, 2.0] * MAX_DOTS, [2.0] * num), ["naive"], first="")
    assert html.count("<circle") == MAX_DOTS
    assert "Each dot is the mean of 3 moments." in html
    assert f"at {MAX_DOTS} of {num} moments" in html
