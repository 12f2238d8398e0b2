"""Numbers that stand for the names of items and variates while rows are sorted."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Int64, UInt32

from toto_core.errors import DataError

_UNSEEN: Final = -1
# Of the table of facts: the first and the last file of an item, what it must share in all its
# files, and its declared canonical frequency.
FACTS_SCHEMA: Final = pl.Schema(
    {
        "item_id": pl.String(),
        "first": pl.Int64(),
        "last": pl.Int64(),
        "origin": pl.String(),
        "declared": pl.String(),
    }
)


@dataclass(frozen=True)
class Origin:
    """What the files of one item share.

    Attributes:
        columns: of values; of the layout long, other files of an item may hold other columns.
        folder: of the layout gluonts, whose items have names that are unique in a data set only.
    """

    layout: str
    columns: tuple[str, ...] = ()
    folder: str = ""

    def __str__(self) -> str:
        parts = [f"the layout {self.layout}"]
        if self.columns:
            parts.append(f"the columns {list(self.columns)}")
        if self.folder:
            parts.append(f"the folder {self.folder}")
        return " and ".join(parts)

    def agrees(self, other: "Origin") -> bool:
        """Whether files of both may hold rows of one item."""
        apart = self.layout == "long" and not set(self.columns) & set(other.columns)
        return self == other or (self.layout == other.layout and apart)


class Items:
    """The items seen so far, by their code.

    Args:
        files: names of all files, in the order in which they are read.

    Attributes:
        freqs: declared canonical frequency of each item that has one.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self.freqs: dict[int, str] = {}
        self.files = files
        self._origins: list[Origin] = []
        self._first = np.empty(0, np.int64)
        self._last = np.empty(0, np.int64)
        self._origin = np.empty(0, np.int64)
        self._names = [pl.Series([], dtype=pl.String)]
        # Polars forgets the categories when the last series of them is gone.
        categories = pl.Categories.random("toto", pl.UInt32())
        self._alive = pl.Series([], dtype=pl.Categorical(categories))

    def __len__(self) -> int:
        return len(self._first)

    def encode(self, names: pl.Series) -> pl.Series:
        """Return the code of each name, UInt32, null for null."""
        codes = names.cast(self._alive.dtype).to_physical()
        found = codes.drop_nulls().to_numpy() if codes.null_count() else codes.to_numpy()
        new = np.flatnonzero(found >= len(self))
        if len(new):
            fresh, first = np.unique(found[new], return_index=True)
            self._names.append(names.drop_nulls().gather(new[first]))
            unseen = np.full(len(fresh), _UNSEEN)
            self._first = np.append(self._first, unseen)
            self._last = np.append(self._last, unseen)
            self._origin = np.append(self._origin, unseen)
        return codes

    def note(
        self, codes: UInt32[np.ndarray, " N"], files: Int64[np.ndarray, " N"], *, origin: Origin
    ) -> None:
        """Remember where items are from.

        Args:
            codes: of rows of one group of files.
            files: number of each row's file, rising.
            origin: of these rows.

        Raises:
            DataError: if an item was seen in a file whose origin does not agree.
        """
        if origin not in self._origins:
            self._origins.append(origin)
        number = self._origins.index(origin)
        known = self._origin[codes]
        agrees = np.array([origin.agrees(other) for other in self._origins])
        wrong = (known != _UNSEEN) & ~agrees[known]
        if wrong.any():
            row = int(wrong.argmax())
            code = int(codes[row])
            raise DataError(
                f"{self.files[files[row]]}: item {self.names()[code]!r} has {origin}, but in "
                f"{self.files[self._first[code]]} it has {self._origins[known[row]]}; one is "
                "needed: rename the item, or name the columns in ingest.targets"
            )
        new = known == _UNSEEN
        if new.any():
            # Where an index is repeated, the value assigned last stays: from the end, the first.
            self._first[codes[new][::-1]] = files[new][::-1]
            self._origin[codes[new]] = number
        self._last[codes] = files

    def names(self) -> pl.Series:
        """Names in the order of their codes."""
        return pl.concat(self._names)

    def facts(self) -> pl.DataFrame:
        """A row for each item that was noted, with the columns of ``FACTS_SCHEMA``."""
        noted = np.flatnonzero(self._origin != _UNSEEN)
        origins = pl.Series([str(origin) for origin in self._origins], dtype=pl.String)
        return pl.DataFrame(
            {
                "item_id": self.names().gather(noted),
                "first": self._first[noted],
                "last": self._last[noted],
                "origin": origins.gather(self._origin[noted]),
                "declared": pl.Series(
                    [self.freqs.get(int(code)) for code in noted], dtype=pl.String
                )
                if self.freqs
                else pl.repeat(None, len(noted), dtype=pl.String, eager=True),
            },
            schema=FACTS_SCHEMA,
        )


@dataclass
class Variates:
    """Names of variates and their roles, by their code.

    Attributes:
        is_consistent: no variate was met with another role than the first time.
    """

    names: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    is_consistent: bool = True

    def encode(self, name: str, role: str) -> int:
        """Return the code of a variate, a new one for a new name."""
        if name not in self.names:
            self.names.append(name)
            self.roles.append(role)
        code = self.names.index(name)
        self.is_consistent &= self.roles[code] == role
        return code


def bucket_of(names: Sequence[str], num_buckets: int) -> Int64[np.ndarray, " N"]:
    """The bucket that each item belongs to, by a hash that never changes."""
    if num_buckets == 1:
        return np.zeros(len(names), np.int64)
    hashes = (zlib.crc32(name.encode()) % num_buckets for name in names)
    return np.fromiter(hashes, np.int64, count=len(names))
