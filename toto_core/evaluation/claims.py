"""What is said beside the verdict and decides nothing: new series, refits, a fair opponent."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from toto_core.config import RegisterParams
from toto_core.evaluation.checks import MAX_EXCLUDED_SHARE, finite, has_scale, some
from toto_core.evaluation.grouping import group_means
from toto_core.evaluation.json_numbers import number
from toto_core.evaluation.paired import (
    CELL,
    Gain,
    all_finite,
    by_origin,
    gain,
    side_by_side,
    skill,
)
from toto_core.evaluation.significance import PanelResult, panel_test
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


def by_variate(
    losses: pl.DataFrame, baselines: Sequence[str], *, overlap: int
) -> tuple[Check, ...]:
    """Say on which variates new series and refits gain over every baseline; decides nothing.

    A gain over all variates together can hide one that is lost, there as well as on the series
    that the gate judges. Said where there are several variates.
    """
    held_out, source = pl.col("held_out"), pl.col("source")
    found = []
    for name, kept in (
        ("new series by variate", (source == "candidate") & held_out),
        ("rolling refits by variate", (source == "crossval") & ~held_out),
    ):
        gains = _gains(losses.filter(kept & has_scale()), baselines, overlap)
        variates = sorted({variate for variate, _ in gains})
        if len(variates) < 2:
            continue
        lost = {pair: g for pair, g in gains.items() if not g.is_shown}
        worst, by = min(lost or gains, key=lambda pair: gains[pair].skill)
        won = [variate for variate in variates if variate not in {v for v, _ in lost}]
        unknown = all(math.isnan(g.lower) and g.skill > 0 for g in lost.values())
        found.append(
            Check(
                name,
                PASS if not lost else INCONCLUSIVE if unknown else FAIL,
                f"{len(won)} of {len(variates)} variates gain; skill "
                f"{percent(gains[worst, by].skill)} on {worst} against {title(by)}, "
                f"lower bound {percent(gains[worst, by].lower)}",
                "one-sided 95 % lower bound above 0 % on each variate against each baseline",
                "Each variate for itself; the bounds are not corrected for their number.",
            )
        )
    return tuple(found)


def _gains(
    rows: pl.DataFrame, baselines: Sequence[str], overlap: int
) -> dict[tuple[str, str], Gain]:
    names = (MODEL, *baselines)
    panel = side_by_side(rows, index=CELL, forecasters=names).filter(all_finite(names))
    return {
        (str(variate), name): gain(by_origin(part, MODEL), by_origin(part, name), overlap=overlap)
        for (variate,), part in panel.sort(CELL).group_by("variate", maintain_order=True)
        for name in baselines
    }


def of_this_kind(
    losses: pl.DataFrame, baselines: Sequence[str], *, overlap: int
) -> tuple[Check, ...]:
    """Say whether the gain on held-out series carries over to others of their kind.

    ``claims`` speaks of these held-out series in future; here their groups are a sample too, so
    that a gain on most of them and a loss on the rest is not yet a gain. Decides nothing.
    """
    names = (MODEL, *baselines)
    is_held_out = (pl.col("source") == "candidate") & pl.col("held_out")
    rows = losses.filter(is_held_out & has_scale())
    panel = side_by_side(rows, index=CELL, forecasters=names).filter(all_finite(names)).sort(CELL)
    if panel["origin"].n_unique() < 2:
        return ()
    gains, tests = {}, {}
    for name in baselines:
        tests[name] = _over_groups(panel, name, overlap)
        model, base = (by_origin(panel, column) for column in (MODEL, name))
        bound = tests[name].lower_bound() / base.mean() if base.mean() > 0 else math.nan
        gains[name] = Gain(skill(float(model.sum()), float(base.sum())), float(bound))
    lost = [name for name in baselines if gains[name].skill <= 0 or gains[name].lower <= 0]
    undecided = [name for name in baselines if math.isnan(gains[name].lower)]
    worst = min(lost or undecided or baselines, key=lambda name: gains[name].skill)
    test = tests[worst]
    return (
        Check(
            "series of this kind",
            FAIL if lost else INCONCLUSIVE if undecided else PASS,
            f"skill {percent(gains[worst].skill)} against {title(worst)}, lower bound "
            f"{percent(gains[worst].lower)} over {test.num_clusters} held-out "
            f"{'group' if test.num_clusters == 1 else 'groups'}",
            "one-sided 95 % lower bound above 0 % against each baseline, groups taken as a sample",
            sentence([test.reason] if test.reason else [])
            or "What to expect of series that nobody has forecast yet.",
        ),
    )


def _over_groups(panel: pl.DataFrame, baseline: str, overlap: int) -> PanelResult:
    """Test the mean differential of a sorted panel, its groups taken as a sample."""
    series = panel.select(pl.struct("item_id", "variate").rle_id()).to_series().to_numpy()
    origin = (panel["origin"].rank("dense") - 1).to_numpy()
    d_NT = np.full((series.max() + 1, int(origin.max()) + 1), np.nan)
    d_NT[series, origin] = (panel[baseline] - panel[MODEL]).to_numpy()
    first = np.unique(series, return_index=True)[1]
    group_N = panel["group"].rank("dense").to_numpy()[first].astype(np.int64)
    return panel_test(d_NT, h=overlap, estimand="new series", clusters_N=group_N)


def refits_unseen(records: object) -> tuple[Check, ...]:
    """Say whether the refits forecast what stood in their training data; decides nothing.

    Args:
        records: what ``data.overlap.contamination`` found for each refit.
    """
    listed = records if isinstance(records, Sequence) else ()
    found = [record if isinstance(record, Mapping) else {} for record in listed]
    if not found:
        return ()
    copied = sorted({str(item) for record in found for item in record.get("items") or ()})
    num_known = sum(record.get("overlap") in ("none", "found") for record in found)
    num_clean = sum(record.get("overlap") == "none" for record in found)
    return (
        Check(
            "rolling refits, unseen targets",
            FAIL if copied else PASS if num_clean == len(found) else INCONCLUSIVE,
            f"overlap: none in {num_clean} of {len(found)} folds"
            + (f", found for {some(copied)}" if copied else "")
            + (f", unknown in {len(found) - num_known}" if num_known < len(found) else ""),
            "none",
            "What the refits are worth is not measured on copies of what they were trained on."
            if not copied
            else "Copies make the refits look better than they are; take them out of the data.",
        ),
    )


def presence(panel: pl.DataFrame, num_origins: int) -> tuple[Check, ...]:
    """Say how many pairs of series and origin have a truth to judge by; decides nothing.

    A series that begins late, ends early or has gaps is judged where it is there, so that the
    origins do not all speak of the same series.
    """
    counts = panel.group_by("item_id", "variate").len().sort("len", "item_id", "variate")
    if not counts.height:
        return ()
    share = panel.height / (counts.height * num_origins)
    item, variate, fewest = counts.row(0)
    full = 1 - share <= MAX_EXCLUDED_SHARE
    return (
        Check(
            "series at every origin",
            PASS if full else INCONCLUSIVE,
            f"{percent(share)} of the pairs, fewest {fewest} of {num_origins} for {item}/{variate}",
            f"at least {percent(1 - MAX_EXCLUDED_SHARE)}",
            "Every origin speaks of the same series."
            if full
            else "Some series have no truth at some origins: the mean over series changes over "
            "time with those that are there.",
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
                f"skill {percent(skill)} against {title(baseline)}, lower bound {percent(bound)}",
                "one-sided 95 % lower bound above 0 % against each baseline",
                reason,
            )
        )
    return tuple(found)
