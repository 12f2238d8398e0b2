"""The steps of validation, in the order of ``sift``.

Each takes rows or whole series out of a ``Sieve`` and leaves behind a rule and a reason in words
that states what was found and what is allowed. Faults of single values come first, then those of
time, then those of a row beside its neighbours; what is left is repaired, and judged as a series.
"""

from collections.abc import Mapping
from typing import Final

import polars as pl

from toto_core.config import ValidateParams
from toto_core.data import bars, counters, grid, outliers, rules, stock_splits
from toto_core.data.grid import Calendar
from toto_core.data.sieve import Sieve, observed

MOSTLY_ZERO: Final = 0.8  # share of a series' values; such a series is intermittent, and is kept


def sift(sieve: Sieve, params: ValidateParams, calendars: Mapping[str, Calendar]) -> int:
    """Take out all that breaks a rule and mend what a repair can mend.

    The rows left have the columns that ``grid.place`` needs, at most one for each point of a grid.
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
    sieve.drop(sieve.rows["fault"].is_not_null(), pl.col("fault"), _fault_reason())
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
    if bounded:
        limits = sieve.series.select("lowest", "highest", "floor")
        rows = pl.concat([rows, limits.select(pl.all().gather(rows["series"]))], how="horizontal")
    faults = rules.row_faults(rows, bounded=bounded)
    fault = pl.Series([None], dtype=pl.Enum(rules.ROW_RULES)).new_from_index(0, rows.height)
    if not faults.is_empty():
        fault = fault.scatter(faults["index"], faults["rule"])
    if params.counters and bounded:
        is_counter = sieve.series["variate"].is_in(params.counters).gather(rows["series"])
        below = is_counter & (fault == "negative_volume")
        fault = fault.scatter(below.fill_null(value=False).arg_true(), "negative_counter")
    sieve.rows = sieve.rows.select("series", "time", "value", fault.alias("fault"))


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
    """Give each row its cell, with repairs; rows without a value leave."""
    # Rows without a value and rows with a fault are counted among the samples of a skipped hour.
    sieve.rows, sieve.series = grid.locate(sieve.rows, sieve.series, calendars)
    sieve.rows = grid.renumber_dst(sieve.rows, sieve.series)
    has_value = observed(sieve.rows["value"])
    if not has_value.all():
        sieve.rows = sieve.rows.filter(has_value)


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
    is_again = rows.select(
        (pl.col("series") == pl.col("series").shift()) & (pl.col("cell") == pl.col("cell").shift())
    ).to_series()
    is_again = is_again.fill_null(value=False)
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
    value = pl.col("mended")
    found = sieve.rows.group_by("series").agg(
        observed=pl.len().cast(pl.Int64),
        points=pl.col("cell").max() - pl.col("cell").min() + 1,
        lowest=value.min(),
        highest=value.max(),
        zero_share=(value == 0).mean(),
    )
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
