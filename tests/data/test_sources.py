"""The four layouts in every format become the same series; what cannot be read says why."""

import bz2
import gzip
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from ingested import Ingested

from toto_core.data import buckets, spool
from toto_core.data.numerals import numbers
from toto_core.data.tables import ITEMS_SCHEMA, SERIES_SCHEMA
from toto_core.errors import ConfigError, DataError

SHARED = Path(__file__).parents[2] / "../shared/data"
HOUR = timedelta(hours=1)
START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def ingest(tmp_path):
    return lambda *paths, **changes: Ingested(tmp_path, *paths, **changes)


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def times(count):
    return [START + i * HOUR for i in range(count)]


@pytest.fixture
def long():
    return pl.DataFrame(
        {
            "item_id": ["b"] * 3 + ["a"] * 3,
            "timestamp": times(3) * 2,
            "target": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        }
    )


def as_text(table):
    return table.with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%d %H:%M:%S"))


def check_long(found):
    assert found.rows.schema == SERIES_SCHEMA
    assert found.items.schema == ITEMS_SCHEMA
    assert found.rows["timestamp"].to_list() == times(3) * 2
    assert found.rows["item_id"].to_list() == ["a"] * 3 + ["b"] * 3
    assert found.rows["value"].to_list() == [4.0, 5.0, 6.0, 1.0, 2.0, 3.0]
    assert found.items["freq"].to_list() == ["1h", "1h"]
    assert found.items["role"].to_list() == ["target", "target"]
    assert found.rejected.is_empty()


def bz2_csv(table, path):
    path.write_bytes(bz2.compress(as_text(table).write_csv().encode()))


FORMATS = {
    "x.parquet": lambda table, path: table.write_parquet(path),
    "x.arrow": lambda table, path: table.write_ipc(path),
    "x.feather": lambda table, path: table.write_ipc_stream(path),
    "x.jsonl": lambda table, path: as_text(table).write_ndjson(path),
    "x.csv": lambda table, path: as_text(table).write_csv(path),
    "x.tsv": lambda table, path: as_text(table).write_csv(path, separator="\t"),
    "semicolon.csv": lambda table, path: as_text(table).write_csv(path, separator=";"),
    "bar.csv": lambda table, path: as_text(table).write_csv(path, separator="|"),
    "bom.csv": lambda table, path: as_text(table).write_csv(path, include_bom=True),
    "crlf.csv": lambda table, path: as_text(table).write_csv(path, line_terminator="\r\n"),
    "x.csv.gz": lambda table, path: path.write_bytes(
        gzip.compress(as_text(table).write_csv().encode())
    ),
    "x.csv.zst": lambda table, path: as_text(table).lazy().sink_csv(path, compression="zstd"),
    "x.csv.bz2": bz2_csv,
}


@pytest.mark.parametrize("name", FORMATS)
def test_long_layout_is_read_from_every_format(tmp_path, ingest, long, name):
    FORMATS[name](long, tmp_path / name)
    found = ingest(name)
    check_long(found)
    assert found.report.sources == [(name, 6)]
    assert [path.name for path in found.directory.iterdir() if path.is_dir()] == []


def test_nixtla_names_are_recognised(tmp_path, ingest, long):
    renamed = long.rename({"item_id": "unique_id", "timestamp": "ds", "target": "y"})
    renamed.write_parquet(tmp_path / "x.parquet")
    assert ingest("x.parquet").values("b", "y") == [1.0, 2.0, 3.0]


def test_wide_layout_has_one_item_for_each_column(tmp_path, ingest, long):
    wide = as_text(long.pivot("item_id", index="timestamp", values="target"))
    wide.write_csv(tmp_path / "x.csv")
    check_long(ingest("x.csv"))


def test_file_for_each_item_has_the_columns_as_variates(tmp_path, ingest):
    for name, factor in (("up.csv", 1), ("down.one.csv.gz", -1)):
        text = "Date,close,volume\n" + "".join(
            f"2024-01-0{day},{factor * day},{10 * day}\n" for day in range(1, 6)
        )
        data = gzip.compress(text.encode()) if name.endswith("gz") else text
        write(tmp_path, f"bars/{name}", data)
    write(tmp_path, "bars/more/flat.tsv", "date\tclose\tvolume\n2024-01-01\t1\t2\n")
    write(tmp_path, "bars/README.md", "notes")
    write(tmp_path, "bars/LICENSE.txt", "licence")
    found = ingest("bars")
    assert found.items["item_id"].unique().sort().to_list() == ["down.one", "flat", "up"]
    assert found.values("down.one", "close") == [-1, -2, -3, -4, -5]
    assert found.values("up", "volume") == [10, 20, 30, 40, 50]
    assert found.report.freqs == {"1D": 3}
    assert dict(found.report.sources) == {
        "bars/down.one.csv.gz": 10,
        "bars/more/flat.tsv": 2,
        "bars/up.csv": 10,
    }


def gluonts_rows():
    return pl.DataFrame(
        {
            "item_id": ["a", "b"],
            "start": [START.replace(tzinfo=None)] * 2,
            "freq": ["H", "M"],
            "target": [[4.0, float("nan"), 6.0], [1.0, 2.0, 3.0]],
        }
    )


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.feather"])
def test_gluonts_layout_of_one_dimension(tmp_path, ingest, name):
    FORMATS[name](gluonts_rows(), tmp_path / name)
    found = ingest(name)
    assert found.values("a") == [4.0, 6.0]
    assert found.report.num_empty == 1
    assert found.report.freqs == {"1M": 1, "1h": 1}
    last = found.rows.filter(pl.col("item_id") == "b")["timestamp"].to_list()[-1]
    assert last == datetime(2024, 3, 1, tzinfo=UTC)


def test_gluonts_layout_of_two_dimensions_and_covariates(tmp_path, ingest):
    row = {
        "item_id": "a",
        "start": "2024-01-01 00:00:00",
        "freq": "1h",
        "target": [[1, 2], [3, 4]],
        "feat_dynamic_real": [[5, 6, 7]],
    }
    write(tmp_path, "x.jsonl", json.dumps(row) + "\n")
    found = ingest("x.jsonl")
    assert found.values("a", "target_1") == [3, 4]
    assert found.values("a", "feat_dynamic_real_0") == [5, 6, 7]
    assert dict(found.items.select("variate", "role").iter_rows()) == {
        "feat_dynamic_real_0": "known_covariate",
        "target_0": "target",
        "target_1": "target",
    }


def test_roles_groups_and_frequency_come_from_the_params(tmp_path, ingest):
    write(tmp_path, "x.csv", "symbol,date,open,close,holiday,note\nweb-1,2024-01-01,1,2,0,hi\n")
    found = ingest(
        "x.csv",
        targets=["close"],
        past_covariates=["open"],
        known_covariates=["holiday"],
        freq="B",
        group_pattern=r"^(\w+)-",
    )
    assert dict(found.items.select("variate", "role").iter_rows()) == {
        "close": "target",
        "holiday": "known_covariate",
        "open": "past_covariate",
    }
    assert found.items["group"].unique().to_list() == ["web"]
    assert found.items["freq"].unique().to_list() == ["1B"]


def test_item_without_the_groups_pattern_is_its_own_group(tmp_path, ingest, long):
    long.write_parquet(tmp_path / "x.parquet")
    assert ingest("x.parquet", group_pattern="^(b)").items["group"].to_list() == ["a", "b"]


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([1, 2, 3], dtype=pl.Int16),
        pl.Series([1, 2, 3], dtype=pl.UInt64),
        pl.Series([1, 2, 3]).cast(pl.Decimal(10, 2)),
        pl.Series(["1", " 2.0 ", "3e0"]),
    ],
    ids=["integer", "unsigned", "decimal", "text"],
)
def test_numbers_of_any_type_are_read(column):
    values, wrong = numbers(column)
    assert values.dtype == pl.Float32
    assert values.to_list() == [1.0, 2.0, 3.0]
    assert not wrong.any()


def test_truth_values_are_one_and_zero_and_words_for_nothing_are_empty():
    assert numbers(pl.Series([True, False]))[0].to_list() == [1.0, 0.0]
    values, wrong = numbers(pl.Series(["true", "False", "", "NA", "null", "-", "oops", None]))
    assert values.to_list() == [1.0, 0.0, None, None, None, None, None, None]
    assert wrong.to_list() == [False] * 6 + [True, False]


def test_text_among_numbers_and_bad_times_are_rejected_with_what_was_found(tmp_path, ingest):
    lines = [f"a,2024-01-01 0{hour}:00:00,{hour}" for hour in range(8)]
    lines += ["a,2024-01-01 08:00:00,oops", "a,someday,9", "a,,10", ",2024-01-01 09:00:00,11"]
    write(tmp_path, "x.csv", "item_id,timestamp,target\n" + "\n".join(lines) + "\n\n")
    found = ingest("x.csv")
    assert found.values("a") == list(range(8))
    assert found.report.num_rejected == 4
    assert sorted(found.rejected.rows(), key=str) == sorted(
        [
            ("a", "target", "2024-01-01 08:00:00", "oops", "not_a_number", "x.csv"),
            ("a", "target", "someday", "9", "unparsable_timestamp", "x.csv"),
            ("a", "target", None, "10", "unparsable_timestamp", "x.csv"),
            (None, "target", "2024-01-01 09:00:00", "11", "missing_item_id", "x.csv"),
        ],
        key=str,
    )


def test_two_formats_in_a_column_are_both_read(tmp_path, ingest):
    text = "item_id,timestamp,target\na,2024-01-01 00:00:00,1\na,2024-01-01T01:00:00Z,2\n"
    write(tmp_path, "x.csv", text + "a,1704074400,3\n")
    found = ingest("x.csv")
    assert found.rows["timestamp"].to_list() == times(3)


def test_empty_cell_is_no_row_and_nan_is_kept(tmp_path, ingest):
    write(
        tmp_path,
        "x.csv",
        "item_id,timestamp,target\n" + "a,2024-01-01,1\na,2024-01-02,\na,2024-01-03,NaN\n",
    )
    found = ingest("x.csv")
    assert found.rows.height == 2
    assert np.isnan(found.values("a")[1])
    assert found.report.num_empty == 1


def test_duplicates_stay_in_the_order_of_the_files(tmp_path, ingest):
    for part, value in (("1", 5.0), ("2", 4.0)):
        write(tmp_path, f"{part}.csv", f"item_id,timestamp,target\na,2024-01-01,{value}\n")
    found = ingest("*.csv", freq="D")
    assert found.values("a") == [5.0, 4.0]


@pytest.mark.parametrize("rows_per_shard", [10_000, 300], ids=["memory", "buckets"])
def test_many_duplicates_stay_in_order_too(tmp_path, ingest, monkeypatch, rows_per_shard):
    monkeypatch.setattr(spool, "ROWS_PER_SHARD", rows_per_shard)
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "item_id": [f"item-{i}" for i in rng.integers(0, 9, 3000)],
            "timestamp": [START + int(i) * HOUR for i in rng.integers(0, 20, 3000)],
            "target": np.arange(3000.0),
        }
    )
    table.write_parquet(tmp_path / "x.parquet")
    rows = ingest("x.parquet").rows
    neighbours = rows.with_columns(pl.exclude("value").shift().name.suffix("_before"))
    repeated = neighbours["item_id"] == neighbours["item_id_before"]
    repeated &= neighbours["timestamp"] == neighbours["timestamp_before"]
    assert repeated.sum() > 2000
    assert (rows["value"].diff().filter(repeated) > 0).all()


def test_centuries_of_microseconds_are_sorted(tmp_path, ingest):
    rng = np.random.default_rng(0)
    stamps = rng.integers(-(10**16), 10**16, 5000)
    table = pl.DataFrame(
        {
            "item_id": [f"item-{i % 2500}" for i in range(5000)],
            "timestamp": pl.Series(stamps).cast(pl.Datetime("us")),
            "target": np.arange(5000.0),
        }
    )
    table.write_parquet(tmp_path / "x.parquet")
    expected = table.sort("item_id", "timestamp")["target"].to_list()
    assert ingest("x.parquet", freq="h").rows["value"].to_list() == expected


@pytest.mark.parametrize("unit", [1_000_000, 1_000, 1], ids=["s", "ms", "us"])
def test_sorting_keeps_fractions_of_a_second(tmp_path, ingest, unit):
    stamps = np.random.default_rng(0).permutation(100) * unit + 1_704_067_200_000_001
    table = pl.DataFrame(
        {
            "item_id": ["a"] * 100,
            "timestamp": pl.Series(stamps).cast(pl.Datetime("us")),
            "target": stamps % 10_007,
        }
    )
    table.write_parquet(tmp_path / "x.parquet")
    rows = ingest("x.parquet", freq="h").rows
    assert rows["timestamp"].to_physical().to_list() == sorted(stamps.tolist())
    assert rows["value"].to_list() == (np.sort(stamps) % 10_007).tolist()


def test_mixed_frequencies_are_inferred_per_item(tmp_path, ingest):
    hourly = [f"h,{stamp:%Y-%m-%d %H:%M:%S},1" for stamp in times(5)]
    daily = [f"d,2024-01-0{day} 00:00:00,1" for day in range(1, 9)]
    single = ["s,2024-01-01 00:00:00,1"]
    write(tmp_path, "x.csv", "\n".join(["item_id,timestamp,target", *hourly, *daily, *single]))
    found = ingest("x.csv")
    assert dict(found.items.select("item_id", "freq").iter_rows())["h"] == "1h"
    assert dict(found.items.select("item_id", "freq").iter_rows())["d"] == "1D"


def tables(count, length, seed=0):
    rng = np.random.default_rng(seed)
    rows = pl.DataFrame(
        {
            "item_id": [f"item-{i % count}" for i in range(count * length)],
            "timestamp": [START + (i // count) * HOUR for i in range(count * length)],
            "target": rng.normal(size=count * length),
        }
    )
    return rows.sample(fraction=1, shuffle=True, seed=seed)


def test_buckets_on_disk_hold_the_same_series_as_memory(tmp_path, ingest, monkeypatch):
    table = tables(37, 50)
    table.write_parquet(tmp_path / "x.parquet", row_group_size=100)
    (tmp_path / "a").mkdir()
    whole = Ingested(tmp_path / "a", str(tmp_path / "x.parquet"))
    monkeypatch.setattr(spool, "ROWS_PER_SHARD", 300)
    monkeypatch.setattr(buckets, "FLUSH_ROWS", 200)
    found = ingest("x.parquet")
    assert len(whole.shards) == 1
    assert len(found.shards) > 3
    for shard in found.shards:
        rows = pl.read_parquet(shard)
        assert rows.equals(rows.sort("item_id", "variate", "timestamp"))
    in_shards = [set(pl.read_parquet(path)["item_id"]) for path in found.shards]
    assert sum(len(items) for items in in_shards) == 37
    assert found.rows.sort("item_id", "timestamp").equals(whole.rows)
    assert found.items.drop("source").equals(whole.items.drop("source"))


def test_same_files_give_the_same_bytes(tmp_path):
    digests = []
    for name in ("a", "b"):
        root = tmp_path / name
        root.mkdir()
        tables(20, 30).write_parquet(root / "x.parquet")
        found = Ingested(root, "x.parquet")
        digests.append(
            [
                hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(found.directory.iterdir())
            ]
        )
    assert digests[0] == digests[1]


def test_source_outside_of_the_project_is_named_by_its_last_part(tmp_path, long):
    root = tmp_path / "project"
    root.mkdir()
    long.write_parquet(tmp_path / "x.parquet")
    found = Ingested(root, str(tmp_path / "x.parquet"))
    assert found.items["source"].unique().to_list() == ["x.parquet"]


FAULTS = {
    "missing folder": ({}, "raw", r"ingest.paths: raw = not found, a file, folder or glob"),
    "glob without match": ({}, "raw/*.csv", r"ingest.paths: raw/\*.csv = 0 files match, at least"),
    "folder without data": ({"raw/a.md": "x"}, "raw", r"ingest.paths: raw = 0 data files"),
    "empty file": ({"x.csv": ""}, "x.csv", r"x.csv: 0 bytes, rows are needed"),
    "blank file": ({"x.csv": "\n\n"}, "x.csv", r"x.csv: 0 rows, a header and rows are needed"),
    "header alone": ({"x.csv": "a,b\n"}, "x.csv", r"x.csv: a header and 0 rows, at least one"),
    "one column": ({"x.csv": "a\n1\n"}, "x.csv", r"x.csv: columns = \['a'\], at least a time"),
    "binary": ({"x.csv": b"a,b\x00\x01\n"}, "x.csv", r"x.csv: binary data, text is needed"),
    "Parquet as csv": ({"x.csv": b"PAR1\x00\x00"}, "x.csv", r"x.csv: Parquet data, text is"),
    "csv as Parquet": ({"x.parquet": "a,b\n1,2\n"}, "x.parquet", r"x.parquet: not parquet: "),
    "gzip as csv": ({"x.csv": gzip.compress(b"a,b")}, "x.csv", r"x.csv: gzip data, text is"),
    "UTF-16": ({"x.csv": "a,b".encode("utf-16")}, "x.csv", r"UTF-16 data, text is needed; save it"),
    "Excel": ({"x.csv": b"PK\x03\x04a"}, "x.csv", r"zip or Excel data, text is .*; save it as CSV"),
    "no header": (
        {"x.csv": "2024-01-01 00:00,1\n2024-01-01 01:00,2\n"},
        "x.csv",
        r"x.csv: header = \['2024-01-01 00:00', '1'\], names of columns are needed; add a first li",
    ),
    "no header, named": (
        {"x.csv": "a,2024-01-01,1\na,2024-01-02,2\n"},
        "x.csv",
        r"x.csv: header = \['a', '2024-01-01', '1'\], names",
    ),
    "torn gzip": (
        {"x.csv.gz": gzip.compress(b"a,b\n" * 99)[:-9]},
        "x.csv.gz",
        "cannot be unpacked",
    ),
    "not UTF-8": ({"x.csv": b"a,b\n1,\xe9\n"}, "x.csv", r"byte 0xe9 at 6 is not UTF-8"),
    "unknown kind": ({"x.xlsx": "a"}, "x.xlsx", r"x.xlsx: extension = '.xlsx', .arrow, .csv"),
    "duplicate column": ({"x.csv": "a,b,a\n1,2,3\n"}, "x.csv", r"columns \['a'\] appear twice"),
    "mixed separators": (
        {"x.csv": "date,a\n2024-01-01,1\n2024-01-02;2\n"},
        "x.csv",
        r"x.csv: separator = ';' in line 3 but ',' in line 1, one is needed",
    ),
    "ragged rows": (
        {"x.csv": "date,a\n2024-01-01,1\n2024-01-02,2,3\n"},
        "x.csv",
        r"x.csv: 3 fields in line 3, 2 as in the header are needed",
    ),
    "late ragged row": (
        {"x.csv": "date,a\n" + "2024-01-01,1\n" * 9000 + "2024-01-02,2,3\n"},
        "x.csv",
        r"x.csv: found more fields than defined",
    ),
    "one folder of a pattern": (
        {"x.csv": "date,value\n2024-01-01,1\n"},
        "[x].csv/*",
        r"ingest.paths: \[x\].csv/\* = 0 files match",
    ),
    "no time": ({"x.csv": "a,b\n1,2\n"}, "x.csv", r"no time stamp among the columns \['a', 'b'\]"),
    "no numbers": ({"x.csv": "date,b\n2024-01-01,hi\n"}, "x.csv", r"0 columns of numbers among"),
    "times are words": ({"x.csv": "date,b\nsoon,1\n"}, "x.csv", r"x.csv: date = 'soon', a time"),
    "all rejected": (
        {"x.csv": "date,value\n2024-01-01,hi\n2024-01-02,ho\n"},
        "x.csv",
        r"rejected 2 of 2 rows, the first in x.csv by not_a_number: timestamp = '2024-01-01', "
        r"value = 'hi'",
    ),
    "all empty": ({"x.csv": "date,value\n2024-01-01,\n"}, "x.csv", r"0 values among the rows"),
    "one row": ({"x.csv": "date,value\n2024-01-01,1\n"}, "x.csv", r"freq of every item is unknown"),
    "other columns": (
        {"1/x.csv": "date,a\n2024-01-01,1\n", "2/x.csv": "date,b\n2024-01-01,1\n"},
        "*/x.csv",
        r"2/x.csv: item 'x' has the layout per_file and the columns \['b'\], but in 1/x.csv",
    ),
    "other layout": (
        {"1.csv": "item_id,date,a\n2,2024-01-01,1\n", "2.csv": "date,a\n2024-01-01,1\n"},
        "*.csv",
        r"2.csv: item '2' has the layout per_file .*, but in 1.csv it has the layout long and",
    ),
    "bad gluonts freq": (
        {"x.jsonl": '{"item_id":"a","start":"2024-01-01","freq":"lunar","target":[1.0]}\n'},
        "x.jsonl",
        r"x.jsonl: freq = 'lunar', a count and one of",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_input_is_one_clear_line(tmp_path, name):
    files, path, message = FAULTS[name]
    for file, text in files.items():
        write(tmp_path, file, text)
    with pytest.raises(DataError, match=message) as caught:
        Ingested(tmp_path, path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_all_bad_files_are_reported_together(tmp_path):
    write(tmp_path, "a.csv", "")
    write(tmp_path, "b.csv", "date,x\n")
    with pytest.raises(DataError) as caught:
        Ingested(tmp_path, "*.csv")
    assert [line[:5] for line in str(caught.value).splitlines()] == ["a.csv", "b.csv"]


def test_columns_that_are_not_there_are_named_with_those_that_are(tmp_path):
    write(tmp_path, "x.csv", "date,a\n2024-01-01,1\n")
    with pytest.raises(DataError) as caught:
        Ingested(tmp_path, "x.csv", targets=["cpu"], item_id="host")
    first, second = str(caught.value).splitlines()
    assert first == (
        "x.csv: ingest.item_id = 'host', one of ['date', 'a'] is needed; mend params.yaml"
    )
    assert second.startswith("x.csv: ingest.targets = 'cpu', one of ['date', 'a'] is needed")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freq": "lunar"}, "params.yaml: ingest.freq = 'lunar', a count and one of"),
        ({"timezone": "Mars"}, "params.yaml: ingest.timezone = 'Mars', a name of the IANA"),
        ({"group_pattern": "("}, r"params.yaml: ingest.group_pattern = '\(', missing \), unt"),
        ({"group_pattern": "a"}, "ingest.group_pattern = 'a', a group in parentheses is needed"),
    ],
)
def test_params_that_cannot_be_used_are_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        Ingested(tmp_path, "x.csv", **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"known_covariates": ["a"], "past_covariates": ["a"]},
            "column 'a' = past_covariates and known_covariates, one role",
        ),
        ({"targets": ["date"]}, "column 'date' = timestamp and targets, one role is allowed"),
        ({"item_id": "a", "targets": ["a"]}, "column 'a' = item_id and targets, one role"),
    ],
)
def test_column_has_one_role(tmp_path, changes, message):
    write(tmp_path, "x.csv", "date,a,b\n2024-01-01,1,2\n")
    with pytest.raises(ConfigError, match=message):
        Ingested(tmp_path, "x.csv", **changes)


def test_wide_layout_has_no_covariates(tmp_path):
    write(tmp_path, "x.csv", "date,a,b\n2024-01-01,1,2\n")
    with pytest.raises(ConfigError, match=r"ingest.known_covariates = \['b'\] in the layout wide"):
        Ingested(tmp_path, "x.csv", layout="wide", known_covariates=["b"])


@pytest.mark.skipif(not SHARED.exists(), reason="the developer data is not here")
def test_real_files_are_read_whole(tmp_path):
    for folder, rows, freq in (
        ("nab_aws", 89_822, {"5min": 19}),
        ("yahoo_daily", 5 * 72_835, {"1B": 52}),
        ("crypto_hourly", 4 * 9_035, {"1h": 5}),
    ):
        root = tmp_path / folder
        root.mkdir()
        found = Ingested(root, str((SHARED / folder).resolve()))
        assert found.report.num_rows == rows
        assert found.report.freqs == freq
        assert found.report.num_rejected == 0
