"""The stage writes series, metrics and a summary that agree, or nothing at all."""

import errno
import hashlib
import json
import resource
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flows import ingest, paths
from toto_core.config import load_params
from toto_core.data import buckets, spool
from toto_core.errors import ConfigError, DataError

PROJECT = Path(__file__).parents[2]


def params_with(tmp_path, *changes):
    text = (PROJECT / "params.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "params.yaml").write_text(text)
    return load_params(tmp_path / "params.yaml")


SMALL = ("num_days: 280", "num_days: 10")


def digests(root):
    files = sorted(path for path in (root / paths.SERIES).rglob("*") if path.is_file())
    files.append(root / paths.METRICS / "ingest.json")
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def test_demo_series_metrics_and_summary_agree(tmp_path):
    summary = ingest.run(params_with(tmp_path, SMALL), tmp_path)
    metrics = json.loads((tmp_path / paths.METRICS / "ingest.json").read_text())
    rows = pl.read_parquet(tmp_path / paths.SERIES / "part-00000.parquet")
    items = pl.read_parquet(tmp_path / paths.SERIES / "items.parquet")
    assert metrics["rows"] == rows.height == summary.metrics["rows"]
    assert metrics["series"] == items.height == 4 * metrics["items"]
    assert metrics["freqs"] == {"1h": 28}
    assert metrics["sources"] == [{"source": "demo", "rows": rows.height}]
    assert metrics["first_timestamp"] == "2025-01-06T00:00:00+00:00"
    assert f"{rows.height:,} rows" in summary.text


def test_same_params_give_the_same_bytes_and_another_seed_does_not(tmp_path):
    ingest.run(params_with(tmp_path, SMALL), tmp_path)
    first = digests(tmp_path)
    shutil.rmtree(tmp_path / "data")
    ingest.run(params_with(tmp_path, SMALL), tmp_path)
    assert digests(tmp_path) == first
    ingest.run(params_with(tmp_path, SMALL, ("seed: 0 ", "seed: 1 ")), tmp_path)
    assert digests(tmp_path) != first


def files_params(tmp_path, name):
    return params_with(
        tmp_path, ("source: demo", "source: files"), ("paths: []", f"paths: [{name}]")
    )


def test_files_are_read_relative_to_the_root(tmp_path):
    (tmp_path / "raw").mkdir()
    lines = [f"2024-01-0{day},{day}" for day in range(1, 8)]
    (tmp_path / "raw/cpu.csv").write_text("\n".join(["date,value", *lines, "2024-01-08,oops"]))
    summary = ingest.run(files_params(tmp_path, "raw"), tmp_path)
    metrics = json.loads((tmp_path / paths.METRICS / "ingest.json").read_text())
    assert metrics["sources"] == [{"source": "raw/cpu.csv", "rows": 7}]
    assert metrics["rejected_rows"] == 1
    assert summary.text.endswith("1 rows rejected")
    assert sorted(path.name for path in (tmp_path / paths.SERIES).iterdir()) == [
        "items.parquet",
        "part-00000.parquet",
        "rejected.parquet",
    ]


def test_very_many_files_are_listed_by_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "MAX_SOURCES", 2)
    for name in ("a/1.csv", "a/2.csv", "b/3.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("date,value\n2024-01-01,1\n2024-01-02,2\n")
    ingest.run(files_params(tmp_path, "'*/*.csv'"), tmp_path)
    metrics = json.loads((tmp_path / paths.METRICS / "ingest.json").read_text())
    assert metrics["sources"] == [{"source": "a/", "rows": 4}, {"source": "b/", "rows": 2}]


def test_failure_leaves_the_last_good_output_alone(tmp_path):
    ingest.run(params_with(tmp_path, SMALL), tmp_path)
    before = digests(tmp_path)
    (tmp_path / "broken.csv").write_text("date,value\n")
    with pytest.raises(DataError, match=r"broken.csv: a header and 0 rows"):
        ingest.run(files_params(tmp_path, "broken.csv"), tmp_path)
    assert digests(tmp_path) == before
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["series"]


def test_frequency_of_the_demo_must_be_one(tmp_path):
    params = params_with(tmp_path, SMALL, ("    freq: 1h", "    freq: lunar"))
    with pytest.raises(ConfigError, match=r"params.yaml: ingest.demo.freq = 'lunar', a count and"):
        ingest.run(params, tmp_path)


def assert_file_is_too_large(params, root, *, most_bytes):
    """Ingest where the system refuses longer files, as a full disk refuses more bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        with pytest.raises(OSError, match=r"File too large") as caught:
            ingest.run(params, root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG


def test_disk_that_fills_leaves_the_last_good_output_alone(tmp_path):
    ingest.run(params_with(tmp_path, SMALL), tmp_path)
    before = digests(tmp_path)
    count = 200_000
    table = pl.DataFrame(
        {
            "item_id": ["a", "b"] * (count // 2),
            "timestamp": 1_735_689_600 + 60 * np.arange(count),
            "target": np.random.default_rng(0).normal(size=count),
        }
    )
    table.write_parquet(tmp_path / "x.parquet")
    params = files_params(tmp_path, "x.parquet")
    assert_file_is_too_large(params, tmp_path, most_bytes=100_000)
    assert digests(tmp_path) == before
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["series"]


def test_disk_that_fills_while_rows_are_dealt_to_buckets_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "ROWS_PER_SHARD", 1000)
    monkeypatch.setattr(buckets, "FLUSH_ROWS", 1000)
    rows = pl.DataFrame(
        {
            "item_id": [f"item-{i % 7}" for i in range(20_000)],
            "timestamp": 1_735_689_600 + 60 * np.arange(20_000),
            "target": np.arange(20_000.0),
        }
    )
    rows.write_parquet(tmp_path / "x.parquet")
    params = files_params(tmp_path, "x.parquet")
    assert_file_is_too_large(params, tmp_path, most_bytes=20_000)
    assert not list((tmp_path / "data").iterdir())


def test_second_run_reads_only_what_has_changed(tmp_path):
    for name in ("a", "b"):
        write_days(tmp_path / f"raw/{name}.csv", range(1, 8))
    ingest.run(files_params(tmp_path, "raw"), tmp_path)
    before = digests(tmp_path)
    shutil.rmtree(tmp_path / "data")
    ingest.run(files_params(tmp_path, "raw"), tmp_path)
    assert digests(tmp_path) == before
    write_days(tmp_path / "raw/b.csv", range(2, 9))
    shutil.rmtree(tmp_path / "data")
    ingest.run(files_params(tmp_path, "raw"), tmp_path)
    after = digests(tmp_path)
    shutil.rmtree(tmp_path / "runs")
    ingest.run(files_params(tmp_path, "raw"), tmp_path)
    assert digests(tmp_path) == after != before


def write_days(path, days):
    path.parent.mkdir(exist_ok=True)
    lines = [f"2024-01-{day:02d},{day}" for day in days]
    path.write_text("\n".join(["date,value", *lines]))
