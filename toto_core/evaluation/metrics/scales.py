"""The seasonal error of each series, by which its losses are divided."""

from typing import Literal

import polars as pl

from toto_core.evaluation.metrics.keys import SERIES_KEYS


def seasonal_errors(
    series: pl.LazyFrame,
    seasons: pl.DataFrame,
    *,
    before_us: int,
    power: Literal[1, 2] = 1,
    short_history: Literal["exclude", "neighbours"] = "exclude",
) -> pl.DataFrame:
    """Return the scale of each series: its mean |y_t - y_(t-S)| before a point in time.

    Only pairs of observed values count. The scale is null where there is no pair, and 0 where
    the history is constant; neither can scale a loss.

    Args:
        series: the columns of ``tables.SERIES_SCHEMA`` on a grid, each series in order of time.
        seasons: columns item_id and season (S, steps, >= 1).
        before_us: microseconds since 1970 in UTC; what is at or after it is not read.
        power: 2 takes the root of the mean square instead, which scales squared errors (RMSSE).
        short_history: of a history shorter than a season. ``exclude`` gives no scale, as fev and
            utilsforecast do; ``neighbours`` takes neighbouring points as the season, as GluonTS.

    Returns:
        Columns item_id, variate and scale, one row for each series, sorted.
    """
    value = pl.col("value").cast(pl.Float64).fill_nan(None)
    season = pl.col("season").first()
    if short_history == "neighbours":
        season = pl.when(pl.len() < season).then(1).otherwise(season)
    change = value - value.shift(season)
    error = change.abs().mean() if power == 1 else change.pow(2).mean().sqrt()
    return (
        series.filter(pl.col("timestamp").to_physical() < before_us)
        .join(seasons.lazy(), on="item_id", maintain_order="left")
        .group_by(SERIES_KEYS, maintain_order=True)
        .agg(error.alias("scale"))
        .sort(SERIES_KEYS)
        .collect()
    )
