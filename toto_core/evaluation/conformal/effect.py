"""What a correction has changed on the test period: coverage and loss, before and after.

Shapes: N cells, S steps, Q levels, L levels beyond them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from toto_core.evaluation.calibration import calibration_scores
from toto_core.evaluation.conformal.correction import Calibration
from toto_core.evaluation.metrics import MODEL, QUANTILE_LEVELS, SERIES_KEYS, Profile, pooled_scores
from toto_core.evaluation.scores import blocks_of, compare
from toto_core.evaluation.verdict import UNCALIBRATED

BEYOND = (0.01, 0.025, 0.05, 0.95, 0.975, 0.99)


def calibration_effect(
    losses: pl.DataFrame, profile: Profile, calibration: Calibration, *, overlap: int
) -> dict[str, Any]:
    """Return the block ``calibrate`` of ``reports/metrics/evaluate.json``.

    Args:
        losses: of the candidate, those of ``UNCALIBRATED`` among them where it was corrected.
        profile: of the same forecasts.

    Returns:
        method, reason (why nothing was corrected, else empty), num_scores, num_forecasts,
        num_origins and weights of the correction; where there is one, ``before``: pooled scores,
        coverage and calibration of the model's own quantiles on the seen series, and ``gain``:
        the corrected model compared with them, as with a baseline.
    """
    facts = calibration.model_dump(
        include={"method", "reason", "num_scores", "num_forecasts", "num_origins", "weights"}
    )
    if not calibration.is_on:
        return facts
    rows = blocks_of(losses)["candidate"]
    coverage = profile.coverage().filter(pl.col("forecaster") == UNCALIBRATED)
    return facts | {
        "before": {
            "pooled": pooled_scores(rows)[UNCALIBRATED],
            "coverage": {f"{row['level']:g}": row["coverage"] for row in coverage.to_dicts()},
            "calibration": calibration_scores(rows, coverage, forecaster=UNCALIBRATED),
        },
        "gain": compare(rows, UNCALIBRATED, overlap=overlap),
    }


def coverage_beyond(
    tables: Iterable[pl.DataFrame], facts: pl.DataFrame, calibration: Calibration
) -> dict[str, float]:
    """Return how often the truth lies at or below levels beyond the nine, over the seen series.

    Args:
        tables: of forecasts, one after the other.
        facts: columns item_id, variate and held_out.

    Returns:
        The shares at those of ``BEYOND`` that the correction can answer, by level.
    """
    lowest, highest = calibration.range
    levels = [level for level in BEYOND if lowest <= level <= highest]
    num, below_L = 0, np.zeros(len(levels), np.int64)
    for cells in _seen_cells(tables, facts) if levels else ():
        quantiles_NL = calibration.at_levels(cells[MODEL].to_numpy(), levels)
        below_L += (cells["target"].to_numpy()[:, None] <= quantiles_NL).sum(axis=0)
        num += cells.height
    shares = (below_L / num).tolist() if num else []
    return dict(zip((f"{level:g}" for level in levels), shares, strict=False))


def coverage_by_step(
    tables: Iterable[pl.DataFrame],
    facts: pl.DataFrame,
    *,
    forecasters: Sequence[str],
    prediction_length: int,
) -> pl.DataFrame:
    """Count how often the truth lies at or below each quantile, by step, over the seen series.

    Args:
        tables: of forecasts, one after the other.
        facts: columns item_id, variate and held_out.

    Returns:
        Columns forecaster, step, level, coverage and num_cells; a step without any is left out.
    """
    num_S = np.zeros(prediction_length, np.int64)
    below_SQ = {name: np.zeros((prediction_length, len(QUANTILE_LEVELS))) for name in forecasters}
    for cells in _seen_cells(tables, facts):
        index_N, target_N = cells["step"].to_numpy() - 1, cells["target"].to_numpy()
        num_S += np.bincount(index_N, minlength=prediction_length)
        for name, counts_SQ in below_SQ.items():
            is_below_NQ = target_N[:, None] <= cells[name].to_numpy()
            for column, is_below_N in enumerate(is_below_NQ.T):
                counts_SQ[:, column] += np.bincount(
                    index_N[is_below_N], minlength=prediction_length
                )
    found_S, num_levels = np.flatnonzero(num_S), len(QUANTILE_LEVELS)
    return pl.concat(
        pl.DataFrame(
            {
                "forecaster": [name] * (len(found_S) * num_levels),
                "step": np.repeat(found_S + 1, num_levels),
                "level": np.tile(np.array(QUANTILE_LEVELS), len(found_S)),
                "coverage": (counts_SQ[found_S] / num_S[found_S, None]).ravel(),
                "num_cells": np.repeat(num_S[found_S], num_levels),
            }
        )
        for name, counts_SQ in below_SQ.items()
    )


def _seen_cells(tables: Iterable[pl.DataFrame], facts: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the cells with a target of the series that are not held out."""
    seen = facts.filter(~pl.col("held_out")).select(SERIES_KEYS)
    for table in tables:
        observed = table.filter(pl.col("target").is_finite().fill_null(value=False))
        yield observed.join(seen, on=SERIES_KEYS, how="semi", maintain_order="left")
