"""Folders give their data files, in the order of the parts of their paths."""

import pytest

from toto_core.data.finding import extension_of, find_files


def touched(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(root, *patterns):
    return [name.removeprefix(f"{root}/") for name in find_files(patterns, root)]


def test_folder_gives_data_files_that_are_not_hidden_in_order(tmp_path):
    data = ["raw/a-b/1.csv", "raw/a/2.CSV.GZ", "raw/a/c/3.parquet", "raw/z.tar.tsv"]
    rest = ["raw/.git/4.csv", "raw/_tmp/5.csv", "raw/.6.csv", "raw/LICENSE.txt", "raw/x.csv.old"]
    touched(tmp_path, *data, *rest, "raw/meta.json", "raw/csv")
    expected = ["raw/a/2.CSV.GZ", "raw/a/c/3.parquet", "raw/a-b/1.csv", "raw/z.tar.tsv"]
    assert found(tmp_path, "raw") == expected
    assert found(tmp_path, "raw", "raw/*-b/*.csv", "raw/z.tar.tsv") == expected


def test_link_to_a_file_is_data_and_a_link_to_a_folder_or_nowhere_is_not(tmp_path):
    touched(tmp_path, "raw/a.csv", "elsewhere/b.csv")
    (tmp_path / "raw/linked.csv").symlink_to(tmp_path / "elsewhere/b.csv")
    (tmp_path / "raw/folder.csv").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "raw/gone.csv").symlink_to(tmp_path / "gone")
    (tmp_path / "raw/folder").mkdir()
    assert found(tmp_path, "raw") == ["raw/a.csv", "raw/linked.csv"]


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.csv", ".csv"),
        ("a.CSV.gz", ".csv"),
        ("a.b.parquet", ".parquet"),
        ("a.gz", ""),
        (".csv", ""),
        ("csv", ""),
        ("a.csv.old", ".old"),
    ],
)
def test_extension_is_the_one_within_a_compression(name, extension):
    assert extension_of(name) == extension
