"""Reading a corpus: mapped, nothing copied, torn or damaged files refused by name.

Shapes: N items, V variates, T time steps, C cut-offs, K validation origins.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int8, Int64

from toto_core.data.corpus.layout import ARRAYS_FILE, NAMES_FILE, REMEDY
from toto_core.data.corpus.names import Labels, Texts, unpack_labels, unpack_texts
from toto_core.data.corpus.shards import Shard, map_shards, verify_shards
from toto_core.errors import DataError

_PLAIN = (
    "shard",
    "offset",
    "length",
    "num_variates",
    "weight",
    "is_synthetic",
    "limits",
    "validation_positions",
    "roles",
    "role_offset",
)


@dataclass(frozen=True)
class Corpus:
    """A corpus opened for reading.

    Attributes:
        shards: views of the mapped files.
        shard: which of ``shards`` holds an item's block.
        offset: where the block starts there, in values.
        length: T of each item.
        weight: how often an item is drawn; sums to one.
        limits: leading time steps that may be used before each cut-off.
        roles: of every variate of every item, from ``role_offset`` on.
        validation_positions: first horizon step of each validation origin, or -1.
    """

    shards: tuple[Float32[np.ndarray, " _"], ...]
    shard: Int64[np.ndarray, " N"]
    offset: Int64[np.ndarray, " N"]
    length: Int64[np.ndarray, " N"]
    num_variates: Int64[np.ndarray, " N"]
    weight: Float64[np.ndarray, " N"]
    is_synthetic: Bool[np.ndarray, " N"]
    limits: Int64[np.ndarray, "N C"]
    validation_positions: Int64[np.ndarray, "N K"]
    roles: Int8[np.ndarray, " variates"]
    role_offset: Int64[np.ndarray, " N"]
    item_ids: Texts
    groups: Labels
    freqs: Labels
    sources: Labels
    cutoffs: tuple[str, ...]

    @classmethod
    def open(cls, directory: Path, *, verify: bool = False) -> "Corpus":
        """Map a corpus; every file must be there and have its size.

        Args:
            directory: what ``write_corpus`` has written.
            verify: whether to compare the checksums as well, which reads every value.

        Raises:
            DataError: naming each file that is missing, torn or damaged.
        """
        shards, index = _read_index(directory)
        corpus = cls(shards=map_shards(directory, shards), **index)
        _check_places(directory, corpus)
        if verify:
            verify_shards(directory, shards)
        return corpus

    @property
    def num_items(self) -> int:
        """How many items it holds, real and synthetic."""
        return len(self.length)

    def block(self, n: int) -> Float32[np.ndarray, "V T"]:
        """Values of item ``n``, a view."""
        start, rows, steps = self.offset[n], self.num_variates[n], self.length[n]
        return self.shards[self.shard[n]][start : start + rows * steps].reshape(rows, steps)

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


def _read_index(directory: Path) -> tuple[list[Shard], dict[str, Any]]:
    """Read the shards and every other field of ``Corpus``."""
    try:
        names = json.loads((directory / NAMES_FILE).read_text(encoding="utf-8"))
        # numpy leaves a torn file open that it opened itself.
        with (
            (directory / ARRAYS_FILE).open("rb") as file,
            np.load(file, allow_pickle=False) as stored,
        ):
            arrays = {key: stored[key] for key in stored.files}
        index = {
            **{name: arrays[name] for name in _PLAIN},
            **{name: unpack_labels(name, arrays) for name in ("groups", "freqs", "sources")},
            "item_ids": unpack_texts("item_ids", arrays),
            "cutoffs": tuple(names["cutoffs"]),
        }
        return [Shard(**facts) for facts in names["shards"]], index
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise DataError(
            f"{directory}: not a corpus ({' '.join(str(error).split())}); {REMEDY}"
        ) from None


def _check_places(directory: Path, corpus: Corpus) -> None:
    """Refuse an index that points outside the shards."""
    sizes = np.array([len(shard) for shard in corpus.shards], np.int64)
    shard, offset = corpus.shard, corpus.offset
    held = (shard >= 0) & (shard < len(sizes)) & (offset >= 0)
    ends = offset + corpus.num_variates * corpus.length
    held[held] = ends[held] <= sizes[shard[held]]
    if not held.all():
        raise DataError(
            f"{directory / ARRAYS_FILE}: items outside their shards = {int((~held).sum())} of "
            f"{len(held)}, 0 by {NAMES_FILE}; {REMEDY}"
        )
