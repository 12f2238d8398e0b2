"""Fingerprints survive what a copy goes through, and say nothing of what many series look like."""

import numpy as np
import pytest

from toto_core.data import fingerprints
from toto_core.data.fingerprints import Fingerprints, Recorder, merged, record
from toto_core.data.landmarks import CHANNELS, HALF
from toto_core.errors import DataError


def walk(seed=0, length=3000):
    steps = np.random.default_rng(seed).standard_normal(length)
    return np.cumsum(steps).astype(np.float32)


def of(*series):
    return record(
        (f"i{n}", np.asarray(values, np.float32)[None]) for n, values in enumerate(series)
    )


def at(found, rate, *, mean=False):
    """Hashes and positions in one channel."""
    chosen = found.channel == CHANNELS.index((rate, mean))
    return dict(zip(found.hash[chosen].tolist(), found.position[chosen].tolist(), strict=True))


def test_level_scale_and_unit_change_nothing():
    values = walk()
    first, other = of(values), of(values * np.float32(128) + np.float32(4096))
    kept = np.isin(other.hash, first.hash).mean()
    assert len(first) > 500
    assert kept > 0.98


@pytest.mark.parametrize("digits", [2, 1])
def test_rounding_leaves_most_of_them(digits):
    first, other = of(walk()), of(np.round(walk(), digits))
    shared = set(at(first, 1)) & set(at(other, 1))
    assert len(shared) > {2: 0.85, 1: 0.3}[digits] * len(at(first, 1))


def test_a_shifted_copy_has_them_at_shifted_places():
    values = walk()
    first, other = at(of(values), 1), at(of(values[137:]), 1)
    assert len(other) > 100
    assert all(first[key] == place + 137 for key, place in other.items())


@pytest.mark.parametrize("rate", [2, 3, 5, 24])
@pytest.mark.parametrize("mean", [True, False], ids=["mean", "every"])
def test_a_coarser_copy_has_those_of_its_rate_at_any_phase(rate, mean):
    values, phase = walk(length=3000 * rate), rate // 2
    rows = values[phase : phase + 2990 * rate].astype(np.float64).reshape(-1, rate)
    coarse = of(rows.mean(axis=1) if mean else rows[:, 0])
    fine = of(values)
    chosen = fine.channel == CHANNELS.index((rate, mean))
    shown = set(zip(fine.hash[chosen].tolist(), fine.position[chosen].tolist(), strict=True))
    expected = at(coarse, 1).items()
    shared = sum((key, place * rate + phase) in shown for key, place in expected)
    assert shared > 0.15 * len(expected)  # a quarter is kept, without what repeats


def test_long_items_have_the_same_ones_in_pieces(monkeypatch):
    values = walk(length=30_000)
    whole = of(values)
    monkeypatch.setattr(fingerprints, "_PIECE", 4000)
    pieces = of(values)
    assert len(whole) > 5000
    np.testing.assert_array_equal(pieces.position, whole.position)
    np.testing.assert_array_equal(pieces.hash, whole.hash)


def test_neighbours_in_a_batch_do_not_touch():
    values = [walk(seed, length) for seed, length in enumerate((90, 500, 23, 700, 1))]
    together = of(*values)
    for n, series in enumerate(values):
        alone = of(series)
        mine = together.item == n
        np.testing.assert_array_equal(together.hash[mine], alone.hash)
        np.testing.assert_array_equal(together.position[mine], alone.position)
    assert set(together.item.tolist()) == {0, 1, 3}


def test_items_of_few_points_cost_nothing_and_the_shortest_of_all_has_one():
    recorder, values = Recorder(), walk(12, 2000)
    for n in range(20_000):
        recorder.add(f"{n}", values[None, :22])
    shortest = [values[n : n + 23] for n in range(500)]
    for n, part in enumerate(shortest):
        recorder.add(f"part {n}", part[None])
    found = recorder.fingerprints()
    assert len(found.items) == 20_500
    assert set(found.position.tolist()) == {11}
    assert (found.item >= 20_000).all()


def test_no_window_holds_a_missing_value():
    values = walk(length=400)
    values[200] = np.nan
    found = of(values)
    rate = np.array([rate for rate, _ in CHANNELS])[found.channel]
    reach = (HALF + 1) * rate
    width = np.array([rate if mean else 1 for rate, mean in CHANNELS])[found.channel]
    first, last = found.position - reach, found.position + reach + width - 1
    assert len(found) > 10
    inside = (first <= 200) & (last >= 200)
    grid = (200 - found.position) % rate < width
    assert not (inside & grid).any()
    assert first.min() >= 0
    assert last.max() < 400


SHAPES = {
    "constant": lambda t, rng: np.full(len(t), 7.0),
    "steps": lambda t, rng: (t // 500) * 3.0,
    "sine": lambda t, rng: 10 + np.sin(2 * np.pi * t / 24),
    "two seasons": lambda t, rng: np.sin(2 * np.pi * t / 24) + np.sin(2 * np.pi * t / 168),
    "sawtooth": lambda t, rng: t % 100.0,
    "rare counts": lambda t, rng: (rng.random(len(t)) < 0.02).astype(float),
    "timetable": lambda t, rng: 5.0 * (t % 48 < 24) + (t % 7 == 0),
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_many_series_look_like_has_none(name):
    found = of(SHAPES[name](np.arange(5000.0), np.random.default_rng(0)))
    assert len(found) <= 5


def test_a_rhythm_with_noise_has_none_at_its_own_rate():
    """What is left of it is as much another series' as this one's."""
    t = np.arange(4000.0)
    noise = np.random.default_rng(0).standard_normal(4000)
    found = of(5 * (t % 48 < 24) + (t % 7 == 0) + 0.05 * noise)
    assert (found.channel == 0).sum() == 0


def test_smooth_windows_do_not_spoil_the_others():
    """They repeat, and a rate at which much repeats would be left out as a whole."""
    noise = np.random.default_rng(0).standard_normal(4019)
    found = of(np.convolve(noise, np.hanning(20), "valid"))
    assert 20 < (found.channel == 0).sum() < 100


def test_what_an_item_shows_twice_is_left_out():
    once = walk(length=1000)
    assert len(of(once)) > 100
    twice = of(np.concatenate([once, once]))
    at_one_place = twice.position[twice.channel == 0]
    assert len(at_one_place) <= 2  # where the two copies meet


def test_memory_is_bounded_by_thinning(monkeypatch):
    series = [walk(seed) for seed in range(30)]
    whole = of(*series)
    monkeypatch.setattr(fingerprints, "MAX_STORED", 5000)
    thin = of(*series)
    assert thin.thinned >= 4
    assert 1000 < len(thin) <= 5000
    assert (thin.hash % thin.thinned == 0).all()
    assert set(thin.hash.tolist()) == set(whole.hash[whole.hash % thin.thinned == 0].tolist())


def test_all_variates_are_recorded():
    pair = np.stack([walk(1), walk(2)])
    found = record([("pair", pair)])
    assert set(of(pair[1]).hash.tolist()) <= set(found.hash.tolist())
    assert found.items == ("pair",)


def test_fingerprints_survive_their_file(tmp_path):
    found = of(walk(1), walk(2))
    for name in ("one.npz", "other.npz"):
        found.save(tmp_path / name)
    again = Fingerprints.load(tmp_path / "one.npz")
    for name in ("hash", "channel", "position", "item"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    assert (again.items, again.thinned) == (found.items, found.thinned)
    assert again.coarse_share == 0.25
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()


def test_none_survive_their_file_too(tmp_path):
    Recorder().fingerprints().save(tmp_path / "none.npz")
    again = Fingerprints.load(tmp_path / "none.npz")
    assert (len(again), again.items) == (0, ())


@pytest.mark.parametrize("content", [None, b"", b"PK torn"], ids=["missing", "empty", "torn"])
def test_torn_fingerprints_are_refused(tmp_path, content):
    path = tmp_path / "fingerprints.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        Fingerprints.load(path)
    assert str(caught.value).startswith(f"{path}: no fingerprints (")
    assert str(caught.value).endswith(
        "the file of the augment stage is needed; run dvc repro augment"
    )


def test_merged_collections_hold_what_each_held():
    one, other = (
        record([("a", walk(1)[None])]),
        record([("b", walk(2)[None]), ("a", walk(3)[None])]),
    )
    both = merged([one, other])
    assert both.items == ("a", "b")
    assert both.coarse_share == 0.25
    assert len(both) == len(one) + len(other)
    assert set(both.hash[both.item == 1].tolist()) == set(other.hash[other.item == 0].tolist())


def test_fingerprints_of_other_windows_are_refused(tmp_path, monkeypatch):
    of(walk()).save(tmp_path / "one.npz")
    monkeypatch.setattr(fingerprints, "_MADE_WITH", np.ones(3))
    with pytest.raises(DataError, match=r"no fingerprints \(made with other windows\)"):
        Fingerprints.load(tmp_path / "one.npz")


def test_all_windows_are_four_times_those_that_are_stored():
    values = walk(length=20_000)[None]
    some, every = record([("a", values)]), record([("a", values)], all_windows=True)
    assert np.isin(some.hash, every.hash).mean() > 0.99  # among more, more repeat
    assert (every.channel == 0).sum() == (some.channel == 0).sum()
    assert 3.5 < (every.channel == 1).sum() / (some.channel == 1).sum() < 4.5
    assert (some.coarse_share, every.coarse_share) == (0.25, 1.0)


def test_the_largest_numbers_there_are_have_fingerprints_or_none_but_no_fault():
    values = walk() / np.abs(walk()).max() * np.float32(3e38)
    found = of(values)
    assert set(at(found, 1)) <= set(at(of(walk()), 1))
    assert len(found) > 0
