"""Forecasts against the truth: which ones are shown, and how each is drawn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

import numpy as np
import polars as pl

from toto_core.evaluation.verdict import MODEL
from toto_core.report.charts import Chart, thinned
from toto_core.report.markup import Json, freq_text, legend, percent_text, section
from toto_core.report.series_part import NAIVE, SKILL, series_table
from toto_core.report.ticks import padded, time_label, value_ticks

PER_KIND = 4
BEST, TYPICAL, WORST = "Best series", "Typical series", "Worst series"
KINDS = (BEST, TYPICAL, WORST)
REST = "Typical of the other variates"
SINGLE = "Largest errors of all"
MAX_REST = 12
CONTEXT_HORIZONS = 2  # how much past is drawn, in units of the prediction length
HEIGHT = 128
MAX_STEPS, MAX_POINTS = 96, 400  # drawn of quantiles and of the truth: the page must stay small
MEDIAN = 4  # column of the level 0.5
KEYS = ["item_id", "variate"]


@dataclass(frozen=True)
class Fan:
    """One forecast: a series at an origin.

    Attributes:
        skill: of the whole series against no change.
        loss: scaled quantile loss of the model in this one forecast; ``naive`` of no change.
    """

    kind: str
    item_id: str
    variate: str
    origin: datetime
    skill: float
    held_out: bool
    loss: float = math.nan
    naive: float = math.nan


def choose_fans(losses: pl.DataFrame, *, per_kind: int = PER_KIND) -> list[Fan]:
    """Choose the best, the typical and the worst series, and the single largest errors.

    Series are ranked by skill against no change. A variate that is not among them is added with
    the series in the middle of its ranking; at most ``MAX_REST`` of them, the lowest skill first.
    Each series stands for itself once, at the origin whose own skill is the closest to that of
    the whole series, so that no lucky window makes a series look better than it is. The largest
    errors are those of single forecasts, at most one for each series.
    """
    ranked = series_table(losses)
    if not ranked.height:
        return []
    ranked = ranked.filter(pl.col(NAIVE) > 0).with_row_index("place")
    places = _places(ranked, per_kind)
    panel = _panel(losses)
    chosen = ranked[[place for _, place in places]]
    usual = _usual(panel.join(chosen, on=KEYS, how="semi"), chosen)
    fans = [
        _fan(kind, ranked.row(place, named=True), usual)
        for kind, place in places
        if (ranked["item_id"][place], ranked["variate"][place]) in usual
    ]
    return [*fans, *_largest(panel, ranked, per_kind)]


def rows_of(
    fans: Sequence[Fan], forecasts: pl.LazyFrame, history: pl.LazyFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the forecasts that are drawn, and the history of their series."""
    rows = [(fan.item_id, fan.variate, fan.origin) for fan in fans]
    origin = forecasts.collect_schema()["origin"]
    schema = {"item_id": pl.String, "variate": pl.String, "origin": origin}
    keys = pl.LazyFrame(rows, schema=schema, orient="row").unique()
    drawn = forecasts.join(keys, on=[*KEYS, "origin"], how="semi")
    return drawn.collect(), history.join(keys, on=KEYS, how="semi").collect()


def _places(ranked: pl.DataFrame, per_kind: int) -> list[tuple[str, int]]:
    """Kind and row of each series that is shown."""
    total = ranked.height
    per_kind = min(per_kind, total // len(KINDS)) or min(1, total)
    middle = max((total - per_kind) // 2, 0)
    rows = (
        [*range(per_kind)],
        [*range(middle, middle + per_kind)],
        [*range(total - per_kind, total)],
    )
    if total < len(KINDS):
        rows = [*range(total)], [], []
    shown = set(ranked[[row for part in rows for row in part]]["variate"])
    rest = (
        ranked.filter(~pl.col("variate").is_in(list(shown)))
        .group_by("variate", maintain_order=True)
        .agg(pl.col("place").get(pl.len() // 2))
        .sort("place", descending=True)
        .head(MAX_REST)["place"]
    )
    return [
        (kind, n) for kind, part in zip((*KINDS, REST), (*rows, rest), strict=True) for n in part
    ]


def _panel(losses: pl.DataFrame) -> pl.DataFrame:
    """The losses of the model and of no change in each forecast where both are known."""
    kept = pl.col("forecaster").is_in([MODEL, NAIVE]) & (pl.col("source") == "candidate")
    rows = losses.filter(kept & pl.col("sql").is_finite().fill_null(value=False))
    index = [*KEYS, "origin"]
    wide = rows.pivot(on="forecaster", index=index, values="sql", sort_columns=True)
    return wide.drop_nulls([MODEL, NAIVE]).sort(index)


def _usual(panel: pl.DataFrame, chosen: pl.DataFrame) -> dict[tuple[str, str], dict]:
    """For each chosen series the forecast whose skill is the closest to the whole series' one."""
    whole = chosen.select(*KEYS, whole=SKILL + NAIVE)
    rows = panel.filter(pl.col(NAIVE) > 0).join(whole, on=KEYS, maintain_order="left")
    rows = rows.with_columns(gap=(1 - pl.col(MODEL) / pl.col(NAIVE) - pl.col("whole")).abs())
    first = rows.sort("gap", "origin", maintain_order=True).unique(KEYS, keep="first")
    return {(row["item_id"], row["variate"]): row for row in first.to_dicts()}


def _fan(kind: str, series: dict, usual: dict[tuple[str, str], dict]) -> Fan:
    row = usual[series["item_id"], series["variate"]]
    return Fan(
        kind,
        series["item_id"],
        series["variate"],
        row["origin"],
        series[SKILL + NAIVE],
        series["held_out"],
        row[MODEL],
        row[NAIVE],
    )


def _largest(panel: pl.DataFrame, ranked: pl.DataFrame, count: int) -> list[Fan]:
    order = [MODEL, *KEYS, "origin"]
    rows = panel.sort(order, descending=[True, False, False, False])
    first = rows.unique(KEYS, keep="first", maintain_order=True).head(count)
    facts = ranked.select(*KEYS, "held_out", whole=SKILL + NAIVE)
    found = first.join(facts, on=KEYS, maintain_order="left")
    return [
        Fan(
            SINGLE,
            *(row[key] for key in (*KEYS, "origin", "whole", "held_out", MODEL, NAIVE)),
        )
        for row in found.to_dicts()
    ]


def fans_section(
    fans: Sequence[Fan], forecasts: pl.DataFrame, history: pl.DataFrame, splits: Json
) -> str:
    """Return the forecast fans as small multiples; empty where there is none."""
    body = fan_rows(fans, forecasts, history)
    if not body:
        return ""
    length, freq = splits.get("prediction_length"), escape(freq_text(splits.get("freq")))
    lead = (
        f"Each panel is one series at one moment, {length} steps of {freq} ahead, on the scale of "
        "the series; time is in UTC. The series are ranked by their skill against no change over "
        "the whole test period, the percentage beside the name, and each is shown where its "
        "forecast was as good as it usually is. The largest errors are those of single forecasts, "
        "one for each series, measured in its usual seasonal change."
    )
    key = legend(
        [
            ("truth", "truth"),
            ("model", "median"),
            ("model swatch", "10 to 90 %, darker to the middle"),
            ("naive thin", "no change"),
        ]
    )
    return section("What it forecasts", lead, key + body, wide=True)


def fan_rows(fans: Sequence[Fan], forecasts: pl.DataFrame, history: pl.DataFrame) -> str:
    """Return the fans as small multiples, kind by kind.

    Args:
        forecasts: rows of ``data/forecasts/candidate.parquet``, at least those of the fans.
        history: rows of ``data/valid``, at least those of the series of the fans.
    """
    rows = []
    for kind in (*KINDS, REST, SINGLE):
        charts = "".join(_figure(fan, forecasts, history) for fan in fans if fan.kind == kind)
        if charts:
            rows.append(f'<h3>{kind}</h3><div class="fans">{charts}</div>')
    return "".join(rows)


def _figure(fan: Fan, forecasts: pl.DataFrame, history: pl.DataFrame) -> str:
    own = (pl.col("item_id") == fan.item_id) & (pl.col("variate") == fan.variate)
    ahead = forecasts.filter(own & (pl.col("origin") == fan.origin)).sort("step")
    past = history.filter(own & (pl.col("timestamp") < fan.origin)).sort("timestamp")
    past = past.tail(CONTEXT_HORIZONS * ahead.height)
    if not ahead.height:
        return ""
    name = f"{fan.item_id} / {fan.variate}"
    worth, said = (
        percent_text(fan.skill, digits=0),
        f"skill of the series {percent_text(fan.skill)}",
    )
    if fan.kind == SINGLE:
        worth = f"{fan.loss:.1f}"
        said = f"SQL {fan.loss:.2f}, no change {fan.naive:.2f}"
    label = f"{name}: forecast from {fan.origin:%Y-%m-%d %H:%M} against the truth; {said}"
    mark = ' <span class="tag">held out</span>' if fan.held_out else ""
    below = ""
    if fan.kind == SINGLE:
        below = f'<p class="why">loss {fan.loss:.1f}, no change {fan.naive:.1f}</p>'
    return (
        f'<figure><figcaption><span class="name" title="{escape(name)}">{escape(name)}</span>{mark}'
        f'<b>{worth}</b></figcaption><div class="chart">{_chart(ahead, past).svg(label)}</div>'
        f"{below}</figure>"
    )


def _chart(ahead: pl.DataFrame, past: pl.DataFrame) -> Chart:
    times = ahead["timestamp"].dt.epoch("us").to_numpy()
    past_times = past["timestamp"].dt.epoch("us").to_numpy()
    target, values = _floats(ahead["target"]), _floats(past["value"])
    quantiles, naive = ahead[MODEL].to_numpy(), ahead[NAIVE].to_numpy()[:, MEDIAN]
    start = float(past_times[0] if len(past_times) else times[0])
    chart = Chart(
        x=(start, float(times[-1])),
        y=padded(np.concatenate([values, target, quantiles[:, [0, -1]].ravel(), naive])),
        height=HEIGHT,
    )
    chart.upright(float(times[0]), "origin")
    some = np.unique(np.linspace(0, len(times) - 1, min(len(times), MAX_STEPS)).round().astype(int))
    for depth in range(MEDIAN):
        low, high = quantiles[some, depth], quantiles[some, -1 - depth]
        chart.band(times[some], low, high, "model")
    chart.line(times[some], naive[some], "naive thin")
    chart.line(times[some], quantiles[some, MEDIAN], "model")
    # The truth is one line through the origin.
    all_times = np.concatenate([past_times, times]).astype(np.float64)
    chart.line(*thinned(all_times, np.concatenate([values, target]), MAX_POINTS), "truth")
    chart.y_ticks(value_ticks(*chart.y, count=4))
    span = float(times[-1]) - start
    ticks = [(t, time_label(t, span_us=span)) for t in (start, float(times[0]))]
    chart.x_ticks(ticks if len(past_times) else ticks[:1])
    return chart


def _floats(column: pl.Series) -> np.ndarray:
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
