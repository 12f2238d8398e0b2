"""Parquet files in an S3 bucket, which a local server plays."""

import shutil

import polars as pl
import pytest
from ingested import Ingested
from s3_server import bucket

from toto_core.errors import DataError

STAMPS = [1_735_689_600 + hour * 3600 for hour in range(4)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for all tests: Polars keeps the address that a bucket had first."""
    folder, log = tmp_path_factory.mktemp("bucket"), []
    with bucket(folder, "metrics", log) as address:
        yield address, folder, log


@pytest.fixture
def log(server):
    return server[2]


@pytest.fixture
def store(server, monkeypatch):
    address, folder, log = server
    shutil.rmtree(folder)
    folder.mkdir()
    log.clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return folder


def put(folder, name, item, **more):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"item_id": [item] * 4, "timestamp": STAMPS, "target": [1.0, 2.0, 3.0, 4.0]}
    pl.DataFrame(columns | more).write_parquet(path)


@pytest.mark.parametrize("pattern", ["s3://metrics/2025/", "s3://metrics/2025/*/*.parquet"])
def test_files_of_a_bucket_are_read_with_the_keys_of_the_environment(tmp_path, store, log, pattern):
    put(store, "2025/01/a.parquet", "a")
    put(store, "2025/02/b.parquet", "b", extra=["x"] * 4)
    put(store, "2024/01/c.parquet", "c")
    (store / "2025/readme.txt").write_text("notes")
    found = Ingested(tmp_path, pattern)
    assert found.report.sources == [
        ("s3://metrics/2025/01/a.parquet", 4),
        ("s3://metrics/2025/02/b.parquet", 4),
    ]
    assert found.values("b") == [1.0, 2.0, 3.0, 4.0]
    assert log
    assert all("Credential=somebody/" in line for line in log)


def test_bucket_and_folder_are_read_together(tmp_path, store):
    put(store, "a.parquet", "a")
    put(tmp_path, "raw/b.parquet", "b")
    found = Ingested(tmp_path, "s3://metrics/a.parquet", "raw")
    assert [name for name, _ in found.report.sources] == ["raw/b.parquet", "s3://metrics/a.parquet"]


FAULTS = {
    "no such object": ("s3://metrics/x.parquet", r"x\.parquet = 0 files match, at least one is"),
    "no match": ("s3://metrics/x/*.parquet", r"x/\*\.parquet = 0 files match, at least one is"),
    "no bucket": ("s3://other/*.parquet", r"s3://other/\*\.parquet: .*404.*; see whether AWS_ACC"),
    "no Parquet": ("s3://metrics/x.csv", r"s3://metrics/x\.csv = 'x\.csv', names in \.parquet or"),
    "torn": ("s3://metrics/torn.parquet", r"s3://metrics/torn\.parquet: .*; see whether AWS"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_bucket_that_cannot_be_read_is_named(tmp_path, store, name):
    put(store, "a.parquet", "a")
    (store / "torn.parquet").write_bytes((store / "a.parquet").read_bytes()[:-20])
    pattern, message = FAULTS[name]
    with pytest.raises(DataError, match=message) as caught:
        Ingested(tmp_path, pattern)
    assert "\n" not in str(caught.value)
