"""A dozen forecasts against the truth: which ones, and how each is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

import numpy as np
import polars as pl

from toto_core.evaluation.gate import CELL, side_by_side, skill
from toto_core.evaluation.verdict import MODEL
from toto_core.report.charts import Chart, padded, time_label, value_ticks
from toto_core.report.markup import percent_text

PER_KIND = 4
KINDS = ("Best", "Typical", "Worst")
REST = "Typical of the other variates"
MAX_REST = 12
CONTEXT_HORIZONS = 2  # how much past is drawn, in units of the prediction length
HEIGHT = 128
MEDIAN = 4  # column of the level 0.5


@dataclass(frozen=True)
class Fan:
    """One forecast: a series at an origin, chosen for the skill of the whole series."""

    kind: str
    item_id: str
    variate: str
    origin: datetime
    skill: float
    held_out: bool


def choose_fans(losses: pl.DataFrame, *, per_kind: int = PER_KIND) -> list[Fan]:
    """Choose the best, the typical and the worst series by skill against no change.

    A variate that is not among them is added with the series in the middle of its ranking, so
    that a variate that is neither best nor worst is seen too; at most ``MAX_REST`` of them, the
    lowest skill first.

    Each series stands for itself once, at the origin whose own skill is the closest to that of
    the whole series, so that no lucky window makes a series look better than it is.
    """
    rows = losses.filter(pl.col("source") == "candidate")
    panel = side_by_side(rows, index=(*CELL, "held_out"), forecasters=(MODEL, "naive"))
    finite = pl.col(MODEL).is_finite() & pl.col("naive").is_finite()
    panel = panel.filter(finite & (pl.col("naive") > 0))
    fans = []
    for (item_id, variate), rows in panel.group_by("item_id", "variate", maintain_order=True):
        whole = skill(float(rows[MODEL].sum()), float(rows["naive"].sum()))
        own = 1 - rows[MODEL].to_numpy() / rows["naive"].to_numpy()
        row = rows.row(int(np.argmin(np.abs(own - whole))), named=True)
        fans.append(
            Fan("", str(item_id), str(variate), row["origin"], whole, bool(row["held_out"]))
        )
    fans.sort(key=lambda fan: (-fan.skill, fan.item_id, fan.variate))
    per_kind = min(per_kind, len(fans) // len(KINDS)) or min(1, len(fans))
    middle = max((len(fans) - per_kind) // 2, 0)
    chosen = (fans[:per_kind], fans[middle : middle + per_kind], fans[-per_kind:])
    if len(fans) < len(KINDS):
        chosen = (fans, [], [])
    shown = {fan.variate for part in chosen for fan in part}
    return [
        Fan(kind, *(getattr(f, name) for name in _FIELDS))
        for kind, part in zip((*KINDS, REST), (*chosen, _typical(fans, shown)), strict=True)
        for f in part
    ]


def _typical(fans: Sequence[Fan], shown: set[str]) -> list[Fan]:
    """Return the middle series of each variate that is not shown yet, the lowest skill first."""
    ranked: dict[str, list[Fan]] = {}
    for fan in fans:
        ranked.setdefault(fan.variate, []).append(fan)
    rest = [own[len(own) // 2] for variate, own in ranked.items() if variate not in shown]
    return sorted(rest, key=lambda fan: (fan.skill, fan.variate))[:MAX_REST]


_FIELDS = ("item_id", "variate", "origin", "skill", "held_out")


def fan_rows(fans: Sequence[Fan], forecasts: pl.DataFrame, history: pl.DataFrame) -> str:
    """Return the fans as small multiples, kind by kind.

    Args:
        forecasts: rows of ``data/forecasts/candidate.parquet``, at least those of the fans.
        history: rows of ``data/valid``, at least those of the series of the fans.
    """
    rows = []
    for kind in (*KINDS, REST):
        charts = "".join(_figure(fan, forecasts, history) for fan in fans if fan.kind == kind)
        if charts:
            rows.append(f'<h3>{kind}</h3><div class="fans">{charts}</div>')
    return "".join(rows)


def _figure(fan: Fan, forecasts: pl.DataFrame, history: pl.DataFrame) -> str:
    ahead = forecasts.filter(
        (pl.col("item_id") == fan.item_id)
        & (pl.col("variate") == fan.variate)
        & (pl.col("origin") == fan.origin)
    ).sort("step")
    past = (
        history.filter(
            (pl.col("item_id") == fan.item_id)
            & (pl.col("variate") == fan.variate)
            & (pl.col("timestamp") < fan.origin)
        )
        .sort("timestamp")
        .tail(CONTEXT_HORIZONS * ahead.height)
    )
    times = ahead["timestamp"].dt.epoch("us").to_numpy()
    past_times = past["timestamp"].dt.epoch("us").to_numpy()
    target, values = _floats(ahead["target"]), _floats(past["value"])
    quantiles, naive = ahead[MODEL].to_numpy(), ahead["naive"].to_numpy()[:, MEDIAN]
    start = float(past_times[0] if len(past_times) else times[0])
    chart = Chart(
        x=(start, float(times[-1])),
        y=padded(np.concatenate([values, target, quantiles[:, [0, -1]].ravel(), naive])),
        height=HEIGHT,
    )
    chart.upright(float(times[0]), "origin")
    for depth in range(MEDIAN):
        chart.band(times, quantiles[:, depth], quantiles[:, -1 - depth], "model")
    chart.line(times, naive, "naive thin")
    chart.line(times, quantiles[:, MEDIAN], "model")
    # The truth is one line through the origin.
    chart.line(np.concatenate([past_times, times]), np.concatenate([values, target]), "truth")
    chart.y_ticks(value_ticks(*chart.y, count=4))
    span = float(times[-1]) - start
    ticks = [(t, time_label(t, span_us=span)) for t in (start, float(times[0]))]
    chart.x_ticks(ticks if len(past_times) else ticks[:1])
    name = f"{fan.item_id} / {fan.variate}"
    label = (
        f"{name}: forecast from {fan.origin:%Y-%m-%d %H:%M} against the truth; "
        f"skill of the series {percent_text(fan.skill)}"
    )
    mark = ' <span class="tag">held out</span>' if fan.held_out else ""
    return (
        f'<figure><figcaption><span class="name">{escape(name)}{mark}</span>'
        f"<b>{percent_text(fan.skill, digits=0)}</b></figcaption>"
        f'<div class="chart">{chart.svg(label)}</div></figure>'
    )


def _floats(column: pl.Series) -> np.ndarray:
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
