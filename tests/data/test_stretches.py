"""Stretches say the same as one row after the other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toto_core.data.stretches import Stretches, joined, read_stretches


def stretches(lengths, seed=0):
    rng = np.random.default_rng(seed)
    lengths = np.array(lengths, np.int64)
    return Stretches(
        item=rng.integers(0, 3, len(lengths), np.uint32),
        variate=rng.integers(0, 2, len(lengths), np.uint16),
        length=lengths,
        times=rng.integers(0, 1000, lengths.sum()),
        values=rng.normal(size=lengths.sum()).astype(np.float32),
    )


def in_rows(part):
    names = zip(part.item.tolist(), part.variate.tolist(), strict=True)
    pairs = [pair for pair, n in zip(names, part.length.tolist(), strict=True) for _ in range(n)]
    return list(zip(pairs, part.times.tolist(), part.values.tolist(), strict=True))


def by_stretch(part):
    rows, ends = in_rows(part), np.cumsum(part.length).tolist()
    return [rows[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize("scale", [1, 200], ids=["short", "long"])
@given(order=st.permutations(range(5)), num_taken=st.integers(0, 5))
def test_taken_stretches_keep_their_rows(scale, order, num_taken):
    whole = stretches([3 * scale, scale, 2 * scale, scale, 4 * scale])
    assert whole.are_long == (scale > 1)
    chosen = order[:num_taken]
    expected = [row for place in chosen for row in by_stretch(whole)[place]]
    assert in_rows(whole.taken(np.array(chosen, np.int64))) == expected


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.data())
def test_parts_are_the_whole(lengths, data):
    whole = stretches(lengths)
    cuts = data.draw(st.sets(st.integers(1, len(lengths) - 1))) if len(lengths) > 1 else set()
    parts = whole.parted(np.array([0, *sorted(cuts)]))
    assert [len(part.length) for part in parts] == np.diff(
        [0, *sorted(cuts), len(lengths)]
    ).tolist()
    assert in_rows(joined(parts)) == in_rows(whole)


def test_file_gives_back_what_was_written_in_order(tmp_path):
    parts = [stretches([3, 1], 0), stretches([], 1), stretches([2, 5, 1], 2)]
    path = tmp_path / "bucket"
    for part in parts:
        with path.open("ab") as handle:
            part.write(handle)
    with path.open("rb") as handle:
        found = read_stretches(handle)
    assert [in_rows(part) for part in found] == [in_rows(part) for part in parts]
    assert [column.dtype for column in vars(joined(found)).values()] == [
        column.dtype for column in vars(parts[0]).values()
    ]


def test_names_can_be_read_without_rows(tmp_path):
    parts = [stretches([3, 1], 0), stretches([2, 5, 1], 2)]
    path = tmp_path / "bucket"
    with path.open("wb") as handle:
        for part in parts:
            part.write(handle)
    with path.open("rb") as handle:
        found = joined(read_stretches(handle, rows=False))
    assert found.length.tolist() == [3, 1, 2, 5, 1]
    assert found.item.tolist() == [*parts[0].item, *parts[1].item]
    assert len(found.times) == len(found.values) == 0


def test_nothing_joined_is_no_rows():
    assert in_rows(joined([])) == []
