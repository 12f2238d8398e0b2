"""The registration gate: PASS, FAIL or INCONCLUSIVE from the losses of one test period.

The rules are those of docs/evaluation.md, section "The verdict". The unit of inference is the
origin: losses are averaged over steps and series first, and one differential for each origin
(baseline minus model) is tested. To beat *every* baseline is an intersection-union test, so each
is tested at the full level, which Holm's rule over the candidates judged on the same period
lowers.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from toto_core.config import RegisterParams
from toto_core.evaluation import checks, claims, consistency, contamination
from toto_core.evaluation.checks import Provenance
from toto_core.evaluation.comparison import NUM_FOLDS, Comparison, compare, effect, superiority
from toto_core.evaluation.finetune import against_base
from toto_core.evaluation.median import median_check, median_gains
from toto_core.evaluation.paired import CELL, all_finite, beside_base, side_by_side
from toto_core.evaluation.protocol import Frozen
from toto_core.evaluation.verdict import (
    BASE,
    FAIL,
    MODEL,
    PASS,
    Check,
    Verdict,
    baselines_of,
    worst,
)


def judge(
    losses: pl.DataFrame,
    *,
    splits: Mapping[str, object],
    evaluation: Mapping[str, object],
    provenance: Provenance,
    frozen: Frozen,
    earlier_p_values: Sequence[float | None] = (),
    params: RegisterParams,
) -> Verdict:
    """Judge a candidate by the losses of seen series after T1.

    Args:
        losses: the table of ``data/losses.parquet``: a row for each item, variate, origin and
            forecaster, with the scaled losses ``sql`` and ``mase``. A series without a ``scale``
            above zero cannot be judged; it is left out for all and counts as excluded.
        splits: the content of ``data/splits.json``.
        evaluation: the content of ``reports/metrics/evaluate.json``; ``refits`` is the
            contamination record of each refit.
        earlier_p_values: ``Verdict.p_value`` of each candidate that was judged on this test
            period before; None where the test could not decide.

    Returns:
        FAIL if any check fails, else INCONCLUSIVE if any is inconclusive, else PASS.
    """
    judged = losses.filter((pl.col("source") == "candidate") & ~pl.col("held_out"))
    rows = judged.filter(checks.has_scale())
    baselines = baselines_of(evaluation)
    complete, panel = complete_panel(rows, baselines)
    num_origins = panel["origin"].n_unique()
    overlap = checks.integer(splits.get("overlap"), otherwise=1)
    attempt = len(earlier_p_values) + 1
    divisor = holm_divisor(earlier_p_values, params.alpha)
    compared: dict[str, Comparison] = {}
    if num_origins >= NUM_FOLDS:
        for baseline in baselines:
            compared[baseline] = compare(
                panel, baseline, overlap=overlap, divisor=divisor, params=params
            )
    of_base = compare_base(losses, overlap=overlap, divisor=divisor, params=params)
    found = (
        complete,
        checks.origins(num_origins, compared, splits, params),
        checks.cycles(splits, evaluation),
        checks.exclusions(judged, panel, evaluation),
        *(superiority(baseline, compared.get(baseline), params) for baseline in baselines),
        *(effect(baseline, compared.get(baseline), params) for baseline in baselines),
        *(against_base(comparison) for comparison in of_base.values()),
        median_check(median_gains(rows, panel, baselines, overlap=overlap), params),
        *consistency.spread(compared, params),
        consistency.variates(compared, unjudged_variates(judged, panel, evaluation), params),
        *checks.calibration(rows, evaluation, params),
        checks.provenance(provenance, splits),
        contamination.unseen(evaluation),
        *frozen.checks(),
        checks.attempts(attempt, divisor, params),
    )
    return Verdict(
        outcome=worst(check.outcome for check in found),
        headline=str(evaluation.get("headline", "")),
        checks=found,
        claims=(
            *claims.claims(evaluation),
            *claims.by_variate(losses, baselines, overlap=overlap),
            *claims.refits_unseen(evaluation.get("refits")),
            *claims.of_this_kind(losses, baselines, overlap=overlap),
            *claims.spread(rows, params),
            *claims.presence(panel, num_origins),
        ),
        tests={
            name: comparison.numbers()
            for name, comparison in (compared | of_base).items()
            if comparison is not None
        },
        attempt=attempt,
    )


def compare_base(
    losses: pl.DataFrame, *, overlap: int, divisor: int, params: RegisterParams
) -> dict[str, Comparison | None]:
    """Compare a fine-tuned model with its base, without a margin; empty where there is no base."""
    rows = beside_base(losses.filter(~pl.col("held_out") & checks.has_scale()))
    if BASE not in rows["forecaster"]:
        return {}
    panel = side_by_side(rows, index=CELL, forecasters=(MODEL, BASE))
    panel = panel.filter(all_finite((MODEL, BASE)))
    if panel["origin"].n_unique() < NUM_FOLDS:
        return {BASE: None}
    no_margin = params.model_copy(update={"margin": 0.0})
    return {BASE: compare(panel, BASE, overlap=overlap, divisor=divisor, params=no_margin)}


def holm_divisor(earlier_p_values: Sequence[float | None], alpha: float) -> int:
    """Return what divides the level of one more candidate, by Holm's step-down rule (1979).

    Of m candidates the one with the lowest p is held to alpha / m, the next to alpha / (m - 1), as
    long as all before it are proven. Whether the newest one is then proven depends on the others
    only by how many of them are: Holm rejects it if and only if its p is at most alpha divided
    by this number.
    """
    divisor = len(earlier_p_values) + 1
    for p_value in sorted(1.0 if p is None else p for p in earlier_p_values):
        if p_value > alpha / divisor:
            break
        divisor -= 1
    return divisor


def complete_panel(rows: pl.DataFrame, baselines: Sequence[str]) -> tuple[Check, pl.DataFrame]:
    """Return the pairs of series and origin that all were judged on, one column per forecaster.

    A pair without a finite loss of the model fails the returned check: it is neither dropped
    silently nor filled with a baseline. A pair without a finite loss of a baseline is left out
    for all and counts as excluded.
    """
    names = (MODEL, *baselines)
    wide = side_by_side(rows, index=CELL, forecasters=names)
    bad = wide.filter(~all_finite([MODEL]))
    failed = bool(bad.height or not wide.height)
    examples = ", ".join(f"{row['item_id']}/{row['variate']}" for row in bad.head(3).to_dicts())
    check = Check(
        "complete forecasts",
        FAIL if failed else PASS,
        f"{bad.height:,} of {wide.height:,} forecasts missing or not finite",
        "none",
        f"The model must answer everywhere; it did not for {examples or 'any series'}."
        if failed
        else "The model gave finite quantiles wherever it was asked.",
    )
    return check, wide.filter(all_finite(names))


def unjudged_variates(
    rows: pl.DataFrame, panel: pl.DataFrame, evaluation: Mapping[str, object]
) -> list[str]:
    """Return the variates of seen series of which not a single forecast could be judged.

    Args:
        rows: losses of seen series, those that cannot be scaled among them.
        panel: what ``complete_panel`` returns of them.
        evaluation: series that never got a loss stand in its ``exclusions``.
    """
    listed = evaluation.get("exclusions")
    left_out = {
        str(series["variate"])
        for series in (listed if isinstance(listed, list) else ())
        if isinstance(series, Mapping) and "variate" in series and not series.get("held_out")
    }
    return sorted((left_out | set(rows["variate"])) - set(panel["variate"]))
