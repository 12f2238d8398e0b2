"""Time stamps of every usual spelling become the same instants in UTC."""

from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest

from toto_core.data.timestamps import TimestampReader, check_timezone, detect_format
from toto_core.errors import ConfigError, DataError

INSTANT = datetime(2024, 1, 31, 13, 5, 0, tzinfo=UTC)
MIDNIGHT = datetime(2024, 1, 31, tzinfo=UTC)


def read(values, timezone="UTC", items=None):
    column = values if isinstance(values, pl.Series) else pl.Series("time", values)
    reader = TimestampReader(
        detect_format(column, where="x.csv: time", more=lambda: column), timezone
    )
    return reader.read(column, items).to_list()


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-31 13:05:00",
        "2024-01-31T13:05:00",
        "2024-01-31T13:05:00Z",
        "2024-01-31 13:05:00+00:00",
        "2024-01-31T14:05:00.000+01:00",
        "2024-01-31T14:05:00.000+0100",
        "2024-01-31 13:05",
        "2024/01/31 13:05:00",
        "31.01.2024 13:05",
        "20240131T130500",
        "20240131130500",
        "202401311305",
        "20240131T1305",
        "01/31/2024 13:05",
        "31/01/2024 13:05:00",
        "1/31/24 13:05",
        "01/31/2024 01:05:00 PM",
        "Wed, 31 Jan 2024 13:05:00 +0000",
        " 2024-01-31 13:05:00 ",
        "1706706300",
        "1706706300000",
        "1706706300000000",
        "1706706300.0",
    ],
)
def test_text_is_read(text):
    assert read([text]) == [INSTANT]


@pytest.mark.parametrize(
    "text", ["2024-01-31", "20240131", "31.01.2024", "2024/01/31", "31-Jan-2024"]
)
def test_bare_date_is_a_label_in_any_time_zone(text):
    assert read([text], "Asia/Tokyo") == [MIDNIGHT]


@pytest.mark.parametrize(
    "number",
    [1_706_706_300, 1_706_706_300_000, 1_706_706_300_000_000, 1_706_706_300_000_000_000],
    ids=["seconds", "milliseconds", "microseconds", "nanoseconds"],
)
@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64])
def test_epoch_is_told_by_magnitude(number, dtype):
    assert read(pl.Series([number], dtype=dtype)) == [INSTANT]


def test_number_that_is_a_date_with_a_clock_is_no_epoch():
    assert read(["202401311405"], "Europe/Berlin") == [INSTANT]
    assert read(pl.Series([202401311305])) == [None]


def test_number_that_is_a_date_or_a_count():
    assert read([20240131, 7]) == [MIDNIGHT, None]


def test_typed_columns_are_read():
    naive = datetime(2024, 1, 31, 14, 5)
    zone = timezone(timedelta(hours=1))
    assert read([date(2024, 1, 31)], "Europe/Berlin") == [MIDNIGHT]
    assert read([naive], "Europe/Berlin") == [INSTANT]
    assert read(pl.Series([naive.replace(tzinfo=zone)])) == [INSTANT]
    assert read(pl.Series([naive]).cast(pl.Datetime("ns")), "Europe/Berlin") == [INSTANT]


def test_naive_text_is_of_the_given_time_zone():
    assert read(["2024-01-31 08:05:00"], "America/New_York") == [INSTANT]


def test_zoned_text_ignores_the_given_time_zone():
    assert read(["2024-01-31T13:05:00Z"], "America/New_York") == [INSTANT]


def test_repeated_hour_is_told_apart_by_order_within_an_item():
    stamps = ["2024-11-03 01:30:00", "2024-11-03 01:30:00", "2024-11-03 01:30:00"]
    found = read(stamps, "America/New_York", items=pl.Series(["a", "b", "a"]))
    assert [stamp.hour for stamp in found] == [5, 5, 6]


def test_repeated_hour_is_told_apart_over_batches():
    reader = TimestampReader("%Y-%m-%d %H:%M:%S", "America/New_York")
    stamps, items = pl.Series(["2024-11-03 01:30:00"] * 2), pl.Series(["a", "b"])
    hours = [reader.read(stamps, items).dt.hour().to_list() for _ in range(2)]
    assert hours == [[5, 5], [6, 6]]


def test_skipped_hour_is_no_time():
    assert read(["2024-03-10 02:30:00", "2024-03-10 03:30:00"], "America/New_York")[0] is None


def test_second_format_in_a_column_is_read_too():
    values = ["2024-01-31 13:05:00"] * 5 + ["2024-01-31T13:05:00.000Z", "1706706300", "soon", None]
    assert read(values) == [INSTANT] * 7 + [None, None]


@pytest.mark.parametrize(
    ("dates", "expected"),
    [(["01/02/2024", "13/02/2024"], (2, 1)), (["01/02/2024", "02/13/2024"], (1, 2))],
    ids=["day first", "month first"],
)
def test_one_day_above_twelve_decides_the_order(dates, expected):
    first = read(dates)[0]
    assert (first.month, first.day) == expected


def test_order_that_nothing_decides_is_refused():
    with pytest.raises(DataError, match=r"x.csv: time = '01/02/2024', a date that can be read in"):
        read(["05/05/2024", "01/02/2024"])


@pytest.mark.parametrize("values", [["2024013113", "2024013114"], [2024013113, 2024013114]])
def test_compact_hours_are_refused(values):
    with pytest.raises(DataError, match=r"x.csv: time = 2024013113, year, month, day and hour wit"):
        read(values)


def test_seconds_of_the_years_after_2030_are_no_compact_hours():
    found = read([2_024_013_113, 2_024_013_173, 2_024_013_233])
    assert found[0] == datetime(2034, 2, 20, 1, 51, 53, tzinfo=UTC)


def test_fractions_of_a_second_are_read_to_the_microsecond():
    expected = INSTANT.replace(microsecond=123_456)
    assert read(["2024-01-31 13:05:00.123456789"]) == [expected]
    assert read([int(expected.timestamp()) * 10**9 + 123_456_789]) == [expected]
    nanos = pl.Series([int(expected.timestamp()) * 10**9 + 123_456_789]).cast(pl.Datetime("ns"))
    assert read(nanos) == [expected]


def test_column_without_any_time_is_refused():
    with pytest.raises(DataError, match=r"x.csv: time = 'checkout', a time stamp is needed"):
        read(["checkout", "search"])


def test_year_out_of_range_is_no_time():
    assert read(["2024-01-31", "0024-01-31", "9999-12-31"]) == [MIDNIGHT, None, None]


def test_unknown_time_zone_is_refused():
    with pytest.raises(ConfigError, match=r"ingest.timezone = 'Mars/Phobos', a name of the IANA"):
        check_timezone("Mars/Phobos")
