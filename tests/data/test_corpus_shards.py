"""Shards are bounded, hold whole items, and are refused by name where they are not as written."""

import hashlib
import json

import numpy as np
import pytest
from corpus_entries import MIXTURE, entry, written
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_core.data.corpus import ARRAYS_FILE, NAMES_FILE, Corpus, Mixture, shard_name
from toto_core.errors import DataError

ALL_REAL = Mixture(synthetic_share=0.0)
MIB = 2**20


def items(*shapes):
    """One entry of each shape, its values all distinct within the corpus."""
    first = 0
    for n, (num_variates, num_steps) in enumerate(shapes):
        size = num_variates * num_steps
        values = np.arange(first, first + size, dtype=np.float32).reshape(num_variates, num_steps)
        first += size
        yield entry(f"i{n}", values, [num_steps] * 3)


def shard_sizes(directory):
    return [path.stat().st_size for path in sorted(directory.glob("part-*.f32"))]


def shards_of(directory):
    return json.loads((directory / NAMES_FILE).read_text())["shards"]


def damage(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(bytes(content))


@settings(max_examples=15, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=12),
    bound=st.integers(4, 200),
)
def test_items_come_back_from_shards_of_any_bound(tmp_path_factory, shapes, bound):
    directory = tmp_path_factory.mktemp("shards") / "corpus"
    written(directory, items(*shapes), mixture=ALL_REAL, max_shard_bytes=bound)
    corpus = Corpus.open(directory, verify=True)
    for n, one in enumerate(items(*shapes)):
        np.testing.assert_array_equal(corpus.block(n), one.values)
        start = corpus.offset[n]
        shard = corpus.shards[corpus.shard[n]]
        np.testing.assert_array_equal(shard[start : start + one.values.size], one.values.ravel())
    largest = np.bincount(corpus.shard, corpus.num_variates * corpus.length * 4)
    alone = np.bincount(corpus.shard) == 1
    assert ((largest <= bound) | alone).all()
    assert (np.diff(corpus.shard) >= 0).all()


def test_a_shard_ends_before_the_item_that_would_exceed_its_bound(tmp_path):
    written(
        tmp_path / "corpus",
        items((1, 3), (1, 2), (1, 9), (1, 1), (1, 4)),
        mixture=ALL_REAL,
        max_shard_bytes=20,
    )
    assert shard_sizes(tmp_path / "corpus") == [20, 36, 20]
    assert Corpus.open(tmp_path / "corpus").offset.tolist() == [0, 3, 0, 0, 1]


def test_blocks_larger_than_what_is_written_at_once_are_whole(tmp_path):
    values = np.arange(2 * 3 * MIB, dtype=np.float32).reshape(2, -1)
    values[:, ::7] = np.nan
    counts = written(tmp_path / "corpus", [entry("a", values[:, :-1], [3] * 3)], mixture=ALL_REAL)
    corpus = Corpus.open(tmp_path / "corpus", verify=True)
    np.testing.assert_array_equal(corpus.block(0), values[:, :-1])
    assert counts["observed_points"] == np.isfinite(values[:, :-1]).sum()


def test_index_names_size_and_checksum_of_each_shard(tmp_path):
    written(tmp_path / "corpus", max_shard_bytes=48)
    for shard in shards_of(tmp_path / "corpus"):
        content = (tmp_path / "corpus" / shard["name"]).read_bytes()
        assert shard["num_bytes"] == len(content)
        assert shard["sha256"] == hashlib.sha256(content).hexdigest()
    assert [shard["name"] for shard in shards_of(tmp_path / "corpus")] == [
        "part-00000.f32",
        "part-00001.f32",
    ]


def test_missing_and_torn_shards_are_all_named(tmp_path):
    directory = tmp_path / "corpus"
    written(directory, items((1, 3), (1, 4), (1, 5)), mixture=ALL_REAL, max_shard_bytes=4)
    (directory / shard_name(0)).unlink()
    (directory / shard_name(2)).write_bytes(b"123")
    with pytest.raises(DataError) as caught:
        Corpus.open(directory)
    assert str(caught.value).splitlines() == [
        f"{directory}/part-00000.f32: not found, 12 bytes by the index; run dvc repro augment",
        f"{directory}/part-00002.f32: 3 bytes, 20 bytes by the index; run dvc repro augment",
    ]


@pytest.mark.parametrize("position", [0, 17, -1])
def test_damaged_shard_is_named_when_asked_for(tmp_path, position):
    directory = tmp_path / "corpus"
    written(directory, items((1, 9), (1, 9), (1, 9)), mixture=ALL_REAL, max_shard_bytes=36)
    before = shards_of(directory)[1]["sha256"]
    damage(directory / shard_name(1), position)
    Corpus.open(directory)  # sizes alone
    now = hashlib.sha256((directory / shard_name(1)).read_bytes()).hexdigest()
    with pytest.raises(DataError) as caught:
        Corpus.open(directory, verify=True)
    assert str(caught.value) == (
        f"{directory}/part-00001.f32: sha256 = {now[:12]}.., {before[:12]}.. by the index, the "
        "shard is damaged; remove it and run dvc repro augment"
    )


def test_damaged_index_is_refused(tmp_path):
    directory = tmp_path / "corpus"
    written(directory)
    position = (directory / ARRAYS_FILE).read_bytes().index(np.float64(0.25).tobytes())
    damage(directory / ARRAYS_FILE, position)
    with pytest.raises(DataError, match=r"corpus: not a corpus \(Bad CRC-32.*; run dvc repro aug"):
        Corpus.open(directory)


def test_index_that_points_outside_the_shards_is_refused(tmp_path):
    directory = tmp_path / "corpus"
    written(directory)
    with np.load(directory / ARRAYS_FILE) as stored:
        arrays = dict(stored)
    for change in ({"offset": arrays["offset"] + 1}, {"shard": arrays["shard"] + 1}):
        np.savez(directory / ARRAYS_FILE, **(arrays | change))
        with pytest.raises(DataError, match=r"index\.npz: items outside their shards = [13] of 3"):
            Corpus.open(directory)


def test_same_entries_give_the_same_shards_at_every_bound_but_for_their_ends(tmp_path):
    joined = []
    for bound in (8, 48, 2**30):
        written(tmp_path / str(bound), mixture=MIXTURE, max_shard_bytes=bound)
        paths = sorted((tmp_path / str(bound)).glob("part-*.f32"))
        joined.append(b"".join(path.read_bytes() for path in paths))
    assert joined[0] == joined[1] == joined[2]
