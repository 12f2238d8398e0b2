import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from toto_core.errors import DataError
from toto_core.files import whole_parquet, write_json, writing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writing_puts_the_file_in_place_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new/folder/file"
    with writing(target) as temporary:
        temporary.write_text("text")
        assert temporary.parent == target.parent
        assert not target.exists()
    assert target.read_text() == "text"
    assert names(target.parent) == ["file"]


def test_writing_that_fails_keeps_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("good")

    def fail() -> None:
        with writing(target) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert target.read_text() == "good"
    assert names(tmp_path) == ["file"]


def test_writing_replaces_a_folder_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("old")
    with writing(target) as temporary:
        (temporary / "deep").mkdir(parents=True)
        (temporary / "deep/new").write_text("new")
    assert names(target) == ["deep"]
    assert (target / "deep/new").read_text() == "new"


def test_writing_a_folder_that_fails_keeps_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("old")

    def fail() -> None:
        with writing(target) as temporary:
            temporary.mkdir()
            (temporary / "new").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(tmp_path) == ["folder"]
    assert names(target) == ["old"]


def test_writing_clears_what_a_killed_process_of_the_same_id_left(tmp_path: Path) -> None:
    left = tmp_path / f".file.{os.getpid()}.tmp"
    left.mkdir()
    (left / "half").write_text("half")
    with writing(tmp_path / "file") as temporary:
        assert temporary == left
        temporary.write_text("whole")
    assert names(tmp_path) == ["file"]


def test_writing_clears_what_a_killed_process_left_and_nothing_else(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    (tmp_path / f".a.{gone.pid}.tmp").mkdir()
    (tmp_path / f".a.{gone.pid}.tmp/part").write_text("half")
    kept = [f".a.{os.getppid()}.tmp", f".ab.{gone.pid}.tmp", f".a.{gone.pid}.tmp.csv"]
    for name in kept:
        (tmp_path / name).write_text("another's")
    with writing(tmp_path / "a") as temporary:
        temporary.write_text("text")
    assert names(tmp_path) == sorted([*kept, "a"])


def test_writing_names_what_the_system_refused_behind_another_error(tmp_path: Path) -> None:
    def fail() -> None:
        with writing(tmp_path / "file"):
            raise RuntimeError(
                "parquet: underlying IO error: No space left on device (os error 28)"
            )

    with pytest.raises(OSError, match="No space left on device") as caught:
        fail()
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "file")


def test_json_has_sorted_keys_and_no_number_that_json_lacks(tmp_path: Path) -> None:
    target = tmp_path / "value.json"
    write_json(target, {"b": float("nan"), "a": (1.5, float("inf"), {"z": "\u00e9", 2: None})})
    assert json.loads(target.read_text(encoding="utf-8")) == {
        "a": [1.5, None, {"2": None, "z": "\u00e9"}],
        "b": None,
    }
    assert target.read_text(encoding="utf-8").startswith('{\n  "a": [\n    1.5,\n')
    assert target.read_text(encoding="utf-8").endswith("}\n")


def test_json_of_equal_values_has_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "one", {"x": 1, "y": [0.1 + 0.2]})
    write_json(tmp_path / "two", {"y": [0.1 + 0.2], "x": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_whole_parquet_gives_back_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(path)
    assert whole_parquet(path) == path


@pytest.mark.parametrize("size", [0, 3, 11, 12, 400])
def test_torn_parquet_is_told_with_its_name_and_size(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": range(100)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=rf"a.parquet: {size} bytes without the marks of a whole"):
        whole_parquet(path)


def test_parquet_that_is_not_there_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "a.parquet", tmp_path):
        with pytest.raises(DataError, match=f"{path}: not found, the stage that writes it must"):
            whole_parquet(path)
