"""Forecasters side by side: losses in columns, one mean per origin, and the gain that they show.

Shapes: N origins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float64

from toto_core.evaluation.grouping import group_means
from toto_core.evaluation.metrics.relative import skill
from toto_core.evaluation.significance import ewc_dm_test
from toto_core.evaluation.verdict import BASE, MODEL, UNCALIBRATED

CELL = ("item_id", "group", "variate", "origin")


@dataclass(frozen=True)
class Gain:
    """How much less the model loses than a baseline.

    Attributes:
        skill: 1 - loss of the model / loss of the baseline.
        lower: its one-sided 95 % lower bound over the origins; NaN where it is not defined.
    """

    skill: float
    lower: float

    @property
    def is_shown(self) -> bool:
        """Whether even the cautious end of it is a gain."""
        return self.lower > 0


def gain(
    model_N: Float64[np.ndarray, " N"], base_N: Float64[np.ndarray, " N"], *, overlap: int
) -> Gain:
    """Compare the losses of model and baseline at the same origins."""
    bound, mean = math.nan, float(base_N.mean()) if len(base_N) else math.nan
    if len(base_N) > 1 and mean > 0:
        test = ewc_dm_test(base_N - model_N, h=overlap, alternative="greater")
        bound = test.lower_bound() / mean
    return Gain(skill(float(model_N.sum()), float(base_N.sum())), bound)


def beside_base(losses: pl.DataFrame) -> pl.DataFrame:
    """Return the candidate's rows of the base and of the model, which are compared as trained.

    The base has no correction, so of a model that was calibrated what it said before counts.
    """
    source = UNCALIBRATED if UNCALIBRATED in losses["source"] else "candidate"
    of_base = (pl.col("source") == "candidate") & (pl.col("forecaster") == BASE)
    of_model = (pl.col("source") == source) & (pl.col("forecaster") == MODEL)
    return losses.filter(of_base | of_model)


def side_by_side(
    rows: pl.DataFrame, *, index: Sequence[str], forecasters: Sequence[str], loss: str = "sql"
) -> pl.DataFrame:
    """Return one float64 column of ``loss`` for each forecaster, null where it has no row."""
    kept = rows.filter(pl.col("forecaster").is_in(list(forecasters)))
    wide = kept.pivot(on="forecaster", index=list(index), values=loss).sort(index)
    absent = [pl.lit(None).alias(name) for name in forecasters if name not in wide.columns]
    return wide.with_columns(absent).with_columns(pl.col(*forecasters).cast(pl.Float64))


def by_origin(panel: pl.DataFrame, forecaster: str) -> Float64[np.ndarray, " N"]:
    """Return the mean loss over the series at each origin, in the order of the origins."""
    return group_means(panel.sort(CELL), ["origin"], [forecaster])[forecaster].to_numpy()


def all_finite(forecasters: Sequence[str]) -> pl.Expr:
    """Return whether each of the columns of ``side_by_side`` holds a number."""
    return pl.all_horizontal(
        pl.col(name).is_finite().fill_null(value=False) for name in forecasters
    )
