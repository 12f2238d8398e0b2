"""Hashes as DVC records them."""

from pathlib import Path

import pytest

from toto_core.errors import RegistryError
from toto_core.registry.recorded import dvc_md5, require_recorded


def test_dvc_md5_of_a_folder_equals_what_dvc_records(tmp_path):
    # Recorded by DVC 3.67 for the same four files.
    (tmp_path / "sub").mkdir()
    for name, text in {"a.txt": "a", "sub-x": "e", "sub.txt": "c", "sub/b.txt": "b"}.items():
        (tmp_path / name).write_text(text + "\n")
    assert dvc_md5(tmp_path) == "750c261ecc5202da161c25ae013d4487.dir"


def test_dvc_md5_of_a_file_is_the_published_value(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert dvc_md5(tmp_path / "abc") == "900150983cd24fb0d6963f7d28e17f72"
    assert dvc_md5(tmp_path / "gone") == "missing"


def test_require_recorded_names_each_output_that_differs(tmp_path):
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "f").write_text("x")
    lock = {"stages": {"s": {"outs": [{"path": "good", "md5": dvc_md5(tmp_path / "good")}]}}}
    good = Path("good")
    require_recorded(lock, tmp_path, outputs=[good], command="promote")
    (tmp_path / "good" / "f").write_text("y")
    with pytest.raises(RegistryError) as raised:
        require_recorded(lock, tmp_path, outputs=[good, good / "gone"], command="challenge")
    first, second = str(raised.value).splitlines()
    assert first.startswith("challenge: good = ")
    assert second == (
        "challenge: good/gone = missing, dvc.lock has None; "
        "run dvc repro, commit dvc.lock, then challenge"
    )
