"""Series that show the same stretch: near duplicates, and targets that training has seen.

Two series are said to overlap where fingerprints agree on one pair of sampling rates and one offset
in time, and make up at least ``MIN_SHARE`` of what either shows in that stretch. How many must
agree depends on that share: ``MIN_COMMON`` where it is everything, 17 where it is ``MIN_SHARE``. A
single common fingerprint is chance, several in one line are not: recordings of music are found so
(Wang, 2003).

Shapes: F fingerprints of one side, G of the other, M pairs that match.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Int64

from toto_core.data.fingerprints import Fingerprints
from toto_core.data.landmarks import CHANNELS, HALF

MIN_COMMON = 5
MIN_SHARE = 0.3
# More pairs of equal fingerprints are thinned out: it bounds memory, about 100 bytes each.
MAX_PAIRS = 2**23
# Of the equal fingerprints, a query meets these many at most.
_MAX_EQUAL = 64

NONE, FOUND, UNKNOWN = "none", "found", "unknown"

_RATES = np.array([rate for rate, _ in CHANNELS])


@dataclass(frozen=True)
class Overlap:
    """One item shows what another one shows.

    Attributes:
        item: the one that was asked about.
        other: the one that it was found in.
        rates: steps of each that make one common step, in this order: (1, 12) says that
            twelve steps of ``other`` are one of ``item``.
        common: fingerprints that agree.
        share: of the fingerprints that the sparser one of them has in the common stretch.
        first: step of ``item`` in the middle of the first common window; ``last`` of the last one.
        other_first: the step of ``other`` that goes with ``first``.
    """

    item: str
    other: str
    rates: tuple[int, int]
    common: int
    share: float
    first: int
    last: int
    other_first: int

    def to_json(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self) | {"rates": list(self.rates), "share": round(self.share, 3)}


def find_overlaps(asked: Fingerprints, stored: Fingerprints) -> list[Overlap]:
    """Find, for each item of ``asked``, the items of ``stored`` that show the same stretch.

    Returns:
        The best alignment of each pair of items, sorted by item, then by the number in common.
    """
    order = np.argsort(stored.hash, kind="stable")
    hashes = stored.hash[order]
    low = np.searchsorted(hashes, asked.hash, side="left")
    number = np.minimum(np.searchsorted(hashes, asked.hash, side="right") - low, _MAX_EQUAL)
    if number.sum() > MAX_PAIRS:
        return find_overlaps(asked, stored.thin(2 * stored.thinned))
    left = np.repeat(np.arange(len(asked)), number)
    right = order[np.repeat(low, number) + _counted(number)]
    return _best(asked, stored, left, right)


def near_duplicates(found: Fingerprints) -> list[Overlap]:
    """Find pairs of items that show the same stretch, each pair once.

    Of many copies of one stretch each is paired with the first and with the one before it.
    """
    order = np.argsort(found.hash, kind="stable")  # and by item, as they are sorted
    again = found.hash[order[1:]] == found.hash[order[:-1]]
    order = order[np.append(again, False)[: len(order)] | np.append(False, again)[: len(order)]]
    hashes = found.hash[order]
    starts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)])
    if 2 * (len(hashes) - len(starts)) > MAX_PAIRS:
        return near_duplicates(found.thin(2 * found.thinned))
    sizes = np.diff(np.append(starts, len(hashes)))
    first = order[np.repeat(starts, sizes)]
    before = np.append(order[:1], order[:-1])
    place = _counted(sizes)
    left = np.concatenate([first[place > 0], before[place > 1]])
    right = np.concatenate([order[place > 0], order[place > 1]])
    other = found.item[left] != found.item[right]
    return _best(found, found, left[other], right[other])


def linked_groups(pairs: list[Overlap], group_of: dict[str, str]) -> dict[str, str]:
    """Name for each group the first of the groups that near duplicates tie together.

    Args:
        group_of: group of each item.
    """
    parent: dict[str, str] = {group: group for group in group_of.values()}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for pair in pairs:
        one, other = sorted((root(group_of[pair.item]), root(group_of[pair.other])))
        parent[other] = one
    return {group: root(group) for group in parent}


def copied_ahead(pairs: Iterable[Overlap], limits: Mapping[str, tuple[int, int]]) -> set[str]:
    """Name the items whose test period lies in the training part of a near duplicate.

    The alignment of a pair holds for all that they have in common, so this finds copies whose
    test period by itself is too short for five fingerprints.

    Args:
        limits: steps of each item before T0, 0 where it is not trained on, and before T1.
    """
    copied = set()
    for pair in pairs:
        rate, other_rate = pair.rates
        places = ((pair.item, pair.first, rate), (pair.other, pair.other_first, other_rate))
        for (asked, first, step), (seen, other_first, other_step) in (places, places[::-1]):
            trained, (_, tested) = limits[seen][0], limits[asked]
            # One common step of tolerance: a coarser value stands for several finer ones.
            last = first + (trained - 1 - other_first) * step / other_step
            if trained and last >= tested + step:
                copied.add(asked)
    return copied


def contamination(
    targets: Fingerprints,
    seen: Fingerprints,
    *,
    copied: Iterable[str] = (),
    max_listed: int = 20,
) -> dict[str, object]:
    """Say whether targets overlap with what training has seen.

    Args:
        targets: of values that training must not have seen.
        seen: of all that it has.
        copied: items of ``targets`` that are known to be in it, by ``copied_ahead``.

    Returns:
        ``overlap``: ``none`` or ``found``; ``items``: the names of the found ones; ``examples``:
        the strongest, at most ``max_listed``; how many items were ``asked`` about and how many of
        them are ``checkable``: have enough distinctive windows for a copy to be found; how many
        ``seen_items`` there are, and the models of ``unknown`` training that were the base.
    """
    pairs = find_overlaps(targets, seen)
    items = sorted({pair.item for pair in pairs} | set(copied))
    strongest = sorted(pairs, key=lambda pair: (-pair.common, pair.item, pair.other))
    enough = np.bincount(targets.item[targets.channel == 0], minlength=len(targets.items))
    return {
        "overlap": FOUND if items else NONE,
        "items": items,
        "examples": [pair.to_json() for pair in strongest[:max_listed]],
        "asked": len(targets.items),
        "checkable": int((enough >= MIN_COMMON).sum()),
        "seen_items": len(seen.items),
        "unknown": list(seen.unknown),
    }


def _counted(sizes: Int64[np.ndarray, " F"]) -> Int64[np.ndarray, " M"]:
    """0, 1, .. within each of the runs of these sizes."""
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) - np.repeat(ends - sizes, sizes)


def _best(
    asked: Fingerprints,
    stored: Fingerprints,
    left: Int64[np.ndarray, " M"],
    right: Int64[np.ndarray, " M"],
) -> list[Overlap]:
    """Group the pairs of equal fingerprints by alignment and keep the best of each two items."""
    if not len(left):
        return []
    keys, steps = _alignments(asked, stored, left, right)
    order = np.lexsort((steps[0], *keys))
    changed = np.zeros(len(order), np.bool_)
    changed[0] = True
    for key in keys:
        changed[1:] |= np.diff(key[order]) != 0
    starts = np.flatnonzero(changed)
    sizes = np.diff(np.append(starts, len(order)))
    best: dict[tuple[int, int], Overlap] = {}
    for start, size in zip(starts[sizes >= MIN_COMMON], sizes[sizes >= MIN_COMMON], strict=True):
        members = order[start : start + size]
        pair = _overlap(asked, stored, left[members], right[members])
        ends = (int(asked.item[left[members[0]]]), int(stored.item[right[members[0]]]))
        if pair.share < MIN_SHARE or pair.common * pair.share < MIN_COMMON:
            continue
        if ends not in best or pair.common > best[ends].common:
            best[ends] = pair
    return sorted(best.values(), key=lambda pair: (pair.item, -pair.common, pair.other))


def _alignments(
    asked: Fingerprints,
    stored: Fingerprints,
    left: Int64[np.ndarray, " M"],
    right: Int64[np.ndarray, " M"],
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, np.ndarray]]:
    """Offset, channels and items: what fingerprints of one alignment have in common."""
    one, other = asked.channel[left].astype(np.int64), stored.channel[right].astype(np.int64)
    common = np.gcd(_RATES[one], _RATES[other])
    steps = asked.position[left], stored.position[right]
    offset = steps[0] * (_RATES[other] // common) - steps[1] * (_RATES[one] // common)
    return (
        (
            offset,
            one,
            other,
            stored.item[right].astype(np.int64),
            asked.item[left].astype(np.int64),
        ),
        steps,
    )


def _overlap(
    asked: Fingerprints,
    stored: Fingerprints,
    left: Int64[np.ndarray, " M"],
    right: Int64[np.ndarray, " M"],
) -> Overlap:
    sides = ((asked, left), (stored, right))
    channels = [int(side.channel[places[0]]) for side, places in sides]
    steps = [np.unique(side.position[places]) for side, places in sides]
    # Neighbouring phases of a coarser rate show the same window once more: that is no new evidence.
    apart = [
        1 + (step[-1] - step[0]) // ((HALF + 1) * _RATES[c])
        for step, c in zip(steps, channels, strict=True)
    ]
    common = int(min(len(steps[0]), len(steps[1]), *apart))
    # What each could have in common with the other, which keeps a part of its coarser windows.
    ends = [
        (int(side.item[places[0]]), int(step[0]), int(step[-1]))
        for (side, places), step in zip(sides, steps, strict=True)
    ]
    shown = [
        _between(side, *end, channel)
        for (side, _), end, channel in zip(sides, ends, channels, strict=True)
    ]
    kept = [
        side.coarse_share if channel else 1.0
        for (side, _), channel in zip(sides, channels, strict=True)
    ]
    shown = [number * min(kept) / own for number, own in zip(shown, kept, strict=True)]
    thinned = max(asked.thinned, stored.thinned)
    expected = min(n * side.thinned / thinned for n, (side, _) in zip(shown, sides, strict=True))
    rates = [int(_RATES[channel]) for channel in channels]
    divisor = math.gcd(*rates)
    return Overlap(
        item=asked.items[asked.item[left[0]]],
        other=stored.items[stored.item[right[0]]],
        rates=(rates[0] // divisor, rates[1] // divisor),
        common=common,
        share=min(1.0, common / max(expected, 1.0)),
        first=int(steps[0][0]),
        last=int(steps[0][-1]),
        other_first=int(steps[1][0]),
    )


def _between(found: Fingerprints, item: int, first: int, last: int, channel: int) -> float:
    """How many fingerprints of an item and channel lie from ``first`` to ``last``."""
    start, end = np.searchsorted(found.item, [item, item + 1])
    inside = found.position[start:end]
    return float(
        np.count_nonzero(
            (found.channel[start:end] == channel) & (inside >= first) & (inside <= last)
        )
    )
