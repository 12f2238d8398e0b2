"""Do the quantiles hold? Reliability, PIT, coverage by step and sharpness, before and after."""

import math
from html import escape

import numpy as np
import polars as pl

from toto_core.evaluation.json_numbers import number
from toto_core.evaluation.verdict import MODEL, UNCALIBRATED, in_order
from toto_core.report.charts import Chart
from toto_core.report.forest import interval_text
from toto_core.report.markup import (
    Json,
    count_text,
    figure,
    legend,
    percent_text,
    prose,
    section,
    table,
)
from toto_core.report.palette import title_of
from toto_core.report.ticks import step_ticks, value_ticks

SQUARE, HEIGHT = 300, 200
CLEAR = 0.02  # shares of the truth that differ by less are called equal
LOW, HIGH = 0.1, 0.9  # levels that bound the central 80 % interval
WANTED = 0.8
TICKS = [(share, percent_text(share, digits=0)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]


def interval_by_step(coverage: pl.DataFrame) -> pl.DataFrame:
    """Return the share of the truth in the central 80 % interval, by step and forecaster.

    Args:
        coverage: ``reports/plots/coverage.csv``: forecaster, step, level, coverage (the share at or
            below the quantile) and num_cells.

    Returns:
        Columns step, forecaster, coverage and num_cells, sorted.
    """
    keys = ["forecaster", "step"]
    low, high = (coverage.filter((pl.col("level") - level).abs() < 1e-9) for level in (LOW, HIGH))
    both = high.join(low.select(*keys, low="coverage"), on=keys, maintain_order="left")
    inside = both.select("step", "forecaster", pl.col("coverage") - pl.col("low"), "num_cells")
    return inside.sort(keys)


def quantiles_section(
    evaluate: Json, calibration: pl.DataFrame, pit: pl.DataFrame, by_step: pl.DataFrame
) -> str:
    """Return everything about the spread of the forecasts.

    Args:
        calibration: ``reports/plots/calibration.csv``: forecaster, level and coverage.
        pit: ``reports/plots/pit.csv``: forecaster, bin and share; may be empty.
        by_step: from ``interval_by_step``.
    """
    lead = (
        "A quantile of level 0.9 should lie above the truth in 90 % of all cases. Left: points "
        "below the diagonal are too low, points above it too high. Right: the place of the truth "
        "among the quantiles should be even; a valley in the middle tells of intervals that are "
        "too narrow, a hill of too wide ones, a slope of a bias."
    )
    curves = _curves(evaluate, calibration)
    if MODEL not in curves:
        return section(
            "Do the quantiles hold?", lead, '<p class="note">No coverage was measured.</p>'
        )
    own = by_step.filter(pl.col("forecaster") == MODEL)["num_cells"] if by_step.height else ()
    cells = sum(own)
    pair = f'<div class="pair">{_reliability(curves, cells)}{_pit(pit, curves, cells)}</div>'
    body = _correction(evaluate) + pair + _by_step(by_step) + _sharpness(evaluate)
    return section("Do the quantiles hold?", lead, body)


def _correction(evaluate: Json) -> str:
    """Say what the conformal correction was learned from and what it did to the loss."""
    found = evaluate.get("calibrate") or {}
    if not found:
        return ""
    gain = found.get("gain") or {}
    if not gain:
        text = f"The quantiles are the model's own: {found.get('reason') or 'not corrected'}."
        return f'<p class="note">{escape(prose(text))}</p>'
    skill = number(gain.get("skill"))
    method = str(found.get("method")).replace("_", " ")
    text = (
        f"The quantiles are corrected by split conformal prediction ({method}) from "
        f"{count_text(found.get('num_scores'))} "
        f"scores at {count_text(found.get('num_origins'))} origins before the test period. That "
        f"{'lowers' if skill >= 0 else 'raises'} the loss by {percent_text(abs(skill), digits=2)} "
        f"(two-sided 95 % interval of the gain: {interval_text(gain)})."
    )
    return f'<p class="note">{escape(prose(text))}</p>'


def _curves(evaluate: Json, calibration: pl.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Levels and shares of each forecaster; the model's stand in the evaluation as well."""
    found = {}
    if {"forecaster", "level", "coverage"} <= set(calibration.columns):
        for name in calibration["forecaster"].unique().sort().to_list():
            rows = calibration.filter(pl.col("forecaster") == name).sort("level")
            found[name] = rows["level"].to_numpy(), rows["coverage"].to_numpy()
    pairs = sorted((float(k), number(v)) for k, v in (evaluate.get("coverage") or {}).items())
    if pairs:
        levels, shares = np.array(pairs).T
        found[MODEL] = levels, shares
    return {name: curve for name, curve in found.items() if np.isfinite(curve[1]).all()}


def _reliability(curves: dict[str, tuple[np.ndarray, np.ndarray]], cells: int) -> str:
    levels, shares = curves[MODEL]
    chart = Chart(x=(0.0, 1.0), y=(0.0, 1.0), height=SQUARE)
    chart.y_ticks(TICKS)
    chart.x_ticks(TICKS, edges=True)
    chart.titles(x="level of the quantile", y="truth below it")
    chart.line([0, 1], [0, 1], "ideal")
    key = [("model", "the model"), ("ideal", "ideal")]
    if UNCALIBRATED in curves:
        chart.line(*curves[UNCALIBRATED], "before")
        key.insert(1, ("before", "before calibration"))
    chart.line(levels, shares, "model")
    chart.dots(levels, shares, "dot")
    errors = np.abs(shares - levels)
    worst = int(np.argmax(errors))
    title = f"Reliability: off by {percent_text(float(errors.mean()))} on average"
    note = (
        f"Most at level {levels[worst]:.1f}, where {percent_text(float(shares[worst]))} of the "
        f"truth lies below.{_cells(cells)}"
    )
    if UNCALIBRATED in curves:
        before = float(np.abs(curves[UNCALIBRATED][1] - curves[UNCALIBRATED][0]).mean())
        note = f"Before calibration off by {percent_text(before)}. {note}"
    return figure(title, chart.svg(f"{title}. {note}"), note=note, key=legend(key))


def _pit(pit: pl.DataFrame, curves: dict[str, tuple[np.ndarray, np.ndarray]], cells: int) -> str:
    bins = _bins(pit, MODEL, curves)
    edges = np.linspace(0.0, 1.0, len(bins) + 1)
    even = 1 / len(bins)
    top = 1.15 * max(2 * even, float(bins.max()))
    chart = Chart(x=(0.0, 1.0), y=(0.0, top), height=SQUARE)
    chart.y_ticks([(t, percent_text(t, digits=0)) for t, _ in value_ticks(0.0, top, count=4)])
    chart.x_ticks(TICKS, edges=True)
    chart.titles(x="place of the truth in the forecast (PIT)", y="share of the truth")
    chart.bars(edges, bins, "model")
    key = [("model swatch", "the model"), ("ideal", f"even: {percent_text(even, digits=0)} each")]
    if UNCALIBRATED in curves:
        before = _bins(pit, UNCALIBRATED, curves)
        middles = (edges[:-1] + edges[1:]) / 2
        chart.line(middles, before, "before")
        key.insert(1, ("before", "before calibration"))
    chart.level(even, "ideal")
    title = f"PIT: {_shape(bins)}"
    note = f"{len(bins)} bins.{_cells(cells)}"
    return figure(title, chart.svg(f"{title}. {note}"), note=note, key=legend(key))


def _bins(
    pit: pl.DataFrame, name: str, curves: dict[str, tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Shares of the truth between neighbouring quantiles, those beyond the outer ones included."""
    if {"forecaster", "bin", "share"} <= set(pit.columns):
        rows = pit.filter(pl.col("forecaster") == name).sort("bin")
        if rows.height:
            return rows["share"].cast(pl.Float64).to_numpy()
    return np.diff(curves[name][1], prepend=0.0, append=1.0)


def _shape(bins: np.ndarray) -> str:
    outer, even = float(bins[0] + bins[-1]), 2 / len(bins)
    above = float(bins[len(bins) // 2 :].sum())
    if outer > even + 2 * CLEAR:
        return f"the intervals are too narrow, {percent_text(outer)} lie beyond the outer quantiles"
    if outer < even - 2 * CLEAR:
        return f"the intervals are too wide, {percent_text(outer)} lie beyond the outer quantiles"
    if abs(above - 0.5) > CLEAR:
        side = "low" if above > 0.5 else "high"
        return f"somewhat too {side}, {percent_text(above)} of the truth lies above the median"
    return "about even"


def _by_step(table_: pl.DataFrame) -> str:
    """Coverage of the 80 % interval by step ahead, of the model before and after."""
    own = (
        table_.filter(pl.col("forecaster").is_in([MODEL, UNCALIBRATED]))
        if table_.height
        else table_
    )
    if not own.height:
        return ""
    after = own.filter(pl.col("forecaster") == MODEL).sort("step")
    steps, shares = after["step"].cast(pl.Float64).to_numpy(), after["coverage"].to_numpy()
    if len(steps) < 2:
        return ""
    values = own["coverage"].to_numpy()
    bottom = max(0.0, math.floor(10 * (min(float(values.min()), 0.7) - 0.02)) / 10)
    chart = Chart(x=(float(steps[0]), float(steps[-1])), y=(bottom, 1.0), height=HEIGHT)
    chart.y_ticks([(t, percent_text(t, digits=0)) for t, _ in value_ticks(bottom, 1.0)])
    chart.x_ticks(step_ticks(*chart.x))
    chart.titles(x="steps ahead", y="truth inside the 80 % interval")
    chart.level(WANTED, "ideal")
    labels = [(WANTED, "wanted", "plain"), (float(shares[-1]), "the model", "model")]
    key = [("model", "the model"), ("ideal", "wanted")]
    before = own.filter(pl.col("forecaster") == UNCALIBRATED).sort("step")
    if before.height:
        chart.line(before["step"].to_numpy(), before["coverage"].to_numpy(), "before")
        labels.append((float(before["coverage"][-1]), "before", "before"))
        key.insert(1, ("before", "before calibration"))
    chart.line(steps, shares, "model")
    chart.end_labels(labels)
    low, high = float(shares.min()), float(shares.max())
    title = f"By step, {percent_text(low)} to {percent_text(high)} lie in the 80 % interval"
    fewest, most = (count_text(pick(after["num_cells"].to_list())) for pick in (min, max))
    note = f"n = {fewest if fewest == most else f'{fewest} to {most}'} values at each step."
    return figure(title, chart.svg(f"{title}. {note}"), note=note, key=legend(key), labelled=True)


def _cells(cells: int) -> str:
    return f" n = {count_text(cells)} forecast values of the seen series." if cells else ""


# Figures of ``pooled`` about the spread: key, title, whether a share.
SPREAD = (
    ("coverage80", "in 80 %", True),
    ("sharpness", "width of 80 %", False),
    ("msis80", "MSIS, 80 %", False),
)


def _sharpness(evaluate: Json) -> str:
    pooled = {name: dict(found) for name, found in (evaluate.get("pooled") or {}).items()}
    own = evaluate.get("calibration") or {}
    if MODEL in pooled and "sharpness" in own:
        pooled[MODEL].setdefault("sharpness", own["sharpness"])
    before = (evaluate.get("calibrate") or {}).get("before") or {}
    if before:
        pooled[UNCALIBRATED] = {**(before.get("calibration") or {}), **(before.get("pooled") or {})}
    shown = [s for s in SPREAD if any(math.isfinite(number(p.get(s[0]))) for p in pooled.values())]
    if not any(key != "coverage80" for key, _, _ in shown):
        return ""
    rows = [
        (_title(name), *(_cell(number(pooled[name].get(key)), share) for key, _, share in shown))
        for name in sorted(in_order(pooled), key=lambda n: n not in (MODEL, UNCALIBRATED))
    ]
    listed = table(("forecaster", *(title for _, title, _ in shown)), rows, caption="Sharpness")
    return (
        f'{listed}<p class="note">Widths are in units of the usual seasonal change; narrower is '
        "better only among forecasters whose intervals hold what they promise.</p>"
    )


def _title(name: str) -> str:
    return "before calibration" if name == UNCALIBRATED else title_of(name)


def _cell(value: float, is_share: bool) -> str:
    if math.isnan(value):
        return "unknown"
    return percent_text(value) if is_share else f"{value:.3f}"
