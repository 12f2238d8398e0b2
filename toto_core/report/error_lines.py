"""The error of every forecaster along an axis: by step ahead and by hour of the day."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from toto_core.evaluation.verdict import MODEL, in_order
from toto_core.report.charts import Chart
from toto_core.report.markup import count_text, figure, legend, section
from toto_core.report.palette import css_classes, in_words, title_of
from toto_core.report.ticks import Ticks, step_ticks, value_ticks

HEIGHT = 230
Curve = tuple[np.ndarray, np.ndarray]  # places and values
# What each metric is called on its axis.
AXES = {
    "mase": "MASE: error of the median / usual seasonal change",
    "sql": "SQL: loss of all quantiles / usual seasonal change",
}
NAMES = {"mase": "the median", "sql": "all quantiles"}


@dataclass(frozen=True)
class Along:
    """The horizontal axis.

    Attributes:
        column: of the table.
        one: what a place on it is called, ``many`` several of them.
        title: what the axis measures, with its unit.
    """

    column: str
    one: str
    many: str
    title: str
    ticks: Ticks


def step_section(table: pl.DataFrame, *, freq: str) -> str:
    """Return the error by step ahead.

    Args:
        table: ``reports/plots/horizon.csv``: columns step, forecaster, mase and sql.
        freq: of a step, in words.
    """
    lead = (
        "How far ahead the forecasts carry, beside what the baselines reach at the same step. "
        "Both errors are in units of the ordinary change from one season to the next; lower is "
        "better."
    )
    steps = _places(table, "step")
    if len(steps) < 1:
        note = '<p class="note">No error by step was recorded.</p>'
        return section("How far ahead?", lead, note)
    ticks = step_ticks(float(steps[0]), float(steps[-1]))
    along = Along("step", "step", "steps", f"steps ahead, {freq} each", ticks)
    return section("How far ahead?", lead, _figures(table, along))


def hour_section(table: pl.DataFrame, origins: pl.Series) -> str:
    """Return the error by hour of the day; empty where there is no more than one hour.

    Args:
        table: ``reports/plots/hours.csv``: columns hour, forecaster, sql, mase and num_cells.
        origins: moments of forecast.
    """
    hours = _places(table, "hour")
    if len(hours) < 2:
        return ""
    lead = (
        "The hour, in UTC, for which was forecast, over all series, days and steps ahead. A model "
        "that knows the rhythm of the day errs about as much in every hour of it."
    )
    starts = origins.dt.time().unique().sort().to_list()
    if len(starts) == 1:
        lead += (
            f" Here every forecast starts at {starts[0]:%H:%M}, so an hour stands for its steps "
            "ahead too: what is due to which cannot be told apart."
        )
    wanted = [(float(h), f"{h:02d}:00") for h in range(0, 24, 4)]
    ticks = [tick for tick in wanted if hours[0] <= tick[0] <= hours[-1]]
    along = Along("hour", "hour", "hours", "hour of the day, UTC", ticks)
    cells = table.filter(pl.col("forecaster") == MODEL)["num_cells"].sum()
    note = f"n = {count_text(cells)} forecast values with a known truth."
    return section("At what time of day?", lead, _figures(table, along, note=note))


def _places(table: pl.DataFrame, column: str) -> np.ndarray:
    if not {column, "forecaster", *AXES} <= set(table.columns) or not table.height:
        return np.zeros(0)
    return np.unique(table[column].cast(pl.Float64).to_numpy())


def _figures(table: pl.DataFrame, along: Along, *, note: str = "") -> str:
    return "".join(_figure(table, along, metric, note) for metric in AXES)


def _figure(table: pl.DataFrame, along: Along, metric: str, note: str) -> str:
    names = in_order(table["forecaster"].unique())
    css = css_classes(names)
    curves = {name: _curve(table, along.column, metric, name) for name in names}
    top = max(float(np.nanmax(y)) for _, y in curves.values())
    places = np.concatenate([x for x, _ in curves.values()])
    chart = Chart(x=(float(places.min()), float(places.max())), y=(0.0, 1.06 * top), height=HEIGHT)
    chart.y_ticks(value_ticks(*chart.y, count=6))
    chart.x_ticks(along.ticks)
    chart.titles(x=along.title, y=AXES[metric])
    for name in sorted(names, key=lambda name: name == MODEL):  # the model on top
        chart.line(*curves[name], css[name])
    chart.end_labels([(float(curves[name][1][-1]), title_of(name), css[name]) for name in names])
    title = _finding(curves, along, metric)
    label = f"{AXES[metric]}, by {along.title}, for {in_words(title_of(n) for n in names)}: {title}"
    key = legend([(css[name], title_of(name)) for name in names])
    return figure(title, chart.svg(label), note=note, key=key, labelled=True)


def _curve(table: pl.DataFrame, column: str, metric: str, name: str) -> Curve:
    rows = table.filter(pl.col("forecaster") == name).sort(column)
    values = rows.select(pl.col(column, metric).cast(pl.Float64).fill_null(float("nan")))
    return values[column].to_numpy(), values[metric].to_numpy()


def _finding(curves: dict[str, Curve], along: Along, metric: str) -> str:
    """Say at how many places the model has the lowest error, and who is better where it has not."""
    start = f"By {NAMES[metric]}"
    others = {name: y for name, (_, y) in curves.items() if name != MODEL}
    if MODEL not in curves or not others:
        return f"{start}, {along.one} by {along.one}"
    x, own = curves[MODEL]
    if any(len(y) != len(own) for y in others.values()):
        return f"{start}, {along.one} by {along.one}"
    lost = {name: int((y < own).sum()) for name, y in others.items()}
    best = len(own) - int(np.any([y < own for y in others.values()], axis=0).sum())
    if best == len(own):
        return f"{start}, the model errs least at every one of {len(own)} {along.many}"
    name = max(lost, key=lambda name: lost[name])
    where = x[others[name] < own]
    at = f"at {along.one} {where[0]:.0f}" if len(where) == 1 else f"at {len(where)} {along.many}"
    if len(where) == len(own):
        at = "everywhere"
    least = f"at {best} of {len(own)} {along.many}" if best else "nowhere"
    return f"{start}, the model errs least {least}; {title_of(name)} is better {at}"
