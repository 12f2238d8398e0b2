"""No augmentation meets a point behind a cut-off; the footprint says what a batch is made of."""

import dataclasses

import numpy as np
import pytest

from toto_core.data.augmentation import AugmentSettings
from toto_core.data.augmentation.mixing import MAX_SOURCES
from toto_core.data.augmentation.resampling import FACTORS, STRETCHES
from toto_core.data.corpus import (
    KNOWN_COVARIATE,
    TARGET,
    Corpus,
    Entry,
    Mixture,
    write_corpus,
)
from toto_core.data.windows import TrainingWindows

NAMES = [field.name for field in dataclasses.fields(AugmentSettings) if field.name != "noise_std"]
# Squares and small sums of this stay within float32: it would be seen.
PLANTED = np.float32(1e20)
LIMITS = (200, 97, 640, 900, 130)
VARIATES = (1, 3, 2, 6, 1)


def corpus_of(directory, blocks, limits, *, roles=None, synthetic=()):
    entries = [
        Entry(
            item_id=f"item-{n}",
            group="g",
            freq="1h",
            source="test",
            values=np.asarray(values, np.float32),
            roles=np.asarray(roles[n] if roles else [TARGET] * len(values), np.int8),
            limits=np.array([limit]),
            validation_positions=np.zeros(0, np.int64),
            is_synthetic=n in synthetic,
        )
        for n, (values, limit) in enumerate(zip(blocks, limits, strict=True))
    ]
    share = 0.3 if synthetic else 0.0
    write_corpus(
        directory,
        entries,
        cutoffs=["train"],
        num_validation_origins=0,
        mixture=Mixture(synthetic_share=share),
    )
    return Corpus.open(directory)


def windows(corpus, augment, *, rows=16, slots=6, length=64, seed=0):
    return TrainingWindows(
        corpus,
        cutoff="train",
        context_length=length,
        batch_size=rows,
        num_variates=slots,
        seed=seed,
        augment=augment,
    )


def planted(directory, *, shift=0, synthetic=()):
    """Items of noise around one, with ``PLANTED`` from their limits (moved by ``shift``) on."""
    rng = np.random.default_rng(0)
    blocks = []
    for limit, num_variates in zip(LIMITS, VARIATES, strict=True):
        values = 1 + 0.1 * rng.random((num_variates, limit + 70))
        values[:, limit + shift :] = PLANTED
        values[:, : limit // 5] = np.nan  # synthetic series begin so
        blocks.append(values)
    return corpus_of(directory, blocks, LIMITS, synthetic=synthetic)


def only(name):
    return AugmentSettings(**{name: 1.0}, noise_std=0.1)


def everything(probability):
    return AugmentSettings(**dict.fromkeys(NAMES, probability), noise_std=0.1)


def highest(source, steps):
    return max(np.abs(source.batch(step).target).max() for step in range(steps))


@pytest.mark.parametrize("name", [*NAMES, "everything"])
def test_no_augmentation_meets_a_value_behind_the_cutoff(tmp_path, name):
    corpus = planted(tmp_path / "corpus", synthetic=(4,))
    augment = everything(1.0) if name == "everything" else only(name)
    assert highest(windows(corpus, augment), 25) < 1e6


@pytest.mark.parametrize("name", [*NAMES, "everything"])
def test_a_planted_leak_of_one_step_is_seen_through_every_augmentation(tmp_path, name):
    corpus = planted(tmp_path / "corpus", shift=-1)
    augment = everything(0.3) if name == "everything" else only(name)
    assert highest(windows(corpus, augment), 25) > 1e18


def named(directory, *, roles=None):
    """Items whose values name item and step: item * 10,000 + step."""
    blocks = [
        1e4 * (n + 1) + np.tile(np.arange(length), (num_variates, 1))
        for n, (length, num_variates) in enumerate(zip(LIMITS, VARIATES, strict=True))
    ]
    return corpus_of(directory, blocks, LIMITS, roles=roles)


@pytest.mark.parametrize("augment", [AugmentSettings(), AugmentSettings(resample=1.0)])
def test_footprint_holds_every_point_of_the_window(tmp_path, augment):
    corpus = named(tmp_path / "corpus")
    source = windows(corpus, augment)
    for step in range(10):
        batch, found = source.batch(step), source.footprints(step)
        assert len(found.row) == sum(map(len, batch.items))
        for row, series, item, start, end in zip(*dataclasses.astuple(found), strict=True):
            assert 0 <= start < end <= LIMITS[item]
            assert batch.items[row][series] == f"item-{item}"
            if augment.resample:
                continue  # sums and maxima do not name a step
            slots = batch.series_ids[row] == series
            seen = batch.target[row, slots][batch.target_mask[row, slots]] - 1e4 * (item + 1)
            assert seen.min() == start
            assert seen.max() == end - 1


def test_resampled_windows_reach_back_as_far_as_the_item_has_history(tmp_path):
    corpus = named(tmp_path / "corpus")
    found = windows(corpus, AugmentSettings(resample=1.0), rows=64).footprints(0)
    spans = found.end - found.start
    assert spans.max() == max(FACTORS) * 64
    batch = windows(corpus, AugmentSettings(resample=1.0), rows=64).batch(0)
    assert batch.target_mask[batch.series_ids >= 0].any(axis=-1).all()
    # Never so rarely that less than half of the window is left.
    assert batch.target_mask.sum(axis=-1).min() >= 64 // 2 - 1
    assert np.isin(64 * np.array(FACTORS), spans).all()
    plain = windows(corpus, AugmentSettings(), rows=64).footprints(0)
    np.testing.assert_array_equal(found.item, plain.item)
    assert (spans >= plain.end - plain.start).mean() > 0.9


def test_half_of_the_resampled_windows_are_aggregated_and_half_are_stretched(tmp_path):
    ramp = np.arange(2000.0)[None]
    corpus = corpus_of(tmp_path / "corpus", [ramp], (2000,))
    source = windows(corpus, AugmentSettings(resample=1.0), rows=200, slots=1)
    slopes = []
    for target, mask in zip(
        *map(np.squeeze, (source.batch(0).target, source.batch(0).target_mask)), strict=True
    ):
        steps = np.diff(target[mask])
        assert np.ptp(steps) < 1e-2
        slopes.append(round(float(np.median(steps)), 3))
    stretched = [slope for slope in slopes if slope < 1]
    assert {round(1 / slope) for slope in stretched} == set(STRETCHES)
    assert 0.35 < len(stretched) / len(slopes) < 0.65
    expected = {factor**power for factor in FACTORS for power in (1, 2)}  # 2: the sum
    assert {slope for slope in slopes if slope >= 1} == expected


def test_mixed_windows_inherit_the_footprints_of_their_sources(tmp_path):
    blocks = [np.ones((1, length)) for length in (300, 200, 90)]
    for n, values in enumerate(blocks):
        values[:, np.random.default_rng(n).choice(values.shape[1], 3)] = np.nan
    corpus = corpus_of(tmp_path / "corpus", blocks, (300, 200, 90))
    source = windows(corpus, AugmentSettings(mixup=1.0), slots=2)
    found, batch = source.footprints(0), source.batch(0)
    numbers = np.bincount(found.row * 2 + found.series, minlength=32)
    assert numbers.min() == 2
    assert numbers.max() == MAX_SOURCES
    expected = np.ones_like(batch.target_mask)
    for row, series, item, start, end in zip(*dataclasses.astuple(found), strict=True):
        expected[row, series, : 64 - (end - start)] = False
        expected[row, series, 64 - (end - start) :] &= np.isfinite(blocks[item][0, start:end])
    np.testing.assert_array_equal(batch.target_mask, expected)


@pytest.mark.parametrize("behind", [0, 1])
def test_what_is_mixed_in_ends_before_the_cutoff(tmp_path, behind):
    whole, cut = np.ones((1, 300)), np.ones((1, 400))
    cut[:, 300 - behind :] = 1e6  # a peak: the mixture takes its shape, not its size
    corpus = corpus_of(tmp_path / "corpus", [whole, cut], (300, 300))
    source = windows(corpus, AugmentSettings(mixup=1.0), rows=64, slots=1)
    batches = [source.batch(step) for step in range(8)]
    own = np.concatenate(
        [batch.target[np.array(batch.items)[:, 0] == "item-0"] for batch in batches]
    )
    assert (own.max() > 5) == bool(behind)


def test_mixture_is_convex_keeps_the_size_and_leaves_covariates(tmp_path):
    time = np.arange(300)
    blocks = [
        np.stack([100 + 10 * np.sin(time / 3), np.full(300, 5.0)]),
        np.stack([np.full(300, 1e-6), 7 + time % 2]),
    ]
    roles = [[TARGET, KNOWN_COVARIATE]] * 2
    corpus = corpus_of(tmp_path / "corpus", blocks, (300, 300), roles=roles)
    plain = windows(corpus, AugmentSettings(), slots=2, rows=200).batch(0)
    mixed = windows(corpus, AugmentSettings(mixup=1.0), slots=2, rows=200).batch(0)
    assert plain.items == mixed.items
    full = plain.target_mask.all(axis=(1, 2))
    before, after = plain.target[full], mixed.target[full]
    assert (before[:, 1] == after[:, 1]).all()
    assert (before[:, 0] != after[:, 0]).any(axis=-1).mean() > 0.7  # two constants give one
    size = np.abs(before[:, 0]).mean(axis=-1)
    np.testing.assert_allclose(np.abs(after[:, 0]).mean(axis=-1), size, rtol=1e-4)
    # A mixture of series at one size lies between the lowest and the highest of them.
    assert (after[:, 0] / size[:, None]).min() > 0.85
    assert (after[:, 0] / size[:, None]).max() < 1.15


def test_what_misses_too_much_is_not_mixed_in(tmp_path):
    head, hole = np.full((1, 300), 2.0), np.full((1, 300), 2.0) + np.arange(300) % 2
    head[:, 60:] = np.nan
    hole[:, ::20] = np.nan
    full = np.ones((1, 300))
    corpus = corpus_of(tmp_path / "corpus", [full, head, hole], (300,) * 3)
    plain = windows(corpus, AugmentSettings(), rows=300, slots=1).batch(0)
    mixed = windows(corpus, AugmentSettings(mixup=1.0), rows=300, slots=1).batch(0)
    seen = np.array([names[0] == "item-0" for names in plain.items]) & plain.target_mask.all(
        axis=(1, 2)
    )
    shares = mixed.target_mask[seen].mean(axis=(1, 2))
    assert shares.min() > 0.75  # holes are mixed in, up to three of them
    assert (shares < 1).any()
    assert (shares == 1).any()


def test_mixing_stays_within_the_real_or_the_synthetic_part(tmp_path):
    blocks = [np.full((1, 200), 1.0) for _ in range(4)]
    corpus = corpus_of(tmp_path / "corpus", blocks, (200,) * 4, synthetic=(2, 3))
    found = windows(corpus, AugmentSettings(mixup=1.0), rows=64).footprints(0)
    kinds = corpus.is_synthetic[found.item]
    for row in range(64):
        assert len(set(kinds[found.row == row])) == 1
    assert kinds.any()
    assert not kinds.all()


def test_shuffle_moves_variates_with_their_roles(tmp_path):
    values = np.arange(3)[:, None] * 1000.0 + np.arange(1, 101)
    roles = [[TARGET, KNOWN_COVARIATE, TARGET]]
    corpus = corpus_of(tmp_path / "corpus", [values], (100,), roles=roles)
    batch = windows(corpus, AugmentSettings(variate_shuffle=0.5), slots=3, rows=400).batch(0)
    order = (batch.target[:, :, -1] // 1000).astype(int)
    assert (np.sort(order, axis=1) == [0, 1, 2]).all()
    np.testing.assert_array_equal(batch.known, order == 1)
    share = (order == [0, 1, 2]).all(axis=1).mean()
    assert abs(share - (0.5 + 0.5 / 6)) < 0.1
    assert len({tuple(row) for row in order}) == 6


@pytest.mark.parametrize("name", ["resample", "mixup", "variate_shuffle"])
def test_what_is_read_repeats_by_its_seed_and_only_then(tmp_path, name):
    corpus = planted(tmp_path / "corpus")
    first, again = (windows(corpus, only(name)).batch(3) for _ in range(2))
    np.testing.assert_array_equal(first.target, again.target)
    np.testing.assert_array_equal(first.target_mask, again.target_mask)
    plain = windows(corpus, AugmentSettings()).batch(3)
    assert first.items == plain.items
    for other in (windows(corpus, only(name), seed=1).batch(3), plain):
        assert not np.array_equal(first.target, other.target)


def test_windows_of_several_shards_are_those_of_one(tmp_path):
    whole = planted(tmp_path / "one", synthetic=(4,))
    shards = [whole.block(n).ravel() for n in range(5)]
    parts = dataclasses.replace(
        whole,
        shards=tuple(shards),
        shard=np.arange(5),
        offset=np.zeros(5, np.int64),
    )
    for step in range(5):
        first = windows(whole, everything(0.5)).batch(step)
        second = windows(parts, everything(0.5)).batch(step)
        np.testing.assert_array_equal(first.target, second.target)
        np.testing.assert_array_equal(first.target_mask, second.target_mask)
