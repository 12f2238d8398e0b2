"""Shapes of observability and counts keep the rules of what they imitate."""

import numpy as np
import pytest
from synthetic_kit import autocorrelation, rows

NEVER_NEGATIVE = (
    "request_rate",
    "utilisation",
    "collected_memory",
    "disk_space",
    "counter",
    "latency",
    "error_count",
    "scheduled_jobs",
    "batch_jobs",
    "bursty_gauge",
    "queue_depth",
    "seasonal_counts",
)


@pytest.mark.parametrize("name", NEVER_NEGATIVE)
def test_nothing_is_below_zero(name):
    assert min(row.min() for row in rows(name, count=60, length=600)) >= 0


@pytest.mark.parametrize("name", ["seasonal_counts", "queue_depth", "counter"])
def test_counts_are_whole(name):
    series = rows(name, count=60, length=600)
    np.testing.assert_array_equal(series, np.round(series))


def test_counter_falls_only_when_it_starts_again():
    series = rows("counter", count=80)
    resets = 0
    for row in series:
        falls = np.flatnonzero(np.diff(row) < 0) + 1
        resets += len(falls)
        # It begins anew: lower than anything that it would reach in a few steps.
        assert (row[falls] <= np.diff(row).max()).all()
    assert 50 < resets < 2000


def test_utilisation_ends_at_its_ceiling():
    series = rows("utilisation", count=80)
    tops = series.max(axis=1)
    assert (tops <= 100).all()
    assert ((tops == 100) | (tops == 1)).mean() > 0.1


def test_memory_rises_step_by_step_and_drops_at_once():
    ups = []
    for row in rows("collected_memory", count=80):
        changes = np.diff(row)
        ups.append(-changes.min() / max(changes.max(), 1e-12))
    assert np.median(ups) > 1.2


def test_disk_fills_longer_than_it_is_cleaned():
    series = rows("disk_space", count=80)
    changes = np.diff(series, axis=1)
    assert np.median((changes >= 0).mean(axis=1)) > 0.8
    assert np.median(-changes.min(axis=1) / np.ptp(series, axis=1)) > 0.3


def test_latency_has_a_tail_to_the_right_and_follows_the_load():
    series = rows("latency", count=80)
    median = np.median(series, axis=1)
    high, low = (
        np.quantile(series, 0.99, axis=1) - median,
        median - np.quantile(series, 0.01, axis=1),
    )
    assert np.median(high / np.maximum(low, 1e-12)) > 1.5
    logs = np.log(series + 1e-12)
    assert np.median([autocorrelation(row, 1) for row in logs]) > 0.1


def test_load_has_days():
    found = [
        max(autocorrelation(row, lag) for lag in (24, 96, 288, 1440))
        for row in rows("request_rate", count=80, length=3000)
    ]
    assert (np.array(found) > 0.3).mean() > 0.4


def test_jobs_return():
    found = []
    for row in rows("scheduled_jobs", count=40):
        busy = (row > row.mean()).astype(float)
        found.append(max(autocorrelation(busy, lag) for lag in range(5, 500)))
    assert np.median(found) > 0.3


def test_batches_have_two_states():
    series = rows("batch_jobs", count=80)
    middle = (series.max(axis=1) + series.min(axis=1))[:, None] / 2
    within = np.abs(series - middle) < 0.1 * np.ptp(series, axis=1)[:, None]
    assert np.median(within.mean(axis=1)) < 0.15


def test_bursts_are_rare_and_high():
    series = rows("bursty_gauge", count=80)
    assert np.median(series.max(axis=1) / np.median(series, axis=1)) > 4


def test_errors_come_in_incidents_that_last():
    series = rows("error_count", count=80)
    assert np.median(series.max(axis=1) / np.maximum(series.mean(axis=1), 1e-9)) > 4
    assert np.median([autocorrelation(row, 1) for row in np.sqrt(series)]) > 0.3


def test_low_counts_have_weekdays():
    series = rows("seasonal_counts", count=150)
    weekly = np.array([autocorrelation(row, 7) for row in np.sqrt(series)])
    assert (weekly > 0.2).mean() > 0.25
    assert (series == 0).mean() > 0.1
