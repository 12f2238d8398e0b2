"""The evaluation in numbers: skill, tests, scores and what was left out.

Every comparison takes one loss per origin (averaged over steps, then over series) for the model
and for the baseline, and tests their difference (``significance``).

Shapes: N origins.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Float64

from toto_core.errors import DataError
from toto_core.evaluation.baselines import NAIVE
from toto_core.evaluation.calibration import calibration_scores
from toto_core.evaluation.grouping import group_means
from toto_core.evaluation.headline import caveat, headline
from toto_core.evaluation.metrics import (
    MODEL,
    ORIGIN_KEYS,
    SERIES_KEYS,
    Profile,
    pooled_scores,
    skill,
    skills,
)
from toto_core.evaluation.paired import beside_base
from toto_core.evaluation.significance import dm_test, ewc_dm_test
from toto_core.evaluation.verdict import BASE, UNCALIBRATED, in_order

CANDIDATE, CROSSVAL = "candidate", "crossval"

Comparison = dict[str, Any]

# Texts and lists: `dvc metrics show` has a column for every number outside of lists.
NOTES = (
    "r2_vs_naive: 1 - squared error / squared error of no change, on scaled errors; ordinary R2 is "
    "left out, as it tells the length of the judged window on a series that wanders",
    "owa: relative to no change in the place of Naive2; below 1 is better",
    "pit: share of the targets below the lowest level, between neighbours, above the highest one; "
    "even if calibrated",
)


def compare(losses: pl.DataFrame, baseline: str, *, overlap: int) -> Comparison:
    """Compare the model with one baseline over the origins.

    Args:
        losses: rows of ``origin_losses`` of the series that the claim is about.
        overlap: neighbouring origins whose targets overlap (``Splits.overlap``).

    Returns:
        skill (1 - mean loss of the model / mean loss of the baseline, over origins), its two-sided
        95 % interval lower..upper and one-sided 95 % lower_bound (EWC, the baseline's mean loss
        taken as fixed), statistic, one-sided p_value, df, h, h_eff, n, outcome and reason of the
        EWC test, p_hln (one-sided, Harvey-Leybourne-Newbold as in R, for comparison) and both
        mean losses. What is undefined is NaN.

    Raises:
        DataError: if model and baseline were not judged on the same origins.
    """
    rows = losses.filter(pl.col("sql").is_not_null()).select(*ORIGIN_KEYS, "forecaster", "sql")
    model, base = (rows.filter(pl.col("forecaster") == name) for name in (MODEL, baseline))
    if not model.select(ORIGIN_KEYS).equals(base.select(ORIGIN_KEYS)):
        model, base = model.sort(ORIGIN_KEYS), base.sort(ORIGIN_KEYS)
    if not model.select(ORIGIN_KEYS).equals(base.select(ORIGIN_KEYS)):
        raise DataError(
            f"evaluate: model and {baseline} were judged on {model.height} and {base.height} pairs "
            "of series and origin, the same ones are needed; run dvc repro evaluate"
        )
    model_N, base_N = loss_by_origin(model), loss_by_origin(base)
    mean_model, mean_base = (float(x.mean()) if len(x) else math.nan for x in (model_N, base_N))
    return {
        "skill": skill(mean_model, mean_base),
        **_tested(base_N - model_N, mean_base, overlap),
        "loss_model": mean_model,
        "loss_baseline": mean_base,
    }


def loss_by_origin(rows: pl.DataFrame) -> Float64[np.ndarray, " N"]:
    """Return the mean scaled quantile loss over the series at each origin, in their order."""
    return group_means(rows, ["origin"], ["sql"])["sql"].to_numpy()


def _tested(d: Float[np.ndarray, " N"], mean_base: float, overlap: int) -> Comparison:
    n = len(d)
    found: Comparison = dict.fromkeys(
        ("lower", "upper", "lower_bound", "statistic", "p_value", "p_hln"), math.nan
    )
    found |= {"n": n, "h": overlap, "h_eff": overlap, "df": 0, "outcome": "inconclusive"}
    if n < 2:
        return found | {"reason": f"{n} origins, at least 2 are needed to estimate anything"}
    test = ewc_dm_test(d, h=overlap, alternative="greater")
    found |= {
        "statistic": test.statistic,
        "p_value": test.p_value,
        "df": test.df,
        "h_eff": test.h_eff,
        "outcome": test.outcome,
        "reason": test.reason,
    }
    if mean_base > 0:
        lower, upper = test.interval()
        found |= {
            "lower": lower / mean_base,
            "upper": upper / mean_base,
            "lower_bound": test.lower_bound() / mean_base,
        }
    if np.ptp(d) > 0 and overlap <= n:
        found["p_hln"] = dm_test(d, h=overlap, alternative="greater").p_value
    return found


def evaluation_report(
    losses: pl.DataFrame,
    profile: Profile,
    *,
    overlap: int,
    exclusions: Sequence[Mapping[str, object]],
    outside: Sequence[Mapping[str, object]],
    seasonality: Mapping[str, int],
) -> dict[str, Any]:
    """Form the content of ``reports/metrics/evaluate.json``.

    ``pooled``, ``by_variate``, ``skill_by_variate``, ``coverage`` and ``calibration`` are about
    the seen series of the candidate, which are what the gate judges; held-out series and rolling
    refits have their own blocks in ``skill`` and ``scores``. ``headline`` ends with ``caveat``,
    which names the variates that are not won.

    Args:
        losses: of candidate and refits, without the excluded series.
        profile: of the candidate, on the same series.
        exclusions: item_id, variate, held_out and reason of each series that was left out.
        outside: item_id, variate and held_out of each series without a value in the test
            period; it may have its part in training, and leaves no gap in the judgement.
        seasonality: steps of the season, for each frequency.
    """
    blocks = blocks_of(losses)
    as_trained = losses.filter(pl.col("source") == UNCALIBRATED)

    def rows_against(baseline: str, rows: pl.DataFrame) -> pl.DataFrame:
        if baseline != BASE:
            return rows
        own = as_trained.join(rows, on=ORIGIN_KEYS, how="semi", maintain_order="left")
        return beside_base(pl.concat([rows, own]))

    def against_all(rows: pl.DataFrame) -> dict[str, Comparison]:
        return {
            baseline: compare(rows_against(baseline, rows), baseline, overlap=overlap)
            for baseline in _baselines(rows)
        }

    against = {name: against_all(rows) for name, rows in blocks.items()}
    coverage = profile.coverage().filter(pl.col("forecaster") == MODEL)
    pit = profile.pit().filter(pl.col("forecaster") == MODEL)
    gate_rows = blocks["candidate"]
    variates = {
        variate: gate_rows.filter(pl.col("variate") == variate)
        for variate in gate_rows["variate"].unique().sort()
    }
    skill_by_variate = {name: against_all(rows) for name, rows in variates.items()}
    left_out = {str(row["variate"]) for row in exclusions if not row["held_out"]}
    but = caveat(
        against["candidate"][NAIVE],
        skill_by_variate,
        unjudged=sorted(left_out - skill_by_variate.keys()),
    )
    return {
        "headline": f"{headline(against)} {but}".strip(),
        "caveat": but,
        "pooled": pooled_scores(gate_rows),
        "skill": against,
        "skill_by_variate": skill_by_variate,
        "scores": {
            name: pooled_scores(blocks[name])
            for name in ("held_out", "crossval")
            if blocks[name].height
        },
        "by_variate": {variate: pooled_scores(rows) for variate, rows in variates.items()},
        "coverage": {f"{row['level']:g}": row["coverage"] for row in coverage.to_dicts()},
        "pit": pit["share"].to_list(),
        "calibration": calibration_scores(gate_rows, coverage, forecaster=MODEL),
        "notes": list(NOTES),
        "exclusions": [dict(exclusion) for exclusion in exclusions],
        "outside_test_period": [dict(series) for series in outside],
        "baselines": [name for name in _baselines(gate_rows) if name != BASE],
        "num_series": _num_series(losses.filter(pl.col("source") == CANDIDATE)),
        "num_origins": gate_rows["origin"].n_unique(),
        "overlap": overlap,
        "seasonality": dict(seasonality),
    }


def _baselines(rows: pl.DataFrame) -> list[str]:
    """All forecasters in ``rows`` but the model, in the order in which they are shown."""
    return [name for name in in_order(rows["forecaster"].unique()) if name != MODEL]


def blocks_of(losses: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Cut the losses into what is claimed apart: seen series, held-out ones, rolling refits."""
    is_candidate, held_out = pl.col("source") == CANDIDATE, pl.col("held_out")
    return {
        "candidate": losses.filter(is_candidate & ~held_out),
        "held_out": losses.filter(is_candidate & held_out),
        "crossval": losses.filter((pl.col("source") == CROSSVAL) & ~held_out),
    }


def _num_series(rows: pl.DataFrame) -> int:
    return rows.select(SERIES_KEYS).unique().height


def origin_scores(losses: pl.DataFrame) -> pl.DataFrame:
    """Return the columns origin, forecaster and sql: the mean over the series at each origin."""
    rows = losses.filter(pl.col("sql").is_not_null())
    return group_means(rows, ["origin", "forecaster"], ["sql"]).drop("num_rows")


def item_scores(losses: pl.DataFrame) -> pl.DataFrame:
    """Score the candidate on each series.

    Returns:
        Columns item_id, variate, held_out, origins, mase, sql, and skill_vs_<baseline> for each
        baseline: 1 - mean scaled quantile loss / the baseline's, over the origins.
    """
    rows = losses.filter(pl.col("source") == CANDIDATE)
    series = (*SERIES_KEYS, "held_out")
    means = group_means(rows, [*series, "forecaster"], ["mase", "sql"])
    model = means.filter(pl.col("forecaster") == MODEL)
    found = model.select(*series, pl.col("num_rows").alias("origins"), "mase", "sql")
    for name in _baselines(rows):
        base = means.filter(pl.col("forecaster") == name)
        sql = model.join(base, on=series, how="left", maintain_order="left", suffix="_base")
        gains = skills(sql["sql"].to_numpy(), sql["sql_base"].cast(pl.Float64).to_numpy())
        found = found.with_columns(pl.Series(f"skill_vs_{name}", gains))
    return found
