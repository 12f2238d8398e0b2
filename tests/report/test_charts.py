"""Axes and marks of the charts, against hand-computed values."""

import re

import numpy as np
import pytest

from toto_core.report.charts import Chart, number_label, padded, time_label, value_ticks
from toto_core.report.markup import freq_text

DAY = 86_400_000_000


def path(svg):
    return re.findall(r'<path class="line model" d="([^"]*)"', svg)[0]


def test_line_maps_the_corners_and_leaves_a_gap():
    chart = Chart(x=(0.0, 10.0), y=(0.0, 4.0), height=100)
    chart.line([0, 5, np.nan, 10], [0, 4, 1, 2], "model")
    assert path(chart.svg("x")) == "M0 100L500 0M1000 50"


def test_band_goes_forth_along_the_low_and_back_along_the_high():
    chart = Chart(x=(0.0, 1.0), y=(0.0, 1.0), height=10)
    chart.band([0, 1], [0.0, 0.2], [1.0, 0.8], "model")
    assert 'd="M0 10L1000 8L1000 2L0 0Z"' in chart.svg("x")


def test_svg_escapes_labels_and_ticks():
    chart = Chart(x=(0.0, 1.0), y=(0.0, 1.0), height=10)
    chart.x_ticks([(0.5, "<i>")])
    text = chart.svg('"><script>')
    assert "<script>" not in text
    assert "&lt;i&gt;" in text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-3.0, 7.0, ["\N{MINUS SIGN}2", "0", "2", "4", "6"]),
        (900.0, 2100.0, ["1000", "1250", "1500", "1750", "2000"]),
        (0.0, 40_000.0, ["0", "10k", "20k", "30k", "40k"]),
        (5.0, 5.0, ["5"]),
    ],
)
def test_value_ticks_are_round_and_inside(low, high, expected):
    ticks = value_ticks(low, high)
    assert [text for _, text in ticks] == expected
    assert all(low <= value <= high for value, _ in ticks)


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 1e5, 1e12])
def test_value_ticks_stay_few_and_distinct_at_every_scale(scale):
    for high in (1.0, 1.3, 2.2, 4.9, 9.99):
        labels = [text for _, text in value_ticks(0.0, high * scale)]
        assert 3 <= len(labels) <= 8
        if scale >= 1e-3:
            assert len(set(labels)) == len(labels)


def test_number_label_has_no_negative_zero():
    assert number_label(-0.0001, 0.5) == "0.0"


@pytest.mark.parametrize(
    ("days", "expected"),
    [(0.5, "5 Jan 06:40"), (30, "5 Jan"), (400, "5 Jan 2026"), (4000, "2026")],
)
def test_time_label_is_as_coarse_as_the_axis(days, expected):
    moment = (20_458 * 24 + 6) * 3_600_000_000 + 40 * 60_000_000
    assert time_label(float(moment), span_us=float(days * DAY)) == expected


def test_padded_ignores_what_is_not_finite():
    assert padded([1.0, 3.0, np.nan, np.inf], share=0.5) == (0.0, 4.0)
    low, high = padded([2.0, 2.0])
    assert low < 2.0 < high
    assert padded([np.nan]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("freq", "words"),
    [
        ("1h", "1 hour"),
        ("5min", "5 minutes"),
        ("1B", "1 business day"),
        ("1M", "1 month"),
        ("2Q", "2 quarters"),
        ("weird", "weird"),
        (None, "None"),
    ],
)
def test_frequencies_are_written_out(freq, words):
    assert freq_text(freq) == words
