"""Rows of one bucket, sorted by series and time and written as one shard."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float32, Int64

from toto_core.data.codes import Items, Variates
from toto_core.data.frequency import infer_freqs
from toto_core.data.shards import write_shard

ROW: Final = np.dtype([("item", "<u4"), ("variate", "<u2"), ("time", "<i8"), ("value", "<f4")])
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
    """The alphabetical order of all items and variates, for the rows that hold their codes."""

    def __init__(self, items: Items, variates: Variates) -> None:
        self._items, self._rank_of_item = _ranked(items.names())
        self._variates, self._rank_of_variate = _ranked(pl.Series(variates.names, dtype=pl.String))

    def write(self, directory: Path, index: int, bucket: int, rows: np.ndarray) -> Shard:
        """Write rows of the type ``ROW`` as shard ``index``; equal ones keep their order."""
        series = self._rank_of_item[rows["item"]] * len(self._variates)
        series += self._rank_of_variate[rows["variate"]]
        series, times, values = _sorted(series, rows["time"], rows["value"])
        starts = np.flatnonzero(np.diff(series, prepend=-1))
        lengths = np.diff(np.append(starts, len(series)))
        item, variate = np.divmod(series[starts], len(self._variates))
        write_shard(
            directory,
            index,
            pl.DataFrame(
                {
                    "item_id": self._items.gather(np.repeat(item, lengths)),
                    "variate": self._variates.gather(np.repeat(variate, lengths)),
                    "timestamp": pl.Series(times).cast(pl.Datetime("us", "UTC")),
                    "value": values,
                }
            ),
        )
        facts = pl.DataFrame(
            {
                "item_id": self._items.gather(item),
                "variate": self._variates.gather(variate),
                "length": lengths,
            }
        )
        return Shard(
            bucket=bucket,
            series=_with_freq(facts, times, starts).cast(SERIES_FACTS),
            first_us=int(times.min()),
            last_us=int(times.max()),
        )


def _ranked(names: pl.Series) -> tuple[pl.Series, Int64[np.ndarray, " N"]]:
    """Names in order, and the place of each."""
    by_name = names.arg_sort().to_numpy()
    rank = np.empty(len(by_name), np.int64)
    rank[by_name] = np.arange(len(by_name))
    return names.gather(by_name), rank


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
