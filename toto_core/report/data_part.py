"""The data: where the series come from, how time was cut, and what was set aside."""

import math
from collections.abc import Mapping
from datetime import datetime
from html import escape

import polars as pl

from toto_core.evaluation.json_numbers import number
from toto_core.report.markup import (
    Json,
    count_text,
    freq_text,
    percent_text,
    section,
    table,
    time_text,
)
from toto_core.report.mixture_part import mixture_details
from toto_core.report.ticks import DAY_US, time_label

NUM_EXAMPLES = 8
MONTHS_US = 200 * DAY_US


def quarantine_section(validate: Json, rows: pl.DataFrame, series: pl.DataFrame) -> str:
    """Return what validation rejected and repaired, by rule and with examples."""
    rules = validate.get("rules") or {}
    lead = (
        f"{count_text(validate.get('rows_quarantined'))} of "
        f"{count_text(validate.get('rows_in'))} rows and "
        f"{count_text(validate.get('series_quarantined'))} of "
        f"{count_text(validate.get('series_in'))} series were set aside, each with its reason. "
        "All of it lies in <code>data/quarantine</code>; "
        '<a href="validation.html">validation.html</a> draws it.'
    )
    hit = {n: c for n, c in rules.items() if any(number(c.get(k)) > 0 for k in ("rows", "series"))}
    counts = sorted(hit.items(), key=lambda rule: (-number(rule[1].get("rows")), rule[0]))
    body = '<p class="note">Every row and every series passed.</p>'
    if counts:
        body = table(
            ("rule", "rows", "series"),
            [
                (_words(name), count_text(c.get("rows", 0)), count_text(c.get("series", 0)))
                for name, c in counts
            ],
            caption="Set aside",
        )
    examples = [*_examples(series, "rows"), *_examples(rows, "value")][:NUM_EXAMPLES]
    if examples:
        head = ("series", "rule", "reason", "found")
        listed = table(head, examples, caption="Examples")
        body += f"<details><summary>Examples with their reasons</summary>{listed}</details>"
    repairs = {n: c for n, c in (validate.get("repairs") or {}).items() if number(c) > 0}
    if repairs:
        head = ("repair", "rows")
        body += table(
            head,
            [(_words(n), count_text(c)) for n, c in sorted(repairs.items())],
            caption="Repaired",
        )
    return section("What was set aside", lead, body)


def _examples(found: pl.DataFrame, shown: str) -> list[tuple[str, ...]]:
    """Return the first example of each rule."""
    if not found.height:
        return []
    first = found.sort("rule", "item_id", "variate", maintain_order=True)
    kept = first.unique("rule", keep="first", maintain_order=True)
    suffix = " rows" if shown == "rows" else ""
    return [
        (
            f"{row['item_id']} / {row['variate']}",
            _words(str(row["rule"])),
            str(row["reason"]),
            f"{row[shown]}{suffix}"[:60],
        )
        for row in kept.to_dicts()
    ]


def data_section(metrics: Mapping[str, Json], splits: Json, card: Json) -> str:
    """Return where the series come from and how time is cut."""
    ingest, validate, augment, evaluate = (
        metrics[name] for name in ("ingest", "validate", "augment", "evaluate")
    )
    lead = (
        f"{count_text(ingest.get('series'))} series of {count_text(ingest.get('items'))} items, "
        f"{count_text(ingest.get('rows'))} rows, {time_text(ingest.get('first_timestamp'))} to "
        f"{time_text(ingest.get('last_timestamp'))}. Time stamps are in UTC."
    )
    share = number(augment.get("synthetic_share"))
    facts = [
        ("step", freq_text(splits.get("freq"))),
        ("forecast length", f"{splits.get('prediction_length')} steps"),
        ("a forecast every", f"{splits.get('stride')} steps"),
        ("moments judged", count_text(len(splits.get("test_origins") or ()))),
        ("groups held out", count_text(len(splits.get("held_out_groups") or ()))),
        ("pairs of near duplicates", count_text(metrics["split"].get("near_duplicates"))),
        (
            "series outside the test period",
            count_text(len(evaluate.get("outside_test_period") or ())),
        ),
        ("missing points", count_text(validate.get("missing"))),
    ]
    if not math.isnan(share):
        facts.append(("synthetic part of the training data", percent_text(share, digits=0)))
    definition = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>" for name, value in facts
    )
    sources = [
        (s["source"], count_text(s["rows"]), s["licence"])
        for s in (card.get("data") or {}).get("sources") or ()
    ]
    drawn = periods(splits, ingest.get("first_timestamp"), ingest_last=ingest.get("last_timestamp"))
    body = f'{drawn}<dl class="facts small">{definition}</dl>'
    if len(sources) > NUM_EXAMPLES:
        more = table(("source", "rows", "licence"), sources, caption="Sources")
        body += f"<details><summary>{len(sources)} sources</summary>{more}</details>"
    elif sources:
        body += table(("source", "rows", "licence"), sources, caption="Sources")
    return section("The data", lead, body + mixture_details(augment))


def periods(splits: Json, first: object, *, ingest_last: object) -> str:
    """Draw what was trained on, what stopped the training and what was judged, in calendar time."""
    cuts = [_us(first), *(_us(splits.get(k)) for k in _CUTS)]
    if any(math.isnan(cut) for cut in cuts) or cuts[-1] <= cuts[0]:
        return ""
    span, bars, labels = cuts[-1] - cuts[0], "", ""
    texts = [time_text(first), *(time_text(splits.get(k)) for k in _CUTS)]
    for n, (css, name) in enumerate(_PERIODS):
        left, right = (100 * (cuts[k] - cuts[0]) / span for k in (n, n + 1))
        bars += (
            f'<rect class="{css}" x="{left:.2f}%" y="0" width="{max(right - left, 0):.2f}%" '
            'height="22"/>'
        )
        # The year alone would not tell where a period ends.
        first, last = (time_label(cuts[k], span_us=min(span, MONTHS_US)) for k in (n, n + 1))
        when = f"{first} to {last}"
        labels += f'<li class="{css}"><b>{name}</b> <span>{escape(when)}</span></li>'
    label = f"trained from {texts[0]}, validated from {texts[1]}, tested from {texts[2]}"
    label += f" to {texts[3]}; the data end at {time_text(ingest_last)}"
    return (
        f'<svg class="periods" role="img" aria-label="{escape(label)}" height="22">{bars}</svg>'
        f'<ul class="periods">{labels}</ul>'
    )


_CUTS = ("validation_start", "test_start", "test_end")
_PERIODS = (("past", "training"), ("between", "validation"), ("after", "test"))


def _us(value: object) -> float:
    try:
        return datetime.fromisoformat(str(value)).timestamp() * 1e6
    except ValueError:
        return math.nan


def _words(name: str) -> str:
    return name.replace("_", " ")
