"""A corpus gives back what was written, weighs items as asked, and refuses torn files."""

import subprocess
import sys
import weakref

import numpy as np
import pytest
from corpus_entries import CUTOFFS, entries, entry, written

from toto_core.data import tables
from toto_core.data.corpus import (
    ARRAYS_FILE,
    KNOWN_COVARIATE,
    NAMES_FILE,
    PAST_COVARIATE,
    TARGET,
    Corpus,
    Mixture,
    fold_cutoff,
    shard_name,
)
from toto_core.errors import DataError

FILES = (shard_name(0), ARRAYS_FILE, NAMES_FILE)


def test_corpus_gives_back_what_was_written(tmp_path):
    counts = written(tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    for n, one in enumerate(entries()):
        np.testing.assert_array_equal(corpus.block(n), one.values)
        assert corpus.roles_of(n).tolist() == one.roles.tolist()
        assert [corpus.limit(n, name) for name in CUTOFFS] == one.limits.tolist()
        assert corpus.item_id(n) == one.item_id
        assert corpus.validation_positions[n].tolist() == one.validation_positions.tolist()
    assert corpus.num_items == 3
    assert corpus.groups[:] == ("group of ab", "group of c", "group of made")
    assert corpus.is_synthetic.tolist() == [False, False, True]
    assert counts == {
        "real_items": 2,
        "synthetic_items": 1,
        "real_points": 21,
        "real_points_before_validation": 15,
        "synthetic_points": 2,
        "observed_points": 22,
    }


def test_blocks_are_views_of_the_mapped_file(tmp_path):
    written(tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    assert np.shares_memory(corpus.block(1), corpus.shards[0])
    with pytest.raises(ValueError, match="read-only"):
        corpus.block(1)[0, 0] = 0


@pytest.mark.parametrize(
    ("exponent", "expected"),
    [(0.0, (0.375, 0.375)), (1.0, (0.75 * 2 / 11, 0.75 * 9 / 11))],
)
def test_weights_follow_the_history_before_the_first_cutoff(tmp_path, exponent, expected):
    written(tmp_path / "corpus", mixture=Mixture(synthetic_share=0.25, size_exponent=exponent))
    weight = Corpus.open(tmp_path / "corpus").weight
    np.testing.assert_allclose(weight, [*expected, 0.25])


def test_item_without_history_weighs_nothing_at_any_exponent(tmp_path):
    late = entry("late", [[1, 2, 3]], [0, 2, 3])
    mixture = Mixture(synthetic_share=0.25, size_exponent=0.0)
    written(tmp_path / "corpus", [late, *entries()], mixture=mixture)
    assert Corpus.open(tmp_path / "corpus").weight[0] == 0


def test_roles_are_numbered_as_in_the_tables():
    assert tables.ROLES[TARGET] == tables.TARGET
    assert tables.ROLES[PAST_COVARIATE] == tables.PAST_COVARIATE
    assert tables.ROLES[KNOWN_COVARIATE] == tables.KNOWN_COVARIATE


def test_missing_part_of_the_mixture_is_refused_and_leaves_the_old_corpus(tmp_path):
    directory = tmp_path / "corpus"
    written(directory)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(DataError) as caught:
        written(directory, list(entries())[:2])
    assert str(caught.value) == (
        "corpus: synthetic items with a weight and a time step before the cut-off train = 0 of 0, "
        "at least 1 is needed for their share 0.25 of the mixture; give more history or change "
        "augment.synthetic_share"
    )
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_memory_holds_one_entry_at_a_time(tmp_path):
    alive = []

    def one_at_a_time():
        for n in range(5):
            one = entry(f"i{n}", np.full((1, 4), n, np.float32), [4, 4, 4])
            alive.append(weakref.ref(one))
            yield one
            del one
            assert sum(reference() is not None for reference in alive) <= 1

    written(tmp_path / "corpus", one_at_a_time(), mixture=Mixture(synthetic_share=0.0))
    assert len(alive) == 5


def test_same_entries_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        written(tmp_path / name)
    for file in FILES:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["gone", "empty", "cut"])
def test_torn_corpus_is_refused(tmp_path, name, damage):
    written(tmp_path / "corpus")
    file = tmp_path / "corpus" / name
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(b"" if damage == "empty" else file.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"corpus.*run dvc repro augment"):
        Corpus.open(tmp_path / "corpus")


def test_fold_cutoffs_are_named_by_their_number():
    assert fold_cutoff(2) == "fold-2"


def test_reading_windows_needs_numpy_alone():
    code = (
        "import sys, toto_core.data.windows; "
        "print(sorted({'torch', 'polars', 'pydantic', 'scipy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
