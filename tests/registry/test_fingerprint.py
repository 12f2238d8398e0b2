"""Hashes of files, folders and test periods."""

from datetime import UTC, datetime

import polars as pl

from toto_core.registry.fingerprint import (
    combined,
    evaluation_snapshot,
    file_sha256,
    folder_files,
)

SPLITS = {"prediction_length": 24, "test_origins": ["2026-01-01T00:00:00+00:00"]}


def losses(**changes):
    rows = {
        "item_id": ["a", "a", "b", "b"],
        "variate": "x",
        "origin": datetime(2026, 1, 1, tzinfo=UTC),
        "forecaster": ["naive", "model", "naive", "model"],
        "source": "candidate",
        "held_out": False,
        "num_steps": 24,
        "abs_target": [10.0, 10.0, 20.0, 20.0],
        "sql": [1.0, 0.9, 1.0, 0.9],
    }
    return pl.DataFrame(rows | changes)


def test_file_sha256_is_the_published_value(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_folder_files_and_combined_see_names_and_content(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_bytes(b"2")
    (tmp_path / "a").write_bytes(b"1")
    files = folder_files(tmp_path)
    assert list(files) == ["a", "sub/b"]
    assert combined(files) == combined(dict(reversed(files.items())))
    assert combined(files) != combined({"a": files["a"], "sub/c": files["sub/b"]})


def test_evaluation_snapshot_ignores_the_model_the_order_and_the_rounding():
    reference = evaluation_snapshot(losses(), SPLITS)
    others = (
        losses(sql=[1.0, 0.1, 1.0, 0.1]),
        losses().reverse(),
        losses(held_out=[True, True, False, False]),
        losses(abs_target=[10.0 + 1e-9, 10.0, 20.0, 20.0]),
    )
    assert {evaluation_snapshot(other, SPLITS) for other in others} == {reference}


def test_evaluation_snapshot_changes_with_targets_series_and_origins():
    found = {
        evaluation_snapshot(losses(), SPLITS),
        evaluation_snapshot(losses(abs_target=[10.1, 10.1, 20.0, 20.0]), SPLITS),
        evaluation_snapshot(losses(item_id=["a", "a", "c", "c"]), SPLITS),
        evaluation_snapshot(losses(), SPLITS | {"test_origins": ["2026-01-02T00:00:00+00:00"]}),
        evaluation_snapshot(losses(), SPLITS | {"prediction_length": 12}),
    }
    assert len(found) == 5
