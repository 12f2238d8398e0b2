"""Small pieces of HTML; every text that comes from data is escaped here."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from toto_core.evaluation.json_numbers import number

UNITS = {
    "s": "second",
    "min": "minute",
    "h": "hour",
    "D": "day",
    "B": "business day",
    "W": "week",
    "M": "month",
    "Q": "quarter",
    "Y": "year",
}
Json = Mapping[str, Any]
MINUS = "\N{MINUS SIGN}"
NARROW_COLUMNS = 3  # up to this many a table need not span the page
NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
PERCENT = f"{NARROW_SPACE}%"


def prose(text: str) -> str:
    """Return a sentence whose numbers carry real minus signs and keep their per cent sign."""
    return re.sub(r"\bn = (?=\d)", "n\u00a0=\u00a0", minus(text)).replace(" %", PERCENT)


def minus(text: str) -> str:
    """Return a text with real minus signs before its numbers, and NaN as a word."""
    return "unknown" if text.strip() == "nan" else re.sub(r"(?<![\w.-])-(?=\d)", MINUS, text)


def percent_text(share: float, *, digits: int = 1) -> str:
    """Return a share as a percentage; NaN is ``unknown``."""
    if math.isnan(share):
        return "unknown"
    if math.isinf(share):
        return f"{MINUS if share < 0 else ''}\N{INFINITY}"
    text = f"{100 * share:,.{digits}f}"
    if not float(text.replace(",", "")):
        text = text.lstrip("-")
    return f"{minus(text)}{PERCENT}"


def count_text(value: object) -> str:
    """Return a count with thin spaces between the thousands."""
    found = number(value)
    return "unknown" if math.isnan(found) else f"{found:,.0f}".replace(",", NARROW_SPACE)


def time_text(value: object) -> str:
    """Return an ISO time stamp to the minute, without the time where it is midnight."""
    text = str(value).replace("T", " ")[:16]
    return text.removesuffix(" 00:00")


def freq_text(value: object) -> str:
    """Return a canonical frequency in words, such as ``5 minutes``; others as they are."""
    text = str(value)
    found = re.fullmatch(r"([1-9]\d*)(\w+)", text)
    if not found or found[2] not in UNITS:
        return text
    return f"{found[1]} {UNITS[found[2]]}{'s' if found[1] != '1' else ''}"


def plain(value: object) -> str:
    """Return a parameter or a figure as it stands in a table."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain(part) for part in value) or "none"
    if isinstance(value, Mapping) and not value:
        return "none"
    return str(value)


def flat(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path of keys and the text of each value below nested objects."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from flat(part, (*path, str(key)))
    else:
        yield path, plain(value)


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    caption: str = "",
    css: str = "",
    sortable: bool = False,
) -> str:
    """Return a table whose first column names the rows; numbers are aligned to the right.

    Args:
        css: class of the table.
        sortable: whether a click on a column's title sorts the rows, where scripts may run.
    """
    numeric = [
        bool(rows) and all(_is_number(str(row[n])) for row in rows) for n in range(len(head))
    ]
    aligned = [' class="num"' if flag else "" for flag in numeric]
    cells = "".join(
        f'<th scope="col"{c}>{escape(prose(h))}</th>' for h, c in zip(head, aligned, strict=True)
    )
    body = ""
    for row in rows:
        body += f'<tr><th scope="row">{escape(str(row[0]))}</th>'
        body += "".join(
            f"<td{c}>{escape(str(cell))}</td>" for cell, c in zip(row[1:], aligned[1:], strict=True)
        )
        body += "</tr>"
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    narrow = " narrow" if len(head) <= NARROW_COLUMNS else ""
    label = escape(caption or head[0])
    names = " ".join(name for name in (css, "sortable" if sortable else "") if name)
    sort = f' class="{names}"' if names else ""
    return (
        f'<div class="scroll{narrow}" tabindex="0" role="group" aria-label="{label}">'
        f"<table{sort}>{title}<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def section(title: str, lead: str, body: str, *, wide: bool = False) -> str:
    """Return a section: its title and a sentence in the margin, its content beside them."""
    css = ' class="wide"' if wide else ""
    return (
        f"<section{css}><header><h2>{escape(title)}</h2><p>{lead}</p></header>"
        f'<div class="body">{body}</div></section>'
    )


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Return the key of a chart: class of each mark and its name."""
    items = "".join(
        f'<li><svg width="26" height="10" aria-hidden="true"><line class="line {css}" x1="1" '
        f'x2="25" y1="5" y2="5"/></svg>{escape(name)}</li>'
        for css, name in entries
    )
    return f'<ul class="legend">{items}</ul>'


def figure(title: str, chart: str, *, note: str = "", key: str = "", labelled: bool = False) -> str:
    """Return a chart with its title, its key and a note below it; the texts are escaped.

    Args:
        key: as markup, from ``legend``.
        labelled: whether the lines are named at their ends; the key is for narrow screens then.
    """
    title, note = prose(title), prose(note)
    below = f'<p class="note">{escape(note)}</p>' if note else ""
    css = ' class="labelled"' if labelled else ""
    return (
        f"<figure{css}><figcaption>{escape(title)}</figcaption>{key}"
        f'<div class="chart">{chart}</div>{below}</figure>'
    )


def _is_number(text: str) -> bool:
    return text[:1] in f"0123456789{MINUS}-<" or text in ("unknown", "no interval", "none")
