"""Stock splits in price bars: told from crashes and from single wrong bars, and undone.

A k:1 split divides the price by k over night and leaves it there; the shares traded multiply by k,
so that the turnover in money stays what it was. A crash or a jump on news looks the same by its
price alone, but is traded many times as much. Both conditions are needed.
"""

from typing import Final, Literal

import numpy as np
import polars as pl
from jaxtyping import Float64

from toto_core.config import OhlcColumns
from toto_core.data.bars import PRICES, Bars, bars_of
from toto_core.data.sieve import Sieve

# 3:2 is left out: moves by a third over night are news far more often than splits.
RATIOS: Final = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 100)
# Most that the price itself moves in the night of a split, as a difference of logarithms.
MAX_MOVE: Final = 0.1
# Bars from the split on whose median close must be at the new level.
NUM_AFTER: Final = 5
# Most turnover (close x volume) of the day, in medians of the bars before. The splits of AAPL
# since 1987 have at most 1.2, news that halves or doubles a price 7 and more.
MAX_TURNOVER: Final = 3.0
NUM_BEFORE: Final = 20


def undo(sieve: Sieve, ohlc: OhlcColumns, action: Literal["adjust", "quarantine"]) -> None:
    """Make bars before a split comparable with those after it, or take them out.

    Args:
        action: ``adjust`` divides prices by k and multiplies the volume by it, in ``mended``;
            ``quarantine`` takes out all rows of the item before its last split.
    """
    bars = bars_of(sieve, ohlc)
    splits = find(bars)
    if not splits:
        return
    factor = np.ones(len(bars.row_keys))
    for day, ratio in splits:
        start, end = np.searchsorted(bars.row_item, [bars.item[day], bars.item[day] + 1])
        factor[start:end][bars.row_keys[start:end] < bars.keys[day]] *= ratio
    if action == "quarantine":
        sieve.drop(
            pl.Series(factor != 1),
            "before_split",
            pl.format("value = {} before a split, prices are divided by {} later", "value", "k"),
            facts=pl.DataFrame({"k": factor[factor != 1]}),
        )
        return
    variate = sieve.series["variate"].gather(sieve.rows["series"])
    is_price = variate.is_in([getattr(ohlc, name) for name in PRICES]).to_numpy()
    is_volume = (variate == ohlc.volume).to_numpy()
    factor = np.where(is_price, 1 / factor, np.where(is_volume, factor, 1.0))
    mended = sieve.rows["mended"].cast(pl.Float64) * pl.Series(factor)
    sieve.rows = sieve.rows.with_columns(mended=mended.cast(pl.Float32))
    sieve.note_repair("split_adjust", factor != 1)


def find(bars: Bars) -> list[tuple[int, float]]:
    """Return the index of each first bar after a k:1 split, and k (1/k: a reverse split)."""
    if not len(bars.keys):
        return []
    item = bars.item
    with np.errstate(divide="ignore", invalid="ignore"):
        fall = np.log(bars.values["close"][:-1] / bars.values["open"][1:])
        turnover = bars.values["close"] * bars.values["volume"]
    is_far = np.abs(fall) > np.log(RATIOS[0]) - MAX_MOVE
    found = []
    for last in np.flatnonzero(is_far & (item[1:] == item[:-1])):
        day = int(last) + 1
        start, end = np.searchsorted(item, [item[day], item[day] + 1])
        ratio = RATIOS[int(np.abs(np.log(RATIOS) - abs(fall[last])).argmin())]
        shift = float(np.copysign(np.log(ratio), fall[last]))
        if abs(fall[last] - shift) > MAX_MOVE:
            continue
        after = bars.values["close"][day : min(day + NUM_AFTER, end)]
        before = turnover[max(start, day - NUM_BEFORE) : day]
        if _stays(bars.values["close"][last], after, shift) and _is_ordinary(turnover[day], before):
            found.append((day, float(ratio) if shift > 0 else 1 / ratio))
    return found


def _stays(before: float, after: Float64[np.ndarray, " A"], shift: float) -> bool:
    """Whether enough closes from the day on lie nearer to the new level than to the old one."""
    after = after[np.isfinite(after)]
    if len(after) < NUM_AFTER:
        return False
    with np.errstate(divide="ignore", invalid="ignore"):
        fall = np.log(before / np.median(after))
    return bool(abs(fall - shift) < abs(shift) / 2)


def _is_ordinary(today: float, before: Float64[np.ndarray, " B"]) -> bool:
    before = before[np.isfinite(before)]
    return bool(len(before) and today <= MAX_TURNOVER * np.median(before))
