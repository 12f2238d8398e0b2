"""The loss of each forecaster at each origin, and the skill within stretches of origins."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float64

from toto_core.evaluation.grouping import group_means
from toto_core.evaluation.significance import ewc_dm_test
from toto_core.evaluation.verdict import MODEL

NUM_SEGMENTS = 5  # as in the gate
CANDIDATE, REFITS = "candidate", "crossval"


def origin_table(losses: pl.DataFrame, *, source: str) -> pl.DataFrame:
    """Return the mean scaled quantile loss over the seen series at each origin.

    Args:
        losses: the table of ``data/losses.parquet``.
        source: ``candidate`` or ``crossval``.

    Returns:
        Column origin and one for each forecaster, sorted by time; null where it has no loss.
    """
    rows = losses.filter((pl.col("source") == source) & ~pl.col("held_out"))
    rows = rows.filter(pl.col("sql").is_finite().fill_null(value=False))
    means = group_means(rows, ["origin", "forecaster"], ["sql"])
    if not means.height:
        return pl.DataFrame(schema={"origin": losses.schema["origin"], MODEL: pl.Float64})
    return means.pivot(on="forecaster", index="origin", values="sql").sort("origin")


def differential(table: pl.DataFrame, baseline: str) -> tuple[list[datetime], np.ndarray]:
    """Return the origins and the model's loss minus the baseline's at each; below zero: better."""
    if not {MODEL, baseline} <= set(table.columns):
        return [], np.zeros(0)
    rows = table.select("origin", d=pl.col(MODEL) - pl.col(baseline)).drop_nulls()
    return rows["origin"].to_list(), rows["d"].to_numpy()


def skill_with_interval(
    model: Float64[np.ndarray, " N"], base: Float64[np.ndarray, " N"], *, overlap: int
) -> dict[str, Any]:
    """Return skill, its two-sided 95 % interval and p as ``evaluate.json`` has them, for N origins.

    What too few origins leave undefined is NaN.
    """
    found: dict[str, Any] = dict.fromkeys(("lower", "upper", "p_value"), math.nan)
    found |= {"n": len(base), "skill": math.nan}
    mean = float(base.mean()) if len(base) else math.nan
    if not mean > 0:
        return found
    found["skill"] = 1 - float(model.mean()) / mean
    if len(base) > 1:
        test = ewc_dm_test(base - model, h=overlap, alternative="greater")
        lower, upper = test.interval()
        found |= {"lower": lower / mean, "upper": upper / mean, "p_value": test.p_value}
    return found


def by_segment(table: pl.DataFrame, baseline: str, *, overlap: int) -> list[dict[str, Any]]:
    """Return the skill in consecutive segments of the origins, with their first and last origin."""
    return [
        _row(rows, baseline, overlap)
        for rows in _parts(_complete(table, baseline), NUM_SEGMENTS)
        if rows.height
    ]


def by_fold(
    table: pl.DataFrame, baseline: str, folds: Sequence[Mapping[str, Any]], *, overlap: int
) -> list[dict[str, Any]]:
    """Return the skill of each refit on its own origins.

    Args:
        folds: ``folds`` of ``splits.json``, each with its ``origins``.
    """
    complete = _complete(table, baseline)
    found = []
    for fold in folds:
        own = {datetime.fromisoformat(str(origin)).timestamp() for origin in fold["origins"]}
        kept = [origin.timestamp() in own for origin in complete["origin"].to_list()]
        rows = complete.filter(pl.Series(kept, dtype=pl.Boolean))
        if rows.height:
            found.append(_row(rows, baseline, overlap))
    return found


def _complete(table: pl.DataFrame, baseline: str) -> pl.DataFrame:
    names = {"origin", MODEL, baseline}
    if not names <= set(table.columns):
        return table.head(0).select("origin")
    return table.select("origin", MODEL, baseline).drop_nulls()


def _parts(table: pl.DataFrame, count: int) -> list[pl.DataFrame]:
    return [table[part.tolist()] for part in np.array_split(np.arange(table.height), count)]


def _row(rows: pl.DataFrame, baseline: str, overlap: int) -> dict[str, Any]:
    found = skill_with_interval(rows[MODEL].to_numpy(), rows[baseline].to_numpy(), overlap=overlap)
    return found | {"first": rows["origin"][0], "last": rows["origin"][-1]}
