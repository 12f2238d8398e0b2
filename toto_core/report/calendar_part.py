"""Over calendar time: the loss differential of each origin, which is what the tests are about."""

import numpy as np
import polars as pl

from toto_core.report.charts import Chart
from toto_core.report.markup import figure, legend, section
from toto_core.report.palette import title_of
from toto_core.report.segments import CANDIDATE, differential, origin_table
from toto_core.report.ticks import padded, time_ticks, value_ticks

HEIGHT = 200
MAX_DOTS = 400  # of more moments, neighbours are averaged: the page must stay small
TITLE = "Was it better all the time?"


def calendar_section(losses: pl.DataFrame, baselines: list[str], *, first: str) -> str:
    """Return one chart for each baseline, those after the first folded away.

    Args:
        first: the baseline that is shown open.
    """
    table = origin_table(losses, source=CANDIDATE)
    drawn = {name: _figure(table, name) for name in baselines}
    drawn = {name: text for name, text in drawn.items() if text}
    if not drawn:
        return ""
    lead = (
        "The loss of the model minus that of a baseline at each moment of forecast, averaged over "
        "the seen series: this series of numbers is what the tests judge. Below the line the model "
        "was better. A running mean that leaves its level tells of a gain that came and went."
    )
    shown = first if first in drawn else next(iter(drawn))
    others = "".join(text for name, text in drawn.items() if name != shown)
    if others:
        others = f"<details><summary>Against the other baselines</summary>{others}</details>"
    return section(TITLE, lead, drawn[shown] + others)


def _figure(table: pl.DataFrame, baseline: str) -> str:
    origins, d = differential(table, baseline)
    if len(d) < 2:
        return ""
    times = np.array([origin.timestamp() * 1e6 for origin in origins])
    mean = np.cumsum(d) / np.arange(1, len(d) + 1)
    parts = np.array_split(np.arange(len(d)), min(len(d), MAX_DOTS))
    ends = [part[-1] for part in parts]
    chart = Chart(
        x=(float(times[0]), float(times[-1])),
        y=padded(np.concatenate([d, [0.0]]), share=0.1),
        height=HEIGHT,
    )
    chart.y_ticks(value_ticks(*chart.y))
    chart.x_ticks(time_ticks(*chart.x))
    chart.titles(
        x="moment of forecast, UTC",
        y=f"SQL of the model \N{MINUS SIGN} SQL of {title_of(baseline)}",
    )
    chart.level(0.0, "zero")
    chart.dots(times[ends], [d[part].mean() for part in parts], "small dot")
    chart.line(times[ends], mean[ends], "model")
    chart.end_labels([(float(mean[-1]), "running mean", "model"), (0.0, "equal", "plain")])
    won = int((d < 0).sum())
    title = f"The model has the smaller loss than {title_of(baseline)} at {won} of {len(d)} moments"
    note = (
        f"n = {len(d)} moments; mean {_signed(float(mean[-1]))} in units of the usual seasonal "
        f"change, worst {_signed(float(d.max()))}, best {_signed(float(d.min()))}."
    )
    each = "one moment"
    if len(parts) < len(d):
        fewest, most = len(parts[-1]), len(parts[0])
        each = f"mean of {fewest if fewest == most else f'{fewest} to {most}'} moments"
        note += f" Each dot is the {each}."
    key = legend([("model", "mean of all moments so far"), ("dotted", each)])
    return figure(title, chart.svg(f"{title}. {note}"), note=note, key=key, labelled=True)


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")
