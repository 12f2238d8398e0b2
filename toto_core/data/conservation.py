"""A checksum of rows that does not depend on their order: nothing is lost, doubled or altered.

Each row (item, variate, time stamp, value) becomes a number of 64 bits, and a set of rows the sum
of its numbers modulo 2^64. What went in must have the sum of what is valid, as it was before any
repair, and of what is in quarantine. A count alone would not notice two rows that changed places.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float32, Int64, Integer, UInt64

# The finaliser of MurmurHash3 (Appleby 2011, public domain), and odd numbers to spread with.
_MIX: Final = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))
_SHIFT: Final = np.uint64(33)
_OF_TIME: Final = np.uint64(0x9E3779B97F4A7C15)
_OF_VALUE: Final = np.uint64(0xD6E8FEB86659FD93)
_BLOCK: Final = 1 << 15  # rows whose intermediate results fit into the processor's cache
_BITS: Final = 64
NO_TIME: Final = np.iinfo(np.int64).min  # stands for a missing time stamp


@dataclass
class Sums:
    """The checksums of a part of the data, each modulo 2^64; parts add up."""

    rows_in: int = 0
    valid: int = 0
    quarantined: int = 0

    def add(self, other: "Sums") -> None:
        """Add those of another part of the same data set."""
        for name, value in vars(other).items():
            setattr(self, name, (getattr(self, name) + value) % (1 << _BITS))

    def to_json(self) -> dict[str, str]:
        """The sums as hexadecimal text: JSON's numbers are too short for them."""
        return {name: f"{value:016x}" for name, value in vars(self).items()}

    def check(self) -> None:
        """Prove that what went in came out again.

        Raises:
            RuntimeError: if it did not, which is a fault of this program.
        """
        if (self.valid + self.quarantined - self.rows_in) % (1 << _BITS):
            found = self.to_json()
            raise RuntimeError(
                f"validate: checksum of the rows = {found['rows_in']}, but valid + quarantined = "
                f"{found['valid']} + {found['quarantined']}; a fault of the program, report it"
            )


def series_keys(names: pl.DataFrame) -> UInt64[np.ndarray, " S"]:
    """Return a number of 64 bits for each series (``item_id``, ``variate``), by its name alone."""
    keys = [
        hashlib.blake2b(f"{len(item)} {item} {variate}".encode(), digest_size=8).digest()
        for item, variate in names.select("item_id", "variate").iter_rows()
    ]
    return np.frombuffer(b"".join(keys), np.uint64)


def checksum(
    keys: UInt64[np.ndarray, " S"],
    series: Integer[np.ndarray, " N"],
    times: Int64[np.ndarray, " N"],
    values: Float32[np.ndarray, " N"],
) -> int:
    """Return the sum of the numbers of rows, modulo 2^64; rows without a value count nothing.

    Args:
        keys: as ``series_keys`` returns them.
        series: index into ``keys`` of each row.
        times: microseconds since 1970, ``NO_TIME`` where there is none.
        values: compared by their bits; NaN is no value.
    """
    total = 0
    for start in range(0, len(times), _BLOCK):
        part = slice(start, start + _BLOCK)
        value = values[part]
        number = times[part].view(np.uint64) * _OF_TIME
        number ^= keys[series[part]]
        number += value.view(np.uint32) * _OF_VALUE
        for factor in _MIX:
            number ^= number >> _SHIFT
            number *= factor
        number ^= number >> _SHIFT
        number[np.isnan(value)] = 0
        total += int(number.sum())
    return total % (1 << _BITS)
