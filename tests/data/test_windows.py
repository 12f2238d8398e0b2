"""Training windows never see a cut-off; validation windows are judged where the split says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_core.data.augmentation import AugmentSettings
from toto_core.data.corpus import (
    KNOWN_COVARIATE,
    PAST_COVARIATE,
    TARGET,
    Corpus,
    Entry,
    Mixture,
    write_corpus,
)
from toto_core.data.windows import UNUSED, TrainingWindows, validation_batches
from toto_core.errors import DataError

CUTOFFS = ("train", "validation", "fold-0", "fold-1")
PLANTED = np.float32(1e9)


def entry(name, values, *, limits=None, positions=(-1, -1), roles=None, is_synthetic=False):
    values = np.asarray(values, np.float32)
    num_variates, length = values.shape
    return Entry(
        item_id=name,
        group=name,
        freq="1h",
        source="test",
        values=values,
        roles=np.asarray(roles or [TARGET] * num_variates, np.int8),
        limits=np.asarray(limits if limits is not None else [length] * 4, np.int64),
        validation_positions=np.asarray(positions, np.int64),
        is_synthetic=is_synthetic,
    )


def corpus_of(directory, *entries, synthetic_share=0.0, size_exponent=0.5):
    write_corpus(
        directory,
        entries,
        cutoffs=CUTOFFS,
        num_validation_origins=2,
        mixture=Mixture(synthetic_share=synthetic_share, size_exponent=size_exponent),
    )
    return Corpus.open(directory)


def windows(corpus, *, cutoff="train", length=64, rows=8, slots=4, seed=0, noise=0.0, mask=0.0):
    return TrainingWindows(
        corpus,
        cutoff=cutoff,
        context_length=length,
        batch_size=rows,
        num_variates=slots,
        seed=seed,
        augment=AugmentSettings(noise=1.0, noise_std=noise, time_mask=mask),
    )


def validation(corpus, **changes):
    settings = {
        "prediction_length": 24,
        "context_length": 64,
        "batch_size": 4,
        "num_variates": 4,
        "max_windows": 256,
    }
    return validation_batches(corpus, **settings | changes)


def ramp(num_variates, length, start=1.0):
    """Every value differs, so that a value names its place."""
    return start + np.arange(num_variates * length).reshape(num_variates, length)


@pytest.fixture
def mixed(tmp_path):
    return corpus_of(
        tmp_path / "corpus",
        entry("a", ramp(1, 300), limits=[200, 250, 250, 275]),
        entry("b", ramp(3, 150, 1e4), limits=[100, 120, 120, 140]),
        entry("c", ramp(6, 90, 1e5), limits=[40, 60, 60, 80]),
        entry("s", -ramp(1, 128), is_synthetic=True),
        synthetic_share=0.25,
    )


@given(cutoff=st.sampled_from(CUTOFFS), seed=st.integers(0, 2**32), step=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_no_value_behind_a_cutoff_is_ever_drawn(tmp_path_factory, cutoff, seed, step):
    lengths, limits = (300, 150, 90), ([200, 250, 250, 275], [90, 130, 130, 150], [1, 2, 2, 33])
    entries = []
    for n, (length, item_limits) in enumerate(zip(lengths, limits, strict=True)):
        values = np.ones((n + 1, length), np.float32)
        values[:, item_limits[CUTOFFS.index(cutoff)] :] = PLANTED
        entries.append(entry(f"item-{n}", values, limits=item_limits))
    corpus = corpus_of(tmp_path_factory.mktemp("leak") / "corpus", *entries)
    drawn = windows(corpus, cutoff=cutoff, seed=seed, noise=0.0125, mask=0.5).batch(step)
    assert drawn.target.max() < 2
    assert drawn.target_mask.any()


def test_a_planted_leak_is_seen_by_the_leak_test(tmp_path):
    values = np.ones((1, 300), np.float32)
    values[:, 200:] = PLANTED
    corpus = corpus_of(tmp_path / "corpus", entry("a", values, limits=[201, 300, 300, 300]))
    source = windows(corpus, noise=0.0125, mask=0.5)
    assert max(source.batch(step).target.max() for step in range(50)) > 1e8


def test_every_usable_point_is_drawn_and_the_last_one_too(tmp_path):
    corpus = corpus_of(tmp_path / "corpus", entry("a", ramp(1, 300), limits=[200, 250, 250, 275]))
    source = windows(corpus)
    seen = np.unique(np.concatenate([source.batch(step).target.ravel() for step in range(60)]))
    np.testing.assert_array_equal(seen, np.arange(201))  # 0 pads, 1 to 200 are the points


def test_batch_repeats_and_differs_from_step_to_step_and_seed_to_seed(mixed):
    first = windows(mixed, noise=0.1, mask=0.5).batch(7)
    again = windows(mixed, noise=0.1, mask=0.5).batch(7)
    for name in ("target", "target_mask", "series_ids", "known"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.items == again.items
    assert not np.array_equal(first.target, windows(mixed, noise=0.1, mask=0.5).batch(8).target)
    other = windows(mixed, seed=1, noise=0.1, mask=0.5).batch(7)
    assert not np.array_equal(first.target, other.target)


def test_noise_and_masks_are_drawn_anew_at_each_step_and_by_seed(tmp_path):
    corpus = corpus_of(tmp_path / "corpus", entry("a", np.ones((1, 300))))
    drawn = [
        windows(corpus, seed=seed, noise=0.1, mask=1.0).batch(step)
        for seed, step in [(0, 0), (0, 1), (1, 0)]
    ]
    for first, second in [(0, 1), (0, 2), (1, 2)]:
        both = drawn[first].target_mask & drawn[second].target_mask
        same = drawn[first].target == drawn[second].target
        assert same[both].mean() < 0.01
        assert not np.array_equal(drawn[first].target_mask, drawn[second].target_mask)


def test_slots_of_one_item_are_one_window_of_it(mixed):
    source = windows(mixed, cutoff="validation")
    names = list(mixed.item_ids)
    for step in range(20):
        batch = source.batch(step)
        assert (batch.series_ids != UNUSED).all()
        for row, ids in enumerate(batch.series_ids):
            for place, name in enumerate(batch.items[row]):
                slots = np.flatnonzero(ids == place)
                block = mixed.block(names.index(name))
                found = batch.target[row, slots]
                steps = batch.target_mask[row, slots]
                assert (steps == steps[0]).all()
                width = int(steps[0].sum())
                starts = np.flatnonzero((block == found[0, -1]).any(axis=0))
                assert any(
                    np.array_equal(found[k, -width:], block[v, end + 1 - width : end + 1])
                    for end in starts
                    for k in range(len(slots))
                    for v in range(len(block))
                )


def test_window_shorter_than_the_context_is_padded_on_the_left(tmp_path):
    corpus = corpus_of(tmp_path / "corpus", entry("a", ramp(1, 20)))
    batch = windows(corpus).batch(0)
    assert not batch.target_mask[:, :, :44].any()
    np.testing.assert_array_equal(batch.target[0, 0, 44:], np.arange(1, 21))


def test_missing_points_are_unobserved_zeros(tmp_path):
    values = ramp(1, 64)
    values[0, 10] = np.nan
    batch = windows(corpus_of(tmp_path / "corpus", entry("a", values))).batch(0)
    assert np.isfinite(batch.target).all()
    np.testing.assert_array_equal(batch.target != 0, batch.target_mask)


def test_mixture_of_rows_is_the_one_asked_for(tmp_path):
    wide = entry("real", ramp(4, 200))
    made = [entry(f"s{n}", ramp(1, 200), is_synthetic=True) for n in range(5)]
    source = windows(corpus_of(tmp_path / "corpus", wide, *made, synthetic_share=0.25), rows=64)
    rows = [row for step in range(30) for row in source.batch(step).items]
    share = np.mean([row[0].startswith("s") for row in rows])
    assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 / len(rows))
    assert all(len({name[0] for name in row}) == 1 for row in rows)


@pytest.mark.parametrize(("exponent", "expected"), [(0.0, 0.5), (0.5, 2 / 3), (1.0, 0.8)])
def test_longer_items_are_drawn_as_often_as_the_exponent_says(tmp_path, exponent, expected):
    corpus = corpus_of(
        tmp_path / "corpus",
        entry("long", ramp(1, 400)),
        entry("short", ramp(1, 100)),
        size_exponent=exponent,
    )
    source = windows(corpus, rows=64, slots=1)
    names = [row[0] for step in range(40) for row in source.batch(step).items]
    share = np.mean([name == "long" for name in names])
    assert abs(share - expected) < 4 * np.sqrt(0.25 / len(names))


def test_part_of_a_wide_item_holds_a_target(tmp_path):
    roles = [PAST_COVARIATE] * 5 + [TARGET] + [KNOWN_COVARIATE] * 2
    corpus = corpus_of(tmp_path / "corpus", entry("a", ramp(8, 64), roles=roles))
    source = windows(corpus, slots=2)
    target_values = set(corpus.block(0)[5])
    for step in range(20):
        batch = source.batch(step)
        for row in batch.target:
            assert any(set(slot[slot != 0]) <= target_values for slot in row)


@given(
    widths=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    slots=st.sampled_from([1, 4, 32]),
    shuffle=st.sampled_from([0.0, 0.5]),
    step=st.integers(0, 100),
)
@settings(max_examples=30, deadline=None)
def test_rows_are_packed_with_whole_items_and_part_of_the_last(
    tmp_path_factory, widths, slots, shuffle, step
):
    entries = [entry(f"item-{n}", ramp(width, 20 + n)) for n, width in enumerate(widths)]
    corpus = corpus_of(tmp_path_factory.mktemp("wide") / "corpus", *entries)
    source = TrainingWindows(
        corpus,
        cutoff="train",
        context_length=32,
        batch_size=4,
        num_variates=slots,
        seed=0,
        augment=AugmentSettings(variate_shuffle=shuffle),
    )
    batch = source.batch(step)
    for row, ids in enumerate(batch.series_ids):
        assert (np.diff(ids) >= 0).all()
        sizes = np.bincount(ids)
        assert len(sizes) == len(batch.items[row])
        own = [widths[int(name.removeprefix("item-"))] for name in batch.items[row]]
        assert sizes[:-1].tolist() == own[:-1]
        assert sizes[-1] == min(own[-1], slots - sizes[:-1].sum())
        for series in range(len(sizes)):  # each variate once
            last_values = batch.target[row, ids == series, -1]
            assert len(set(last_values)) == sizes[series]


def test_known_marks_known_covariates_alone(tmp_path):
    roles = [TARGET, KNOWN_COVARIATE, PAST_COVARIATE]
    corpus = corpus_of(tmp_path / "corpus", entry("a", ramp(3, 64), roles=roles))
    batch = windows(corpus, slots=3).batch(0)
    assert batch.known.tolist() == [[False, True, False]] * 8


def test_unknown_cutoff_is_refused(mixed):
    with pytest.raises(
        ValueError, match=r"cutoff = 'fold-9', one of train, validation, fold-0, fold-1"
    ):
        windows(mixed, cutoff="fold-9")


def test_corpus_without_history_is_refused(tmp_path):
    directory = tmp_path / "corpus"
    with pytest.raises(DataError, match=r"real items .* train = 0 of 1, .* share 1 of the mixture"):
        corpus_of(directory, entry("a", ramp(1, 300), limits=[0, 250, 250, 275]))
    assert not directory.exists()
    corpus_of(directory, entry("a", ramp(1, 300), limits=[1, 0, 250, 275]))
    with pytest.raises(DataError, match=r"before the cut-off validation = 0 of 1"):
        windows(Corpus.open(directory), cutoff="validation")


def test_validation_targets_follow_the_origin_and_end_before_the_test_period(tmp_path):
    corpus = corpus_of(
        tmp_path / "corpus",
        entry("a", ramp(1, 300), limits=[200, 250, 250, 275], positions=[200, 226]),
        entry("b", ramp(1, 300), limits=[200, 250, 250, 275], positions=[-1, 227]),
    )
    (batch,) = validation(corpus)
    assert batch.horizon == 32
    assert batch.items == (("a", "a"),)  # b's target would end one step too late
    np.testing.assert_array_equal(batch.target[0, 0, :88], np.arange(137, 225))
    np.testing.assert_array_equal(batch.target[0, 1, :88], np.arange(163, 251))
    assert not batch.target_mask[:, :, 88:].any()
    assert (batch.series_ids[0] == [0, 1, UNUSED, UNUSED]).all()
    assert not batch.target_mask[0, 2:].any()


def test_validation_horizon_shows_known_covariates_and_hides_past_ones(tmp_path):
    roles = [PAST_COVARIATE, TARGET, KNOWN_COVARIATE]
    corpus = corpus_of(
        tmp_path / "corpus",
        entry("a", ramp(3, 300), limits=[200, 250, 250, 275], positions=[200, -1], roles=roles),
    )
    (batch,) = validation(corpus)
    observed = batch.target_mask[0, :3, 64:].sum(axis=-1)
    order = [TARGET, PAST_COVARIATE, KNOWN_COVARIATE]  # targets come first
    np.testing.assert_array_equal(observed, [{0: 24, 1: 0, 2: 24}[role] for role in order])
    assert batch.known[0].tolist() == [False, False, True, False]
    assert batch.target_mask[0, :3, :64].all()


def test_wide_items_take_several_rows_and_rows_without_a_target_are_left_out(tmp_path):
    roles = [TARGET] * 5 + [PAST_COVARIATE] * 4
    corpus = corpus_of(
        tmp_path / "corpus",
        entry("a", ramp(9, 300), limits=[200, 250, 250, 275], positions=[200, -1], roles=roles),
    )
    batches = validation(corpus)
    assert [batch.items for batch in batches] == [(("a",), ("a",))]


def test_validation_rows_are_thinned_evenly_and_always_alike(tmp_path):
    entries = [
        entry(f"i{n}", ramp(4, 300), limits=[200, 250, 250, 275], positions=[200, 220])
        for n in range(40)
    ]
    corpus = corpus_of(tmp_path / "corpus", *entries)
    first, again = validation(corpus, max_windows=10), validation(corpus, max_windows=10)
    assert sum(len(batch.items) for batch in first) == 10
    assert [batch.items for batch in first] == [batch.items for batch in again]
    last_steps = {batch.target[row, 0, 87] for batch in first for row in range(len(batch.items))}
    assert last_steps == {224, 244}


def test_no_validation_window_is_an_error(mixed):
    with pytest.raises(DataError, match=r"windows at the validation origins = 0"):
        validation(mixed)
