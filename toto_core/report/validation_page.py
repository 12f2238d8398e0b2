"""The page ``reports/validation.html``: what validation rejected and repaired, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

import numpy as np
import polars as pl

from toto_core.data import rules
from toto_core.data.examples import Example
from toto_core.report.charts import Chart
from toto_core.report.markup import Json, count_text, legend, percent_text, section, table
from toto_core.report.style import STYLE
from toto_core.report.ticks import padded, time_label, value_ticks

HEIGHT = 112  # of a panel, CSS pixels
ALMOST_ALL = 0.9999  # a larger share is not rounded to all
MAX_RULES = 3  # named beside an item
MAX_LINES = 40  # upright ones through bad rows; of more the dots alone are clearer


@dataclass(frozen=True)
class Findings:
    """What the page shows.

    Attributes:
        counts: content of ``reports/metrics/validate.json``.
        settings: the section ``validate`` of ``params.yaml``.
        examples: a few series for each rule, in the order of the page.
        worst: ``item_id``, ``bad``, ``rows`` and ``rules`` of the items that lost the most rows.
    """

    counts: Json
    settings: Json
    examples: Sequence[Example]
    worst: pl.DataFrame


def page(found: Findings) -> str:
    """Return the page, one file without any request; the same findings give the same bytes."""
    counts = found.counts
    parts = [
        _opening(counts),
        _rules_section(counts),
        _examples_section(found.examples),
        _items_section(found.worst),
        _repairs_section(counts),
        _off_section(found.settings),
    ]
    title = f"Validation: {count_text(counts['rows_quarantined'])} rows set aside"
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _opening(counts: Json) -> str:
    rows, bad = counts["rows_in"], counts["rows_quarantined"]
    share = counts["rows_valid"] / rows if rows else 0.0
    nearly = ALMOST_ALL < share < 1
    text = f"more than {percent_text(ALMOST_ALL, digits=2)}" if nearly else ""
    headline = (
        f"{text or percent_text(share, digits=2)} of the rows and {_of(counts, 'series')} series "
        "are valid"
    )
    sums = counts["checksums"]
    proof = (
        f"{count_text(rows)} rows went in, {count_text(counts['rows_valid'])} are valid and "
        f"{count_text(bad)} are in quarantine. The checksums say that they are the same rows: "
        f"<code>{sums['rows_in']}</code> = <code>{sums['valid']}</code> + "
        f"<code>{sums['quarantined']}</code>, modulo 2<sup>64</sup>, each row as it was found."
    )
    facts = [
        ("rows", counts["rows_in"]),
        ("rows in quarantine", bad),
        ("series in quarantine", counts["series_quarantined"]),
        ("rows repaired", counts["rows_repaired"]),
        ("points of the grids without a value", counts["missing"]),
        ("series that are mostly zero, and are kept", counts["series_mostly_zero"]),
    ]
    listed = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{count_text(value)}</dd></div>" for name, value in facts
    )
    return (
        f'<header class="top"><p class="over">Validation</p><h1 class="long">{headline}</h1>'
        f'<p class="note">{proof}</p><dl class="facts">{listed}</dl></header>'
    )


def _of(counts: Json, kind: str) -> str:
    return f"{count_text(counts[f'{kind}_valid'])} of {count_text(counts[f'{kind}_in'])}"


def _rules_section(counts: Json) -> str:
    lead = (
        "Every rejected row is kept with its reason, in <code>data/quarantine</code>; "
        "<code>toto data quarantine --rule NAME</code> lists them."
    )
    hit = [(n, c) for n, c in counts["rules"].items() if c["rows"] or c["series"]]
    if not hit:
        return section("What was set aside", lead, '<p class="note">Nothing: all rows passed.</p>')
    hit.sort(key=lambda rule: (-rule[1]["rows"], rule[0]))
    rows = [
        (name, count_text(c["rows"]), count_text(c["series"]), rules.MEANING[name])
        for name, c in hit
    ]
    listed = table(("rule", "rows", "series", "what it means"), rows)
    return section("What was set aside", lead, f'<div class="names">{listed}</div>')


def _examples_section(examples: Sequence[Example]) -> str:
    if not examples:
        return ""
    lead = (
        "For each rule the series that lost the most rows by it, as ingest left them, at the first "
        "of these rows. Values beyond the panel lie at its edge."
    )
    key = legend([("truth", "the series"), ("bad", "set aside")])
    panels = "".join(_panel(example) for example in examples)
    return section("How it looks", lead, f'{key}<div class="fans">{panels}</div>', wide=True)


def _panel(example: Example) -> str:
    """One series: a line, and a red mark for each row that was set aside."""
    is_whole = example.rule in rules.SERIES_RULES
    good = example.values
    if not is_whole:
        good = good[~np.isin(example.times, example.bad_times)]
    low, high = _heights(good if len(good) else example.values, example.bad_values)
    every = np.concatenate([example.times, example.bad_times]).astype(np.float64)
    x = float(every.min()), float(every.max())
    chart = Chart(x=x, y=(low, high), height=HEIGHT)
    chart.line(example.times, example.values, "bad" if is_whole else "truth")
    if not is_whole:
        for time in example.bad_times if len(example.bad_times) <= MAX_LINES else ():
            chart.upright(float(time), "fault")
        chart.dots(example.bad_times, np.clip(example.bad_values, low, high), "dot bad")
    chart.y_ticks(value_ticks(low, high, count=3))
    span = x[1] - x[0]
    chart.x_ticks([(end, time_label(end, span_us=span)) for end in x] if span else [], edges=True)
    name = f"{example.item_id} / {example.variate}"
    start = datetime.fromtimestamp(x[0] / 1e6, tz=UTC)
    label = f"{name} from {start:%Y-%m-%d %H:%M}: {example.rows} rows set aside by {example.rule}"
    plural = "" if example.rows == 1 else "s"
    return (
        f'<figure><h3 class="rule">{escape(example.rule)}</h3>'
        f'<figcaption><span class="name">{escape(name)}</span>'
        f"<b>{count_text(example.rows)} row{plural}</b></figcaption>"
        f'<div class="chart">{chart.svg(label)}</div>'
        f'<p class="why">{escape(example.reason)}</p></figure>'
    )


def _heights(good: np.ndarray, bad: np.ndarray) -> tuple[float, float]:
    """The range of the good values, and of those bad ones that do not flatten it."""
    low, high = padded(good, share=0.12)
    span = high - low
    near = bad[(bad > low - span) & (bad < high + span)]
    return padded(np.concatenate([good, near]), share=0.12)


def _items_section(worst: pl.DataFrame) -> str:
    if worst.is_empty():
        return ""
    lead = (
        "Items by the number of rows that they lost. <code>toto data show ITEM</code> tells more."
    )
    rows = []
    for item, bad, names, total in worst.select("item_id", "bad", "rules", "rows").iter_rows():
        listed = names.split(", ")
        more = f" and {len(listed) - MAX_RULES} more" if len(listed) > MAX_RULES else ""
        rows.append(
            (
                item,
                count_text(bad),
                percent_text(bad / total) if total else "unknown",
                ", ".join(listed[:MAX_RULES]) + more,
            )
        )
    head = ("item", "rows set aside", "share of its rows", "rules")
    return section("The worst items", lead, table(head, rows))


def _repairs_section(counts: Json) -> str:
    lead = "Repairs change time or value where what is right is beyond doubt, and are counted."
    hit = [(name, number) for name, number in counts["repairs"].items() if number]
    if not hit:
        return section("What was repaired", lead, '<p class="note">Nothing.</p>')
    rows = [(name, count_text(number), rules.MEANING[name]) for name, number in sorted(hit)]
    listed = table(("repair", "points", "what it does"), rows)
    return section("What was repaired", lead, f'<div class="names">{listed}</div>')


def _off_section(settings: Json) -> str:
    """The optional rules that params.yaml leaves off, so that silence is not taken for health."""
    off = [key for key in rules.OPTIONAL if not settings[key]]
    if not off:
        return ""
    listed = "".join(
        f"<li><code>validate.{key}</code>: {escape(rules.OPTIONAL[key])}</li>" for key in off
    )
    lead = "These rules are off in <code>params.yaml</code>; nothing was looked for by them."
    return section("What was not checked", lead, f'<ul class="prose">{listed}</ul>')
