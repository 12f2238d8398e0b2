"""A copy is found under any name, rate and unit; series that are no copies are not."""

import numpy as np
import pytest
from test_fingerprints import SHAPES, walk

from toto_core.data.fingerprints import Fingerprints, record
from toto_core.data.landmarks import CHANNELS
from toto_core.data.overlap import (
    Overlap,
    contamination,
    copied_ahead,
    find_overlaps,
    linked_groups,
    near_duplicates,
)
from toto_core.data.synthetic import FAMILIES, generate

T = np.arange(2000.0)


def load(seed, length=4000):
    """A daily rhythm with noise, as a service has it."""
    rng, t = np.random.default_rng(seed), np.arange(length)
    noise = np.convolve(rng.standard_normal(length + 3), np.ones(4) / 4, "valid")
    return (100 + 30 * np.sin(2 * np.pi * t / 24) + 8 * noise).astype(np.float32)


def named(**series):
    return record((name, np.asarray(x, np.float32)[None]) for name, x in series.items())


def coarser(values, rate, *, mean=True, phase=0):
    rows = values[phase:].astype(np.float64)
    rows = rows[: len(rows) // rate * rate].reshape(-1, rate)
    return rows.mean(axis=1) if mean else rows[:, -1]


@pytest.mark.parametrize("of", [walk, load])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: x, id="another name"),
        pytest.param(lambda x: x * 100, id="percent"),
        pytest.param(lambda x: x / 3 - 12, id="other level"),
        pytest.param(lambda x: x[777:2777], id="another start"),
        pytest.param(lambda x: np.round(x, 1), id="rounded"),
        pytest.param(lambda x: np.where(np.arange(len(x)) % 97 < 5, np.nan, x), id="gaps"),
    ],
)
def test_a_copy_of_the_same_rate_is_found(of, change):
    copied = change(of(0, 4000).astype(np.float64))
    pairs = near_duplicates(named(a=of(0, 4000), b=copied, c=of(1, 4000), d=of(2, 4000)))
    assert [(pair.item, pair.other, pair.rates) for pair in pairs] == [("a", "b", (1, 1))]


@pytest.mark.parametrize("rate", [2, 3, 4, 6, 12, 24])
@pytest.mark.parametrize("mean", [True, False], ids=["mean", "last"])
def test_a_copy_at_another_rate_is_found(rate, mean):
    fine = walk(3, 1000 * rate)
    copy = coarser(fine, rate, mean=mean, phase=rate // 3)
    pairs = near_duplicates(named(fine=fine, copy=copy * 9 - 1, other=walk(4, 1000)))
    assert [(pair.item, pair.other) for pair in pairs] == [("fine", "copy")]
    assert pairs[0].rates == (rate, 1)
    assert pairs[0].share > 0.3


def test_rates_that_are_both_coarser_are_found_too():
    fine = walk(5, 24_000)
    pairs = near_duplicates(named(twice=coarser(fine, 2), thrice=coarser(fine, 3)))
    assert [pair.rates for pair in pairs] == [(3, 2)]


def test_the_alignment_is_told():
    values = walk(6, 3000)
    (pair,) = near_duplicates(named(a=values, b=values[400:]))
    assert pair.first - pair.other_first == 400
    assert 400 <= pair.first < pair.last < 3000
    assert pair.share > 0.9
    assert pair.common > 80


def test_a_short_stretch_in_common_is_enough():
    one, other = walk(7), walk(8)
    other[1000:1200] = one[2000:2200]
    (pair,) = near_duplicates(named(a=one, b=other))
    assert 2000 <= pair.first < pair.last < 2200
    assert pair.common >= 5


def test_independent_series_of_one_family_do_not_match():
    """The false positive rate: no pair of 300 series of the synthetic families, 45,000 pairs."""
    series = generate(1, 300, length=2048, weights=dict.fromkeys(FAMILIES, 1.0))
    found = record((f"{n}", values) for n, (_, values) in enumerate(series))
    assert len(found) > 20_000
    assert near_duplicates(found) == []


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.01, 0.05, 0.2])
def test_seasons_in_common_are_no_copy(noise):
    rng = np.random.default_rng(0)
    found = named(
        **{
            f"{name}-{n}": (1 + n) * shape(T, rng) + noise * rng.standard_normal(len(T))
            for n in range(10)
            for name, shape in SHAPES.items()
            if noise or name != "rare counts"
        }
    )
    assert near_duplicates(found) == []


def test_counts_are_no_copy_of_each_other():
    rng = np.random.default_rng(1)
    found = named(**{f"{n}": rng.poisson([0.3, 1, 3, 20][n % 4], 3000) for n in range(60)})
    assert len(found) > 1000
    assert near_duplicates(found) == []


def by_hand(channel=0, **places):
    """Fingerprints of items by name: a hash for each position."""
    rows = [
        (value, position, item)
        for item, of_item in enumerate(places.values())
        for value, position in sorted(of_item.items())
    ]
    values, positions, items = (np.array(column) for column in zip(*rows, strict=True))
    return Fingerprints(
        values.astype(np.uint32),
        np.full(len(values), channel, np.uint8),
        positions.astype(np.int64),
        items.astype(np.int32),
        tuple(places),
    )


@pytest.mark.parametrize(("number", "is_found"), [(4, False), (5, True)])
def test_five_in_line_are_asked_for(number, is_found):
    shared = {n: 100 * n for n in range(number)}
    pairs = near_duplicates(by_hand(a=shared, b={n: place + 7 for n, place in shared.items()}))
    assert bool(pairs) == is_found
    crossed = {n: 7 + n * place for n, place in shared.items()}
    assert near_duplicates(by_hand(a=shared, b=crossed)) == []


@pytest.mark.parametrize(("other", "common", "is_found"), [(5, 10, True), (11, 10, False)])
def test_what_agrees_must_be_much_of_what_is_shown(other, common, is_found):
    """Evidence is the number that agrees, times its share of what either shows."""
    shared = {n: 100 * n for n in range(common)}
    one = shared | {1000 + n: 50 + 10 * n for n in range(other)}
    two = shared | {2000 + n: 55 + 10 * n for n in range(other)}
    assert bool(near_duplicates(by_hand(a=one, b=two))) == is_found


def test_a_small_share_is_never_enough():
    shared = {n: 100 * n for n in range(100)}
    one = shared | {1000 + n: n for n in range(400)}
    two = shared | {2000 + n: n for n in range(400)}
    assert near_duplicates(by_hand(a=one, b=two)) == []


@pytest.mark.parametrize(("apart", "is_found"), [(1, False), (11 * 24, True)])
def test_neighbouring_phases_are_one_window(apart, is_found):
    shared = {n: 5000 + apart * n for n in range(6)}
    channel = CHANNELS.index((24, True))
    assert bool(near_duplicates(by_hand(channel, a=shared, b=shared))) == is_found


def test_every_copy_of_many_is_tied_to_the_others():
    values = walk(9, 1000)
    found = named(**{f"i{n:03}": values for n in range(100)})
    pairs = near_duplicates(found)
    assert {pair.item for pair in pairs} | {pair.other for pair in pairs} == set(found.items)
    linked = linked_groups(pairs, {name: name for name in found.items})
    assert set(linked.values()) == {"i000"}


def test_too_many_pairs_are_thinned_out(monkeypatch):
    copies = {f"i{n}": walk(9, 3000) for n in range(6)}
    found = named(**copies, other=walk(10, 3000))
    monkeypatch.setattr("toto_core.data.overlap.MAX_PAIRS", 1500)
    pairs = near_duplicates(found)
    assert len(pairs) == 9  # with the first, and with the one before
    assert all(5 <= pair.common < 60 and pair.share > 0.9 for pair in pairs)
    pairs = find_overlaps(named(new=walk(9, 3000)), found)
    assert [pair.other for pair in pairs] == list(copies)
    assert all(5 <= pair.common < 60 and pair.share > 0.5 for pair in pairs)


def test_groups_are_linked_over_several_steps():
    values = walk(10, 2000)
    pairs = near_duplicates(named(a=values[:900], b=values, c=values[1000:], d=walk(11)))
    assert [(pair.item, pair.other) for pair in pairs] == [("a", "b"), ("b", "c")]
    groups = {"a": "x", "b": "m", "c": "n", "d": "o"}
    assert linked_groups(pairs, groups) == {"x": "m", "m": "m", "n": "m", "o": "o"}


def pair_of(**changes):
    values = {
        "item": "fine",
        "other": "coarse",
        "rates": (24, 1),
        "common": 9,
        "share": 1.0,
        "first": 1000,
        "last": 3000,
        "other_first": 10,
    }
    return Overlap(**values | changes)


@pytest.mark.parametrize(
    ("coarse_limits", "expected"),
    [
        pytest.param((110, 150), set(), id="ends before T1"),  # step 109 is step 3376
        pytest.param((162, 200), {"fine"}, id="ends behind T1"),  # step 161 is step 4624
        pytest.param((0, 200), set(), id="not trained on"),
        pytest.param((110, 120), {"coarse"}, id="the other way round"),  # 3999 is step 134.9
    ],
)
def test_an_alignment_tells_what_is_copied_ahead(coarse_limits, expected):
    limits = {"fine": (4000, 4500), "coarse": coarse_limits}
    assert copied_ahead([pair_of()], limits) == expected


def test_contamination_takes_what_is_known(tmp_path):
    found = contamination(named(a=walk(1)), named(b=walk(2)), copied=["a"])
    assert (found["overlap"], found["items"], found["examples"]) == ("found", ["a"], [])


def test_contamination_names_the_items_that_were_seen():
    training = named(old=walk(20), other=walk(21), coarse=coarser(walk(22, 9000), 3))
    targets = named(new=walk(20)[1000:1500] * 3, clean=walk(23), fine=walk(22, 9000)[2000:7000])
    found = contamination(targets, training)
    assert found["overlap"] == "found"
    assert found["items"] == ["fine", "new"]
    assert [(e["item"], e["other"], e["rates"]) for e in found["examples"]] == [
        ("new", "old", [1, 1]),
        ("fine", "coarse", [3, 1]),
    ]
    assert (found["asked"], found["checkable"], found["seen_items"]) == (3, 3, 3)


def test_contamination_says_none_and_what_it_could_not_tell():
    targets = named(a=walk(1), flat=np.ones(500), short=walk(2, 40))
    found = contamination(targets, named(b=walk(3)))
    assert (found["overlap"], found["items"], found["examples"]) == ("none", [], [])
    assert (found["asked"], found["checkable"]) == (3, 1)


def test_few_examples_are_listed():
    found = contamination(named(a=walk(1), b=walk(2)), named(c=walk(1), d=walk(2)), max_listed=1)
    assert (len(found["items"]), len(found["examples"])) == (2, 1)


def test_a_short_stretch_is_found_in_a_coarser_copy():
    """1,536 steps, as many as 64 origins a day apart have, at six times the interval."""
    fine = walk(30, 12_000)
    stored = named(coarse=coarser(fine, 6), other=walk(31))
    asked = record([("fine", fine[None, 6000:7536])], all_windows=True)
    (pair,) = find_overlaps(asked, stored)
    assert (pair.other, pair.rates) == ("coarse", (6, 1))
    assert pair.common >= 7
    assert 0.5 < pair.share <= 1


def test_thinned_fingerprints_still_tell(monkeypatch):
    series = {f"i{n}": walk(n, 4000) for n in range(20)}
    copies = named(**{f"c{n}": walk(n, 4000) for n in range(20)})
    monkeypatch.setattr("toto_core.data.fingerprints.MAX_STORED", 5000)
    thin = named(**series)
    assert thin.thinned >= 4
    pairs = find_overlaps(copies, thin)
    assert {pair.item for pair in pairs} == set(copies.items)
    assert all(pair.item[1:] == pair.other[1:] for pair in pairs)
    assert min(pair.share for pair in pairs) > 0.5
