"""From rows in file order to sorted shards, in memory that the row count does not change.

Names are held as numbers. Beyond one shard's worth, rows are dealt to buckets on disk by a stable
hash of the item; each bucket is then loaded, sorted and written as one shard, some of them side by
side. Memory grows with the number of items and with the rows of the longest item alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from toto_core.data.buckets import Buckets
from toto_core.data.codes import FACTS_SCHEMA, Items, Variates, bucket_of
from toto_core.data.frequency import Frequency
from toto_core.data.in_order import in_order
from toto_core.data.runs import starts_of_names
from toto_core.data.shards import (
    REJECTED_FILE,
    REJECTED_SCHEMA,
    IngestReport,
    freq_counts,
    write_items,
    write_table,
)
from toto_core.data.sorting import Order, Shard
from toto_core.data.stretches import Stretches, joined
from toto_core.data.tables import ROLES, shard_path
from toto_core.errors import DataError

# A file that changes costs the shards of its items; a shard costs a few milliseconds by itself.
ROWS_PER_SHARD: Final = 500_000
_FLUSH_REJECTED: Final = 200_000


@dataclass
class Count:
    """Rows of one file: those that were kept, and cells without a value."""

    rows: int = 0
    empty: int = 0


@dataclass(frozen=True)
class Base:
    """What an earlier run wrote of files that have not changed since.

    Attributes:
        shards: its shards by their buckets, which are those of this run.
        paths: where they lie.
        facts: of its items but the dropped ones, with the columns of ``codes.FACTS_SCHEMA`` and
            files by their numbers in this run.
        dropped: items whose rows are left out.
        variates: its variates.
        counts: rows of its files but the changed ones.
        rejected: its rejected rows but those of the changed files.
    """

    shards: Mapping[int, Shard]
    paths: Mapping[int, Path]
    facts: pl.DataFrame
    dropped: pl.Series
    variates: Variates
    counts: Mapping[str, Count]
    rejected: pl.DataFrame


def num_buckets_for(num_rows: int) -> int:
    """How many shards these many rows make: a power of two, so that it seldom changes."""
    return 2 ** max(0, round(math.log2(max(1, num_rows) / ROWS_PER_SHARD)))


class Spool:
    """Collects rows and writes them as a folder of series.

    Args:
        directory: of the series; exists and is empty.
        scratch: an existing folder for buckets.
        files: names of all files, in the order in which they are read.
        num_buckets: the most shards that are written.
        base: what need not be read again.

    Attributes:
        shards: what was written, in order, once ``finish`` was called.
        facts: of all items then, with the columns of ``codes.FACTS_SCHEMA``.
    """

    def __init__(
        self,
        directory: Path,
        *,
        scratch: Path,
        files: Sequence[str],
        num_buckets: int,
        base: Base | None = None,
    ) -> None:
        self.items = Items(files)
        self.variates = base.variates if base else Variates()
        self.counts: dict[str, Count] = dict(base.counts) if base else {}
        self.shards: list[Shard] = []
        self.facts = FACTS_SCHEMA.to_frame()
        self._directory = directory
        self._scratch = scratch
        self._num_buckets = num_buckets
        self._base = base
        self._buckets = Buckets(scratch, self.items, num_buckets)
        self._rejected: list[pl.DataFrame] = [base.rejected] if base else []
        self._rejected_parts = 0
        self._num_rejected = base.rejected.height if base else 0

    def add(self, rows: Stretches) -> None:
        """Add rows, in the order in which duplicates shall stay."""
        self._buckets.add(rows)

    def count(self, source: str, *, rows: int, empty: int) -> None:
        """Count rows and empty cells of a source."""
        count = self.counts.setdefault(source, Count())
        count.rows += rows
        count.empty += empty

    def reject(self, rows: pl.DataFrame) -> None:
        """Add rows with the columns of ``REJECTED_SCHEMA`` that could not be parsed."""
        if rows.is_empty():
            return
        self._rejected.append(rows.select(list(REJECTED_SCHEMA)))
        self._num_rejected += rows.height
        if sum(part.height for part in self._rejected) >= _FLUSH_REJECTED:
            self._flush_rejected()

    def finish(self, *, freq: Frequency | None, group_pattern: str | None) -> IngestReport:
        """Write the shards, the table of items and the rejected rows.

        Args:
            freq: of all items; None: declared by the items, else inferred.
            group_pattern: its first group names an item's group; None or no match: its own name.

        Raises:
            DataError: if no row could be parsed, or the frequency of no item can be told.
        """
        self._flush_rejected()
        self._write_shards(self._buckets.close())
        if not self.shards:
            raise DataError(self._nothing_left())
        self.facts = self._all_facts()
        items = self._items_table(freq=freq, group_pattern=group_pattern)
        write_items(self._directory, items)
        self._write_rejected()
        return IngestReport(
            num_items=items["item_id"].n_unique(),
            num_series=items.height,
            num_rows=sum(shard.num_rows for shard in self.shards),
            num_rejected=self._num_rejected,
            num_empty=sum(count.empty for count in self.counts.values()),
            first_us=min(shard.first_us for shard in self.shards),
            last_us=max(shard.last_us for shard in self.shards),
            freqs=freq_counts(items),
            sources=sorted((name, count.rows) for name, count in self.counts.items()),
        )

    def _write_shards(self, filled: set[int]) -> None:
        """Write a shard of each bucket that has rows, ``NUM_AT_ONCE`` of them side by side."""
        kept = self._kept_shards(filled)
        touched = self._touched(kept)
        order = Order(self.items, self.variates)

        def write(bucket: int) -> Shard | None:
            if bucket in kept:
                assert self._base is not None
                return self._base.shards[bucket]
            rows = self._buckets.load(bucket)
            if bucket in touched:
                rows = joined([self._earlier(bucket), rows])
            return (
                order.write(self._scratch_path(bucket), bucket, rows) if len(rows.times) else None
            )

        for shard in in_order(write, sorted({*filled, *touched, *kept})):
            if shard is None:
                continue
            path = shard_path(self._directory, len(self.shards))
            if shard.bucket in kept:
                path.hardlink_to(kept[shard.bucket])
            else:
                self._scratch_path(shard.bucket).rename(path)
            self.shards.append(shard)

    def _scratch_path(self, bucket: int) -> Path:
        return self._scratch / f"sorted-{bucket:05d}.parquet"

    def _kept_shards(self, filled: set[int]) -> dict[int, Path]:
        """Shards of the base in whose buckets nothing was dropped and nothing is new."""
        if self._base is None:
            return {}
        dropped = bucket_of(self._base.dropped.to_list(), self._num_buckets)
        touched = {*filled, *dropped.tolist()}
        return {b: path for b, path in self._base.paths.items() if b not in touched}

    def _touched(self, kept: Mapping[int, Path]) -> list[int]:
        """The other buckets of the base; their items get codes."""
        if self._base is None:
            return []
        touched = [bucket for bucket in self._base.paths if bucket not in kept]
        for bucket in touched:
            self.items.encode(self._base.shards[bucket].series["item_id"])
        return touched

    def _earlier(self, bucket: int) -> Stretches:
        """Rows that the base has in a bucket, but the dropped ones."""
        assert self._base is not None
        table = pl.read_parquet(self._base.paths[bucket])
        if len(self._base.dropped):
            table = table.filter(~pl.col("item_id").is_in(self._base.dropped.implode()))
        code_of = {name: code for code, name in enumerate(self.variates.names)}
        starts = np.union1d(starts_of_names(table["item_id"]), starts_of_names(table["variate"]))
        names = table.select(pl.col("item_id", "variate").gather(starts))
        return Stretches(
            self.items.encode(names["item_id"]).to_numpy(),
            names["variate"].replace_strict(code_of, return_dtype=pl.UInt16).to_numpy(),
            np.diff(starts, append=table.height),
            table["timestamp"].to_physical().to_numpy(),
            table["value"].to_numpy(),
        )

    def _all_facts(self) -> pl.DataFrame:
        """Facts of the items of this run and of the base; of both, first from the base."""
        new = self.items.facts()
        if self._base is None:
            return new
        old = self._base.facts
        both = old.join(new.select("item_id", "last"), on="item_id", how="left", suffix="_new")
        old = both.with_columns(last=pl.coalesce("last_new", "last")).drop("last_new")
        return pl.concat([old, new.join(old, on="item_id", how="anti")])

    def _items_table(self, *, freq: Frequency | None, group_pattern: str | None) -> pl.DataFrame:
        files = pl.Series(self.items.files, dtype=pl.String)
        facts = self.facts.select("item_id", "declared", source=files.gather(self.facts["first"]))
        series = pl.concat([shard.series for shard in self.shards])
        table = series.join(facts, on="item_id", how="left", maintain_order="left")
        names = table["item_id"]
        freqs = table.select(pl.coalesce("declared", "freq").alias("freq")).to_series()
        group = names.str.extract(group_pattern, 1) if group_pattern else names
        role_of = dict(zip(self.variates.names, self.variates.roles, strict=True))
        return pl.DataFrame(
            {
                "item_id": names,
                "variate": table["variate"],
                "role": table["variate"].replace_strict(role_of, return_dtype=pl.Enum(ROLES)),
                "freq": _filled(freqs) if freq is None else [freq.canonical] * len(names),
                "group": group.zip_with(group.is_not_null(), names),
                "source": table["source"],
            }
        )

    def _flush_rejected(self) -> None:
        if self._rejected:
            part = self._scratch / f"rejected-{self._rejected_parts:05d}.parquet"
            write_table(part, pl.concat(self._rejected))
            self._rejected, self._rejected_parts = [], self._rejected_parts + 1

    def _write_rejected(self) -> None:
        path = self._directory / REJECTED_FILE
        if self._num_rejected == 0:
            write_table(path, REJECTED_SCHEMA.to_frame())
        else:
            table = pl.read_parquet(sorted(self._scratch.glob("rejected-*.parquet")))
            # In an order of its own, whatever was read together and when.
            write_table(path, table.sort("source", *REJECTED_SCHEMA.names()))

    def _nothing_left(self) -> str:
        if self._num_rejected == 0:
            return "ingest: 0 values among the rows, at least one is needed; fill the files"
        first = pl.read_parquet(self._scratch / "rejected-00000.parquet", n_rows=1).row(
            0, named=True
        )
        return (
            f"ingest: rejected {self._num_rejected} of {self._num_rejected} rows, the first in "
            f"{first['source']} by {first['rule']}: timestamp = {first['timestamp']!r}, "
            f"value = {first['value']!r}; mend the files or name the columns in params.yaml"
        )


def _filled(freqs: pl.Series) -> pl.Series:
    """Frequencies with unknown ones replaced by the most common one."""
    known = freqs.drop_nulls()
    if known.is_empty():
        raise DataError(
            "ingest: freq of every item is unknown, as none has two time stamps; "
            "set ingest.freq, for example to 1h"
        )
    counts = known.value_counts(name="len").sort("len", known.name, descending=[True, False])
    return freqs.fill_null(counts[known.name][0])
