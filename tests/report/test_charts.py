"""Marks of the charts, against hand-computed values."""

import re

import numpy as np
import pytest

from toto_core.report.charts import Chart, thinned
from toto_core.report.markup import freq_text


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


def test_bars_reach_from_zero_to_their_value_and_skip_what_is_missing():
    chart = Chart(x=(0.0, 3.0), y=(-1.0, 1.0), height=100)
    chart.bars([0, 1, 2, 3], [0.5, np.nan, -1.0], "model")
    bars = re.findall(
        r'<rect class="bar model" x="([\d.]+)" y="([\d.]+)" [^>]*height="([\d.]+)"', chart.svg("x")
    )
    assert [(y, height) for _, y, height in bars] == [("25", "25"), ("50", "50")]


def test_end_labels_do_not_overlap_and_stay_inside_the_plot():
    chart = Chart(x=(0.0, 1.0), y=(0.0, 1.0), height=100)
    names = [(0.5, "a", "model"), (0.49, "b", "naive"), (0.0, "c", "drift"), (np.nan, "d", "base")]
    chart.end_labels([*names, (0.51, "<e>", "plain")])
    found = re.findall(r'<text class="end (\w+)"[^>]* y="([\d.]+)" dy="4">([^<]*)<', chart.svg("x"))
    assert found == [
        ("plain", "35", "&lt;e&gt;"),  # around the middle of the three, 50
        ("model", "50", "a"),
        ("naive", "65", "b"),
        ("drift", "100", "c"),
    ]


def test_titles_name_both_axes():
    chart = Chart(x=(0.0, 1.0), y=(0.0, 1.0), height=100)
    chart.titles(x="steps & hours", y="MASE")
    assert "steps &amp; hours</text>" in chart.svg("x")
    assert ">MASE</text>" in chart.svg("x")


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


def test_thinned_keeps_the_peaks_and_troughs_in_their_order():
    x = np.arange(1000.0)
    y = np.sin(x / 50)
    y[333], y[777] = 9.0, -9.0
    y[500:600] = np.nan
    few_x, few_y = thinned(x, y, 100)
    assert len(few_x) <= 100
    assert (np.diff(few_x) > 0).all()
    assert {333.0, 777.0} <= set(few_x)
    assert np.isnan(few_y[(few_x > 510) & (few_x < 590)]).all()
    np.testing.assert_array_equal(thinned(x[:100], y[:100], 100)[1], y[:100])


@pytest.mark.parametrize(("height", "expected"), [(0.01, ["85", "100"]), (0.99, ["0", "15"])])
def test_end_labels_at_an_edge_are_moved_inside(height, expected):
    chart = Chart(x=(0.0, 1.0), y=(0.0, 1.0), height=100)
    chart.end_labels([(height, "a", "model"), (height, "b", "naive")])
    assert re.findall(r' y="([\d.]+)" dy="4"', chart.svg("x")) == expected
