"""Rows dealt to buckets by a stable hash of their item: in memory, and beyond a limit on disk."""

from pathlib import Path
from typing import Final

import numpy as np
import psutil

from toto_core.data.codes import Items, bucket_of
from toto_core.data.runs import starts_of
from toto_core.data.stretches import Stretches, joined, read_stretches
from toto_core.errors import DataError

FLUSH_ROWS: Final = 2_000_000
# Peak memory of sorting and writing a row; measured with one item of 10 and 20 million rows.
SORT_BYTES: Final = 80


class Buckets:
    """Rows by the bucket of their item, in the order in which they came.

    Args:
        scratch: an existing folder for what does not stay in memory.
        items: give the names behind the codes.
        count: how many buckets there are.
    """

    def __init__(self, scratch: Path, items: Items, count: int) -> None:
        self._scratch = scratch
        self._items = items
        self._count = count
        self._of_item = np.empty(0, np.int64)
        self._held: list[Stretches] = []
        self._held_rows = 0

    def add(self, rows: Stretches) -> None:
        """Add rows after those that are there."""
        self._held.append(rows)
        self._held_rows += len(rows.times)
        if self._count > 1 and self._held_rows >= FLUSH_ROWS:
            self._flush()

    def close(self) -> set[int]:
        """Return the buckets that have an item; no rows may be added afterwards."""
        if self._count > 1:
            self._flush()
        self._know_items()
        return set(self._of_item.tolist())

    def load(self, bucket: int) -> Stretches:
        """Take the rows of a bucket out.

        Raises:
            DataError: if they cannot be sorted in memory.
        """
        if self._count == 1:
            held, self._held = self._held, []
            return joined(held)
        path = self._path(bucket)
        if not path.exists():
            return joined([])
        self._check_memory(path)
        with path.open("rb") as handle:
            rows = joined(read_stretches(handle))
        path.unlink()
        return rows

    def _flush(self) -> None:
        self._know_items()
        parts: dict[int, list[Stretches]] = {}
        for rows in self._held:
            buckets = self._of_item[rows.item]
            order = np.argsort(buckets.astype(np.uint16), kind="stable")
            dealt, buckets = rows.taken(order), buckets[order]
            starts = starts_of(buckets)
            for bucket, part in zip(buckets[starts].tolist(), dealt.parted(starts), strict=True):
                parts.setdefault(bucket, []).append(part)
        self._held, self._held_rows = [], 0
        for bucket, mine in parts.items():
            with self._path(bucket).open("ab") as handle:
                for rows in mine:
                    rows.write(handle)

    def _know_items(self) -> None:
        new = self._items.names()[len(self._of_item) :].to_list()
        self._of_item = np.append(self._of_item, bucket_of(new, self._count))

    def _path(self, bucket: int) -> Path:
        return self._scratch / f"bucket-{bucket:05d}"

    def _check_memory(self, path: Path) -> None:
        """Refuse a bucket that cannot be sorted in memory: the longest item alone decides that."""
        with path.open("rb") as handle:
            names = joined(read_stretches(handle, rows=False))
        num_rows = int(names.length.sum())
        fit = psutil.virtual_memory().available // SORT_BYTES
        if num_rows <= fit:
            return
        item = self._items.names()[int(np.bincount(names.item, names.length).argmax())]
        raise DataError(
            f"ingest: item {item!r} has most of {num_rows} rows that are sorted together, {fit} "
            "fit into the memory that is free; resample the item or split it in time"
        )
