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


def write(path, stamps):
    texts = [stamp if isinstance(stamp, str) else str(stamp) for stamp in stamps]
    values = np.arange(len(texts)) % 7 + 0.5
    pl.DataFrame({"timestamp": texts, "value": values}).write_csv(path)


def run(root, *, timezone="UTC"):
    """Ingest and validate the files of ``root``/raw, an item each."""
    source = PARAMS.ingest.model_dump() | {"source": "files", "paths": ("raw",)}
    source |= {"timezone": timezone, "layout": "per_file"}
    section = PARAMS.validate_.model_dump() | {"bounds": {}, "min_length": 3}
    params = PARAMS.model_copy(
        update={
            "ingest": type(PARAMS.ingest).model_validate(source),
            "validate_": type(PARAMS.validate_).model_validate(section),
        }
    )
    ingest.run(params, root)
    return validate.run(params, root)


def valid(root, stamps, *, timezone="UTC"):
    """Ingest a series at the stamps, as text, and validate it."""
    (root / "raw").mkdir()
    write(root / "raw/x.csv", stamps)
    metrics = run(root, timezone=timezone).metrics
    (item,) = read_items(root / paths.VALID)
    assert metrics["rows_in"] == len(stamps)
    return item, metrics


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
CALENDARS = {
    "100 microseconds": (ticks(100), "100us"),
    "millisecond": (ticks(1000), "1ms"),
    "quarter of a second": (ticks(250_000), "250ms"),
    "second": (ticks(1_000_000), "1s"),
    "15 seconds": (ticks(15_000_000), "15s"),
    "5 minutes, over a leap day": (ticks(300_000_000), "5min"),
    "hour, over a leap day": (ticks(3_600_000_000), "1h"),
    "day, over a leap day": (days("2023-12-01", "2024-04-01"), "1D"),
    "business day, over a leap day": (weekdays, "1B"),
    "week from Sunday": (days("2023-01-01", "2025-01-01")[::7], "1W"),
    "week from Wednesday": (days("2023-01-04", "2025-01-01")[::7], "1W"),
    "fortnight": (days("2023-01-01", "2025-01-01")[::14], "2W"),
    "first of the month": (months("2019-01", "2025-01"), "1M"),
    "15th of the month": (months("2019-01", "2025-01") + 14, "1M"),
    "last of the month": (months("2019-01", "2025-01", last=True), "1M"),
    "last business day": (last_business_days("2019-01", "2025-01"), "1M"),
    "first business day": (first_business_days("2019-01", "2025-01"), "1M"),
    "quarter": (months("2010-01", "2025-01")[::3], "1Q"),
    "end of the quarter": (months("2010-01", "2025-01", last=True)[2::3], "1Q"),
    "half a year": (months("2010-01", "2025-01")[::6], "2Q"),
    "every second month": (months("2010-01", "2025-01")[1::2], "2M"),
    "year, before 1970 too": (months("1960-01", "2025-01")[::12], "1Y"),
    "end of the year": (months("1960-01", "2025-01", last=True)[11::12], "1Y"),
}


def all_at_once(root, *, gap):
    """Every calendar as an item of one data set, whole or without its middle step."""
    raw = root / "raw"
    raw.mkdir()
    for name, (stamps, _) in CALENDARS.items():
        kept = np.delete(stamps, len(stamps) // 2) if gap else stamps
        write(raw / f"{name}.csv", kept)
    summary = run(root)
    return {item.item_id: item for item in read_items(root / paths.VALID)}, summary.metrics


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return all_at_once(tmp_path_factory.mktemp("whole"), gap=False)


@pytest.fixture(scope="module")
def gapped(tmp_path_factory):
    return all_at_once(tmp_path_factory.mktemp("gapped"), gap=True)


@pytest.mark.parametrize("name", CALENDARS)
def test_calendar_passes_without_a_gap_and_at_its_own_times(whole, name):
    items, metrics = whole
    stamps, freq = CALENDARS[name]
    item = items[name]
    assert item.freq == freq
    assert item.timestamps.tolist() == stamps.astype("datetime64[us]").astype(np.int64).tolist()
    assert not np.isnan(item.values).any()
    assert metrics["rows_repaired"] == metrics["rows_quarantined"] == 0


@pytest.mark.parametrize("name", CALENDARS)
def test_absent_step_becomes_one_missing_value(gapped, name):
    item, (stamps, freq) = gapped[0][name], CALENDARS[name]
    assert item.freq == freq
    missing = np.flatnonzero(np.isnan(item.values[0])).tolist()
    # Of business days only those are known on which anything was observed.
    has_gap = freq != "1B"
    assert missing == ([len(stamps) // 2] if has_gap else [])
    assert len(item.timestamps) == len(stamps) - (not has_gap)


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


@pytest.mark.parametrize("hours", [3, 4, 6, 8, 12])
def test_steps_of_hours_in_local_time_share_a_grid_all_year(tmp_path, hours):
    step = timedelta(hours=hours)
    texts = [str(datetime(2024, 1, 1) + n * step) for n in range(366 * 24 // hours)]
    item, metrics = valid(tmp_path, texts, timezone="America/New_York")
    assert item.freq == f"{hours}h"
    assert len(item.timestamps) == len(texts)
    assert metrics["missing"] == metrics["rows_quarantined"] == 0
    assert len(set(np.diff(item.timestamps))) == 1
    winter = 366 - 238  # clocks changed on 10 March and 3 November
    assert metrics["rows_repaired"] == pytest.approx(winter * 24 / hours, abs=24 / hours)


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
