"""The steps of validation, in the order of ``sift``.

Each takes rows or whole series out of a ``Sieve`` and leaves behind a rule and a reason in words
that states what was found and what is allowed. Faults of single values come first, then those of
time, then those of a row beside its neighbours; what is left is repaired, and judged as a series.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Int64

from toto_core.config import ValidateParams
from toto_core.data import bars, counters, grid, outliers, rules, skipped_hours, stock_splits
from toto_core.data.grid import Calendar
from toto_core.data.runs import starts_of
from toto_core.data.sieve import Sieve, observed

_LARGEST: Final = float(np.finfo(np.float32).max)
MOSTLY_ZERO: Final = 0.8  # share of a series' values; such a series is intermittent, and is kept


def sift(sieve: Sieve, params: ValidateParams, calendars: Mapping[str, Calendar]) -> int:
    """Take out all that breaks a rule and mend what a repair can mend.

    The rows left have the columns that ``placing.place`` needs, at most one for each grid point.
    The newest points leave before neighbours are compared, and a split is undone after outliers
    have left: a lone outlier comes back, a split stays.

    Returns:
        How many of the series left are mostly zero.
    """
    if params.max_variates is not None:
        _drop_wide_items(sieve, params.max_variates)
    _mark_faults(sieve, params)
    _drop_without_time(sieve)
    _drop_without_freq(sieve, params)
    _put_on_grid(sieve, calendars)
    _drop_faults(sieve)
    _drop_off_grid(sieve, params)
    _drop_duplicates(sieve)
    if params.ohlc is not None:
        bars.drop_contradictions(sieve, params.ohlc)
    if params.drop_last:
        _drop_newest(sieve, params.drop_last)
    outliers.drop_lone(sieve, params.max_spike)
    outliers.drop_stale(sieve, params.max_repeats)
    sieve.rows = sieve.rows.with_columns(mended="value")
    if params.splits is not None and params.ohlc is not None:
        stock_splits.undo(sieve, params.ohlc, params.splits)
    counters.to_increments(sieve, params.counters)
    return _drop_broken_series(sieve, params)


def _drop_wide_items(sieve: Sieve, max_variates: int) -> None:
    """Take out all series of items that have too many of them."""
    count = pl.len().over("item").cast(pl.Float64)
    wide = sieve.series.with_row_index("series").with_columns(measured=count)
    wide = wide.filter(pl.col("measured") > max_variates)
    if wide.is_empty():
        return
    allowed = f"at most validate.max_variates = {max_variates}"
    reason = pl.format(
        "its item has {} variates, {}", pl.col("measured").cast(int), pl.lit(allowed)
    )
    # A missed scrape is no row of the quarantine.
    is_wide = sieve.rows["series"].is_in(wide["series"].implode())
    sieve.rows = sieve.rows.filter(~is_wide | observed(sieve.rows["value"]))
    sieve.drop_series(
        wide.select("series", rule=pl.lit("too_many_variates"), reason=reason, measured="measured")
    )


def _mark_faults(sieve: Sieve, params: ValidateParams) -> None:
    """Add the column ``fault``: the rule that a row breaks by itself, or null."""
    rows = sieve.rows
    bounded = rules.has_limits(params)
    suspects = _suspects(sieve)
    seen = rows[suspects]
    if bounded:
        limits = sieve.series.select("lowest", "highest", "floor")
        seen = pl.concat([seen, limits.select(pl.all().gather(seen["series"]))], how="horizontal")
    faults = rules.row_faults(seen, bounded=bounded)
    fault = pl.Series([None], dtype=pl.Enum(rules.ROW_RULES)).new_from_index(0, rows.height)
    if not faults.is_empty():
        fault = fault.scatter(suspects[faults["index"].to_numpy()], faults["rule"])
    if params.counters and bounded:
        is_counter = sieve.series["variate"].is_in(params.counters).gather(rows["series"])
        below = is_counter & (fault == "negative_volume")
        fault = fault.scatter(below.fill_null(value=False).arg_true(), "negative_counter")
    sieve.rows = sieve.rows.select("series", "time", "value", fault.alias("fault"))


def _suspects(sieve: Sieve) -> Int64[np.ndarray, " K"]:
    """Positions of rows whose value may break a rule by itself, all that do among them.

    Nearly every row passes, and what a schema is asked about is what it costs.
    """
    index, value = sieve.rows["series"].to_numpy(), sieve.rows["value"].to_numpy()
    facts = sieve.series.select(
        low=pl.max_horizontal("lowest", "floor", pl.lit(-_LARGEST, pl.Float32)),
        high=pl.min_horizontal("highest", pl.lit(_LARGEST, pl.Float32)),
    )
    if facts.n_unique() == 1:
        low, high = (facts[name][0] for name in facts.columns)
    else:
        low, high = (facts[name].to_numpy()[index] for name in facts.columns)
    return np.flatnonzero(~((value >= low) & (value <= high)))


def _fault_reason() -> pl.Expr:
    value = pl.col("value")
    return (
        pl.when(pl.col("fault") == "infinite_value")
        .then(pl.format("value = {}, a finite number is needed", value))
        .when(pl.col("fault") == "negative_volume")
        .then(pl.format("value = {}, a volume is at least 0", value))
        .when(pl.col("fault") == "negative_counter")
        .then(pl.format("value = {}, a counter starts at 0", value))
        .otherwise(pl.format("value = {}, allowed {} to {}", value, "lowest", "highest"))
    )


def _put_on_grid(sieve: Sieve, calendars: Mapping[str, Calendar]) -> None:
    """Give each row its cell, with repairs."""
    # Rows without a value and rows with a fault are counted among the samples of a skipped hour.
    sieve.rows, sieve.series = grid.locate(sieve.rows, sieve.series, calendars)
    sieve.rows = skipped_hours.renumber_dst(sieve.rows, sieve.series)


def _drop_faults(sieve: Sieve) -> None:
    """Take out the rows with a fault; those without a value leave too."""
    is_fault = sieve.rows["fault"].is_not_null()
    has_value = observed(sieve.rows["value"])
    sieve.drop(is_fault & has_value, pl.col("fault"), _fault_reason(), without=~has_value)
    sieve.rows = sieve.rows.drop("fault")


def _drop_without_time(sieve: Sieve) -> None:
    """Take out rows without a time stamp."""
    has_time = sieve.rows["time"].is_not_null()
    if has_time.all():
        return
    reason = pl.format("value = {} without a time stamp", "value")
    sieve.drop(~has_time & observed(sieve.rows["value"]), "missing_timestamp", reason)
    sieve.rows = sieve.rows.filter(pl.col("time").is_not_null())


def _drop_without_freq(sieve: Sieve, params: ValidateParams) -> None:
    """Take out series in whose time stamps ingest found no frequency."""
    has_freq = sieve.series["freq"].is_not_null()
    if has_freq.all():
        return
    has_value = observed(sieve.rows["value"])
    sieve.rows = sieve.rows.filter(has_freq.gather(sieve.rows["series"]) | has_value)
    counts = sieve.rows.group_by("series").agg(points=pl.len())
    found = pl.DataFrame({"series": (~has_freq).arg_true()})
    found = found.join(counts, on="series", how="left", maintain_order="left")
    found = found.with_columns(pl.col("points").fill_null(0))
    too_short = pl.col("points") < params.min_length
    sieve.drop_series(
        found.select(
            "series",
            rule=pl.when(too_short).then(pl.lit("too_short")).otherwise(pl.lit("irregular")),
            reason=pl.when(too_short)
            .then(_too_short_reason(params))
            .otherwise(pl.lit("no frequency could be found in its time stamps")),
            measured=pl.when(too_short).then(pl.col("points").cast(pl.Float64)).otherwise(1.0),
        )
    )


def _too_short_reason(params: ValidateParams) -> pl.Expr:
    return pl.format("{} points, at least {}", "points", pl.lit(params.min_length))


def _drop_off_grid(sieve: Sieve, params: ValidateParams) -> None:
    """Take out irregular series, then single rows off the grid of the others."""
    if not sieve.rows["off"].to_numpy().any():
        return
    interval = sieve.series["interval"].gather(sieve.rows["series"])
    is_off = sieve.rows.select(grid.is_off_grid(interval).fill_null(value=False)).to_series()
    if not is_off.any():
        return
    found = (
        sieve.rows.select("series", is_off=is_off)
        .group_by("series", maintain_order=True)
        .agg(measured=pl.col("is_off").mean())
        .filter(pl.col("measured") > params.max_irregular_share)
    )
    freq = sieve.series["freq"].gather(found["series"])
    reason = pl.format(
        "{} of the points lie off the grid of {}, at most {}",
        pl.col("measured").round(4),
        freq,
        pl.lit(params.max_irregular_share),
    )
    rule = pl.lit("irregular")
    sieve.drop_series(
        found.select("series", rule.alias("rule"), reason.alias("reason"), "measured")
    )
    interval = sieve.series["interval"].gather(sieve.rows["series"])
    sieve.drop(
        sieve.rows.select(grid.is_off_grid(interval).fill_null(value=False)).to_series(),
        "off_grid",
        pl.format("time stamp lies {} s off the grid of {}", pl.col("off").abs() / 1e6, "freq"),
    )


def _drop_duplicates(sieve: Sieve) -> None:
    """Keep the first of the rows at one point of the grid."""
    rows = sieve.rows
    series, cell = rows["series"].to_numpy(), rows["cell"].to_numpy()
    again = np.zeros(rows.height, np.bool_)
    again[1:] = (series[1:] == series[:-1]) & (cell[1:] == cell[:-1])
    is_again = pl.Series(again)
    if not is_again.any():
        return
    first = rows.select(first=pl.when(~is_again).then("value").forward_fill())
    value = pl.col("value")
    sieve.drop(
        is_again,
        "duplicate_timestamp",
        pl.when(value == pl.col("first"))
        .then(pl.format("value = {} again at the same time", value))
        .otherwise(pl.format("value = {} where value = {} is kept", value, "first")),
        facts=first.filter(is_again),
    )


def _drop_newest(sieve: Sieve, num_points: int) -> None:
    """Take out the newest points of each series: the row ``num_points`` further is another's."""
    series = sieve.rows["series"]
    is_newest = (series.shift(-num_points) != series).fill_null(value=True)
    reason = pl.lit(f"not final: among the newest validate.drop_last = {num_points} of its series")
    sieve.drop(is_newest, "not_final", reason)


def _drop_broken_series(sieve: Sieve, params: ValidateParams) -> int:
    """Take out series that break a rule as a whole; return how many others are mostly zero."""
    found = _facts(sieve.rows)
    remaining = pl.DataFrame({"series": (~sieve.is_gone).arg_true()})
    found = remaining.join(found, on="series", how="left", maintain_order="left")
    found = found.with_columns(pl.col("points", "observed").fill_null(0))
    found = found.with_columns(missing=(pl.col("points") - pl.col("observed")) / pl.col("points"))
    too_short = pl.col("points") < params.min_length
    too_many_gaps = pl.col("missing") > params.max_missing_share
    constant = pl.col("lowest") == pl.col("highest")

    def by_rule(short: pl.Expr, gaps: pl.Expr, same: pl.Expr) -> pl.Expr:
        return pl.when(too_short).then(short).when(too_many_gaps).then(gaps).otherwise(same)

    gaps_reason = pl.format(
        "{} of its {} points are missing, at most {}",
        pl.col("missing").round(4),
        "points",
        pl.lit(params.max_missing_share),
    )
    bad = found.filter(too_short | too_many_gaps | constant).select(
        "series",
        rule=by_rule(pl.lit("too_short"), pl.lit("too_many_gaps"), pl.lit("constant")),
        reason=by_rule(
            _too_short_reason(params),
            gaps_reason,
            pl.format("all {} values = {}", "observed", "lowest"),
        ),
        measured=by_rule(pl.col("points"), pl.col("missing"), pl.col("lowest")).cast(pl.Float64),
    )
    sieve.drop_series(bad)
    is_kept = ~pl.col("series").is_in(bad["series"].implode())
    return found.filter(is_kept & (pl.col("zero_share") > MOSTLY_ZERO)).height


def _facts(rows: pl.DataFrame) -> pl.DataFrame:
    """What the rules of whole series need: counts, the span and the extremes of each."""
    index, cell, value = (rows[name].to_numpy() for name in ("series", "cell", "mended"))
    starts = starts_of(index)
    if not len(starts):
        starts = np.zeros(0, np.int64)
        value = cell = index = np.zeros(1)
    counts = np.diff(starts, append=rows.height)
    zeros = np.add.reduceat(value == 0, starts, dtype=np.int64)
    return pl.DataFrame(
        {
            "series": pl.Series(index[starts], dtype=pl.UInt32),
            "observed": counts,
            "points": cell[starts + counts - 1] - cell[starts] + 1,
            "lowest": np.minimum.reduceat(value, starts),
            "highest": np.maximum.reduceat(value, starts),
            "zero_share": zeros / counts,
        }
    )
