"""Rows of one bucket, sorted by series and time and written as one shard."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float32, Int64

from toto_core.data.codes import Items, Variates
from toto_core.data.frequency import infer_freqs
from toto_core.data.runs import starts_of
from toto_core.data.shards import write_table
from toto_core.data.stretches import Stretches
from toto_core.data.tables import SERIES_SCHEMA

SERIES_FACTS: Final = pl.Schema(
    {
        "item_id": pl.String(),
        "variate": pl.String(),
        "length": pl.Int64(),
        "freq": pl.String(),
    }
)
# Units that time stamps are counted in while they are sorted, so that the key fits 63 bits.
_TIME_UNITS_US: Final = (1_000_000, 1_000)


@dataclass(frozen=True)
class Shard:
    """Facts of a written shard.

    Attributes:
        bucket: what its items have in common.
        series: a row for each series with the columns of ``SERIES_FACTS``; the frequency is that
            of the item's longest series, null where that has one time stamp.
        first_us: earliest time stamp.
        last_us: latest time stamp.
    """

    bucket: int
    series: pl.DataFrame
    first_us: int
    last_us: int

    @property
    def num_rows(self) -> int:
        """Rows of all its series."""
        return int(self.series["length"].sum())


class Order:
    """The alphabetical order of all items and variates, for rows that hold their codes."""

    def __init__(self, items: Items, variates: Variates) -> None:
        self._items, self._rank_of_item = _ranked(items.names())
        self._variates, self._rank_of_variate = _ranked(pl.Series(variates.names, dtype=pl.String))

    def write(self, path: Path, bucket: int, rows: Stretches) -> Shard:
        """Write the rows of a bucket as a shard; equal ones keep their order."""
        rank = self._rank_of_item[rows.item] * len(self._variates)
        rank += self._rank_of_variate[rows.variate]
        series, lengths, times, values = _sorted(rank, rows)
        item, variate = np.divmod(series, len(self._variates))
        facts = pl.DataFrame(
            {
                "item_id": self._items.gather(item),
                "variate": self._variates.gather(variate),
                "length": lengths,
            }
        )
        of_row = pl.Series(np.repeat(np.arange(len(series), dtype=np.uint32), lengths))
        write_table(
            path,
            pl.DataFrame(
                {
                    "item_id": facts["item_id"].gather(of_row),
                    "variate": facts["variate"].gather(of_row),
                    "timestamp": pl.Series(times).cast(pl.Datetime("us", "UTC")),
                    "value": values,
                },
                schema=SERIES_SCHEMA,
            ),
        )
        return Shard(
            bucket=bucket,
            series=_with_freq(facts, times, np.cumsum(lengths) - lengths).cast(SERIES_FACTS),
            first_us=int(times.min()),
            last_us=int(times.max()),
        )


def _ranked(names: pl.Series) -> tuple[pl.Series, Int64[np.ndarray, " N"]]:
    """Names in order, and the place of each."""
    by_name = names.arg_sort().to_numpy()
    rank = np.empty(len(by_name), np.int64)
    rank[by_name] = np.arange(len(by_name))
    return names.gather(by_name), rank


_Sorted = tuple[
    Int64[np.ndarray, " S"],
    Int64[np.ndarray, " S"],
    Int64[np.ndarray, " N"],
    Float32[np.ndarray, " N"],
]


def _sorted(rank: Int64[np.ndarray, " K"], rows: Stretches) -> _Sorted:
    """Rank and length of each series, times and values of its rows; equal ones keep their order.

    Args:
        rank: of the series of each stretch.
    """
    if rows.are_long:
        order = np.argsort(rank, kind="stable")
        moved, series = rows.taken(order), rank[order]
        if _is_sorted(series, moved):
            starts = starts_of(series)
            return series[starts], np.add.reduceat(moved.length, starts), moved.times, moved.values
    series, times, values = _rows_sorted(np.repeat(rank, rows.length), rows.times, rows.values)
    starts = starts_of(series)
    return series[starts], np.diff(starts, append=len(series)), times, values


def _is_sorted(series: Int64[np.ndarray, " K"], rows: Stretches) -> bool:
    """Whether time steps back only where another series begins."""
    back = np.flatnonzero(rows.times[1:] < rows.times[:-1]) + 1
    return bool(np.isin(back, rows.starts[starts_of(series)]).all())


def _rows_sorted(
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
        return series[order], times[order], values[order]
    table = pl.DataFrame({"key": (series << bits) + offsets // unit, "value": values})
    table = table.sort("key", maintain_order=True)
    keys = table["key"].to_numpy()
    return keys >> bits, (keys & ((1 << bits) - 1)) * unit + first, table["value"].to_numpy()


def _with_freq(
    facts: pl.DataFrame, times: Int64[np.ndarray, " N"], starts: Int64[np.ndarray, " S"]
) -> pl.DataFrame:
    """The facts of series with the frequency of each item by its longest series."""
    lengths = facts["length"].to_numpy()
    longest = facts.with_row_index().sort("length", descending=True, maintain_order=True)
    longest = longest.unique("item_id", keep="first").sort("index")
    chosen = longest["index"].to_numpy()
    if len(chosen) < len(starts):
        mask = np.zeros(len(starts), dtype=bool)
        mask[chosen] = True
        times = times[np.repeat(mask, lengths)]
    ends = np.cumsum(lengths[chosen])
    freqs = infer_freqs(times, ends - lengths[chosen])
    found = pl.DataFrame(
        {
            "item_id": longest["item_id"],
            "freq": pl.Series([freq and freq.canonical for freq in freqs], dtype=pl.String),
        }
    )
    return facts.join(found, on="item_id", how="left", maintain_order="left")
