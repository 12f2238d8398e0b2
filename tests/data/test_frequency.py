"""Frequencies are read from every usual alias and from time stamps with the usual defects."""

import numpy as np
import pytest

from toto_core.data.frequency import (
    DAY_US,
    HOUR_US,
    MINUTE_US,
    Frequency,
    default_seasonality,
    grid,
    infer_freq,
    infer_freqs,
    parse_freq,
)


def microseconds(stamps):
    return np.asarray(stamps).astype("datetime64[us]").astype(np.int64)


def days(first, last):
    return np.arange(first, last, dtype="datetime64[D]")


def months(first, last):
    return np.arange(first, last, dtype="datetime64[M]")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("5T", "5min"),
        ("5m", "5min"),
        ("5min", "5min"),
        ("H", "1h"),
        ("h", "1h"),
        ("D", "1D"),
        ("B", "1B"),
        ("W-SUN", "1W"),
        ("M", "1M"),
        ("ME", "1M"),
        ("MS", "1M"),
        ("1mo", "1M"),
        ("Q-DEC", "1Q"),
        ("A-DEC", "1Y"),
        ("Y", "1Y"),
        ("S", "1s"),
        ("10S", "10s"),
        ("ms", "1ms"),
        ("60min", "1h"),
        ("90min", "90min"),
        ("24h", "1D"),
        ("3M", "1Q"),
        ("12M", "1Y"),
    ],
)
def test_alias_has_one_canonical_name(text, canonical):
    assert parse_freq(text).canonical == canonical
    assert parse_freq(canonical) == parse_freq(text)


@pytest.mark.parametrize("text", ["", "5", "fortnight", "0h", "-1h", "1.5h"])
def test_text_that_is_no_frequency_is_refused(text):
    with pytest.raises(ValueError, match=f"freq = '{text}', a count and one of us, ms, s, min"):
        parse_freq(text)


@pytest.mark.parametrize(
    ("text", "interval_us"),
    [
        ("10s", 10_000_000),
        ("5min", 300_000_000),
        ("1B", DAY_US),
        ("1W", 7 * DAY_US),
        ("1M", 2_629_800_000_000),  # 30.4375 days
        ("1Y", 31_557_600_000_000),  # 365.25 days
    ],
)
def test_nominal_interval_by_hand(text, interval_us):
    assert parse_freq(text).interval_us == interval_us


@pytest.mark.parametrize(
    ("text", "season"),
    [
        ("10s", 360),
        ("1min", 1440),
        ("5min", 288),
        ("15min", 96),
        ("7min", 1),
        ("1h", 24),
        ("1D", 7),
        ("1B", 5),
        ("1W", 1),
        ("1M", 12),
        ("1Q", 4),
        ("1Y", 1),
        ("100ms", 36_000),
    ],
)
def test_season_by_hand(text, season):
    assert default_seasonality(parse_freq(text)) == season


def test_grid_includes_an_end_that_a_step_meets():
    assert grid(0, 2 * HOUR_US, Frequency(1, "h")).tolist() == [0, HOUR_US, 2 * HOUR_US]
    assert grid(0, 2 * HOUR_US - 1, Frequency(1, "h")).tolist() == [0, HOUR_US]


def test_grid_of_a_calendar_frequency_is_refused():
    with pytest.raises(ValueError, match="freq = 1M, a frequency with equal steps is needed"):
        grid(0, DAY_US, Frequency(1, "M"))


weekdays = days("2020-01-01", "2020-06-01")[np.is_busday(days("2020-01-01", "2020-06-01"))]

mondays_to_saturdays = days("2020-01-06", "2020-06-01")[np.arange(147) % 7 < 6]


@pytest.mark.parametrize(
    ("stamps", "freq"),
    [
        pytest.param(days("2020-01-01", "2020-03-01"), "1D", id="days"),
        pytest.param(weekdays, "1B", id="weekdays"),
        pytest.param(microseconds(weekdays) - 2 * HOUR_US, "1B", id="weekdays east of Greenwich"),
        pytest.param(np.delete(weekdays, [3, 17, 40]), "1B", id="weekdays without holidays"),
        pytest.param(days("2020-01-06", "2020-01-11"), "1D", id="five days are not yet business"),
        pytest.param(np.delete(mondays_to_saturdays, 6), "1D", id="six days are not business"),
        pytest.param(days("2020-01-01", "2020-06-01")[::7], "1W", id="weeks"),
        pytest.param(days("2020-01-01", "2021-06-01")[::28], "4W", id="four weeks are no month"),
        pytest.param(months("2019-01", "2021-01"), "1M", id="first of the month"),
        pytest.param(
            months("2019-01", "2021-01").astype("datetime64[D]") - 1, "1M", id="last of the month"
        ),
        pytest.param(months("2010-01", "2021-01")[::3], "1Q", id="quarters"),
        pytest.param(months("1990-01", "2021-01")[::12], "1Y", id="years"),
    ],
)
def test_calendar_is_recognised(stamps, freq):
    found = infer_freq(microseconds(stamps))
    assert found is not None
    assert found.canonical == freq


def test_gaps_duplicates_and_disorder_are_outvoted():
    rng = np.random.default_rng(0)
    stamps = np.arange(500) * 5 * MINUTE_US
    broken = np.concatenate([np.delete(stamps, rng.choice(500, 100, replace=False)), stamps[:50]])
    assert infer_freq(rng.permutation(broken)) == Frequency(5, "min")


def test_daylight_saving_does_not_fool_daily_or_five_minute_data():
    local = days("2014-01-01", "2014-12-31")
    summer = (local > np.datetime64("2014-03-09")) & (local < np.datetime64("2014-11-02"))
    assert infer_freq(microseconds(local) + np.where(summer, 4, 5) * HOUR_US) == Frequency(1, "D")
    naive = np.arange(1000) * 5 * MINUTE_US
    naive[500:512] = naive[512]  # the twelve stamps of the skipped hour
    assert infer_freq(naive) == Frequency(5, "min")


def test_jittering_clock_is_rounded_to_the_usual_step():
    rng = np.random.default_rng(1)
    stamps = np.cumsum(rng.normal(15_000_000, 200_000, 1000).astype(np.int64))
    assert infer_freq(stamps) == Frequency(15, "s")


def test_shorter_of_two_equally_common_steps_wins():
    assert infer_freq(np.array([0, 1, 3]) * HOUR_US) == Frequency(1, "h")


@pytest.mark.parametrize("stamps", [[5], [5, 5, 5]])
def test_one_distinct_stamp_has_no_frequency(stamps):
    assert infer_freq(np.array(stamps)) is None


def test_many_series_at_once_equal_one_by_one():
    series = [
        microseconds(days("2020-01-01", "2020-03-01")),
        np.array([7]),
        microseconds(weekdays),
        np.arange(3) * HOUR_US,
        microseconds(months("2019-01", "2021-01")),
    ]
    starts = np.cumsum([0] + [len(one) for one in series[:-1]])
    together = infer_freqs(np.concatenate(series), starts)
    assert together == [infer_freq(one) for one in series]
    assert together[1] is None


def test_step_from_one_series_to_the_next_does_not_count():
    starts = np.array([0, 2])
    first, second = infer_freqs(np.array([0, 1, 2, 12]) * HOUR_US, starts)
    assert (first, second) == (Frequency(1, "h"), Frequency(10, "h"))
