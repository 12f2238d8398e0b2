"""The examples show each augmentation that is switched on, alone and always alike."""

import dataclasses

import numpy as np
import pytest

from toto_core.data.augmentation import AugmentSettings
from toto_core.data.augmentation_examples import NUM_STEPS, augmentation_examples
from toto_core.data.corpus import TARGET, Corpus, Entry, Mixture, write_corpus

SHOWN = [
    field.name
    for field in dataclasses.fields(AugmentSettings)
    if field.name not in ("noise_std", "variate_shuffle")
]


@pytest.fixture
def corpus(tmp_path):
    rng = np.random.default_rng(0)
    entries = [
        Entry(
            item_id=f"item-{n}",
            group="g",
            freq="1h",
            source="test",
            values=(50 + rng.standard_normal((3, 900)).cumsum(axis=1)).astype(np.float32),
            roles=np.full(3, TARGET, np.int8),
            limits=np.array([900]),
            validation_positions=np.zeros(0, np.int64),
            is_synthetic=False,
        )
        for n in range(4)
    ]
    mixture = Mixture(synthetic_share=0.0)
    write_corpus(
        tmp_path / "c", entries, cutoffs=["train"], num_validation_origins=0, mixture=mixture
    )
    return Corpus.open(tmp_path / "c")


def examples(corpus, probability=0.1, **changes):
    settings = AugmentSettings(**dict.fromkeys(SHOWN, probability) | changes, noise_std=0.1)
    return augmentation_examples(corpus, settings, cutoff="train", seed=0)


def test_every_augmentation_that_is_on_has_an_example_that_shows_it(corpus):
    found = examples(corpus)
    assert [example.name for example in found] == SHOWN
    for example in found:
        assert example.before.shape == example.after.shape == (NUM_STEPS,)
        assert np.isfinite(example.before).mean() > 0.5
        assert not np.array_equal(example.before, example.after, equal_nan=True)


def test_example_does_not_depend_on_how_often_its_augmentation_comes(corpus):
    first, second = examples(corpus), examples(corpus, probability=1.0)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.after, b.after)


def test_augmentation_that_is_off_has_no_example(corpus):
    names = [example.name for example in examples(corpus, spikes=0.0)]
    assert names == [name for name in SHOWN if name != "spikes"]
    assert examples(corpus, probability=0.0) == []
