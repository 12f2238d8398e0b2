"""Files as they come: other marks, other columns, words, order, size, a full disk."""

import bz2
import json
import re
from datetime import UTC, datetime

import numpy as np
import polars as pl
import psutil
import pytest
from ingested import Ingested

from toto_core.data import buckets, group_reader, spool
from toto_core.errors import DataError

START_S = 1_735_689_600


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


EUROPEAN = (
    "Zeit;Wert;Menge;Ort\n"
    "01.02.2025 00:00;1,5;1.234,5;Ulm\n"
    "01.02.2025 01:00;-2;1.234;Ulm\n"
    "01.02.2025 02:00;;1,0e3;Ulm\n"
    "01.02.2025 03:00;oops;0,25;Ulm\n"
)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas_are_read(tmp_path, separator):
    write(tmp_path, "x.csv", EUROPEAN.replace(";", separator))
    found = Ingested(tmp_path, "x.csv", layout="per_file")
    assert found.values("x", "Wert") == [1.5, -2.0]
    assert found.values("x", "Menge") == [1234.5, 1234.0, 1000.0, 0.25]
    assert found.report.num_empty == 1
    assert found.rejected["value"].to_list() == ["oops"]


def test_two_decimal_marks_in_a_file_are_refused(tmp_path):
    write(tmp_path, "x.csv", "date;a\n2025-01-01;1,5\n2025-01-02;1.5\n")
    with pytest.raises(
        DataError, match=r"x\.csv: decimal marks = both '1,5' and '1\.5', one is ne"
    ):
        Ingested(tmp_path, "x.csv")


def test_files_with_commas_and_with_points_are_read_together(tmp_path):
    write(tmp_path, "a.csv", "date;load\n2025-01-01;1,5\n2025-01-02;2,5\n")
    write(tmp_path, "b.csv", "date;load\n2025-01-01;1.5\n2025-01-02;2.5\n")
    found = Ingested(tmp_path, "*.csv")
    assert found.values("a", "load") == found.values("b", "load") == [1.5, 2.5]


@pytest.mark.parametrize("name", ["x.jsonl.bz2", "x.jsonl.gz", "x.jsonl.zst"])
def test_packed_json_lines_are_read(tmp_path, name):
    rows = [{"item_id": "a", "timestamp": START_S + i * 3600, "target": i} for i in range(5)]
    text = "\n".join(json.dumps(row) for row in rows)
    if name.endswith("bz2"):
        write(tmp_path, name, bz2.compress(text.encode()))
    else:
        compression = {"gz": "gzip", "zst": "zstd"}[name.rpartition(".")[2]]
        pl.DataFrame(rows).lazy().sink_ndjson(tmp_path / name, compression=compression)
    found = Ingested(tmp_path, name)
    assert found.values("a") == [0, 1, 2, 3, 4]
    assert found.report.sources == [(name, 5)]


WORDS = (
    r"b\.{0}: load = 'high', a number as in a\.{0} is needed; mend the file or rename its column"
)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("layout", ["long", "per_file"])
def test_column_of_numbers_in_one_file_and_words_in_another_is_refused(tmp_path, kind, layout):
    for name, load in (("a", [1.0, 2.0]), ("b", ["high", "low"])):
        columns = {"date": ["2025-01-01", "2025-01-02"], "load": load, "other": [1, 2]}
        if layout == "long":
            columns["item_id"] = [name] * 2
        table = pl.DataFrame(columns)
        path = tmp_path / f"{name}.{kind}"
        table.write_csv(path) if kind == "csv" else table.write_parquet(path)
    with pytest.raises(DataError, match=WORDS.format(kind)):
        Ingested(tmp_path, f"*.{kind}")


def test_column_of_words_in_all_files_is_left_out(tmp_path):
    for name, note in (("a", ""), ("b", "hi"), ("c", "ho")):
        write(
            tmp_path, f"{name}.csv", f"date,load,note\n2025-01-01,1,{note}\n2025-01-02,2,{note}\n"
        )
    found = Ingested(tmp_path, "*.csv", targets=["load"])
    assert found.items["variate"].unique().to_list() == ["load"]


def test_columns_that_change_between_files_of_an_item_are_refused_with_both_files(tmp_path):
    write(tmp_path, "1.csv", "item_id,date,cpu\na,2025-01-01,1\nb,2025-01-01,1\n")
    write(tmp_path, "2.csv", "item_id,date,cpu,memory\nb,2025-01-02,1,2\na,2025-01-02,1,2\n")
    with pytest.raises(DataError) as caught:
        Ingested(tmp_path, "*.csv")
    assert str(caught.value) == (
        "2.csv: item 'b' has the layout long and the columns ['cpu', 'memory'], but in 1.csv it "
        "has the layout long and the columns ['cpu']; one is needed: rename the item, or name the "
        "columns in ingest.targets"
    )


def test_targets_that_all_files_share_settle_columns_that_change(tmp_path):
    write(tmp_path, "1.csv", "item_id,date,cpu\na,2025-01-01,1\nb,2025-01-01,1\n")
    write(tmp_path, "2.csv", "item_id,date,cpu,memory\nb,2025-01-02,1,2\na,2025-01-02,1,2\n")
    assert Ingested(tmp_path, "*.csv", targets=["cpu"]).values("a", "cpu") == [1, 1]


def test_metrics_of_an_item_may_come_in_files_of_their_own(tmp_path):
    for column in ("cpu", "memory"):
        text = f"item_id,date,{column}\na,2025-01-01,1\na,2025-01-02,2\n"
        write(tmp_path, f"{column}.csv", text)
    found = Ingested(tmp_path, "*.csv")
    assert found.values("a", "cpu") == found.values("a", "memory") == [1, 2]


def test_time_stamps_out_of_order_across_files_and_shards_are_sorted(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "ROWS_PER_SHARD", 100)
    monkeypatch.setattr(buckets, "FLUSH_ROWS", 150)
    monkeypatch.setattr(group_reader, "BATCH_ROWS", 70)
    rng = np.random.default_rng(0)
    steps = np.stack([rng.permutation(60) for _ in range(10)])
    for part, columns in enumerate(np.split(rng.permutation(60), 4)):
        pl.DataFrame(
            {
                "item_id": np.repeat([f"item-{i}" for i in range(10)], len(columns)),
                "timestamp": START_S + 3600 * steps[:, columns].ravel(),
                "target": steps[:, columns].ravel(),
            }
        ).write_parquet(tmp_path / f"{part}.parquet")
    found = Ingested(tmp_path, "*.parquet")
    assert len(found.shards) > 1
    for item in range(10):
        assert found.values(f"item-{item}") == list(range(60))


def gift_eval(folder, items, freq="D"):
    """A data set as datasets.save_to_disk writes it."""
    folder.mkdir(parents=True)
    table = pl.DataFrame(
        {
            "item_id": items,
            "start": pl.Series([datetime(2024, 1, 1)] * len(items)).cast(pl.Datetime("ms")),
            "target": [[1.0, None, 3.0]] * len(items),
            "freq": [freq] * len(items),
        },
        schema_overrides={"target": pl.List(pl.Float32)},
    )
    table.write_ipc_stream(folder / "data-00000-of-00001.arrow")
    (folder / "dataset_info.json").write_text(json.dumps({"features": {}, "splits": None}))
    (folder / "state.json").write_text(json.dumps({"_format_type": None}))


def test_folder_of_a_gift_eval_data_set_is_read_as_it_is(tmp_path):
    gift_eval(tmp_path / "m4_daily", ["D1", "D2"])
    found = Ingested(tmp_path, "m4_daily")
    assert found.report.freqs == {"1D": 2}
    assert found.values("D1") == [1.0, 3.0]
    assert found.rows["timestamp"].to_list()[:2] == [
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 3, tzinfo=UTC),
    ]


def test_items_of_two_gift_eval_data_sets_do_not_mix(tmp_path):
    gift_eval(tmp_path / "a", ["T1"])
    gift_eval(tmp_path / "b", ["T1"])
    with pytest.raises(DataError, match=r"b/data.*: item 'T1' has the layout gluonts and the fold"):
        Ingested(tmp_path, "a", "b")


def test_item_that_cannot_be_sorted_in_memory_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "ROWS_PER_SHARD", 1000)
    monkeypatch.setattr(buckets, "SORT_BYTES", psutil.virtual_memory().total // 5000)
    count = 9000
    pl.DataFrame(
        {
            "item_id": ["short"] * 1000 + ["long"] * (count - 1000),
            "timestamp": START_S + 60 * np.arange(count),
            "target": np.arange(float(count)),
        }
    ).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError) as caught:
        Ingested(tmp_path, "x.parquet")
    assert re.fullmatch(
        r"ingest: item 'long' has most of \d000 rows that are sorted together, \d+ fit into the "
        r"memory that is free; resample the item or split it in time",
        str(caught.value),
    )


@pytest.mark.slow
def test_million_items_of_three_points_are_read_in_bounded_memory(tmp_path):
    count = 1_000_000
    pl.DataFrame(
        {
            "item_id": [f"item-{i:07d}" for i in range(count)] * 3,
            "timestamp": np.repeat(START_S + 3600 * np.arange(3), count),
            "target": np.arange(3 * count, dtype=np.float32),
        }
    ).write_parquet(tmp_path / "x.parquet")
    found = Ingested(tmp_path, "x.parquet")
    assert found.report.num_items == count
    assert found.report.freqs == {"1h": count}
    assert found.values("item-0999999") == [count - 1, 2 * count - 1, 3 * count - 1]
