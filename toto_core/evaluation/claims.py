"""What is said beside the verdict and decides nothing: new series, refits, a fair opponent."""

import math
from collections.abc import Mapping

import numpy as np
import polars as pl

from toto_core.config import RegisterParams
from toto_core.evaluation.checks import finite
from toto_core.evaluation.grouping import group_means
from toto_core.evaluation.json_numbers import number
from toto_core.evaluation.verdict import FAIL, INCONCLUSIVE, PASS, TITLES, Check, percent

CLAIMS = (
    ("held_out", "new series", "What the model is worth on series that no training has seen."),
    ("crossval", "rolling refits", "What the recipe is worth when it is fitted anew over time."),
)


def spread(rows: pl.DataFrame, params: RegisterParams) -> tuple[Check, ...]:
    """Say whether no change is a fair opponent: whether its own intervals hold; decides nothing.

    A model can beat a baseline whose quantiles are too narrow or too wide by its spread alone, on
    a series whose median it forecasts worse. Past changes that are much smaller than today's, as
    those of a share that has risen for years, make such a baseline.
    """
    found = rows.filter((pl.col("forecaster") == "naive") & finite("cov80"))
    covered = found.with_columns(covered=pl.col("cov80").cast(pl.Float64) * pl.col("num_steps"))
    by_variate = group_means(covered, ["variate"], ["covered", "num_steps"]).select(
        "variate", share=pl.col("covered") / pl.col("num_steps")
    )
    if not by_variate.height:
        return ()
    low, high = params.coverage
    off = [max(low - share, share - high) for share in by_variate["share"]]
    worst = int(np.argmax(off))
    variate, share = by_variate.row(worst)
    fair = off[worst] <= 0
    return (
        Check(
            "spread of no change",
            PASS if fair else INCONCLUSIVE,
            f"{percent(share)} of the truth inside its 80 % interval on {variate}",
            f"{percent(low)} to {percent(high)}",
            "The intervals of no change hold, so the spread alone wins nothing."
            if fair
            else "Part of the gain may be spread alone: compare the medians, and see "
            "evaluate.naive_window.",
        ),
    )


def claims(evaluation: Mapping[str, object]) -> tuple[Check, ...]:
    """Say what is known of new series and of refits; this decides nothing."""
    tables = evaluation.get("skill")
    found = []
    for key, name, reason in CLAIMS:
        table = tables.get(key) if isinstance(tables, Mapping) else None
        rows = {
            baseline: (number(row.get("skill")), number(row.get("lower_bound")))
            for baseline, row in (table.items() if isinstance(table, Mapping) else ())
            if isinstance(row, Mapping)
        }
        if not rows or any(math.isnan(skill) for skill, _ in rows.values()):
            continue
        undecided = [b for b in rows if math.isnan(rows[b][1])]
        lost = [b for b in rows if rows[b][0] <= 0 or rows[b][1] <= 0]
        baseline = min(lost or undecided or rows, key=lambda b: rows[b])
        skill, bound = rows[baseline]
        found.append(
            Check(
                name,
                FAIL if lost else INCONCLUSIVE if undecided else PASS,
                f"skill {percent(skill)} against {TITLES.get(baseline, baseline)}, "
                f"lower bound {percent(bound)}",
                "one-sided 95 % lower bound above 0 % against each baseline",
                reason,
            )
        )
    return tuple(found)
