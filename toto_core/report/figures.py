"""The charts of the page: loss, calibration, error by step and the periods of the data."""

import math
from datetime import datetime
from html import escape

import numpy as np
import polars as pl

from toto_core.evaluation.json_numbers import number
from toto_core.evaluation.verdict import BASELINES, MODEL, TITLES
from toto_core.report.charts import DAY_US, Chart, padded, time_label, value_ticks
from toto_core.report.markup import Json, figure, legend, percent_text, time_text

HEIGHT = 220
MONTHS_US = 200 * DAY_US
CENTRE = 9  # points of the moving average over the training loss


def loss_curve(table: pl.DataFrame) -> str:
    """Draw training and validation loss over the steps.

    Args:
        table: column step and either one column for each loss or a text column with its name.
    """
    curves = _curves(table)
    if not curves:
        return '<p class="note">No loss was recorded.</p>'
    last = max(float(x[-1]) for x, _ in curves.values())
    settled = np.concatenate([y[x >= 0.03 * last] for x, y in curves.values()])
    chart = Chart(x=(0.0, last), y=padded(settled), height=HEIGHT)
    chart.y_ticks(value_ticks(*chart.y))
    chart.x_ticks(value_ticks(0.0, last))
    key, best = [], ""
    for name in sorted(curves, key=lambda n: "val" in n):
        x, y = curves[name]
        if "val" in name:
            chart.line(x, y, "model")
            chart.dots(x, y, "dot")
            lowest = int(np.nanargmin(y))
            chart.upright(float(x[lowest]), "mark")
            best = f"The best validation loss, {y[lowest]:.4f}, came at step {x[lowest]:,.0f}."
            key.append(("model", "validation, later times"))
        else:
            chart.line(x, y, "faint")
            chart.line(x, _smooth(y), "truth")
            key.append(("truth", "training, smoothed"))
    return figure("Loss by step", chart.svg(f"Loss by step. {best}"), note=best, key=legend(key))


def _curves(table: pl.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    if "step" not in table.columns:
        return {}
    names = [name for name, kind in table.schema.items() if kind == pl.String]
    if names:
        parts = {str(key[0]): rows for key, rows in table.group_by(names[0], maintain_order=True)}
        columns = {name: (rows, "loss") for name, rows in parts.items()}
    else:
        columns = {name: (table, name) for name in table.columns if "loss" in name}
    curves = {}
    for name, (rows, column) in columns.items():
        kept = rows.select("step", pl.col(column).cast(pl.Float64)).drop_nulls().drop_nans()
        if kept.height:
            curves[name] = (kept["step"].cast(pl.Float64).to_numpy(), kept[column].to_numpy())
    return curves


def _smooth(y: np.ndarray) -> np.ndarray:
    width = min(CENTRE, len(y))
    weights = np.ones(width)
    return np.convolve(y, weights, "same") / np.convolve(np.ones(len(y)), weights, "same")


def calibration(coverage: Json) -> str:
    """Draw the share of the truth below each quantile against its level."""
    pairs = sorted((float(level), number(share)) for level, share in coverage.items())
    if not pairs:
        return '<p class="note">No coverage was measured.</p>'
    levels, shares = np.array(pairs).T
    chart = Chart(x=(0.0, 1.0), y=(0.0, 1.0), height=HEIGHT + 120)
    ticks = [(share, percent_text(share, digits=0)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    chart.y_ticks(ticks)
    chart.x_ticks(ticks, edges=True)
    chart.line([0, 1], [0, 1], "ideal")
    chart.line(levels, shares, "model")
    chart.dots(levels, shares, "dot")
    errors = np.abs(shares - levels)
    worst = int(np.nanargmax(errors))
    note = (
        f"Off by {percent_text(float(np.nanmean(errors)))} on average, most at level "
        f"{levels[worst]:.1f}, where {percent_text(float(shares[worst]))} of the truth lies below."
    )
    key = legend([("model", "the model"), ("ideal", "ideal")])
    title = "Share of the truth below each quantile, by level"
    drawn = figure(title, chart.svg(f"{title}. {note}"), note=note, key=key)
    return f'<div class="square">{drawn}</div>'


def horizon(table: pl.DataFrame, *, freq: str) -> str:
    """Draw the error of each forecaster by step ahead.

    Args:
        table: columns step, forecaster and mase.
    """
    if not {"step", "forecaster", "mase"} <= set(table.columns) or not table.height:
        return '<p class="note">No error by step was recorded.</p>'
    steps = table["step"].cast(pl.Float64).to_numpy()
    top = float(np.nanmax(table["mase"].cast(pl.Float64).to_numpy()))
    chart = Chart(x=(min(1.0, steps.min()), float(steps.max())), y=(0.0, 1.06 * top), height=HEIGHT)
    chart.y_ticks(value_ticks(*chart.y))
    chart.x_ticks([(t, text) for t, text in value_ticks(1.0, chart.x[1], count=6) if t >= 1])
    key = []
    for name in (*reversed(BASELINES), MODEL):
        rows = table.filter(pl.col("forecaster") == name).sort("step")
        if rows.height:
            chart.line(rows["step"].to_numpy(), rows["mase"].to_numpy(), name)
            key.insert(0, (name, TITLES[name]))
    title = f"Scaled error of the median (MASE) by steps ahead, {escape(freq)} each"
    return figure(title, chart.svg(f"{title}, for the model and each baseline"), key=legend(key))


def periods(splits: Json, first: object, *, ingest_last: object) -> str:
    """Draw what was trained on, what stopped the training and what was judged, in calendar time."""
    cuts = [_us(first), *(_us(splits.get(k)) for k in _CUTS)]
    if any(math.isnan(cut) for cut in cuts) or cuts[-1] <= cuts[0]:
        return ""
    span, bars, labels = cuts[-1] - cuts[0], "", ""
    texts = [time_text(first), *(time_text(splits.get(k)) for k in _CUTS)]
    for n, (css, name) in enumerate(_PERIODS):
        left, right = (100 * (cuts[k] - cuts[0]) / span for k in (n, n + 1))
        bars += (
            f'<rect class="{css}" x="{left:.2f}%" y="0" width="{max(right - left, 0):.2f}%" '
            'height="22"/>'
        )
        # The year alone would not tell where a period ends.
        first, last = (time_label(cuts[k], span_us=min(span, MONTHS_US)) for k in (n, n + 1))
        when = f"{first} to {last}"
        labels += f'<li class="{css}"><b>{name}</b> <span>{escape(when)}</span></li>'
    label = f"trained from {texts[0]}, validated from {texts[1]}, tested from {texts[2]}"
    label += f" to {texts[3]}; the data end at {time_text(ingest_last)}"
    return (
        f'<svg class="periods" role="img" aria-label="{escape(label)}" height="22">{bars}</svg>'
        f'<ul class="periods">{labels}</ul>'
    )


_CUTS = ("validation_start", "test_start", "test_end")
_PERIODS = (("past", "training"), ("between", "validation"), ("after", "test"))


def _us(value: object) -> float:
    try:
        return datetime.fromisoformat(str(value)).timestamp() * 1e6
    except ValueError:
        return math.nan
