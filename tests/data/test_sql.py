"""Rows of a query become series; passwords and broken queries stay out of the way."""

import sqlite3

import polars as pl
import pytest
from ingested import ingest_params

from toto_core.data import sql
from toto_core.data.sources import ingest_source
from toto_core.errors import ConfigError, DataError

URI = "sqlite:///x.db"
QUERY = "select host as item_id, at as timestamp, load from loads order by at"


def ingest(tmp_path, settings):
    directory = tmp_path / "series"
    directory.mkdir()
    report = ingest_source(ingest_params(source="sql", sql=settings), tmp_path, directory)
    return report, pl.read_parquet(directory / "part-*.parquet"), directory


@pytest.fixture
def base(tmp_path):
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("create table loads (host text, at text, load real)")
    rows = [
        (host, f"2024-01-{1 + hour // 24:02d} {hour % 24:02d}:00:00", None if hour == 5 else hour)
        for hour in range(48)
        for host in ("b", "a")
    ]
    connection.executemany("insert into loads values (?, ?, ?)", rows)
    connection.commit()
    yield connection
    connection.close()


@pytest.mark.parametrize("batch", [1000, 7, 1], ids=str)
def test_rows_of_a_query_become_series(tmp_path, base, monkeypatch, batch):
    monkeypatch.setattr(sql, "BATCH_ROWS", batch)
    report, rows, directory = ingest(tmp_path, {"uri": URI, "query": QUERY})
    assert report.freqs == {"1h": 2}
    assert report.num_empty == 2
    assert dict(report.sources) == {"sql/query": 94}
    assert rows["item_id"].to_list() == ["a"] * 47 + ["b"] * 47
    assert rows["value"].to_list() == [float(hour) for hour in range(48) if hour != 5] * 2
    assert [path.name for path in directory.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("batch", [1000, 3], ids=str)
def test_query_without_an_item_is_one_item(tmp_path, base, monkeypatch, batch):
    monkeypatch.setattr(sql, "BATCH_ROWS", batch)
    query = "select at as timestamp, avg(load) as load from loads group by at"
    _, rows, _ = ingest(tmp_path, {"uri": URI, "query": query})
    assert rows["item_id"].unique().to_list() == ["query"]
    assert rows.height == 47


@pytest.mark.parametrize("batch", [1000, 3], ids=str)
def test_text_among_the_numbers_of_a_column_is_rejected(tmp_path, base, monkeypatch, batch):
    monkeypatch.setattr(sql, "BATCH_ROWS", batch)
    base.execute("update loads set load = 'oops' where host = 'a' and at = '2024-01-02 00:00:00'")
    base.commit()
    report, rows, directory = ingest(tmp_path, {"uri": URI, "query": QUERY})
    assert rows.height == 93
    rejected = pl.read_parquet(directory / "rejected.parquet")
    assert rejected.select("item_id", "value", "rule").rows() == [("a", "oops", "not_a_number")]
    assert report.num_rejected == 1


def test_uri_comes_from_the_environment(tmp_path, base, monkeypatch):
    monkeypatch.setenv("BASE", URI)
    report, _, _ = ingest(tmp_path, {"uri_env": "BASE", "query": QUERY})
    assert report.num_rows == 94


def test_query_changes_nothing(tmp_path, base):
    with pytest.raises(DataError, match=r"'delete from loads', a statement that returns rows is"):
        ingest(tmp_path, {"uri": URI, "query": "delete from loads"})
    assert base.execute("select count(*) from loads").fetchone() == (96,)


FAULTS = {
    "no table": ({"uri": URI, "query": "select * from x"}, r"x\.db: no such table: x; mend ingest"),
    "no rows": (
        {"uri": URI, "query": "select * from loads where load > 99"},
        r"ingest\.sql\.query = 'select \* from loads where load > 99', 0 rows, at least one is",
    ),
    "no file": (
        {"uri": "sqlite:///y.db", "query": QUERY},
        r"sql sqlite:///y\.db: y\.db = not found, a file is needed; mend the path",
    ),
    "no data base": (
        {"uri": "x.db", "query": QUERY},
        r"ingest\.sql\.uri names no data base, a URI is needed; write for example sqlite:///data",
    ),
    "no driver": (
        {"uri": "oracle+nothing://host/base", "query": QUERY},
        r"sql oracle\+nothing://host/base: no driver \(.*\), one is needed; install it",
    ),
    "no variable": (
        {"uri_env": "NOT_SET", "query": QUERY},
        r"ingest\.sql\.uri_env = NOT_SET, a variable of the environment that is set is needed",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_query_that_gives_no_series_is_refused(tmp_path, base, name):
    settings, message = FAULTS[name]
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        ingest(tmp_path, settings)
    assert "\n" not in str(caught.value)


def test_password_is_in_no_message(tmp_path, monkeypatch):
    monkeypatch.setenv("BASE", "oracle+nothing://me:secret@host/base")
    with pytest.raises(ConfigError, match=r"sql oracle\+nothing://me:\*\*\*@host/base") as caught:
        ingest(tmp_path, {"uri_env": "BASE", "query": QUERY})
    assert "secret" not in str(caught.value)


def test_password_is_cut_out_of_what_a_driver_says(tmp_path, monkeypatch):
    monkeypatch.setenv("BASE", "oracle+word://me:word@host/base")
    with pytest.raises(ConfigError) as caught:
        ingest(tmp_path, {"uri_env": "BASE", "query": QUERY})
    assert "dialects:oracle.***" in str(caught.value)
