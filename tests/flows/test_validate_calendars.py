"""Every frequency from below a second to a year, through ingest and validate."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from test_validate import PROJECT

from flows import ingest, paths, validate
from toto_core.config import load_params
from toto_core.data.tables import read_items

PARAMS = load_params(PROJECT / "params.yaml")


def valid(root, stamps, *, timezone="UTC", **rules):
    """Ingest a series at the stamps, as text, and validate it."""
    raw = root / "raw"
    raw.mkdir()
    texts = [stamp if isinstance(stamp, str) else str(stamp) for stamp in stamps]
    values = np.arange(len(texts)) % 7 + 0.5
    pl.DataFrame({"timestamp": texts, "value": values}).write_csv(raw / "x.csv")
    source = PARAMS.ingest.model_dump() | {
        "source": "files",
        "paths": ("raw",),
        "timezone": timezone,
    }
    section = PARAMS.validate_.model_dump() | {"bounds": {}, "min_length": 3} | rules
    params = PARAMS.model_copy(
        update={
            "ingest": type(PARAMS.ingest).model_validate(source),
            "validate_": type(PARAMS.validate_).model_validate(section),
        }
    )
    ingest.run(params, root)
    summary = validate.run(params, root)
    (item,) = read_items(root / paths.VALID)
    assert summary.metrics["rows_in"] == len(texts)
    return item, summary.metrics


def days(start, end):
    return np.arange(start, end, dtype="datetime64[D]")


def months(start, end, *, last=False):
    starts = np.arange(start, end, dtype="datetime64[M]")
    return (starts + 1).astype("datetime64[D]") - 1 if last else starts.astype("datetime64[D]")


def last_business_days(start, end):
    first_of_next = np.arange(start, end, dtype="datetime64[M]") + 1
    return np.busday_offset(first_of_next.astype("datetime64[D]"), -1, roll="forward")


def first_business_days(start, end):
    return np.busday_offset(months(start, end), 0, roll="forward")


def ticks(step_us, count=200):
    return np.datetime64("2024-02-28T23:59:00", "us") + step_us * np.arange(count)


weekdays = days("2023-12-01", "2024-04-01")[np.is_busday(days("2023-12-01", "2024-04-01"))]
CALENDARS = [
    pytest.param(ticks(100), "100us", id="100 microseconds"),
    pytest.param(ticks(1000), "1ms", id="millisecond"),
    pytest.param(ticks(250_000), "250ms", id="quarter of a second"),
    pytest.param(ticks(1_000_000), "1s", id="second"),
    pytest.param(ticks(15_000_000), "15s", id="15 seconds"),
    pytest.param(ticks(300_000_000), "5min", id="5 minutes, over a leap day"),
    pytest.param(ticks(3_600_000_000), "1h", id="hour, over a leap day"),
    pytest.param(days("2023-12-01", "2024-04-01"), "1D", id="day, over a leap day"),
    pytest.param(weekdays, "1B", id="business day, over a leap day"),
    pytest.param(days("2023-01-01", "2025-01-01")[::7], "1W", id="week from Sunday"),
    pytest.param(days("2023-01-04", "2025-01-01")[::7], "1W", id="week from Wednesday"),
    pytest.param(days("2023-01-01", "2025-01-01")[::14], "2W", id="fortnight"),
    pytest.param(months("2019-01", "2025-01"), "1M", id="first of the month"),
    pytest.param(months("2019-01", "2025-01") + 14, "1M", id="15th of the month"),
    pytest.param(months("2019-01", "2025-01", last=True), "1M", id="last of the month"),
    pytest.param(last_business_days("2019-01", "2025-01"), "1M", id="last business day"),
    pytest.param(first_business_days("2019-01", "2025-01"), "1M", id="first business day"),
    pytest.param(months("2010-01", "2025-01")[::3], "1Q", id="quarter"),
    pytest.param(months("2010-01", "2025-01", last=True)[2::3], "1Q", id="end of the quarter"),
    pytest.param(months("2010-01", "2025-01")[::6], "2Q", id="half a year"),
    pytest.param(months("1960-01", "2025-01")[::12], "1Y", id="year, before 1970 too"),
    pytest.param(months("1960-01", "2025-01", last=True)[11::12], "1Y", id="end of the year"),
]


@pytest.mark.parametrize(("stamps", "freq"), CALENDARS)
def test_calendar_passes_without_a_gap_and_at_its_own_times(tmp_path, stamps, freq):
    item, metrics = valid(tmp_path, stamps)
    assert item.freq == freq
    assert item.timestamps.tolist() == stamps.astype("datetime64[us]").astype(np.int64).tolist()
    assert metrics["missing"] == metrics["rows_repaired"] == metrics["rows_quarantined"] == 0


@pytest.mark.parametrize(("stamps", "freq"), [c for c in CALENDARS if c.id != "half a year"])
def test_absent_step_becomes_one_missing_value(tmp_path, stamps, freq):
    gap = len(stamps) // 2
    item, metrics = valid(tmp_path, np.delete(stamps, gap))
    assert item.freq == freq
    # Of business days only those are known on which something was observed.
    expected = 0 if freq == "1B" else 1
    assert metrics["missing"] == expected
    assert len(item.timestamps) == len(stamps) - 1 + expected
    if expected:
        assert np.flatnonzero(np.isnan(item.values[0])).tolist() == [gap]


def local_hours(zone, start, count):
    """Wall-clock texts of consecutive hours, and their times in UTC."""
    begin = start.replace(tzinfo=ZoneInfo("UTC"))
    times = [begin + timedelta(hours=n) for n in range(count)]
    texts = [time.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S") for time in times]
    return texts, [int(time.timestamp()) * 10**6 for time in times]


@pytest.mark.parametrize(
    "start", [datetime(2024, 3, 29), datetime(2024, 10, 25)], ids=["spring", "autumn"]
)
def test_hours_in_local_time_lie_on_one_grid_when_their_zone_is_named(tmp_path, start):
    texts, times = local_hours("Europe/Berlin", start, 120)
    item, metrics = valid(tmp_path, texts, timezone="Europe/Berlin")
    assert item.timestamps.tolist() == times
    assert metrics["missing"] == metrics["rows_quarantined"] == 0


def test_hour_that_clocks_repeat_is_a_duplicate_without_the_zone(tmp_path):
    texts, _ = local_hours("Europe/Berlin", datetime(2024, 10, 25), 120)
    item, metrics = valid(tmp_path, texts)
    assert metrics["rows_quarantined"] == 1
    assert len(item.timestamps) == 119


@pytest.mark.parametrize(
    ("step", "freq"), [(timedelta(days=1), "1D"), (timedelta(days=7), "1W")], ids=["day", "week"]
)
def test_local_midnights_over_both_changes_of_the_clock_share_a_grid(tmp_path, step, freq):
    local = [datetime(2023, 1, 2) + n * step for n in range(104 if freq == "1W" else 400)]
    texts = [stamp.strftime("%Y-%m-%d %H:%M:%S") for stamp in local]
    item, metrics = valid(tmp_path, texts, timezone="America/New_York")
    assert item.freq == freq
    assert len(item.timestamps) == len(local)
    assert metrics["missing"] == metrics["rows_quarantined"] == 0
    assert len(set(np.diff(item.timestamps))) == 1


def test_business_days_east_of_greenwich_are_not_shifted_to_sundays(tmp_path):
    texts = [f"{day} 00:00:00" for day in weekdays]
    item, metrics = valid(tmp_path, texts, timezone="Asia/Tokyo")
    assert item.freq == "1B"
    assert len(item.timestamps) == len(weekdays)
    assert metrics["missing"] == 0


def test_offsets_in_the_stamps_win_over_the_zone(tmp_path):
    texts = [f"2024-03-31T{hour:02d}:00:00+02:00" for hour in range(24)]
    item, _ = valid(tmp_path, texts, timezone="America/New_York")
    assert item.timestamps[0] == np.datetime64("2024-03-30T22:00:00", "us").astype(np.int64)
