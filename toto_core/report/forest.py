"""Skill with its interval, one row for each baseline, on an axis that all rows share."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from toto_core.evaluation.verdict import BASELINES, TITLES, p_value_text
from toto_core.report.charts import value_ticks
from toto_core.report.markup import PERCENT, Json, minus, number, percent_text, table

LOWEST = -10.0  # eleven times the baseline's loss; what is worse is an arrow at the edge
SETS = (
    (
        "candidate",
        "Seen series",
        "Trained on their past, judged on what came after. This is what decides.",
    ),
    ("held_out", "New series", "No training has seen them. Whether it carries over to others."),
    (
        "crossval",
        "Rolling refits",
        "The same recipe refitted at the start of each fold. Evidence for the recipe, "
        "not for these weights.",
    ),
)


def forest(skills: Json) -> str:
    """Return the interval chart of every test set with one common axis."""
    sets = [(key, title, lead) for key, title, lead in SETS if skills.get(key)]
    rows = [row for key, _, _ in sets for row in _rows(skills[key])]
    low, high = _domain([row for _, row in rows])
    blocks = []
    for key, title, lead in sets:
        lines = "".join(_line(name, row, low, high) for name, row in _rows(skills[key]))
        blocks.append(
            f'<h3>{title}</h3><p class="note">{lead}</p><div class="forest">{lines}</div>'
        )
    return "".join(blocks) + _axis(low, high)


def skill_table(skills: Json) -> str:
    """Return every figure behind the chart."""
    head = ("against", "skill", "95 % interval", "p", "t", "df", "n", "h", "p, HLN")
    parts = []
    for key, title, _ in SETS:
        rows = [
            (
                TITLES.get(name, name),
                percent_text(number(row.get("skill"))),
                _interval(row),
                p_value_text(number(row.get("p_value"))),
                minus(f"{number(row.get('statistic')):.2f}"),
                f"{number(row.get('df')):.0f}",
                f"{number(row.get('n')):.0f}",
                f"{number(row.get('h_eff')):.0f}",
                p_value_text(number(row.get("p_hln"))),
            )
            for name, row in _rows(skills.get(key) or {})
        ]
        if rows:
            parts.append(table(head, rows, caption=title))
    return "".join(parts)


def _rows(test_set: Json) -> list[tuple[str, Json]]:
    return [(name, test_set[name]) for name in BASELINES if isinstance(test_set.get(name), Mapping)]


def _domain(rows: Sequence[Json]) -> tuple[float, float]:
    values = [0.0]
    for row in rows:
        found = [number(row.get(key)) for key in ("lower", "upper", "skill")]
        values += [value for value in found if math.isfinite(value)]
    low, high = max(min(values), LOWEST), min(max(values), 1.0)
    margin = 0.06 * (high - low) or 0.1
    return max(low - margin, LOWEST), high + margin


def _line(name: str, row: Json, low: float, high: float) -> str:
    skill, lower, upper = (number(row.get(key)) for key in ("skill", "lower", "upper"))
    better = "good" if lower > 0 else "bad" if upper < 0 else "open"
    marks = (
        f'<line class="zero" x1="{_at(0.0, low, high)}" x2="{_at(0.0, low, high)}" y1="0" y2="34"/>'
    )
    if math.isfinite(lower) and math.isfinite(upper) and upper > low:
        marks += (
            f'<line class="interval {better}" x1="{_at(max(lower, low), low, high)}" '
            f'x2="{_at(min(upper, high), low, high)}" y1="17" y2="17"/>'
        )
    if skill >= low:
        marks += f'<circle class="point {better}" cx="{_at(skill, low, high)}" cy="17" r="5.5"/>'
    elif not math.isnan(skill):
        marks += '<path class="point bad" d="M12 10L2 17L12 24Z"/>'
    title = TITLES.get(name, name)
    p = p_value_text(number(row.get("p_value")))
    label = f"Skill against {title}: {percent_text(skill)}, interval {_interval(row)}, p {p}"
    p = "inconclusive" if p == "unknown" else f"p {p}"
    return (
        f'<div class="row"><span class="name">{escape(title)}</span>'
        f'<svg class="track" role="img" aria-label="{escape(label)}" height="34">{marks}</svg>'
        f'<span class="value"><b>{percent_text(skill)}</b> <span>{_interval(row)}</span> '
        f"<span>{p}</span></span></div>"
    )


def _axis(low: float, high: float) -> str:
    marks = "".join(
        f'<text class="tick mid" x="{_at(value, low, high)}" y="12">'
        f"{percent_text(value, digits=0)}</text>"
        for value, _ in value_ticks(low, high, count=4)
    )
    return (
        '<div class="forest axis" aria-hidden="true"><div class="row"><span class="name"></span>'
        f'<svg class="track" height="18">{marks}</svg><span class="value">'
        "<span>right of the line: better</span></span></div></div>"
    )


def _interval(row: Json) -> str:
    lower, upper = number(row.get("lower")), number(row.get("upper"))
    if math.isnan(lower) or math.isnan(upper):
        return "no interval"
    return f"{percent_text(lower).removesuffix(PERCENT)} to {percent_text(upper)}"


def _at(value: float, low: float, high: float) -> str:
    return f"{100 * (value - low) / (high - low):.2f}%"
