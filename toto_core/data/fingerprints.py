"""Fingerprints of series: short hashes by which a copy is known again under any name.

A fingerprint is the hash of a window at one of several sampling rates (``data.landmarks``).
Coarser rates are means of ``rate`` steps (averages, sums) and every ``rate``-th value (closing
prices, fewer scrapes). Whatever an item shows at two times is left out: pure seasons, which others
may have.

Shapes: T time steps, V variates, F fingerprints.
"""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, Shaped, UInt8, UInt32

from toto_core.data.landmarks import (
    CHANNELS,
    COARSE_SHARE,
    HALF,
    RATES,
    SIZE,
    landmark_windows,
)
from toto_core.errors import DataError
from toto_core.files import writing

# Of the windows at a coarser rate COARSE_SHARE is kept of more points than these, of fewer all.
FEW_POINTS = 4_000_000
# More fingerprints than these are thinned out by their hash, the same ones everywhere.
MAX_STORED = 2**24
# Of an item's fingerprints at one rate, this share may show up twice.
MAX_REPEATED = 0.1

_PIECE = 2**16
_REACH = (HALF + 2) * RATES[-1]
_MADE_WITH = np.array(
    [HALF, COARSE_SHARE, MAX_REPEATED, *(n for channel in CHANNELS for n in channel)]
)
_ARRAYS = ("hash", "channel", "position", "item")


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of some items, sorted by item, channel, hash and position.

    Attributes:
        item: place in ``items``.
        channel: place in ``CHANNELS``.
        position: time step at which the middle value of the window begins, from the item's first
            step on.
        items: names.
        thinned: hashes that are no multiple of it were left out; 1: none.
        coarse_share: of the windows at coarser rates, how many there are.
        unknown: models that saw more than this, and nobody knows what.
    """

    hash: UInt32[np.ndarray, " F"]
    channel: UInt8[np.ndarray, " F"]
    position: Int64[np.ndarray, " F"]
    item: Int32[np.ndarray, " F"]
    items: tuple[str, ...]
    thinned: int = 1
    coarse_share: float = COARSE_SHARE
    unknown: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return how many fingerprints there are."""
        return len(self.hash)

    def save(self, path: Path) -> None:
        """Write them to one file, the same bytes for the same fingerprints."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays["items"] = np.array(self.items, np.str_)
        arrays["thinned"] = np.array(self.thinned)
        arrays["coarse_share"] = np.array(self.coarse_share)
        arrays["made_with"] = _MADE_WITH
        arrays["unknown"] = np.array(self.unknown, np.str_)
        with writing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    def thin(self, thinned: int) -> "Fingerprints":
        """Keep those whose hash is a multiple of ``thinned``, a multiple of the present one."""
        keep = _kept(self.hash, thinned)
        arrays = {name: getattr(self, name)[keep] for name in _ARRAYS}
        return replace(self, **arrays, thinned=thinned)

    @classmethod
    def load(cls, path: Path) -> "Fingerprints":
        """Read what ``save`` wrote.

        Raises:
            DataError: if the file is missing or torn.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in _ARRAYS}
                names, unknown = (tuple(stored[key].tolist()) for key in ("items", "unknown"))
                thinned, share = int(stored["thinned"]), float(stored["coarse_share"])
                if not np.array_equal(stored["made_with"], _MADE_WITH):
                    raise ValueError("made with other windows")
                return cls(
                    **arrays, items=names, thinned=thinned, coarse_share=share, unknown=unknown
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path}: no fingerprints ({' '.join(str(error).split())}), the file of the "
                "augment stage is needed; run dvc repro augment"
            ) from None


class Recorder:
    """Collects the fingerprints of items that are shown to it one after another.

    Memory holds about ``MAX_STORED`` fingerprints and one piece of an item.

    Args:
        all_windows: whether to keep all windows at coarser rates: four times as many
            fingerprints, with which shorter copies are found.
    """

    def __init__(self, *, all_windows: bool = False) -> None:
        self._all_windows = all_windows
        self._items: list[str] = []
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._stored = 0
        self._thinned = 1
        self._pieces: list[_Piece] = []
        self._waiting = 0

    def add(self, item_id: str, values: Float32[np.ndarray, "V T"]) -> None:
        """Record all variates of an item; NaN = missing.

        Args:
            values: on a regular grid; windows with a missing value are left out.
        """
        number = len(self._items)
        self._items.append(item_id)
        length = values.shape[1]
        if length < SIZE + 2:
            return
        for row in values:
            for start in range(0, max(length - 2 * _REACH, 1), _PIECE):
                end = min(length, start + _PIECE + 2 * _REACH)
                first = start + _REACH if start else 0
                last = end if end == length else end - _REACH
                # A copy, or a piece that waits would hold the whole item in memory.
                self._pieces.append(_Piece(number, row[start:end].copy(), start, first, last))
                self._waiting += end - start + RATES[-1]
                if self._waiting >= _PIECE:
                    self._take()

    def fingerprints(self) -> Fingerprints:
        """Return what was recorded and forget it; what an item shows more than once is left out."""
        self._take()
        parts, self._parts, self._stored = self._parts, [], 0
        found = _distinctive(_joined(parts), tuple(self._items), self._thinned)
        return replace(found, coarse_share=1.0) if self._all_windows else found

    def _take(self) -> None:
        if self._pieces:
            part = _of_pieces(self._pieces, all_windows=self._all_windows)
            self._parts.append(tuple(array[_kept(part[0], self._thinned)] for array in part))
            self._stored += len(self._parts[-1][0])
        self._pieces, self._waiting = [], 0
        while self._stored > MAX_STORED:
            self._thinned *= 2
            self._parts = [
                tuple(array[_kept(part[0], self._thinned)] for array in part)
                for part in self._parts
            ]
            self._stored = sum(len(part[0]) for part in self._parts)


def record(
    items: Iterable[tuple[str, Float32[np.ndarray, "V T"]]], *, all_windows: bool = False
) -> Fingerprints:
    """Fingerprint items: names and values."""
    recorder = Recorder(all_windows=all_windows)
    for item_id, values in items:
        recorder.add(item_id, values)
    return recorder.fingerprints()


def merged(parts: Iterable[Fingerprints]) -> Fingerprints:
    """Join the fingerprints of several collections; items of one name become one."""
    parts = list(parts)
    names = sorted({name for part in parts for name in part.items})
    place = {name: n for n, name in enumerate(names)}
    thinned = max(part.thinned for part in parts)
    rows = []
    for part in parts:
        kept = part.thin(thinned)
        renamed = np.array([place[name] for name in part.items], np.int32)[kept.item]
        rows.append((kept.hash, kept.channel, kept.position, renamed))
    unknown = tuple(sorted({name for part in parts for name in part.unknown}))
    share = min(part.coarse_share for part in parts)
    found = _sorted(_joined(rows), tuple(names), thinned)
    return replace(found, unknown=unknown, coarse_share=share)


@dataclass(frozen=True)
class _Piece:
    """Part of one variate; windows whose middle lies in [first, last) are its own."""

    item: int
    values: Float32[np.ndarray, " T"]
    start: int
    first: int
    last: int


def _of_pieces(pieces: list[_Piece], *, all_windows: bool) -> tuple[np.ndarray, ...]:
    """Fingerprint pieces in one pass, laid end to end with gaps that no window can cross."""
    gap = np.full(RATES[-1], np.nan)
    values = np.concatenate([part for piece in pieces for part in (piece.values, gap)])
    lengths = np.array([len(piece.values) + len(gap) for piece in pieces])
    begins = np.cumsum(lengths) - lengths
    values = values.astype(np.float64)
    missing = np.isnan(values)
    sums = np.append(0.0, np.cumsum(np.where(missing, 0.0, values)))
    gaps = np.append(0, np.cumsum(missing))
    starts, firsts, lasts, items = np.array(
        [(piece.start, piece.first, piece.last, piece.item) for piece in pieces], np.int64
    ).T
    rows = []
    for channel, (rate, mean) in enumerate(CHANNELS):
        coarse = values
        if mean:
            coarse = sums[rate:] - sums[:-rate]
            coarse[gaps[rate:] != gaps[:-rate]] = np.nan
        hashes, places = landmark_windows(coarse, rate, all_windows=all_windows)
        piece = np.searchsorted(begins, places, side="right") - 1
        positions = places - begins[piece] + starts[piece]
        own = (positions >= firsts[piece]) & (positions < lasts[piece])
        channels = np.full(own.sum(), channel, np.uint8)
        rows.append((hashes[own], channels, positions[own], items[piece[own]].astype(np.int32)))
    return _joined(rows)


def _kept(hashes: UInt32[np.ndarray, " F"], thinned: int) -> Bool[np.ndarray, " F"]:
    return hashes % np.uint32(thinned) == 0


def _joined(rows: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    empty = (np.zeros(0, np.uint32), np.zeros(0, np.uint8), np.zeros(0, np.int64))
    return tuple(
        np.concatenate(columns)
        for columns in zip((*empty, np.zeros(0, np.int32)), *rows, strict=True)
    )


def _sorted(rows: tuple[np.ndarray, ...], items: tuple[str, ...], thinned: int) -> Fingerprints:
    hashes, channels, positions, numbers = rows
    order = np.lexsort((positions, _key(hashes, channels, numbers)))
    hashes, channels, positions, numbers = (array[order] for array in rows)
    return Fingerprints(hashes, channels, positions, numbers, items, thinned)


def _distinctive(
    rows: tuple[np.ndarray, ...], items: tuple[str, ...], thinned: int
) -> Fingerprints:
    """Leave out what an item shows at two times; neighbouring phases are one time.

    Where it shows much twice, at one rate, the rest is mostly the same rhythm with other noise,
    which another series may have: then all of that rate is left out.
    """
    found = _sorted(rows, items, thinned)
    if not len(found):
        return found
    first, size = _runs(_key(found.hash, found.channel, found.item))
    last = first + size - 1
    rate = np.array([rate for rate, _ in CHANNELS])[found.channel[first]]
    once = found.position[last] - found.position[first] <= 2 * rate
    keep = np.repeat(once, size)
    first, size = _runs(_key(np.zeros(len(found), np.uint64), found.channel, found.item))
    rhythmic = np.add.reduceat(~keep, first) > MAX_REPEATED * size
    keep &= ~np.repeat(rhythmic, size)
    return Fingerprints(
        found.hash[keep],
        found.channel[keep],
        found.position[keep],
        found.item[keep],
        items,
        thinned,
    )


def _runs(key: Shaped[np.ndarray, " F"]) -> tuple[np.ndarray, np.ndarray]:
    """Where each run of equal keys begins, and how long it is."""
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    return first, np.diff(np.append(first, len(key)))


def _key(
    hashes: Shaped[np.ndarray, " F"],
    channels: Shaped[np.ndarray, " F"],
    numbers: Shaped[np.ndarray, " F"],
) -> Shaped[np.ndarray, " F"]:
    return (
        (numbers.astype(np.uint64) << np.uint64(37))
        | (channels.astype(np.uint64) << np.uint64(32))
        | hashes
    )
