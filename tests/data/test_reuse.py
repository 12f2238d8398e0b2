"""A second ingest reads only what has changed, and writes what a first one would."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from ingested import Ingested

from toto_core.data import group_reader, reuse, spool
from toto_core.errors import DataError

ROOT = Path(__file__).parents[2]
START_S = 1_735_689_600


def write(path, items, *, first=0, count=20, column="load", seed=0):
    """Write a CSV with some steps of items, two of them words and one of them empty."""
    rng = np.random.default_rng(seed)
    values = [f"{value:.3f}" for value in rng.normal(size=count * len(items))]
    values[1], values[-1], values[2] = "oops", "what", ""
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(
        {
            "item_id": np.repeat(items, count),
            "timestamp": np.tile(START_S + 3600 * np.arange(first, first + count), len(items)),
            column: values,
        }
    ).write_csv(path)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Twelve files of three items each, in several buckets."""
    monkeypatch.setattr(spool, "ROWS_PER_SHARD", 60)
    for number in range(12):
        write(tmp_path / f"raw/{number:02d}.csv", names(number), seed=number)
    return tmp_path


def names(number):
    return [f"host-{number:02d}-{part}" for part in "abc"]


class Runs:
    """First and further runs of a project, with the files that each of them read."""

    def __init__(self, root, monkeypatch):
        self.root = root
        self.read = []
        self.count = 0
        read_batches = group_reader.read_batches

        def watched(files, **how):
            self.read += [file.name for file in files]
            return read_batches(files, **how)

        monkeypatch.setattr(group_reader, "read_batches", watched)

    def __call__(self, *, remembering=True, **changes):
        self.read.clear()
        self.count += 1
        state = self.root / "runs/ingest" if remembering else None
        return Ingested(self.root, "raw", to=f"series-{self.count}", state=state, **changes)

    def same_as_afresh(self, **changes):
        """Run with what is remembered; return what was read, once the bytes are compared."""
        again = self(**changes)
        read = list(self.read)
        afresh = self(remembering=False, **changes)
        assert len(self.read) == len(list((self.root / "raw").glob("*")))
        assert contents(again) == contents(afresh)
        assert again.report == afresh.report
        for run in (again, afresh):
            shutil.rmtree(run.directory)
        return read


def contents(run):
    return {path.name: path.read_bytes() for path in run.directory.iterdir()}


@pytest.fixture
def runs(project, monkeypatch):
    runs = Runs(project, monkeypatch)
    first = runs()
    assert len(first.shards) > 4
    assert len(runs.read) == 12
    # DVC removes the outs of a stage before it runs.
    shutil.rmtree(first.directory)
    return runs


def test_nothing_is_read_where_nothing_has_changed(runs):
    assert runs.same_as_afresh() == []
    assert runs.same_as_afresh() == []


def test_changed_file_alone_is_read(project, runs):
    write(project / "raw/05.csv", names(5), count=25, seed=99)
    assert runs.same_as_afresh() == ["raw/05.csv"]
    assert runs.same_as_afresh() == []


def test_items_that_leave_and_join_a_file_leave_and_join_the_series(project, runs):
    write(project / "raw/05.csv", ["new-1", *names(5)[:2]], seed=99)
    assert runs.same_as_afresh() == ["raw/05.csv"]


def test_file_that_is_gone_takes_its_items_along(project, runs):
    (project / "raw/07.csv").unlink()
    assert runs.same_as_afresh() == []


def test_new_file_alone_is_read(project, runs):
    write(project / "raw/061.csv", ["other"], seed=5)
    assert runs.same_as_afresh() == ["raw/061.csv"]


def test_file_that_continues_items_of_earlier_ones_alone_is_read(project, runs):
    write(project / "raw/13.csv", [*names(3), *names(8)], first=18, seed=5)
    assert runs.same_as_afresh() == ["raw/13.csv"]
    write(project / "raw/14.csv", names(3)[:1], first=30, seed=6)
    assert runs.same_as_afresh() == ["raw/14.csv"]


def test_all_is_read_where_an_item_continues_in_a_later_file(project, runs):
    write(project / "raw/00b.csv", names(8), first=18, seed=5)
    assert len(runs.same_as_afresh()) == 1 + 13


def test_all_is_read_where_a_changed_file_shares_an_item(project, runs):
    write(project / "raw/13.csv", names(3), first=18, seed=5)
    assert runs.same_as_afresh() == ["raw/13.csv"]
    write(project / "raw/13.csv", names(3), first=18, seed=6)
    assert len(runs.same_as_afresh()) == 13


def test_touched_file_is_not_read(project, runs):
    os.utime(project / "raw/03.csv", ns=(1, 1))
    assert runs.same_as_afresh() == []


def test_same_size_and_time_with_other_bytes_is_read(project, runs):
    path = project / "raw/03.csv"
    before, text = path.stat(), path.read_bytes()
    path.write_bytes(text[:-20] + text[-20:].replace(b"oops", b"spoo").replace(b"1", b"2"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert runs.same_as_afresh() == ["raw/03.csv"]


@pytest.mark.parametrize(
    "changes",
    [{"timezone": "Europe/Berlin"}, {"freq": "2h"}, {"group_pattern": "^(host)"}],
    ids=str,
)
def test_other_params_read_all(runs, changes):
    assert len(runs.same_as_afresh(**changes)) == 12


def test_many_more_rows_make_more_buckets_and_read_all(project, runs):
    write(project / "raw/13.csv", ["long"], count=3000)
    assert len(runs.same_as_afresh()) == 13


def test_other_code_reads_all(runs, monkeypatch):
    monkeypatch.setattr(reuse.pl, "__version__", "0")
    assert len(runs.same_as_afresh()) == 12


def test_code_of_the_stage_is_all_in_the_key():
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["ingest"]
    modules = [Path(dep).stem for dep in stage["deps"] if dep.startswith("toto_core/data/")]
    # Files alone are remembered.
    elsewhere = {"demo", "prometheus", "sql", "web"}
    assert sorted(reuse.CODE) == sorted(set(modules) - elsewhere)


@pytest.mark.parametrize("name", ["state.json", "files.parquet", "schemas.parquet", "bucket-3"])
@pytest.mark.parametrize("harm", ["removed", "torn"])
def test_state_that_is_damaged_is_not_used(project, runs, name, harm):
    path = project / "runs/ingest" / name
    text = path.read_bytes()
    path.unlink()
    if harm == "torn":
        path.write_bytes(text[: len(text) // 2])
    assert len(runs.same_as_afresh()) == 12


def test_series_that_were_edited_in_place_are_not_used(project, runs):
    # The state links to them.
    path = project / "runs/ingest/bucket-3"
    with path.open("r+b") as handle:
        handle.write(b"PAR2")
    assert len(runs.same_as_afresh()) == 12


def test_declared_roles_and_frequencies_are_remembered(tmp_path, monkeypatch):
    for number in range(3):
        lines = [
            json.dumps(
                {
                    "item_id": f"{number}-{part}",
                    "start": "2024-01-31",
                    "freq": freq,
                    "target": [1.0, 2.0, 4.0],
                    "feat_dynamic_real": [[1.0, 2.0, 3.0, 4.0]],
                }
            )
            for part, freq in enumerate(("M", "D"))
        ]
        path = tmp_path / f"raw/{number}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines))
    runs = Runs(tmp_path, monkeypatch)
    runs()
    path.write_text(path.read_text().replace("4.0", "5.0"))
    assert runs.same_as_afresh() == ["raw/2.jsonl"]


def test_files_that_are_items_are_remembered_apart(tmp_path, monkeypatch):
    def bars(number, close):
        lines = [f"2024-01-0{day},{close},{day}" for day in range(1, 8)]
        path = tmp_path / f"raw/{number}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(["date,close,volume", *lines]))

    for number in range(5):
        bars(number, number)
    runs = Runs(tmp_path, monkeypatch)
    runs()
    bars(2, 7)
    assert runs.same_as_afresh() == ["raw/2.csv"]


def test_item_with_other_columns_is_refused_as_in_a_first_run(project, runs):
    write(project / "raw/13.csv", names(3), first=18)
    text = (project / "raw/13.csv").read_text().replace("item_id", "name").replace("load", "item")
    (project / "raw/13.csv").write_text(text)
    (project / "raw/13.csv").rename(project / "raw/host-03-a.csv")
    with pytest.raises(DataError, match=r"host-03-a.csv: item 'host-03-a' has the layout per_file"):
        runs()


def test_file_that_changes_while_it_is_read_is_refused(project, monkeypatch):
    read_batches = group_reader.read_batches

    def growing(files, **how):
        yield from read_batches(files, **how)
        with (project / "raw/04.csv").open("a") as handle:
            handle.write("host-04-a,1735990000,1\n")

    monkeypatch.setattr(group_reader, "read_batches", growing)
    size = (project / "raw/04.csv").stat().st_size
    with pytest.raises(DataError) as caught:
        Ingested(project, "raw", state=project / "runs/ingest")
    assert str(caught.value) == (
        f"raw/04.csv: {size + 23} bytes now, {size} when it was looked at, it changed while it "
        "was read; run again when nothing writes to it"
    )
    assert not (project / "runs/ingest").exists()


def test_file_that_vanishes_while_it_is_read_is_refused(project, monkeypatch):
    read_batches = group_reader.read_batches

    def vanishing(files, **how):
        yield from read_batches(files, **how)
        (project / "raw/04.csv").unlink()

    monkeypatch.setattr(group_reader, "read_batches", vanishing)
    with pytest.raises(DataError, match=r"raw/04.csv: no bytes now, \d+ when it was looked at, it"):
        Ingested(project, "raw")
