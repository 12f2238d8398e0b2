"""Files of values: written once, from the front to the back, with their checksums.

Shapes: V variates, T time steps.
"""

import hashlib
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from jaxtyping import Float32

from toto_core.data.corpus.layout import REMEDY, VALUE, shard_name
from toto_core.errors import DataError

# Small enough to copy and to check by itself, and 10^10 points are 38 files.
SHARD_BYTES = 2**30

_BLOCK_BYTES = 2**22  # what is converted, hashed and read at a time


@dataclass(frozen=True)
class Shard:
    """A whole file of values.

    Attributes:
        num_bytes: its size.
        sha256: of its content, hexadecimal.
    """

    name: str
    num_bytes: int
    sha256: str


class ShardWriter:
    """Appends items to shards of at most ``max_bytes``, or of one item where that is larger.

    An item takes no memory but a block of it, wherever its values lie.

    Attributes:
        num_observed: values that are not missing, of all items so far.
    """

    def __init__(self, directory: Path, *, max_bytes: int = SHARD_BYTES) -> None:
        self.num_observed = 0
        self._directory = directory
        self._max_bytes = max_bytes
        self._shards: list[Shard] = []
        self._file: BinaryIO | None = None
        self._size = 0
        self._hash = hashlib.sha256()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None and error is not None:
            self._file.close()

    def append(self, values: Float32[np.ndarray, "V T"]) -> tuple[int, int]:
        """Write one item; its shard and where it starts there, in values."""
        needed = values.size * VALUE.itemsize
        if self._size and self._size + needed > self._max_bytes:
            self._end_shard()
        if self._file is None:
            self._file = (self._directory / shard_name(len(self._shards))).open("wb")
        place = len(self._shards), self._size // VALUE.itemsize
        step = _BLOCK_BYTES // VALUE.itemsize
        for row in values:
            for first in range(0, len(row), step):
                block = np.ascontiguousarray(row[first : first + step], dtype=VALUE)
                self._file.write(block.data)
                self._hash.update(block.data)
                self.num_observed += int(np.isfinite(block).sum())
        self._size += needed
        return place

    def finish(self) -> list[Shard]:
        """End the last shard; all of them, in order."""
        if self._file is not None:
            self._end_shard()
        return self._shards

    def _end_shard(self) -> None:
        assert self._file is not None
        self._file.close()
        name = shard_name(len(self._shards))
        self._shards.append(Shard(name, self._size, self._hash.hexdigest()))
        self._file, self._size, self._hash = None, 0, hashlib.sha256()


def map_shards(directory: Path, shards: Sequence[Shard]) -> tuple[Float32[np.ndarray, " _"], ...]:
    """Map the shards for reading.

    Raises:
        DataError: one line for each shard that is missing or of another size.
    """
    faults = []
    for shard in shards:
        path = directory / shard.name
        found = path.stat().st_size if path.is_file() else None
        if found != shard.num_bytes:
            size = "not found" if found is None else f"{found} bytes"
            faults.append(f"{path}: {size}, {shard.num_bytes} bytes by the index; {REMEDY}")
    if faults:
        raise DataError("\n".join(faults))
    return tuple(_mapped(directory / shard.name) for shard in shards)


def _mapped(path: Path) -> Float32[np.ndarray, " _"]:
    # A plain array: slicing numpy's memmap class costs microseconds.
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    # Windows lie anywhere. Read-ahead would fetch up to megabytes around each of them, and push
    # what is needed again out of the cache.
    content.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(content, VALUE)


def verify_shards(directory: Path, shards: Sequence[Shard]) -> None:
    """Compare the checksum of every shard, which reads all of them.

    Raises:
        DataError: one line for each shard whose content is not what was written.
    """
    faults = []
    for shard in shards:
        path = directory / shard.name
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != shard.sha256:
            faults.append(
                f"{path}: sha256 = {found[:12]}.., {shard.sha256[:12]}.. by the index, the shard "
                f"is damaged; remove it and {REMEDY}"
            )
    if faults:
        raise DataError("\n".join(faults))
