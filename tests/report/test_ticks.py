"""Ticks and labels of the axes, against hand-computed values."""

from datetime import UTC, datetime

import numpy as np
import pytest

from toto_core.report.ticks import (
    number_label,
    padded,
    step_ticks,
    time_label,
    time_ticks,
    value_ticks,
)

DAY = 86_400_000_000


def us(*moment):
    return datetime(*moment, tzinfo=UTC).timestamp() * 1e6


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


def test_step_ticks_begin_at_the_first_step_and_go_on_at_round_ones():
    assert [text for _, text in step_ticks(1.0, 24.0)] == ["1", "5", "10", "15", "20"]
    assert [value for value, _ in step_ticks(1.0, 3.0)] == [1.0, 2.0, 3.0]
    assert step_ticks(1.0, 1.0) == [(1.0, "1")]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ((2026, 1, 6, 7), (2026, 1, 6, 19), ["6 Jan 08:00", "6 Jan 10:00"]),
        ((2026, 1, 6), (2026, 1, 10), ["6 Jan", "7 Jan"]),
        ((2026, 1, 6), (2026, 2, 10), ["12 Jan", "19 Jan"]),  # Mondays
        ((2026, 1, 6), (2026, 9, 1), ["Mar 2026", "May 2026"]),
        ((2001, 3, 1), (2026, 9, 1), ["2005", "2010"]),
    ],
)
def test_time_ticks_stand_at_round_moments(first, last, expected):
    ticks = time_ticks(us(*first), us(*last))
    assert [text for _, text in ticks][:2] == expected
    assert all(us(*first) <= time <= us(*last) for time, _ in ticks)
    assert 3 <= len(ticks) <= 8


def test_time_ticks_of_no_time_is_one_label():
    assert time_ticks(us(2026, 1, 6), us(2026, 1, 6)) == [(us(2026, 1, 6), "6 Jan 00:00")]
