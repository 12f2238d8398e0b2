"""Rows as stretches of one series each: names once a stretch, times and values once a row.

Files mostly hold the rows of a series one after the other, and then a stretch costs nothing beside
its rows; where rows are mixed, a stretch is a row.

Shapes: K stretches, N rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from os import SEEK_CUR
from typing import BinaryIO, Final

import numpy as np
from jaxtyping import Float32, Int64, UInt16, UInt32

# Rows of a stretch from which on it is copied by itself, not row by row.
LONG: Final = 64


@dataclass(frozen=True)
class Stretches:
    """Rows in an order, as stretches.

    Attributes:
        item: code of the item of each stretch.
        variate: code of its variate.
        length: its number of rows, at least 1.
        times: microseconds since 1970 of all rows.
        values: of all rows.
    """

    item: UInt32[np.ndarray, " K"]
    variate: UInt16[np.ndarray, " K"]
    length: Int64[np.ndarray, " K"]
    times: Int64[np.ndarray, " N"]
    values: Float32[np.ndarray, " N"]

    @property
    def starts(self) -> Int64[np.ndarray, " K"]:
        """The first row of each stretch."""
        return np.cumsum(self.length) - self.length

    @property
    def are_long(self) -> bool:
        """Whether it pays to handle stretches, not rows."""
        return len(self.length) * LONG <= len(self.times)

    def taken(self, order: Int64[np.ndarray, " J"]) -> "Stretches":
        """Some stretches with their rows, in another order."""
        starts, length = self.starts[order], self.length[order]
        if np.array_equal(order, np.arange(len(self.length))):
            return self
        if self.are_long:
            rows = [slice(s, s + n) for s, n in zip(starts.tolist(), length.tolist(), strict=True)]
            times, values = (
                np.concatenate([column[row] for row in rows] or [column[:0]])
                for column in (self.times, self.values)
            )
        else:
            offset = starts - (np.cumsum(length) - length)
            index = np.arange(int(length.sum())) + np.repeat(offset, length)
            times, values = self.times[index], self.values[index]
        return Stretches(self.item[order], self.variate[order], length, times, values)

    def parted(self, starts: Int64[np.ndarray, " J"]) -> list["Stretches"]:
        """Parts that begin at the stretches ``starts``, the first at 0; nothing is copied."""
        ends = np.append(starts[1:], len(self.length))
        rows = np.append(self.starts, len(self.times))
        bounds = zip(starts.tolist(), ends.tolist(), strict=True)
        return [
            Stretches(
                self.item[start:end],
                self.variate[start:end],
                self.length[start:end],
                self.times[rows[start] : rows[end]],
                self.values[rows[start] : rows[end]],
            )
            for start, end in bounds
        ]

    def write(self, handle: BinaryIO) -> None:
        """Append the stretches to a file."""
        handle.write(np.array([len(self.length), len(self.times)]).data)
        for column in vars(self).values():
            # Unlike tofile, this says why it fails.
            handle.write(np.ascontiguousarray(column).view(np.uint8).data)


_NAMES: Final = {"item": np.uint32, "variate": np.uint16, "length": np.int64}
_ROWS: Final = {"times": np.int64, "values": np.float32}
_ROW_BYTES: Final = sum(np.dtype(kind).itemsize for kind in _ROWS.values())


def read_stretches(handle: BinaryIO, *, rows: bool = True) -> list[Stretches]:
    """Read what ``Stretches.write`` wrote to a file, until its end.

    Args:
        rows: whether to read times and values too; without, they are empty.
    """
    parts = []
    while len(counts := np.fromfile(handle, np.int64, 2)):
        num_stretches, num_rows = counts.tolist()
        columns = {name: np.fromfile(handle, kind, num_stretches) for name, kind in _NAMES.items()}
        if not rows:
            handle.seek(num_rows * _ROW_BYTES, SEEK_CUR)
        columns |= {
            name: np.fromfile(handle, kind, num_rows if rows else 0) for name, kind in _ROWS.items()
        }
        parts.append(Stretches(**columns))
    return parts


def joined(parts: Sequence[Stretches]) -> Stretches:
    """All stretches one after the other; neighbours of one series stay apart."""
    if len(parts) == 1:
        return parts[0]
    columns = {
        name: np.concatenate([vars(part)[name] for part in parts] or [np.empty(0, dtype)])
        for name, dtype in (_NAMES | _ROWS).items()
    }
    return Stretches(**columns)
