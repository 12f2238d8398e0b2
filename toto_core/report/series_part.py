"""Series by series: how the skill is spread over them, the ends of the list, and all of it."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from toto_core.evaluation.grouping import group_means
from toto_core.evaluation.verdict import MODEL
from toto_core.report.charts import Chart
from toto_core.report.markup import count_text, figure, percent_text, section, table
from toto_core.report.palette import title_of
from toto_core.report.ticks import value_ticks

NUM_ENDS = 6  # series shown at each end of the list
MAX_LISTED = 300  # more are cut to the ends: the page must stay small
HEIGHT = 150
LOWEST = -1.0  # twice the baseline's loss; what is worse counts into the first bar
NUM_BARS = 40  # from LOWEST to 1
NAIVE = "naive"
KEYS = ["item_id", "variate", "held_out"]
SKILL = "skill against "


def series_table(losses: pl.DataFrame) -> pl.DataFrame:
    """Score every series of the candidate, the best against no change first.

    Args:
        losses: the table of ``data/losses.parquet``.

    Returns:
        Columns item_id, variate, held_out, the mean scaled quantile loss of each forecaster under
        its name, cov80 (of the model), num_origins, and ``skill against <baseline>`` for each
        baseline; series without a finite loss of the model and of no change are left out.
    """
    rows = losses.filter(
        (pl.col("source") == "candidate") & pl.col("sql").is_finite().fill_null(value=False)
    )
    means = group_means(rows, [*KEYS, "forecaster"], ["sql", "cov80"])
    own = means.filter(pl.col("forecaster") == MODEL)
    wide = (
        means.pivot(on="forecaster", index=KEYS, values="sql") if means.height else own.select(KEYS)
    )
    if not {MODEL, NAIVE} <= set(wide.columns):
        return pl.DataFrame()
    baselines = [name for name in wide.columns if name not in (*KEYS, MODEL)]
    # Only the baseline without loss: infinitely worse; both: a tie.
    skills = [
        pl.when(pl.col(b) > 0)
        .then(1 - pl.col(MODEL) / pl.col(b))
        .when(pl.col(MODEL) == pl.col(b))
        .then(0.0)
        .otherwise(-float("inf"))
        .alias(SKILL + b)
        for b in baselines
    ]
    return (
        wide.drop_nulls([MODEL, NAIVE])
        .with_columns(skills)
        .join(own.select(*KEYS, "cov80", num_origins="num_rows"), on=KEYS)
        .sort([SKILL + NAIVE, "item_id", "variate"], descending=[True, False, False])
    )


def series_section(found: pl.DataFrame, baselines: Sequence[str], *, first: str) -> str:
    """Return the spread of the skill, the best and the worst series, and the list to sort.

    Args:
        found: from ``series_table``.
        first: the hardest baseline, against which the spread is drawn.
    """
    if not found.height:
        return ""
    known = [b for b in baselines if SKILL + b in found.columns]
    first = first if first in known else NAIVE
    ends = [b for b in dict.fromkeys((NAIVE, first)) if b in known]
    count = count_text(found.height)
    shown = f"the ends of the list of {count} series"
    if found.height <= 2 * NUM_ENDS:
        shown = "one row for each series"
    lead = (
        f"Skill over the whole test period, {shown}. SQL is the scaled quantile loss; 1 is the "
        "ordinary change from one season to the next."
    )
    best = _listed(found.head(NUM_ENDS), ends, "Best")
    rest = min(NUM_ENDS, found.height - min(NUM_ENDS, found.height))
    worst = _listed(found.tail(rest).reverse(), ends, "Worst") if rest else ""
    body = _spread(found, first) + worst + best
    if found.height > 2 * NUM_ENDS:
        body += _all(found, known)
    return section("Where it works, where it fails", lead, body)


def _listed(
    rows: pl.DataFrame, baselines: Sequence[str], caption: str, *, sortable: bool = False
) -> str:
    head = (
        *("series", *(f"against {title_of(b)}" for b in baselines)),
        *("SQL", "in 80 %", "moments"),
    )
    cells = [
        (
            f"{row['item_id']} / {row['variate']}" + (" (held out)" if row["held_out"] else ""),
            *(percent_text(_or_nan(row[SKILL + b])) for b in baselines),
            f"{row[MODEL]:.3f}",
            percent_text(_or_nan(row["cov80"]), digits=0),
            str(row["num_origins"]),
        )
        for row in rows.to_dicts()
    ]
    return table(head, cells, caption=caption, sortable=sortable)


def _all(found: pl.DataFrame, baselines: Sequence[str]) -> str:
    """The whole list, folded away; of very many series the two ends of it."""
    count, note = count_text(found.height), ""
    title = f"All {count} series"
    if found.height > MAX_LISTED:
        half = MAX_LISTED // 2
        found = pl.concat([found.head(half), found.tail(half)])
        title = f"The {half} best and the {half} worst of {count} series"
        note = '<p class="note">All of them are in <code>reports/plots/items.csv</code>.</p>'
    listed = _listed(found, baselines, title, sortable=True)
    return f"<details><summary>{title}, to sort</summary>{note}{listed}</details>"


def _spread(found: pl.DataFrame, baseline: str) -> str:
    skills = found[SKILL + baseline].drop_nulls().to_numpy()
    edges = np.linspace(LOWEST, 1.0, NUM_BARS + 1)
    counts, _ = np.histogram(np.clip(skills, LOWEST, 1.0), edges)
    first = max(int(np.flatnonzero(counts)[0]) - 1, 0)
    first = min(first, int(np.searchsorted(edges, -0.1)))  # zero is always on the page
    edges, counts = edges[first:], counts[first:].astype(np.float64)
    chart = Chart(x=(float(edges[0]), 1.0), y=(0.0, 1.05 * float(counts.max())), height=HEIGHT)
    zero = int(np.argmin(np.abs(edges)))
    chart.y_ticks([t for t in value_ticks(*chart.y, count=4) if t[0] == round(t[0])])
    chart.x_ticks(
        [(t, percent_text(t, digits=0)) for t, _ in value_ticks(float(edges[0]), 0.95, count=5)]
    )
    chart.bars(edges[: zero + 1], counts[:zero], "lost")
    chart.bars(edges[zero:], counts[zero:], "model")
    chart.upright(0.0, "zero")
    chart.titles(x=f"skill against {title_of(baseline)}", y="series")
    won = int((skills > 0).sum())
    title = f"{count_text(won)} of {count_text(len(skills))} series gain over {title_of(baseline)}"
    note = (
        f"n = {count_text(len(skills))} series, seen and held out; the middle one has a skill of "
        f"{percent_text(float(np.median(skills)))}."
    )
    below = int((skills < LOWEST).sum())
    if below:
        note += f" {count_text(below)} below {percent_text(LOWEST, digits=0)} are in the first bar."
    return figure(title, chart.svg(f"{title}. {note}"), note=note)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
