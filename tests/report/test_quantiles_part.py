"""Coverage by step is counted, and the titles say what the bars and lines show."""

import re

import numpy as np
import polars as pl
import pytest

from toto_core.evaluation.verdict import MODEL, UNCALIBRATED
from toto_core.report.quantiles_part import interval_by_step, quantiles_section

LEVELS = np.arange(1, 10) / 10


def coverage(shares, name=MODEL):
    return pl.DataFrame({"forecaster": name, "level": LEVELS, "coverage": list(shares)})


def section(*tables, by_step=None, **evaluate):
    nothing = pl.DataFrame() if by_step is None else by_step
    html = quantiles_section(evaluate, pl.concat(tables), pl.DataFrame(), nothing)
    return html.replace("\N{NARROW NO-BREAK SPACE}", " ")


def test_interval_by_step_is_what_lies_between_the_outer_quantiles():
    levels = [0.1, 0.5, 0.9]
    table = pl.DataFrame(
        {
            "forecaster": [MODEL] * 6 + ["naive"] * 3,
            "step": [2, 2, 2, 1, 1, 1, 1, 1, 1],
            "level": levels * 3,
            "coverage": [0.25, 0.5, 0.75, 0.0, 0.5, 1.0, 0.5, 0.5, 0.5],
            "num_cells": [4] * 3 + [2] * 6,
        }
    )
    assert interval_by_step(table).rows() == [
        (1, MODEL, 1.0, 2),
        (2, MODEL, 0.5, 4),
        (1, "naive", 0.0, 2),
    ]


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        (LEVELS, "PIT: about even"),
        (0.5 + 0.5 * (LEVELS - 0.5), "too narrow, 60.0 % lie beyond the outer quantiles"),
        (0.5 + 1.2 * (LEVELS - 0.5), "too wide, 4.0 % lie beyond the outer quantiles"),
        (LEVELS - 0.05, "somewhat too low, 55.0 % of the truth lies above the median"),
        (LEVELS + 0.05, "somewhat too high, 45.0 % of the truth lies above the median"),
    ],
)
def test_pit_is_named_by_its_shape(shares, said):
    assert said in section(coverage(shares))


def test_reliability_says_how_far_off_and_where():
    html = section(coverage(LEVELS + 0.09 * (LEVELS == 0.6)))
    assert "<figcaption>Reliability: off by 1.0 % on average</figcaption>" in html
    assert "Most at level 0.6, where 69.0 % of the truth lies below." in html


def test_quantiles_before_calibration_are_drawn_beside_those_after():
    html = section(coverage(LEVELS), coverage(LEVELS / 2, UNCALIBRATED))
    assert "Before calibration off by 25.0 %." in html
    assert html.count('class="line before"') == 4  # two lines and their keys
    assert "before" not in section(coverage(LEVELS)).lower().replace("before the", "")


def test_coverage_by_step_names_its_range():
    table = pl.DataFrame(
        {
            "step": [1, 2, 1, 2],
            "forecaster": [MODEL, MODEL, "naive", "naive"],
            "num_cells": [40, 30, 40, 30],
            "coverage": [0.75, 0.5, 0.1, 0.1],
        }
    )
    html = section(coverage(LEVELS), by_step=table)
    assert "By step, 50.0 % to 75.0 % lie in the 80 % interval" in html
    assert "n\xa0=\xa030 to 40 values at each step." in html
    assert re.search(r"n\xa0=\xa070 forecast values of the seen series", html)


def test_sharpness_lists_the_widths_of_all():
    pooled = {MODEL: {"coverage80": 0.81, "sharpness": 1.25}, "naive": {"coverage80": 0.7}}
    html = section(coverage(LEVELS), pooled=pooled)
    assert '<th scope="row">the model</th><td class="num">81.0 %</td><td class="num">1.250' in html
    assert '<th scope="row">no change</th><td class="num">70.0 %</td><td class="num">unkn' in html


def test_correction_says_what_it_was_learned_from_and_what_it_did():
    gain = {"skill": -0.012, "lower": -0.02, "upper": -0.004}
    found = {"method": "each_step", "num_scores": 1234, "num_origins": 14, "gain": gain}
    before = {"pooled": {"coverage80": 0.7}, "calibration": {"sharpness": 0.9}}
    pooled = {MODEL: {"coverage80": 0.81, "sharpness": 1.25}}
    html = section(coverage(LEVELS), calibrate=found | {"before": before}, pooled=pooled)
    assert "(each step) from 1 234 scores at 14 origins before the test period." in html
    minus = "\N{MINUS SIGN}"
    assert f"raises the loss by 1.20 % (two-sided 95 % interval of the gain: {minus}2.0 to" in html
    assert '"row">before calibration</th><td class="num">70.0 %</td><td class="num">0.900' in html
    html = section(coverage(LEVELS), calibrate={"reason": "6 origins, 10 are needed"})
    assert "The quantiles are the model&#x27;s own: 6 origins, 10 are needed." in html


def test_no_coverage_is_said():
    assert "No coverage was measured." in section(coverage(LEVELS).head(0))
