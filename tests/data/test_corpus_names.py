"""Texts come back as they were, and cost their letters, not Python objects."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toto_core.data.corpus.names import LabelColumn, Texts


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=20))
def test_texts_come_back(texts):
    packed = Texts.of(texts)
    assert len(packed) == len(texts)
    assert list(packed) == texts
    assert packed[1:5] == tuple(texts[1:5])
    assert [packed[-n - 1] for n in range(len(texts))] == texts[::-1]


def test_text_outside_is_an_index_error():
    with pytest.raises(IndexError):
        Texts.of(["a"])[1]


def test_labels_share_their_names():
    column = LabelColumn()
    for label in ("b", "a", "b", ""):
        column.add(label)
    labels = column.labels()
    assert list(labels) == ["b", "a", "b", ""]
    assert labels.codes.tolist() == [0, 1, 0, 2]
    assert labels.names[:] == ("b", "a", "")
    assert labels[1:3] == ("a", "b")


def test_ten_thousand_names_are_three_objects():
    texts = Texts.of(f"item-{n}" for n in range(10_000))
    assert texts.blob.nbytes == sum(len(f"item-{n}") for n in range(10_000))
    assert texts.ends.nbytes == 80_000
    assert sys.getsizeof(texts) < 100
