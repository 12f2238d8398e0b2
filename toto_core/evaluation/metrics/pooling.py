"""Figures over many cells, from the losses of series and origins.

A figure is the average over observed cells: a missing target is skipped, and a series with more
observed cells weighs more (fev, GluonTS). ``average="series"`` averages within each series first
and weighs all series alike, as utilsforecast and the M competitions do.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl

from toto_core.evaluation.grouping import Groups
from toto_core.evaluation.metrics.keys import SERIES_KEYS

REFERENCE = "naive"  # no change, which OWA and R2 are relative to
METRICS = (
    *("mase", "sql", "wql", "mql", "mae", "rmse", "smape", "owa"),
    *("msis80", "winkler80", "coverage80", "sharpness", "r2_vs_naive"),
)
_scale = pl.col("scale")
_CELL_MEANS = {
    "mase": pl.col("mase"),
    "sql": pl.col("sql"),
    "mql": pl.col("ql"),
    "mae": pl.col("mae"),
    "mse": pl.col("mse"),
    "smape": pl.col("smape"),
    "abs_target": pl.col("abs_target"),
    "winkler80": pl.col("winkler80"),
    "coverage80": pl.col("cov80"),
    # Divided by the scale where the loss is, so that they are about the same series.
    "msis80": pl.when(pl.col("sql").is_not_null()).then(pl.col("winkler80") / _scale),
    "sharpness": pl.when(pl.col("sql").is_not_null()).then(pl.col("width80") / _scale),
    "scaled_mse": pl.when(pl.col("sql").is_not_null()).then(pl.col("mse") / _scale**2),
}


def scores(
    losses: pl.DataFrame,
    by: Sequence[str] = (),
    *,
    average: Literal["cells", "series"] = "cells",
) -> pl.DataFrame:
    """Pool the rows of ``Tally.losses`` for each forecaster, and each group if asked.

    Args:
        by: columns of ``losses`` such as item_id, variate, group or origin; none pools all.

    Returns:
        The columns ``by``, forecaster, num_cells and ``METRICS``, sorted:

        - mase, sql: absolute error of the median and quantile loss, scaled by series;
        - wql: sum of the quantile loss over the sum of |y|, which is GIFT-Eval's CRPS;
        - mql, mae, rmse, winkler80: unscaled; smape: 0 to 2;
        - owa: ``relative.owa`` against no change;
        - msis80, coverage80, sharpness: scaled interval score, share of targets inside, and
          scaled width, of the central 80 % interval; sharpness compares calibrated ones only;
        - r2_vs_naive: ``relative.out_of_sample_r2`` of scaled errors.

        What is not defined (no usable scale, no no-change) is NaN.
    """
    keys = (*by, "forecaster")
    if average == "cells":
        pooled = _derived(_cell_means(losses, keys))
    else:
        series = [key for key in SERIES_KEYS if key not in keys]
        pooled = _series_means(_derived(_cell_means(losses, (*keys, *series))), keys)
    pooled = pooled.with_columns(whole=pl.lit(0))  # a key of the join where ``by`` has none
    reference = pooled.filter(pl.col("forecaster") == REFERENCE).drop("forecaster")
    pooled = pooled.join(
        reference, on=[*by, "whole"], how="left", suffix="_base", maintain_order="left"
    )
    pooled = pooled.with_columns(
        owa=(_ratio("smape", "smape_base") + _ratio("mase", "mase_base")) / 2,
        r2_vs_naive=1 - _ratio("scaled_mse", "scaled_mse_base"),
    )
    floats = pl.col(METRICS).fill_null(float("nan"))
    return pooled.select(*keys, "num_cells", floats)


def pooled_scores(losses: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Return ``METRICS`` of each forecaster over all cells."""
    return {
        row["forecaster"]: {name: row[name] for name in METRICS}
        for row in scores(losses).iter_rows(named=True)
    }


def _cell_means(losses: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Average over cells: rows weigh as many steps as they hold, nulls nothing.

    Sums run in the order of the rows, so that they repeat to the last bit.
    """
    groups = Groups.of(losses, keys)
    steps = losses["num_steps"].to_numpy().astype(np.float64)
    num_cells = groups.sums(steps)
    means = {}
    for name, expression in _CELL_MEANS.items():
        values = losses.select(expression).to_series()
        weights, totals = steps, num_cells
        if values.null_count():
            weights = np.where(values.is_not_null(), steps, 0.0)
            totals = groups.sums(weights)
        sums = groups.sums(values.fill_null(0.0).to_numpy() * weights)
        means[name] = np.divide(sums, totals, out=np.full(len(totals), np.nan), where=totals > 0)
    return groups.keys.with_columns(num_cells=num_cells.astype(np.int64), **means)


def _derived(means: pl.DataFrame) -> pl.DataFrame:
    return means.with_columns(wql=_ratio("mql", "abs_target"), rmse=pl.col("mse").sqrt())


def _series_means(table: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Average over series, each weighing 1; what a series does not have is left out."""
    metrics = [name for name in table.columns if table[name].dtype == pl.Float64]
    ordered = table.sort(keys, maintain_order=True)
    return ordered.group_by(keys, maintain_order=True).agg(
        pl.col("num_cells").sum(), pl.col(metrics).fill_nan(None).mean()
    )


def _ratio(numerator: str, denominator: str) -> pl.Expr:
    """Return the quotient; null where the denominator is zero, negative or unknown."""
    positive = pl.col(denominator) > 0
    return pl.when(positive & pl.col(denominator).is_not_nan()).then(
        pl.col(numerator) / pl.col(denominator)
    )
