"""Skill with its interval, one row for each baseline, on an axis that all rows share."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from toto_core.evaluation.json_numbers import number
from toto_core.evaluation.verdict import BASELINES, TITLES, p_value_text
from toto_core.report.charts import value_ticks
from toto_core.report.markup import PERCENT, Json, minus, percent_text, table

NUM_VARIATES = 8  # drawn at most
LOWEST = -10.0  # eleven times the baseline's loss; what is worse is an arrow at the edge
SETS = (
    (
        "candidate",
        "Seen series",
        "Trained on their past, judged on what came after. This is what decides.",
    ),
    ("held_out", "New series", "No training has seen them: does what it learned carry over?"),
    (
        "crossval",
        "Rolling refits",
        "The same recipe refitted at the start of each fold. Evidence for the recipe, "
        "not for these weights.",
    ),
)


def forest(skills: Json, by_variate: Json) -> str:
    """Return the interval chart of every test set, and of each variate, with one common axis."""
    blocks = [
        (title, lead, [(TITLES.get(name, name), row) for name, row in _rows(skills[key])])
        for key, title, lead in SETS
        if skills.get(key)
    ]
    names = worst_first(by_variate)
    if len(names) > 1:
        drawn = [(name, by_variate[name]["naive"]) for name in names[:NUM_VARIATES]]
        lead = "The same seen series, each variate for itself, the lowest skill first."
        if len(names) > NUM_VARIATES:
            lead += f" The {len(names) - NUM_VARIATES} with the highest skill are in the table."
        blocks.insert(1, ("By variate, against no change", lead, drawn))
    low, high = _domain([row for _, _, rows in blocks for _, row in rows])
    drawn = "".join(
        f'<h3>{title}</h3><p class="note">{lead}</p><div class="forest">'
        f"{''.join(_line(name, row, low, high) for name, row in rows)}</div>"
        for title, lead, rows in blocks
    )
    return drawn + _axis(low, high)


def worst_first(by_variate: Json) -> list[str]:
    """Return the variates by their skill against no change, the lowest first."""
    skills = {
        name: number((found.get("naive") or {}).get("skill")) for name, found in by_variate.items()
    }
    known = [name for name, skill in skills.items() if "naive" in by_variate[name]]
    return sorted(known, key=lambda name: (_low_if_unknown(skills[name]), name))


def _low_if_unknown(skill: float) -> float:
    return -math.inf if math.isnan(skill) else skill


def variate_table(by_variate: Json, scores: Json) -> str:
    """Return one row for each variate, the lowest skill first; empty with a single variate.

    Args:
        by_variate: ``skill_by_variate`` of the evaluation.
        scores: ``by_variate`` of the evaluation: pooled figures of each forecaster.
    """
    names = worst_first(by_variate)
    if len(names) < 2:
        return ""
    head = ("variate", *(f"against {TITLES[b]}" for b in BASELINES), "median alone", "in 80 %")
    rows = []
    for name in names:
        skills = [number((by_variate[name].get(b) or {}).get("skill")) for b in BASELINES]
        found = scores.get(name) or {}
        errors = [number((found.get(f) or {}).get("mase")) for f in ("model", "naive")]
        point = 1 - errors[0] / errors[1] if errors[1] > 0 else math.nan
        covered = number((found.get("model") or {}).get("coverage80"))
        shares = (*(percent_text(skill) for skill in (*skills, point)),)
        rows.append((name, *shares, percent_text(covered, digits=0)))
    return table(head, rows, caption="Skill of each variate")


def skill_table(skills: Json, by_variate: Json) -> str:
    """Return every figure behind the chart."""
    head = ("against", "skill", "two-sided 95 %", "p", "t", "df", "n", "h", "p, HLN")
    parts = []
    names = worst_first(by_variate) if len(by_variate) > 1 else []
    tables = {title: skills.get(key) or {} for key, title, _ in SETS}
    tables |= {f"Seen series, {name} alone": by_variate[name] for name in names}
    for title, found in tables.items():
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
            for name, row in _rows(found)
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


def _line(title: str, row: Json, low: float, high: float) -> str:
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
    p = p_value_text(number(row.get("p_value")))
    label = f"Skill, {title}: {percent_text(skill)}, interval {_interval(row)}, p {p}"
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
