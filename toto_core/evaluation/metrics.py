"""Losses of quantile forecasts, from the single cell to the pooled figure.

Conventions, where libraries differ (fev and GluonTS agree with each of them unless said):

- The quantile loss carries the factor 2, so that the loss of the median is the absolute error.
- The scale of a series is its mean absolute seasonal change over the whole history before the
  test period, not over the model's context; it is frozen there.
- A pooled figure is the average over observed cells: a missing target is skipped, and a series
  with more observed cells weighs more.
- A series whose scale is zero or undefined (constant, or a history not longer than a season) has
  no scaled loss. GluonTS would take neighbouring points as the season of a short history.

Shapes: N cells (item, variate, origin, step), Q quantile levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int64

QUANTILE_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MODEL = "model"
SERIES_KEYS = ("item_id", "variate")
ORIGIN_KEYS = ("item_id", "variate", "origin")


@dataclass(frozen=True)
class CellLosses:
    """Losses of one forecaster, one value for each cell; zero where the target is missing.

    Attributes:
        observed: whether the target is there.
        ql: quantile loss with the factor 2, mean over the levels.
        ae: absolute error of the median.
        se: its squared error.
        inside80: 1 where the target lies in the closed interval of the levels 0.1 and 0.9.
    """

    observed: Bool[np.ndarray, " N"]
    ql: Float[np.ndarray, " N"]
    ae: Float[np.ndarray, " N"]
    se: Float[np.ndarray, " N"]
    inside80: Float[np.ndarray, " N"]


def cell_losses(
    target: Float[np.ndarray, " N"],
    quantiles: Float[np.ndarray, "N Q"],
    *,
    levels: Sequence[float] = QUANTILE_LEVELS,
) -> CellLosses:
    """Compute the losses of each cell.

    The loss at level q of a quantile z is 2 |(y - z) (1{y <= z} - q)|.

    Args:
        target: the truth y, missing = NaN.
        levels: of the columns of ``quantiles``; 0.1, 0.5 and 0.9 must be among them.
    """
    observed = np.isfinite(target)
    y = np.where(observed, target, 0.0).astype(np.float64)
    low, median, high = (quantiles[:, levels.index(level)] for level in (0.1, 0.5, 0.9))
    ql = np.zeros(len(y))
    for column, level in enumerate(levels):
        error = y - quantiles[:, column]
        ql += np.maximum(level * error, (level - 1) * error)
    error = np.where(observed, y - median, 0.0)
    return CellLosses(
        observed=observed,
        ql=np.where(observed, 2 * ql / len(levels), 0.0),
        ae=np.abs(error),
        se=np.square(error),
        inside80=((low <= y) & (y <= high) & observed).astype(np.float64),
    )


def seasonal_errors(series: pl.LazyFrame, seasons: pl.DataFrame, *, before_us: int) -> pl.DataFrame:
    """Return the scale of each series: its mean |y_t - y_(t-S)| before a point in time.

    Only pairs of observed values count. The scale is null where there is no pair, and 0 where
    the history is constant; neither can scale a loss.

    Args:
        series: the columns of ``tables.SERIES_SCHEMA`` on a grid, each series in order of time.
        seasons: columns item_id and season (S, steps, >= 1).
        before_us: microseconds since 1970 in UTC; what is at or after it is not read.

    Returns:
        Columns item_id, variate and scale, one row for each series, sorted.
    """
    value = pl.col("value").cast(pl.Float64).fill_nan(None)
    change = value - value.shift(pl.col("season").first())
    return (
        series.filter(pl.col("timestamp").to_physical() < before_us)
        .join(seasons.lazy(), on="item_id", maintain_order="left")
        .group_by(SERIES_KEYS, maintain_order=True)
        .agg(change.abs().mean().alias("scale"))
        .sort(SERIES_KEYS)
        .collect()
    )


def origin_losses(
    forecasts: pl.DataFrame,
    facts: pl.DataFrame,
    *,
    forecasters: Sequence[str],
    source: str,
    levels: Sequence[float] = QUANTILE_LEVELS,
) -> pl.DataFrame:
    """Average the losses of each forecaster over the steps of each item, variate and origin.

    Args:
        forecasts: the table of ``backtest``, sorted by item, variate, origin and step.
        facts: columns item_id, variate, group, held_out and scale, one row for each series.
        source: goes into the column of that name.

    Returns:
        One row for each item, variate, origin and forecaster, sorted so, with the columns of
        ``facts`` and: sql, mase (scaled quantile loss and absolute error; null without a usable
        scale), ql, mae, mse (the same, unscaled; squared error), cov80 (share of targets in the
        central 80 % interval), abs_target (mean |y|), all means over the observed steps, whose
        number is num_steps. Origins without any observed step are left out.
    """
    groups = _Groups(forecasts.select(pl.struct(ORIGIN_KEYS).rle_id()).to_series().to_numpy())
    target = _target(forecasts)
    observed = np.isfinite(target)
    counts = groups.sum(observed)
    per_step = np.maximum(counts, 1)
    keys = forecasts[groups.starts].select(ORIGIN_KEYS)
    keys = keys.join(facts, on=SERIES_KEYS, how="left", maintain_order="left")
    abs_target = groups.sum(np.where(observed, np.abs(target), 0.0)) / per_step
    usable = pl.when(pl.col("scale") > 0).then(pl.col("scale"))
    tables = []
    for name in forecasters:
        cells = cell_losses(target, _quantiles(forecasts, name), levels=levels)
        table = keys.with_columns(
            forecaster=pl.lit(name),
            source=pl.lit(source),
            ql=groups.sum(cells.ql) / per_step,
            mae=groups.sum(cells.ae) / per_step,
            mse=groups.sum(cells.se) / per_step,
            cov80=groups.sum(cells.inside80) / per_step,
            abs_target=abs_target,
            num_steps=counts.astype(np.int32),
        )
        tables.append(table.filter(pl.col("num_steps") > 0))
    return (
        pl.concat(tables)
        .with_columns(sql=pl.col("ql") / usable, mase=pl.col("mae") / usable)
        .sort(*ORIGIN_KEYS, "forecaster")
        .select(
            *("item_id", "group", "variate", "held_out", "origin", "forecaster", "source"),
            *("sql", "mase", "mae", "ql", "mse", "abs_target", "num_steps", "scale", "cov80"),
        )
    )


def pooled_scores(losses: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Pool the rows of ``origin_losses`` into one figure for each metric and forecaster.

    All are averages over observed cells: mase, sql, mae, mql (unscaled quantile loss), wql (sum
    of the quantile loss over the sum of |y|, which is GIFT-Eval's CRPS), coverage80, and
    r2_vs_naive = 1 - sum of squared scaled errors / the same of no-change (Campbell and Thompson
    2008). Ordinary R2 is left out: on a random walk it says how long the window was.
    """
    scores = {}
    naive_mse = _cell_mean(losses.filter(pl.col("forecaster") == "naive"), _SCALED_MSE)
    for name in losses["forecaster"].unique().sort():
        rows = losses.filter(pl.col("forecaster") == name)
        mse = _cell_mean(rows, _SCALED_MSE)
        scores[name] = {
            "mase": _cell_mean(rows, pl.col("mase")),
            "sql": _cell_mean(rows, pl.col("sql")),
            "wql": _ratio(
                _cell_mean(rows, pl.col("ql")),
                _cell_mean(rows, pl.col("abs_target")),
            ),
            "mae": _cell_mean(rows, pl.col("mae")),
            "mql": _cell_mean(rows, pl.col("ql")),
            "coverage80": _cell_mean(rows, pl.col("cov80")),
            "r2_vs_naive": 1 - _ratio(mse, naive_mse),
        }
    return scores


def horizon_scores(
    forecasts: pl.DataFrame, facts: pl.DataFrame, *, forecasters: Sequence[str]
) -> pl.DataFrame:
    """Average the scaled losses over items and origins for each step ahead.

    Returns:
        Columns step, forecaster, mase and sql; series without a usable scale are left out.
    """
    rows = forecasts.join(
        facts.select(*SERIES_KEYS, "scale"), on=SERIES_KEYS, how="inner", maintain_order="left"
    ).filter(pl.col("scale") > 0)
    scale, step, target = rows["scale"].to_numpy(), rows["step"].to_numpy(), _target(rows)
    counts = np.bincount(step, weights=np.isfinite(target))
    seen = np.flatnonzero(counts)
    tables = []
    for name in forecasters:
        cells = cell_losses(target, _quantiles(rows, name))
        means = {
            metric: (np.bincount(step, weights=loss / scale)[seen] / counts[seen])
            for metric, loss in (("mase", cells.ae), ("sql", cells.ql))
        }
        tables.append(pl.DataFrame({"step": seen, "forecaster": [name] * len(seen), **means}))
    return pl.concat(tables).with_columns(pl.col("step").cast(pl.Int32))


class _Groups:
    """Sums over runs of equal numbers, in a fixed order, so that they repeat to the last bit."""

    def __init__(self, run_of_row: np.ndarray) -> None:
        self.starts: Int64[np.ndarray, " G"] = np.flatnonzero(
            np.diff(run_of_row.astype(np.int64), prepend=-1)
        )

    def sum(self, values: np.ndarray) -> Float[np.ndarray, " G"]:
        if not len(values):
            return np.zeros(0)
        return np.add.reduceat(values.astype(np.float64), self.starts)


_SCALED_MSE = pl.col("mse") / pl.col("scale") ** 2


def _cell_mean(losses: pl.DataFrame, value: pl.Expr) -> float:
    """Average a column over cells: rows weigh as many steps as they hold, nulls nothing."""
    rows = losses.select(value=value, weight=pl.col("num_steps")).drop_nulls().drop_nans()
    weight = rows["weight"].to_numpy().astype(np.float64)
    return _ratio(float(rows["value"].to_numpy() @ weight), float(weight.sum()))


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else float("nan")


def _target(forecasts: pl.DataFrame) -> Float[np.ndarray, " N"]:
    return forecasts["target"].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _quantiles(forecasts: pl.DataFrame, name: str) -> Float[np.ndarray, "N Q"]:
    return forecasts[name].to_numpy().astype(np.float64)
