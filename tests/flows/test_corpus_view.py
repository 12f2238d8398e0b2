"""The corpus is read whole on demand, and what is damaged is named."""

import shutil
from pathlib import Path

import pytest

from flows.corpus_view import verify
from toto_core.errors import DataError


def test_sound_corpus_is_said_to_be_sound(prepared: Path) -> None:
    size = (prepared / "data/corpus/part-00000.f32").stat().st_size
    assert verify(prepared) == (
        f"data/corpus: 7 items in 1 shard, {size} bytes, all as they were written"
    )


def test_damaged_corpus_is_named(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared / "data/corpus", tmp_path / "data/corpus")
    with (tmp_path / "data/corpus/part-00000.f32").open("r+b") as file:
        file.write(b"\x01")
    with pytest.raises(
        DataError, match=r"data/corpus/part-00000\.f32: sha256 = .* is damaged; rem"
    ):
        verify(tmp_path)
