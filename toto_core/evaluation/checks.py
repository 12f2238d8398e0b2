"""The questions of the gate, one function each; ``gate.judge`` asks them all."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from toto_core.config import RegisterParams
from toto_core.evaluation.comparison import Comparison
from toto_core.evaluation.significance import MIN_ORIGINS_PER_OVERLAP
from toto_core.evaluation.verdict import (
    FAIL,
    INCONCLUSIVE,
    MODEL,
    PASS,
    Check,
    percent,
    sentence,
    title,
)

_TOO_MANY = "Too many series could not be judged for the rest to speak for them."
MIN_DF = 5
MIN_CYCLES = 2
MAX_EXCLUDED_SHARE = 0.01
NUM_NAMED = 5  # series that a reason names at most


@dataclass(frozen=True)
class Provenance:
    """What the candidate says of its own training; None where it says nothing.

    Attributes:
        last_training_time: the newest time stamp of any training target.
        trained_on: hash of the splits that training used.
        judged_on: hash of the splits that the evaluation used.
        training_ends: for each frequency, the time up to which the newest point that was trained
            on tells of the series: the value of a day, stamped at its start, tells of that day.
    """

    last_training_time: datetime | None
    trained_on: str | None
    judged_on: str
    training_ends: Mapping[str, datetime] = field(default_factory=dict)

    @classmethod
    def of_run(cls, run: Mapping[str, Any], *, judged_on: str) -> "Provenance":
        """Read it off the content of a model's ``run.json``."""
        last = run.get("last_training_time")
        return cls(
            last_training_time=datetime.fromisoformat(str(last)) if last else None,
            trained_on=run.get("splits_sha256"),
            judged_on=judged_on,
            training_ends={
                freq: datetime.fromisoformat(str(end))
                for freq, end in (run.get("training_ends") or {}).items()
            },
        )


def origins(
    num_origins: int,
    compared: Mapping[str, Comparison],
    splits: Mapping[str, object],
    params: RegisterParams,
) -> Check:
    """Ask whether there are enough independent origins, and all that were planned."""
    planned = splits.get("test_origins")
    num_planned = len(planned) if isinstance(planned, list) else 0
    faults = []
    if num_origins < params.min_origins:
        faults.append(f"{num_origins} origins are fewer than {params.min_origins}")
    if num_origins < num_planned:
        faults.append(f"{num_planned - num_origins} of {num_planned} planned origins have no loss")
    for baseline, comparison in compared.items():
        test = comparison.margin_test
        if test.outcome != "ok":
            faults.append(f"against {title(baseline)}: {test.reason}")
        elif test.df < MIN_DF:
            faults.append(f"against {title(baseline)}: {test.df} degrees of freedom")
    h_eff = max((c.margin_test.h_eff for c in compared.values()), default=0)
    return Check(
        "origins",
        INCONCLUSIVE if faults or not compared else PASS,
        f"{num_origins} origins, effective overlap {h_eff or 'unknown'}",
        f"at least {params.min_origins}, {MIN_ORIGINS_PER_OVERLAP} per effective overlap, "
        f"{MIN_DF} degrees of freedom",
        sentence(faults) or "There are enough independent moments to judge by.",
    )


def cycles(splits: Mapping[str, object], evaluation: Mapping[str, object]) -> Check:
    """Ask whether the test period is long enough to show the season more than once."""
    seasonality = evaluation.get("seasonality")
    if isinstance(seasonality, Mapping):
        seasonality = max(seasonality.values(), default=None)
    name, allowed = "seasonal cycles", f"at least {MIN_CYCLES} in the test period"
    step_us = splits.get("step_us")
    if not isinstance(seasonality, int | float) or not isinstance(step_us, int | float):
        return Check(name, INCONCLUSIVE, "unknown", allowed, "The seasonality is not stated.")
    length = _time(splits["test_end"]) - _time(splits["test_start"])
    found = length.total_seconds() * 1e6 / (step_us * max(seasonality, 1))
    enough = found >= MIN_CYCLES
    return Check(
        name,
        PASS if enough else INCONCLUSIVE,
        f"{found:.1f} cycles of {seasonality:g} steps",
        allowed,
        "The test period shows the rhythm more than once."
        if enough
        else "The test period is too short to show the rhythm of the series.",
    )


def exclusions(rows: pl.DataFrame, panel: pl.DataFrame, evaluation: Mapping[str, object]) -> Check:
    """Ask whether practically all series and pairs could be judged."""
    listed = evaluation.get("exclusions")
    num_listed = sum(
        not (isinstance(series, Mapping) and series.get("held_out"))
        for series in (listed if isinstance(listed, list) else ())
    )
    num_series = rows.select("item_id", "variate").n_unique()
    num_judged = panel.select("item_id", "variate").n_unique()
    num_excluded = max(num_series - num_judged, num_listed)
    of_model = rows.filter(pl.col("forecaster") == MODEL)
    unanswered = of_model.filter(has_scale() & ~finite("sql")).height
    share = max(
        num_excluded / (num_judged + num_excluded) if num_judged else 1.0,
        1 - (panel.height + unanswered) / of_model.height if of_model.height else 1.0,
    )
    few = share <= MAX_EXCLUDED_SHARE
    left_out = _left_out(rows, panel, evaluation)
    names = f" Left out: {some(left_out)}." if left_out else ""
    return Check(
        "exclusions",
        PASS if few else INCONCLUSIVE,
        f"{percent(share)} left out, {num_excluded} series",
        f"at most {percent(MAX_EXCLUDED_SHARE)}",
        ("Practically every series was judged." if few else _TOO_MANY) + names,
    )


def _left_out(
    rows: pl.DataFrame, panel: pl.DataFrame, evaluation: Mapping[str, object]
) -> list[str]:
    """Name the series that were not judged at some origin or at all."""
    listed = evaluation.get("exclusions")
    names = {
        f"{series.get('item_id')}/{series.get('variate')}"
        for series in (listed if isinstance(listed, list) else ())
        if isinstance(series, Mapping) and not series.get("held_out")
    }
    keys = ["item_id", "variate", "origin"]
    asked = rows.filter(pl.col("forecaster") == MODEL).select(keys)
    gone = asked.join(panel.select(keys), on=keys, how="anti").select("item_id", "variate")
    return sorted(names | {f"{item}/{variate}" for item, variate in gone.unique().rows()})


def some(names: Sequence[str]) -> str:
    """Name the first few of many."""
    more = f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else ""
    return ", ".join(names[:NUM_NAMED]) + more


def calibration(
    rows: pl.DataFrame, evaluation: Mapping[str, object], params: RegisterParams
) -> list[Check]:
    """Ask whether the quantiles mean what they say."""
    of_model = rows.filter((pl.col("forecaster") == MODEL) & finite("cov80"))
    weights = of_model["num_steps"].cast(pl.Float64).to_numpy()
    covered = of_model["cov80"].cast(pl.Float64).to_numpy()
    share = math.fsum(covered * weights) / weights.sum() if len(weights) else math.nan
    low, high = params.coverage
    inside = low <= share <= high
    coverage = evaluation.get("coverage")
    pairs = coverage.items() if isinstance(coverage, Mapping) else ()
    errors = [abs(float(found) - float(level)) for level, found in pairs if found is not None]
    error = float(np.mean(errors)) if errors else math.nan
    fine = error <= params.max_coverage_error
    before, reason = _correction(evaluation)
    return [
        Check(
            "coverage of the 80 % interval",
            PASS if inside else FAIL,
            f"{percent(share)} of the truth inside",
            f"{percent(low)} to {percent(high)}",
            "The interval means what it says."
            if inside
            else f"The intervals are too {'wide' if share > high else 'narrow'}.",
        ),
        Check(
            "coverage of the quantiles",
            INCONCLUSIVE if not errors else PASS if fine else FAIL,
            f"off by {percent(error)} on average{before}",
            f"at most {percent(params.max_coverage_error)}",
            (
                "Each quantile is about where it should be."
                if fine
                else "The quantiles are not where they should be."
            )
            + reason,
        ),
    ]


def _correction(evaluation: Mapping[str, object]) -> tuple[str, str]:
    """Say how far off the quantiles were before their correction, or why there was none."""
    found = evaluation.get("calibrate")
    if not isinstance(found, Mapping):
        return "", ""
    if "before" in found:
        error = found["before"]["calibration"]["mean_coverage_error"]
        return f", by {percent(error)} before the correction", ""
    return "", f" {sentence([str(found['reason'])])}"


def provenance(found: Provenance, splits: Mapping[str, object]) -> Check:
    """Ask whether training ended before anything it is judged on, on the same splits.

    All of a training window, its targets too, ends before T0. On the frequency of the origins the
    time stamps decide, as in ``data.splits.points_before``: clocks that run minutes apart would
    else fail. On any other calendar what the newest point tells of must have ended as well.
    """
    test_start, cutoff = _time(splits["test_start"]), _time(splits["validation_start"])
    last, faults, unknown = found.last_training_time, [], []
    if cutoff > test_start:
        faults.append("validation starts after the test does")
    if last is None:
        unknown.append("run.json does not say where training ended")
    elif last >= cutoff:
        faults.append(f"training saw {last:%Y-%m-%d %H:%M}, which is not before T0")
    for freq, end in sorted(found.training_ends.items()):
        if end > cutoff and freq != splits.get("freq"):
            faults.append(f"the newest {freq} point tells of the time until {end:%Y-%m-%d %H:%M}")
    if found.trained_on is None:
        unknown.append("run.json does not say which splits training used")
    elif found.trained_on != found.judged_on:
        faults.append(
            f"trained on splits {found.trained_on[:12]}, judged on {found.judged_on[:12]}"
        )
    return Check(
        "provenance",
        FAIL if faults else INCONCLUSIVE if unknown else PASS,
        f"last training point {last:%Y-%m-%d %H:%M}" if last else "unknown",
        f"before {cutoff:%Y-%m-%d %H:%M} (T0), same splits",
        sentence(faults + unknown) or "Training ended before anything it is judged on.",
    )


def attempts(attempt: int, divisor: int, params: RegisterParams) -> Check:
    """Ask how many candidates have been tried on this test period.

    Args:
        divisor: of the significance level, by Holm's rule; the proven ones do not count.
    """
    fine = attempt <= params.max_attempts
    reason = "It is the first one, so the significance level is undivided."
    if attempt > 1:
        proven = attempt - divisor
        reason = f"The significance level is divided by {divisor}" + (
            f": {proven} of the earlier ones are proven, so they do not count (Holm)."
            if proven
            else "."
        )
    if not fine:
        reason = "This test period is used up: a later test period is required."
    return Check(
        "attempts",
        PASS if fine else INCONCLUSIVE,
        f"candidate {attempt} on this test period",
        f"at most {params.max_attempts}",
        reason,
    )


def has_scale() -> pl.Expr:
    """Return whether the loss of a row can be scaled: NaN would count as above zero."""
    return (pl.col("scale") > 0) & finite("scale")


def integer(value: object, *, otherwise: int) -> int:
    """Return a whole number as it stands in JSON; anything else is ``otherwise``."""
    return int(value) if isinstance(value, int | float) else otherwise


def finite(column: str) -> pl.Expr:
    """Return whether a number is there; null, NaN and infinities are not."""
    return pl.col(column).is_finite().fill_null(value=False)


def _time(value: object) -> datetime:
    return datetime.fromisoformat(str(value))
