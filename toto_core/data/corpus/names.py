"""Texts of millions of items as a few arrays, so that none of them costs a Python object.

Shapes: N items or texts, M distinct labels.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import overload

import numpy as np
from jaxtyping import Int32, Int64, UInt8


class Texts(Sequence[str]):
    """Texts in one UTF-8 blob.

    Args:
        blob: all texts, one after the other.
        ends: where each one ends in ``blob``.
    """

    def __init__(self, blob: UInt8[np.ndarray, " bytes"], ends: Int64[np.ndarray, " N"]) -> None:
        self.blob = blob
        self.ends = ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """Join ``texts``."""
        column = TextColumn()
        for text in texts:
            column.add(text)
        return column.texts()

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self[n] for n in range(len(self))[index])
        n = range(len(self))[index]
        start = self.ends[n - 1] if n else 0
        return self.blob[start : self.ends[n]].tobytes().decode()


class Labels(Sequence[str]):
    """A label for each item, of which many are the same.

    Args:
        codes: place of each item's label in ``names``.
        names: the distinct labels, in the order of their first item.
    """

    def __init__(self, codes: Int32[np.ndarray, " N"], names: Texts) -> None:
        self.codes = codes
        self.names = names

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self.names[code] for code in self.codes[index].tolist())
        return self.names[int(self.codes[index])]


class TextColumn:
    """``Texts`` that are being collected."""

    def __init__(self) -> None:
        self._blob = bytearray()
        self._ends = array("q")

    def add(self, text: str) -> None:
        """Append one text."""
        self._blob += text.encode()
        self._ends.append(len(self._blob))

    def texts(self) -> Texts:
        """Return what was collected."""
        return Texts(np.frombuffer(self._blob, np.uint8), np.frombuffer(self._ends, np.int64))


class LabelColumn:
    """``Labels`` that are being collected."""

    def __init__(self) -> None:
        self._codes = array("i")
        self._code_of: dict[str, int] = {}

    def add(self, label: str) -> None:
        """Append one label."""
        self._codes.append(self._code_of.setdefault(label, len(self._code_of)))

    def labels(self) -> Labels:
        """Return what was collected."""
        return Labels(np.frombuffer(self._codes, np.int32), Texts.of(self._code_of))


def pack_texts(name: str, texts: Texts) -> dict[str, np.ndarray]:
    """Return the arrays of ``texts`` under names that begin with ``name``."""
    return {f"{name}_blob": texts.blob, f"{name}_ends": texts.ends}


def unpack_texts(name: str, arrays: Mapping[str, np.ndarray]) -> Texts:
    """Undo ``pack_texts``."""
    return Texts(arrays[f"{name}_blob"], arrays[f"{name}_ends"])


def pack_labels(name: str, labels: Labels) -> dict[str, np.ndarray]:
    """Return the arrays of ``labels`` under names that begin with ``name``."""
    return {f"{name}_codes": labels.codes, **pack_texts(name, labels.names)}


def unpack_labels(name: str, arrays: Mapping[str, np.ndarray]) -> Labels:
    """Undo ``pack_labels``."""
    return Labels(arrays[f"{name}_codes"], unpack_texts(name, arrays))
