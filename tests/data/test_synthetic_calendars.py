"""Families of calendars repeat by days, weeks and years and keep within their ranges."""

import numpy as np
import pytest
from synthetic_kit import autocorrelation, rows

DAYS = (8, 24, 48, 96, 144, 288, 1440)


def best(series, lags):
    """Of each series, its largest autocorrelation at these lags."""
    return np.array([max(autocorrelation(row, lag) for lag in lags) for row in series])


@pytest.mark.parametrize(("name", "share"), [("daily_weekly", 0.7), ("solar", 0.6)])
def test_days_repeat(name, share):
    series = rows(name, count=80, length=2100)
    assert (best(series, DAYS) > 0.3).mean() > share
    shuffled = np.random.default_rng(0).permuted(series, axis=1)
    assert (best(shuffled, DAYS) > 0.3).mean() < 0.05


def test_workdays_resemble_their_week_more_than_their_day():
    series = rows("daily_weekly", count=80, length=2100)
    of_week = np.array(
        [max(autocorrelation(row, 7 * day) for day in (24, 48, 96)) for row in series]
    )
    of_days = np.array(
        [max(autocorrelation(row, 3 * day) for day in (24, 48, 96)) for row in series]
    )
    hourly = of_week > 0.5
    assert hourly.mean() > 0.15
    assert np.mean(of_week[hourly] > of_days[hourly]) > 0.6


def test_weekdays_may_differ_from_each_other():
    series = rows("daily_weekly", count=150, length=2100)
    of_week, of_day = (
        np.array([max(autocorrelation(row, days * day) for day in (24, 48)) for row in series])
        for days in (7, 1)
    )
    # With one profile for all workdays: 4 of 150.
    assert ((of_week > 0.6) & (of_day < 0.5 * of_week)).sum() >= 10


def test_nights_have_no_sun():
    series = rows("solar", count=80, length=2100)
    assert (series >= 0).all()
    dark = (series == 0).mean(axis=1)
    assert 0.2 < np.median(dark) < 0.8
    # Darkness comes in one stretch a day, not here and there.
    edges = (np.diff((series == 0).astype(int), axis=1) != 0).mean(axis=1)
    assert np.median(edges) < 0.12


def test_business_has_weekdays_and_is_not_negative():
    series = rows("daily_counts", count=80, length=2000)
    assert (series >= 0).all()
    changes = [np.diff(np.log1p(row)) for row in series]
    weekly = np.array([max(autocorrelation(row, 7), autocorrelation(row, 5)) for row in changes])
    assert (weekly > 0.3).mean() > 0.4


def test_weather_lasts():
    series = rows("weather", count=80, length=2000)
    assert np.median([autocorrelation(row, 1) for row in series]) > 0.8


def test_roads_have_rush_hours_and_nothing_below_zero():
    series = rows("road_traffic", count=80, length=2100)
    assert (best(series, DAYS) > 0.2).mean() > 0.5
    assert (series >= 0).all()
