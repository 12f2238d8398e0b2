"""Price bars: open, high, low, close and volume of one item at one time, side by side.

A bar has a *key*, a number that rises with item and grid point, by which its variates find each
other. Prices are compared as float64.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

from toto_core.config import OhlcColumns
from toto_core.data import rules
from toto_core.data.sieve import Sieve

PRICES: Final = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Bars:
    """The bars of a shard; NaN where a variate has no row.

    Attributes:
        keys: strictly increasing.
        item: of each bar, rising.
        values: of each bar, by field of ``OhlcColumns``.
        row_keys: key of each row of the sieve.
        row_item: item of each row of the sieve, rising.
    """

    keys: Int64[np.ndarray, " N"]
    item: Int64[np.ndarray, " N"]
    values: Mapping[str, Float64[np.ndarray, " N"]]
    row_keys: Int64[np.ndarray, " R"]
    row_item: Int64[np.ndarray, " R"]


def drop_contradictions(sieve: Sieve, ohlc: OhlcColumns) -> None:
    """Take out all variates at a time at which high, low, open and close contradict each other."""
    bars = bars_of(sieve, ohlc)
    prices = np.stack([bars.values[name] for name in PRICES])
    lowest, highest = np.fmin.reduce(prices), np.fmax.reduce(prices)
    slack = rules.OHLC_TOLERANCE * np.fmax(np.abs(lowest), np.abs(highest))
    low, high = bars.values["low"], bars.values["high"]
    low_is_bad = low - lowest > slack
    bad = low_is_bad | (highest - high > slack)
    if not bad.any():
        return
    is_hit, at = _rows_at(bars, np.flatnonzero(bad))
    facts = {"low": low, "high": high, "least": lowest, "most": highest}
    why = pl.DataFrame({name: values[at].astype(np.float32) for name, values in facts.items()})
    reason = (
        pl.when(pl.Series(low_is_bad[at]))
        .then(pl.format("low = {} above {}, the lowest price of the bar", "low", "least"))
        .otherwise(pl.format("high = {} below {}, the highest price of the bar", "high", "most"))
    )
    sieve.drop(is_hit, "ohlc_contradiction", reason, facts=why)


def bars_of(sieve: Sieve, ohlc: OhlcColumns) -> Bars:
    """Return the bars of all items that have a row of one of the prices."""
    rows = sieve.rows
    series, cell = rows["series"].to_numpy(), rows["cell"].to_numpy()
    item = sieve.series["item"].to_numpy()[series].astype(np.int64)
    row_keys = _keys(item, cell)
    fields = {field: name for field, name in ohlc.model_dump().items() if name is not None}
    variate = sieve.series["variate"]
    found = {}
    for field, name in fields.items():
        mine = (variate == name).to_numpy()[series]
        found[field] = (row_keys[mine], rows["value"].filter(pl.Series(mine)).to_numpy())
    keys = found["close"][0]
    for field in PRICES:
        if not np.array_equal(found[field][0], keys):
            keys = np.union1d(keys, found[field][0])
    values = {}
    for field, (own, value) in found.items():
        values[field] = np.full(len(keys), np.nan)
        at = np.searchsorted(keys, own)
        at[at == len(keys)] = 0
        is_there = keys[at] == own if len(keys) else np.zeros(len(own), np.bool_)
        values[field][at[is_there]] = value[is_there]
    if not len(keys):
        return Bars(keys, keys, values, row_keys=row_keys, row_item=item)
    starts = np.flatnonzero(np.diff(item, prepend=-1))
    lowest = np.minimum.reduceat(row_keys, starts)
    of_bar = item[starts][np.searchsorted(lowest, keys, side="right") - 1]
    return Bars(keys, of_bar, values, row_keys=row_keys, row_item=item)


def _keys(item: Int64[np.ndarray, " R"], cell: Int64[np.ndarray, " R"]) -> Int64[np.ndarray, " R"]:
    """Number the grid points of all items: those of an item follow those of the item before it."""
    if not len(item):
        return item
    starts = np.flatnonzero(np.diff(item, prepend=-1))
    first = np.minimum.reduceat(cell, starts)
    span = np.maximum.reduceat(cell, starts) - first + 1
    offset = np.cumsum(span) - span - first
    return cell + np.repeat(offset, np.diff(np.append(starts, len(item))))


def _rows_at(bars: Bars, hit: Int64[np.ndarray, " H"]) -> tuple[pl.Series, Int64[np.ndarray, " K"]]:
    """Whether each row is of one of the bars ``hit``, and of those that are, of which."""
    keys = bars.keys[hit]
    at = np.searchsorted(keys, bars.row_keys)
    at[at == len(keys)] = 0
    is_hit = keys[at] == bars.row_keys
    return pl.Series(is_hit), hit[at[is_hit]]
