"""From rows in file order to sorted shards, in memory that the row count does not change.

Rows are held as numbers (code of the item, code of the variate, time stamp, value). Beyond one
shard's worth they are dealt to buckets on disk by a stable hash of the item; each bucket is then
loaded, sorted and written as one shard. Memory grows with the number of items and with the rows of
the longest item alone.
"""

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float32, Int64, UInt32

from toto_core.data.frequency import Frequency, infer_freqs
from toto_core.data.shards import (
    REJECTED_FILE,
    REJECTED_SCHEMA,
    IngestReport,
    freq_counts,
    write_items,
    write_shard,
    write_table,
)
from toto_core.data.tables import ROLES
from toto_core.errors import DataError

ROWS_PER_SHARD: Final = 6_000_000
_FLUSH_ROWS: Final = 2_000_000
_FLUSH_REJECTED: Final = 200_000
_ROW: Final = np.dtype([("item", "<u4"), ("variate", "<u2"), ("time", "<i8"), ("value", "<f4")])
# Units that time stamps are counted in while they are sorted, so that the key fits 63 bits.
_TIME_UNITS_US: Final = (1_000_000, 1_000)


class Items:
    """The items seen so far, by their code.

    Attributes:
        sources: file of each item's first row.
        origins: for each item, what kind of file it is from; see ``note``.
        freqs: declared canonical frequency of each item that has one.
    """

    def __init__(self) -> None:
        self.sources: list[str] = []
        self.origins: list[str] = []
        self.freqs: dict[int, str] = {}
        self._categories = pl.Categories.random("toto", pl.UInt32())
        # Polars forgets the categories when the last series of them is gone.
        self._alive = pl.Series([], dtype=pl.Categorical(self._categories))

    def encode(self, names: pl.Series) -> pl.Series:
        """Return the code of each name, UInt32, null for null."""
        return names.cast(self._alive.dtype).to_physical()

    def note(self, codes: pl.Series, sources: pl.Series | str, *, origin: str) -> None:
        """Remember where items are from.

        Args:
            codes: of rows of one group of files.
            sources: file of each row, or of all.
            origin: what an item must share in all its files: layout and columns.

        Raises:
            DataError: if an item was seen in a file of another origin.
        """
        table = pl.DataFrame({"code": codes}).with_columns(
            source=sources if isinstance(sources, pl.Series) else pl.lit(sources)
        )
        first = table.unique("code", keep="first").sort("code")
        for code, source in first.iter_rows():
            if code == len(self.sources):
                self.sources.append(source)
                self.origins.append(origin)
            elif self.origins[code] != origin:
                raise DataError(
                    f"{source}: item {self.names()[code]!r} has {origin}, but in "
                    f"{self.sources[code]} it has {self.origins[code]}; one is needed: "
                    "rename the item or ingest the files apart"
                )

    def names(self) -> pl.Series:
        """Names in the order of their codes."""
        return self._categories.to_series().head(len(self.sources))


@dataclass
class Variates:
    """Names of variates and their roles, by their code."""

    names: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)

    def encode(self, name: str, role: str) -> int:
        """Return the code of a variate, a new one for a new name."""
        if name not in self.names:
            self.names.append(name)
            self.roles.append(role)
        return self.names.index(name)


class Spool:
    """Collects rows and writes them as a folder of series.

    Args:
        directory: of the series; exists and is empty.
        scratch: an existing folder for buckets.
        num_rows: about how many rows will come; decides the number of shards.
    """

    def __init__(self, directory: Path, *, scratch: Path, num_rows: int) -> None:
        self.items = Items()
        self.variates = Variates()
        self.num_empty = 0
        self._directory = directory
        self._scratch = scratch
        self._num_buckets = max(1, round(num_rows / ROWS_PER_SHARD))
        self._bucket_of_item = np.empty(0, np.uint16)
        self._held: list[np.ndarray] = []
        self._held_rows = 0
        self._rejected: list[pl.DataFrame] = []
        self._rejected_parts = 0
        self._num_rejected = 0
        self._rows_of_source: dict[str, int] = {}

    def add(
        self,
        items: UInt32[np.ndarray, " N"],
        variate: int,
        times: Int64[np.ndarray, " N"],
        values: Float32[np.ndarray, " N"],
    ) -> None:
        """Add rows of one variate, in the order in which duplicates shall stay."""
        rows = np.empty(len(items), _ROW)
        rows["item"], rows["variate"], rows["time"], rows["value"] = items, variate, times, values
        self._held.append(rows)
        self._held_rows += len(rows)
        if self._num_buckets > 1 and self._held_rows >= _FLUSH_ROWS:
            self._flush()

    def count(self, source: str, num_rows: int) -> None:
        """Count rows of a source."""
        self._rows_of_source[source] = self._rows_of_source.get(source, 0) + num_rows

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
        if self._num_buckets > 1:
            self._flush()
        names = self.items.names()
        by_name = names.arg_sort().to_numpy()
        rank_of_item = np.empty(len(by_name), np.int64)
        rank_of_item[by_name] = np.arange(len(by_name))
        shards = []
        for bucket in range(self._num_buckets):
            rows = self._load(bucket)
            if len(rows):
                shards.append(self._write(len(shards), rows, rank_of_item, names.gather(by_name)))
        if not shards:
            raise DataError(self._nothing_left())
        series = pl.concat([shard.series for shard in shards])
        items = self._items_table(series, by_name, freq=freq, group_pattern=group_pattern)
        write_items(self._directory, items)
        self._write_rejected()
        return IngestReport(
            num_items=items["item_id"].n_unique(),
            num_series=items.height,
            num_rows=sum(shard.num_rows for shard in shards),
            num_rejected=self._num_rejected,
            num_empty=self.num_empty,
            first_us=min(shard.first_us for shard in shards),
            last_us=max(shard.last_us for shard in shards),
            freqs=freq_counts(items),
            sources=sorted(self._rows_of_source.items()),
        )

    def _flush(self) -> None:
        if not self._held:
            return
        rows = np.concatenate(self._held)
        self._held, self._held_rows = [], 0
        self._extend_buckets()
        buckets = self._bucket_of_item[rows["item"]]
        rows = rows[np.argsort(buckets, kind="stable")]
        ends = np.cumsum(np.bincount(buckets, minlength=self._num_buckets))
        for bucket, part in enumerate(np.split(rows, ends[:-1])):
            if len(part):
                with self._bucket_path(bucket).open("ab") as handle:
                    part.tofile(handle)

    def _extend_buckets(self) -> None:
        new = self.items.names()[len(self._bucket_of_item) :]
        hashes = [zlib.crc32(name.encode()) % self._num_buckets for name in new]
        self._bucket_of_item = np.append(self._bucket_of_item, np.array(hashes, np.uint16))

    def _bucket_path(self, bucket: int) -> Path:
        return self._scratch / f"bucket-{bucket:05d}"

    def _load(self, bucket: int) -> np.ndarray:
        if self._num_buckets == 1:
            held, self._held = self._held, []
            return np.concatenate(held) if held else np.empty(0, _ROW)
        path = self._bucket_path(bucket)
        if not path.exists():
            return np.empty(0, _ROW)
        rows = np.fromfile(path, _ROW)
        path.unlink()
        return rows

    def _write(
        self, index: int, rows: np.ndarray, rank_of_item: Int64[np.ndarray, " I"], names: pl.Series
    ) -> "_Shard":
        variates = pl.Series(self.variates.names, dtype=pl.String)
        by_name = variates.arg_sort().to_numpy()
        rank_of_variate = np.empty(len(by_name), np.int64)
        rank_of_variate[by_name] = np.arange(len(by_name))
        series = rank_of_item[rows["item"]] * len(by_name) + rank_of_variate[rows["variate"]]
        series, times, values = _sorted(series, rows["time"], rows["value"])
        starts = np.flatnonzero(np.diff(series, prepend=-1))
        lengths = np.diff(np.append(starts, len(series)))
        item_rank, variate_rank = np.divmod(series[starts], len(by_name))
        write_shard(
            self._directory,
            index,
            pl.DataFrame(
                {
                    "item_id": names.gather(np.repeat(item_rank, lengths)),
                    "variate": variates.gather(by_name[np.repeat(variate_rank, lengths)]),
                    "timestamp": pl.Series(times).cast(pl.Datetime("us", "UTC")),
                    "value": values,
                }
            ),
        )
        table = pl.DataFrame(
            {"rank": item_rank, "variate": by_name[variate_rank], "length": lengths}
        )
        longest = table.with_row_index().sort("length", descending=True, maintain_order=True)
        longest = longest.unique("rank", keep="first").sort("rank")
        return _Shard(
            series=table.join(_freqs(longest, times, starts, lengths), on="rank", how="left"),
            num_rows=len(times),
            first_us=int(times.min()),
            last_us=int(times.max()),
        )

    def _items_table(
        self,
        series: pl.DataFrame,
        by_name: UInt32[np.ndarray, " I"],
        *,
        freq: Frequency | None,
        group_pattern: str | None,
    ) -> pl.DataFrame:
        codes = by_name[series["rank"].to_numpy()]
        variates = series["variate"].to_list()
        declared = pl.Series([self.items.freqs.get(code) for code in codes], dtype=pl.String)
        freqs = declared.zip_with(declared.is_not_null(), series["freq"])
        names = self.items.names().gather(codes)
        group = names.str.extract(group_pattern, 1) if group_pattern else names
        return pl.DataFrame(
            {
                "item_id": names,
                "variate": [self.variates.names[code] for code in variates],
                "role": pl.Series(
                    [self.variates.roles[code] for code in variates], dtype=pl.Enum(ROLES)
                ),
                "freq": _filled(freqs) if freq is None else [freq.canonical] * len(names),
                "group": group.zip_with(group.is_not_null(), names),
                "source": [self.items.sources[code] for code in codes],
            }
        )

    def _flush_rejected(self) -> None:
        if self._rejected:
            part = self._scratch / f"rejected-{self._rejected_parts:05d}.parquet"
            write_table(part, pl.concat(self._rejected))
            self._rejected, self._rejected_parts = [], self._rejected_parts + 1

    def _write_rejected(self) -> None:
        path = self._directory / REJECTED_FILE
        if self._rejected_parts == 0:
            write_table(path, REJECTED_SCHEMA.to_frame())
        else:
            write_table(path, pl.read_parquet(sorted(self._scratch.glob("rejected-*.parquet"))))

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


@dataclass(frozen=True)
class _Shard:
    """Facts of a written shard; ``series`` has a row for each series, with its frequency."""

    series: pl.DataFrame
    num_rows: int
    first_us: int
    last_us: int


def _sorted(
    series: Int64[np.ndarray, " N"],
    times: Int64[np.ndarray, " N"],
    values: Float32[np.ndarray, " N"],
) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"], Float32[np.ndarray, " N"]]:
    """Rows by series and time; equal ones keep their order."""
    first = times.min()
    offsets = times - first
    unit = next((unit for unit in _TIME_UNITS_US if not (offsets % unit).any()), 1)
    bits = int(offsets.max() // unit).bit_length()
    if bits + int(series.max()).bit_length() > 63:
        order = np.lexsort((times, series))
        return series[order], times[order], np.ascontiguousarray(values[order])
    keys = (series << bits) + offsets // unit
    if (keys[1:] >= keys[:-1]).all():
        return series, np.ascontiguousarray(times), np.ascontiguousarray(values)
    table = pl.DataFrame({"key": keys, "value": np.ascontiguousarray(values)})
    table = table.sort("key", maintain_order=True)
    keys = table["key"].to_numpy()
    return keys >> bits, (keys & ((1 << bits) - 1)) * unit + first, table["value"].to_numpy()


def _freqs(
    longest: pl.DataFrame,
    times: Int64[np.ndarray, " N"],
    starts: Int64[np.ndarray, " S"],
    lengths: Int64[np.ndarray, " S"],
) -> pl.DataFrame:
    """The frequency of each item by its longest series."""
    chosen = longest["index"].to_numpy()
    if len(chosen) < len(starts):
        mask = np.zeros(len(starts), dtype=bool)
        mask[chosen] = True
        times = times[np.repeat(mask, lengths)]
    ends = np.cumsum(lengths[chosen])
    freqs = infer_freqs(times, ends - lengths[chosen])
    return pl.DataFrame(
        {
            "rank": longest["rank"],
            "freq": pl.Series([freq and freq.canonical for freq in freqs], dtype=pl.String),
        }
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
