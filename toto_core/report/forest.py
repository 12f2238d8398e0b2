"""Skill with its interval: blocks of rows on one axis that all of them share."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from toto_core.evaluation.headline import WORDING_ALPHA
from toto_core.evaluation.json_numbers import number
from toto_core.evaluation.verdict import p_value_text
from toto_core.report.markup import PERCENT, percent_text, prose
from toto_core.report.ticks import Ticks, value_ticks

LOWEST = -10.0  # eleven times the baseline's loss; what is worse is an arrow at the edge
ROW = 34  # height, CSS pixels
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Block:
    """Rows of one kind under one title.

    Attributes:
        rows: name of each row, and skill, lower, upper and p_value.
        sets_axis: whether its intervals widen the axis; those of short stretches need not.
    """

    title: str
    lead: str
    rows: Sequence[tuple[str, Row]]
    sets_axis: bool = True


def axis_of(blocks: Sequence[Block]) -> tuple[float, float]:
    """Return the lowest and the highest skill of the axis that the blocks share."""
    values = [0.0]
    for block in blocks:
        keys = ("lower", "upper", "skill") if block.sets_axis else ("skill",)
        found = [number(row.get(key)) for _, row in block.rows for key in keys]
        values += [value for value in found if math.isfinite(value)]
    low, high = max(min(values), LOWEST), min(max(values), 1.0)
    margin = 0.06 * (high - low) or 0.1
    return max(low - margin, LOWEST), high + margin


def forest(block: Block, axis: tuple[float, float]) -> str:
    """Draw one block: a dot and a bar for each row, and the axis below."""
    lines = "".join(_line(name, row, *axis) for name, row in block.rows)
    return (
        f'<h3>{escape(block.title)}</h3><p class="note">{escape(prose(block.lead))}</p>'
        f'<div class="forest">{lines}{_axis(*axis)}</div>'
    )


def is_better(row: Row) -> bool:
    """Whether the gain is shown by the one-sided test, as the headline has it."""
    return number(row.get("p_value")) <= WORDING_ALPHA


def is_worse(row: Row) -> bool:
    """Whether a loss is shown by the same test turned round."""
    return number(row.get("p_value")) >= 1 - WORDING_ALPHA


def interval_text(row: Row) -> str:
    """Return the interval of a skill as percentages."""
    lower, upper = number(row.get("lower")), number(row.get("upper"))
    if math.isnan(lower) or math.isnan(upper):
        return "no interval"
    return f"{percent_text(lower).removesuffix(PERCENT)} to {percent_text(upper)}"


def _line(title: str, row: Row, low: float, high: float) -> str:
    skill, lower, upper = (number(row.get(key)) for key in ("skill", "lower", "upper"))
    better = "good" if is_better(row) else "bad" if is_worse(row) else "open"
    marks = "".join(_upright(tick, low, high, "grid") for tick, _ in _ticks(low, high))
    marks += _upright(0.0, low, high, "zero")
    if math.isfinite(lower) and math.isfinite(upper) and upper > lower:
        marks += _interval(lower, upper, low, high, better)
    if low <= skill <= high:
        y = ROW // 2
        marks += f'<circle class="point {better}" cx="{_at(skill, low, high)}" cy="{y}" r="5.5"/>'
    elif not math.isnan(skill):
        marks += '<path class="point bad" d="M12 10L2 17L12 24Z"/>'
    p = p_value_text(number(row.get("p_value")))
    label = f"Skill, {title}: {percent_text(skill)}, interval {interval_text(row)}, p {p}"
    p = "not decided" if p == "unknown" else f"p {p}" if p[0] in "<>" else f"p = {p}"
    return (
        f'<div class="row"><span class="name">{escape(title)}</span>'
        f'<svg class="track" role="img" aria-label="{escape(label)}" height="{ROW}">{marks}</svg>'
        f'<span class="value"><b>{percent_text(skill)}</b> <span>{interval_text(row)}</span> '
        f"<span>{p}</span></span></div>"
    )


def _interval(lower: float, upper: float, low: float, high: float, css: str) -> str:
    """A bar; where it runs beyond the axis it ends in an arrow."""
    left, right = max(lower, low), min(upper, high)
    if left >= right:
        return ""
    y = ROW // 2
    drawn = (
        f'<line class="interval {css}" x1="{_at(left, low, high)}" x2="{_at(right, low, high)}" '
        f'y1="{y}" y2="{y}"/>'
    )
    for is_out, x, sign in ((lower < low, "0%", "\N{LEFTWARDS ARROW}"), (upper > high, "100%", "")):
        if is_out:
            anchor = "first" if sign else "last"
            arrow = sign or "\N{RIGHTWARDS ARROW}"
            drawn += f'<text class="tick {anchor}" x="{x}" y="{y - 4}">{arrow}</text>'
    return drawn


def _upright(value: float, low: float, high: float, css: str) -> str:
    x = _at(value, low, high)
    return f'<line class="{css}" x1="{x}" x2="{x}" y1="0" y2="{ROW}"/>'


def _axis(low: float, high: float) -> str:
    marks = "".join(
        f'<text class="tick mid" x="{_at(value, low, high)}" y="12">'
        f"{percent_text(value, digits=0)}</text>"
        for value, _ in _ticks(low, high)
    )
    return (
        '<div class="row axis" aria-hidden="true"><span class="name"></span>'
        f'<svg class="track" height="18">{marks}</svg><span class="value">'
        "skill; right of the line: better</span></div>"
    )


def _ticks(low: float, high: float) -> Ticks:
    """Few enough ticks for their labels, which are longer far below zero."""
    return value_ticks(low, high, count=5 if low > -1 else 3)


def _at(value: float, low: float, high: float) -> str:
    return f"{100 * (value - low) / (high - low):.2f}%"
