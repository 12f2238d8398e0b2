"""The training corpus on disk: every series as flat float32, and an index of where each one lies.

A folder holds

- ``values.f32``: little-endian float32, one block [V, T] for each item, row-major, NaN = missing;
- ``index.npz``: the arrays of ``Corpus``, one entry (or row) for each item;
- ``index.json``: names, cut-offs, mixture and counts, for people and for messages.

Reading needs numpy alone: the values are memory-mapped and nothing is copied.

Shapes: N items, V variates, T time steps, C cut-offs, K validation origins.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int8, Int64

from toto_core.errors import DataError
from toto_core.files import write_json, writing

# The order of toto_core.data.tables.ROLES; that module is not imported, because it needs Polars.
TARGET, PAST_COVARIATE, KNOWN_COVARIATE = 0, 1, 2

TRAIN = "train"
VALIDATION = "validation"

VALUES_FILE = "values.f32"
ARRAYS_FILE = "index.npz"
NAMES_FILE = "index.json"
_VALUE = np.dtype("<f4")


@dataclass(frozen=True)
class Entry:
    """One item on its way into the corpus.

    Attributes:
        values: missing = NaN.
        roles: ``TARGET``, ``PAST_COVARIATE`` or ``KNOWN_COVARIATE`` for each variate.
        limits: leading time steps that may be used before each cut-off, in the order of the
            cut-offs' names.
        validation_positions: index of the first step of each validation origin's horizon, or -1
            where this item is not judged at that origin.
    """

    item_id: str
    group: str
    freq: str
    source: str
    values: Float32[np.ndarray, "V T"]
    roles: Int8[np.ndarray, " V"]
    limits: Int64[np.ndarray, " C"]
    validation_positions: Int64[np.ndarray, " K"]
    is_synthetic: bool


def fold_cutoff(fold: int) -> str:
    """Name of the cut-off of rolling refit ``fold``."""
    return f"fold-{fold}"


def write_corpus(
    directory: Path,
    entries: Iterable[Entry],
    *,
    cutoffs: Sequence[str],
    num_validation_origins: int,
    synthetic_share: float,
    size_exponent: float,
) -> dict[str, int]:
    """Write a corpus item by item (memory holds one of them) and return its counts.

    An item's weight is (its time steps before the cut-off ``train``) ** ``size_exponent``; real
    items together weigh 1 - ``synthetic_share``, synthetic ones ``synthetic_share``. Nothing
    after the first cut-off enters a weight, so refits with later cut-offs use the same ones.

    Raises:
        DataError: if a part of the mixture with a positive share has no usable item.
    """
    with writing(directory) as temporary:
        temporary.mkdir()
        index = _Index(cutoffs)
        with (temporary / VALUES_FILE).open("wb") as file:
            for entry in entries:
                index.add(entry)
                _append(file, entry.values)
        arrays = index.arrays(num_validation_origins)
        arrays["weight"] = _weights(
            arrays["limits"][:, list(cutoffs).index(TRAIN)],
            arrays["is_synthetic"],
            synthetic_share=synthetic_share,
            size_exponent=size_exponent,
        )
        np.savez(temporary / ARRAYS_FILE, allow_pickle=False, **arrays)
        counts = index.counts()
        mixture = {"synthetic_share": synthetic_share, "size_exponent": size_exponent}
        write_json(temporary / NAMES_FILE, index.names() | {"mixture": mixture, "counts": counts})
    return counts


@dataclass(frozen=True)
class Corpus:
    """A corpus opened for reading; ``values`` is a view of the mapped file.

    Attributes:
        offset: where an item's block starts, in values.
        length: T of each item.
        weight: how often an item is drawn; sums to one.
        limits: leading time steps that may be used before each cut-off.
        roles: of every variate of every item, from ``role_offset`` on.
        validation_positions: first horizon step of each validation origin, or -1.
    """

    values: Float32[np.ndarray, " points"]
    offset: Int64[np.ndarray, " N"]
    length: Int64[np.ndarray, " N"]
    num_variates: Int64[np.ndarray, " N"]
    weight: Float64[np.ndarray, " N"]
    is_synthetic: Bool[np.ndarray, " N"]
    limits: Int64[np.ndarray, "N C"]
    validation_positions: Int64[np.ndarray, "N K"]
    roles: Int8[np.ndarray, " variates"]
    role_offset: Int64[np.ndarray, " N"]
    item_ids: tuple[str, ...]
    groups: tuple[str, ...]
    freqs: tuple[str, ...]
    sources: tuple[str, ...]
    cutoffs: tuple[str, ...]

    @classmethod
    def open(cls, directory: Path) -> "Corpus":
        """Map a corpus.

        Raises:
            DataError: if a file is missing, torn or of another size than the index says.
        """
        try:
            names = json.loads((directory / NAMES_FILE).read_text(encoding="utf-8"))
            # numpy leaves a torn file open that it opened itself.
            with (
                (directory / ARRAYS_FILE).open("rb") as file,
                np.load(file, allow_pickle=False) as stored,
            ):
                arrays = {key: stored[key] for key in stored.files}
            # A plain array over the map: slicing the memmap class itself costs microseconds.
            values = np.asarray(np.memmap(directory / VALUES_FILE, dtype=_VALUE, mode="r"))
            num_values = int((arrays["num_variates"] * arrays["length"]).sum())
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise DataError(
                f"{directory}: not a corpus ({' '.join(str(error).split())}); run dvc repro augment"
            ) from None
        if values.size != num_values:
            raise DataError(
                f"{directory / VALUES_FILE}: {values.size} values, {num_values} by the index; "
                "run dvc repro augment"
            )
        return cls(
            values=values,
            item_ids=tuple(names["item_ids"]),
            groups=tuple(names["groups"]),
            freqs=tuple(names["freqs"]),
            sources=tuple(names["sources"]),
            cutoffs=tuple(names["cutoffs"]),
            **arrays,
        )

    @property
    def num_items(self) -> int:
        """How many items it holds, real and synthetic."""
        return len(self.item_ids)

    def block(self, n: int) -> Float32[np.ndarray, "V T"]:
        """Values of item ``n``, a view."""
        start, rows, steps = self.offset[n], self.num_variates[n], self.length[n]
        return self.values[start : start + rows * steps].reshape(rows, steps)

    def roles_of(self, n: int) -> Int8[np.ndarray, " V"]:
        """Role of each variate of item ``n``."""
        start = self.role_offset[n]
        return self.roles[start : start + self.num_variates[n]]

    def limit(self, n: int, cutoff: str) -> int:
        """How many leading time steps of item ``n`` lie before ``cutoff``."""
        return int(self.limits_at(cutoff)[n])

    def limits_at(self, cutoff: str) -> Int64[np.ndarray, " N"]:
        """Leading time steps of every item that lie before ``cutoff``.

        Raises:
            ValueError: if the corpus has no such cut-off.
        """
        if cutoff not in self.cutoffs:
            raise ValueError(
                f"corpus: cutoff = {cutoff!r}, one of {', '.join(self.cutoffs)}; name one of these"
            )
        return self.limits[:, self.cutoffs.index(cutoff)]

    def item_id(self, n: int) -> str:
        """Name of item ``n``."""
        return self.item_ids[n]


class _Index:
    """What is remembered of the entries that were written."""

    def __init__(self, cutoffs: Sequence[str]) -> None:
        self._cutoffs = tuple(cutoffs)
        self._entries: list[tuple[str, str, str, str]] = []
        self._shapes: list[tuple[int, int]] = []
        self._roles: list[np.ndarray] = []
        self._limits: list[np.ndarray] = []
        self._positions: list[np.ndarray] = []
        self._is_synthetic: list[bool] = []
        self._num_observed = 0

    def add(self, entry: Entry) -> None:
        self._entries.append((entry.item_id, entry.group, entry.freq, entry.source))
        self._shapes.append(entry.values.shape)
        self._roles.append(entry.roles)
        self._limits.append(entry.limits)
        self._positions.append(entry.validation_positions)
        self._is_synthetic.append(entry.is_synthetic)
        self._num_observed += int(np.isfinite(entry.values).sum())

    def arrays(self, num_validation_origins: int) -> dict[str, np.ndarray]:
        num_variates, length = np.asarray(self._shapes, np.int64).reshape(-1, 2).T.copy()
        return {
            "offset": _starts(num_variates * length),
            "length": length,
            "num_variates": num_variates,
            "is_synthetic": np.asarray(self._is_synthetic, np.bool_),
            "limits": np.asarray(self._limits, np.int64).reshape(-1, len(self._cutoffs)),
            "validation_positions": np.asarray(self._positions, np.int64).reshape(
                len(self._shapes), num_validation_origins
            ),
            "roles": np.concatenate([np.zeros(0, np.int8), *self._roles]),
            "role_offset": _starts(num_variates),
        }

    def names(self) -> dict[str, object]:
        item_ids, groups, freqs, sources = zip(*self._entries, strict=True)
        return {
            "item_ids": item_ids,
            "groups": groups,
            "freqs": freqs,
            "sources": sources,
            "cutoffs": self._cutoffs,
        }

    def counts(self) -> dict[str, int]:
        steps = [rows * columns for rows, columns in self._shapes]
        synthetic = sum(
            points for points, made in zip(steps, self._is_synthetic, strict=True) if made
        )
        first = self._cutoffs.index(TRAIN)
        trained = (
            rows * int(limits[first])
            for (rows, _), limits, made in zip(
                self._shapes, self._limits, self._is_synthetic, strict=True
            )
            if not made
        )
        return {
            "real_items": self._is_synthetic.count(False),
            "synthetic_items": self._is_synthetic.count(True),
            "real_points": sum(steps) - synthetic,
            "real_points_before_validation": sum(trained),
            "synthetic_points": synthetic,
            "observed_points": self._num_observed,
        }


def _append(file: BinaryIO, values: np.ndarray) -> None:
    file.write(np.ascontiguousarray(values, dtype=_VALUE).data)


def _starts(sizes: np.ndarray) -> np.ndarray:
    return np.cumsum(sizes) - sizes


def _weights(
    lengths: Int64[np.ndarray, " N"],
    is_synthetic: Bool[np.ndarray, " N"],
    *,
    synthetic_share: float,
    size_exponent: float,
) -> Float64[np.ndarray, " N"]:
    # Zero steps weigh nothing at any exponent, 0 included.
    weights = np.where(lengths > 0, lengths.astype(np.float64) ** size_exponent, 0.0)
    for part, share, name in _parts(is_synthetic, synthetic_share):
        total = weights[part].sum()
        if share > 0 and not total > 0:
            raise DataError(
                f"corpus: {name} items with a time step before the cut-off {TRAIN} = 0 of "
                f"{int(part.sum())}, at least 1 is needed for their share {share:g} of the "
                "mixture; give more history or change augment.synthetic_share"
            )
        weights[part] *= share / total if total > 0 else 0.0
    return weights


def _parts(is_synthetic: np.ndarray, synthetic_share: float) -> Iterator[tuple]:
    yield ~is_synthetic, 1 - synthetic_share, "real"
    yield is_synthetic, synthetic_share, "synthetic"
