"""Gaussian processes, sharp shapes and growth look like what they are named for."""

import numpy as np
import pytest
from synthetic_kit import autocorrelation, made, rows


def kurtosis(series):
    """Of the changes of each series that varies; 3 for normal ones."""
    changes = np.diff(series, axis=1)
    changes = changes - changes.mean(axis=1, keepdims=True)
    variance = (changes**2).mean(axis=1)
    usable = variance > 0
    return (changes**4).mean(axis=1)[usable] / variance[usable] ** 2


@pytest.mark.parametrize("name", ["gaussian_process", "kernel_synth"])
def test_gaussian_paths_are_continuous_and_unlike_each_other(name):
    series = rows(name, count=80)
    firsts = np.array([autocorrelation(row, 1) for row in series])
    assert np.median(firsts) > 0.8
    assert np.quantile(firsts, 0.9) - np.quantile(firsts, 0.1) > 0.1


@pytest.mark.parametrize("name", ["spike_train", "periodic_anomalies", "shifts_spikes"])
def test_spikes_stand_out(name):
    assert np.median(kurtosis(rows(name, count=80))) > 6


def test_sines_hold_their_power_in_a_few_frequencies():
    shares = []
    for row in rows("sine_waves", count=80):
        power = np.abs(np.fft.rfft((row - row.mean()) * np.hanning(len(row)))) ** 2
        shares.append(np.sort(power)[-12:].sum() / power.sum())
    assert np.median(shares) > 0.7


def test_teeth_fall_at_once_and_rise_slowly_or_the_reverse():
    skew = []
    for row in rows("sawtooth", count=80):
        changes = np.diff(row)
        skew.append(abs(np.mean((changes - changes.mean()) ** 3)) / changes.std() ** 3)
    assert np.median(skew) > 1.5


def test_steps_are_mostly_flat_between_jumps():
    series = rows("step_patterns", count=80)
    assert np.median(kurtosis(series)) > 6
    changes = np.abs(np.diff(series, axis=1))
    assert np.median(np.median(changes, axis=1) / changes.max(axis=1)) < 0.1


def test_growth_ends_higher_than_it_began():
    series = rows("saturating_growth", count=80)
    assert (series[:, -100:].mean(axis=1) > series[:, :100].mean(axis=1)).mean() > 0.95
    assert (series >= 0).all()


def test_exponential_growth_is_exponential():
    series = rows("exponential_growth", count=80)
    assert np.median(series.max(axis=1) / np.maximum(np.median(series, axis=1), 1e-9)) > 3


def test_epidemics_are_counts_and_some_of_them_totals():
    series = rows("epidemic", count=80)
    assert (series >= 0).all()
    small = series[series.max(axis=1) < 1e6]
    np.testing.assert_array_equal(small, np.round(small))
    assert 0.1 < (np.diff(series, axis=1) >= 0).all(axis=1).mean() < 0.45


def test_products_come_and_go():
    series = rows("life_cycle", count=80)
    assert (series >= 0).all()
    smooth = series.reshape(80, 64, 16).mean(axis=2)
    assert np.median(smooth.max(axis=1) / np.median(smooth, axis=1)) > 2


def test_economies_are_smooth_and_some_begin_late_but_never_stop():
    series = made("economy", count=120)
    late = [np.isnan(values).any() for values in series]
    assert 0.1 < np.mean(late) < 0.4
    for values in series:
        first = int(np.isnan(values[0]).sum())
        assert first <= 512
        assert np.isfinite(values[0, first:]).all()
    smooth = [values[0, -504:].reshape(-1, 12).mean(axis=1) for values in series]
    assert np.median([autocorrelation(row, 1) for row in smooth]) > 0.7
