"""Calendars count periods, and phases follow the majority."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from toto_core.data import grid


def us(*dates):
    return np.array(
        [int(datetime.fromisoformat(d).replace(tzinfo=UTC).timestamp()) * 10**6 for d in dates]
    )


@pytest.mark.parametrize(
    ("freq", "dates", "periods"),
    [
        pytest.param("1B", ["1970-01-02", "1969-12-31T23:00"], [1, -1], id="days"),
        pytest.param("1M", ["1970-03-31T23:59", "1969-12-01"], [2, -1], id="months"),
        pytest.param("1Q", ["1970-06-30", "1970-07-01", "1969-11-01"], [1, 2, -1], id="quarters"),
        pytest.param("1Y", ["2024-12-31", "1969-01-01"], [54, -1], id="years"),
    ],
)
def test_periods_count_from_1970(freq, dates, periods):
    assert grid.period_of(us(*dates), freq).tolist() == periods


@pytest.mark.parametrize("freq", ["1B", "1M", "1Q", "1Y"])
def test_period_starts_are_the_first_moments_of_their_periods(freq):
    periods = np.arange(-40, 40)
    starts = grid.period_start(periods, freq)
    assert grid.period_of(starts, freq).tolist() == periods.tolist()
    assert grid.period_of(starts - 1, freq).tolist() == (periods - 1).tolist()


def test_calendar_of_business_days_has_the_days_that_were_observed():
    times = us("2024-01-05T21:00", "2024-01-08T09:00", "2024-01-05T09:00")
    calendar = grid.make_calendar(times, "1B")
    assert calendar.times.tolist() == us("2024-01-05T09:00", "2024-01-08T09:00").tolist()


def test_calendar_of_every_second_month_has_the_one_that_nobody_observed():
    seen = us("2024-01-31", "2024-03-31", "2024-07-31")
    calendar = grid.make_calendar(seen, "2M")
    assert calendar.times.tolist() == sorted([*seen, *us("2024-05-01")])


def test_every_second_month_may_be_an_even_or_an_odd_one():
    even = us("2024-02-15", "2024-04-15", "2024-06-15")
    calendar = grid.make_calendar(np.append(even, us("2024-03-15", "2024-05-15")), "2M")
    assert len(calendar.times) == 3


def phase_of(remainders, interval=100):
    rows = pl.DataFrame({"series": pl.Series([0] * len(remainders), dtype=pl.UInt32)})
    time = pl.Series(np.arange(len(remainders)) * interval + 10**6 + np.array(remainders))
    series = pl.DataFrame(
        {
            "item": pl.Series([0], dtype=pl.UInt32),
            "freq": ["100us"],
            "interval": pl.Series([interval], dtype=pl.Int64),
        }
    )
    located, facts = grid.locate(rows.with_columns(time=time), series, {})
    return facts["phase"][0], located["off"].to_list()


def test_phase_is_that_of_most_points():
    assert phase_of([7, 7, 7, 40]) == (7, [0, 0, 0, 33])


def test_phase_of_a_jittering_clock_is_a_circular_mean():
    # Around the wrap: the plain mean of 98, 99, 1, 3, 4 would be 41.
    phase, off = phase_of([98, 99, 101, 103, 104])
    assert phase == 1
    assert off == [-3, -2, 0, 2, 3]


def test_division_is_that_of_whole_numbers_even_in_the_year_9999():
    rng = np.random.default_rng(0)
    latest = int(us("9999-12-31")[0])
    times = np.concatenate([rng.integers(-latest, latest, 20_000), us("2024-02-29", "1969-12-31")])
    interval = rng.choice([1, 3, 7, 1000, 60_000_000, 3_600_000_000], len(times))
    quotient, remainder = grid.divided(times, interval)
    assert (quotient == times // interval).all()
    assert (remainder == times % interval).all()
    assert (np.floor(times / interval) != quotient).any()  # floating point alone would not do


@pytest.mark.parametrize(
    ("off_minutes", "hours", "is_off"),
    [(60, 6, False), (-60, 3, False), (60, 2, True), (61, 6, True), (36, 6, False), (37, 6, True)],
)
def test_an_hour_is_no_distance_for_steps_of_several_hours(off_minutes, hours, is_off):
    rows = pl.DataFrame({"off": [off_minutes * 60_000_000], "interval": [hours * 3_600_000_000]})
    assert rows.select(grid.is_off_grid(pl.col("interval"))).item() is is_off


@pytest.mark.parametrize("share", [0.0, 0.02, 0.9], ids=["even", "some gaps", "no two alike"])
def test_cells_by_even_stretches_are_those_of_each_row(share):
    rng = np.random.default_rng(0)
    steps = np.where(rng.random(400) < share, rng.integers(0, 200, 400), 60)
    steps[100] = 60  # a series that goes on where the one before it ends
    times, starts = np.cumsum(steps) - 5_000, np.array([0, 100, 101, 120])
    interval = np.repeat([60, 60, 7, 60], np.diff(starts, append=400))
    found = grid._divided(times, interval, starts)
    for one, expected in zip(found, np.divmod(times, interval), strict=True):
        assert one.tolist() == expected.tolist()
