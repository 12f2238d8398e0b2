"""Counters that only rise, made into increments per step, with their resets undone.

A decrease means that the counter started again from zero, so the value after it is the increment:
the rule of ``rate`` and ``increase`` in Prometheus (prometheus.io/docs, query functions). Over a
gap the increments are the mean of the steps since the value before; the steps without a value stay
missing. The first value of a series has no increment and goes to quarantine as ``counter_start``:
with it, the levels can be had back.

Levels are stored as float32, so the increments of a level beyond 2^24 are rounded before anything
can be done here. They are computed in float64, and a counter whose rounding is too coarse for its
increments is refused: only increments in the raw data help then.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from toto_core.data.sieve import Sieve

# Most distance of neighbouring float32 levels, as a share of the mean increment.
COARSE_SHARE: Final = 0.01
_EXACT: Final = float(2**24)  # float32 holds all whole numbers up to here


def to_increments(sieve: Sieve, counters: Sequence[str]) -> None:
    """Replace ``mended`` of all series of ``counters`` by increments per step."""
    is_counter = sieve.series["variate"].is_in(list(counters))
    if not is_counter.any():
        return
    _drop_coarse(sieve, is_counter)
    rows = sieve.rows
    mine = is_counter.gather(rows["series"])
    is_first = (rows["series"] != rows["series"].shift()).fill_null(value=True)
    increments, is_reset = _increments(rows)
    mended = rows["mended"].zip_with(~mine, increments.cast(pl.Float32))
    sieve.rows = rows.with_columns(mended=mended)
    is_later = mine & ~is_first
    sieve.note_repair("counter_increments", is_later.to_numpy())
    sieve.note_repair("counter_reset", (is_later & is_reset).to_numpy())
    sieve.drop(
        mine & is_first,
        "counter_start",
        pl.format("value = {} is where the counter starts, an increment needs one before", "value"),
    )


def _increments(rows: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """The increment per step of each row over the row before it, and whether it is a reset."""
    level = rows["mended"].cast(pl.Float64)
    rise = level - level.shift()
    is_reset = (rise < 0).fill_null(value=False)
    steps = rows["cell"] - rows["cell"].shift()
    return level.zip_with(is_reset, rise) / steps, is_reset


def _drop_coarse(sieve: Sieve, is_counter: pl.Series) -> None:
    """Take out counters whose levels, as float32, are too far apart for their increments."""
    increments, _ = _increments(sieve.rows)
    rows = sieve.rows.select("series", "mended", "cell", increment=increments)
    rows = rows.filter(is_counter.gather(sieve.rows["series"]))
    level, steps = pl.col("mended"), pl.col("cell").diff()
    facts = rows.group_by("series", maintain_order=True).agg(
        highest=level.max().cast(pl.Float64),
        is_whole=(level == level.floor()).all(),
        mean=(pl.col("increment") * steps).slice(1).sum() / steps.sum(),
    )
    facts = facts.with_columns(
        spacing=pl.Series(np.spacing(facts["highest"].to_numpy().astype(np.float32)))
    )
    is_exact = pl.col("is_whole") & (pl.col("highest") <= _EXACT)
    is_coarse = (pl.col("mean") > 0) & (pl.col("spacing") > COARSE_SHARE * pl.col("mean"))
    sieve.drop_series(
        facts.filter(is_coarse & ~is_exact).select(
            "series",
            rule=pl.lit("coarse_counter"),
            reason=pl.format(
                "levels up to {} are {} apart as float32, its mean increment is {}; "
                "increments are needed in the raw data",
                "highest",
                "spacing",
                pl.col("mean").round_sig_figs(4),
            ),
            measured=pl.col("spacing") / pl.col("mean"),
        )
    )
