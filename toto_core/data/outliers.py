"""Rows that their neighbours make implausible: a lone outlier, and a value that no longer moves."""

from collections.abc import Mapping

import polars as pl

from toto_core.data.sieve import Sieve


def drop_lone(sieve: Sieve, max_spike: Mapping[str, float]) -> None:
    """Take out single points that lie far off both their neighbours, on the same side.

    Far is ``max_spike`` times the median change of the series from row to row, changes of zero
    aside. A step stays, and so does a spike of two points: only one neighbour differs.

    Args:
        max_spike: allowed distance by variate; other variates are not looked at.
    """
    at, rows = _looked_at(sieve, max_spike)
    if rows.is_empty():
        return
    value, series, change = pl.col("value"), pl.col("series"), pl.col("change")
    rows = rows.with_columns(value.cast(pl.Float64)).with_columns(
        change=pl.when(series == series.shift()).then(value - value.shift()),
    )
    typical = rows.filter(change != 0).group_by("series").agg(typical=change.abs().median())
    after = pl.when(series == series.shift(-1)).then(change.shift(-1))
    least = pl.min_horizontal(change.abs(), after.abs())
    found = rows.join(typical, on="series", how="left", maintain_order="left").select(
        "change",
        "limit",
        "typical",
        is_bad=(change * after < 0) & (least > pl.col("limit") * pl.col("typical")),
    )
    reason = pl.format(
        "value = {} is a change of {} that the next one undoes, at most {} times the median "
        "change of {}",
        "value",
        change.round_sig_figs(4),
        "limit",
        pl.col("typical").round_sig_figs(4),
    )
    _drop(sieve, at, found, "lone_outlier", reason)


def drop_stale(sieve: Sieve, max_repeats: Mapping[str, int]) -> None:
    """Take out all but the first of too many equal values in a row; zeros may repeat for ever.

    Args:
        max_repeats: most equal values in a row by variate; other variates are not looked at.
    """
    at, rows = _looked_at(sieve, max_repeats)
    if rows.is_empty():
        return
    rows = rows.with_columns(run=pl.struct("series", "value").rle_id())
    run = pl.col("run")
    found = rows.with_columns(repeats=pl.len().over("run")).select(
        "repeats",
        pl.col("limit").cast(pl.Int64),
        is_bad=(pl.col("repeats") > pl.col("limit"))
        & (pl.col("value") != 0)
        & (run == run.shift()),
    )
    reason = pl.format("value = {} {} times in a row, at most {}", "value", "repeats", "limit")
    _drop(sieve, at, found, "stale", reason)


def _looked_at(
    sieve: Sieve, limits: Mapping[str, int] | Mapping[str, float]
) -> tuple[pl.Series, pl.DataFrame]:
    """Positions of the rows whose variate has a limit, and the rows with it."""
    limit = sieve.series["variate"].replace_strict(
        dict(limits), default=None, return_dtype=pl.Float64
    )
    if not limit.count():
        return pl.Series(dtype=pl.UInt32), sieve.rows.clear()
    rows = sieve.rows.select("series", "value", limit=limit.gather(sieve.rows["series"]))
    has_limit = rows["limit"].is_not_null()
    return has_limit.arg_true(), rows.filter(has_limit)


def _drop(sieve: Sieve, at: pl.Series, found: pl.DataFrame, rule: str, reason: pl.Expr) -> None:
    is_bad = found["is_bad"].fill_null(value=False)
    everywhere = pl.repeat(value=False, n=sieve.rows.height, eager=True)
    everywhere = everywhere.scatter(at.filter(is_bad), values=True)
    sieve.drop(everywhere, rule, reason, facts=found.filter(is_bad))
