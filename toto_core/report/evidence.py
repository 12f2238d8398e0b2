"""The second half of the page: training, forecasts, series, data and the record of the run."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import polars as pl

from toto_core.evaluation.contamination import overlap_text
from toto_core.evaluation.gate import side_by_side, skill
from toto_core.evaluation.grouping import group_means
from toto_core.evaluation.json_numbers import number
from toto_core.evaluation.verdict import MODEL
from toto_core.report.augmentation_part import augmentation_details
from toto_core.report.fans import Fan, fan_rows
from toto_core.report.figures import calibration, horizon, loss_curve, periods
from toto_core.report.markup import (
    Json,
    count_text,
    freq_text,
    legend,
    percent_text,
    section,
    table,
    time_text,
)
from toto_core.report.mixture_part import mixture_details

NUM_SERIES = 6  # shown at each end of the list
NUM_EXAMPLES = 8


def training_section(loss: pl.DataFrame, augmentation: pl.DataFrame, train: Json) -> str:
    """Return the loss curves, and what was done to the windows."""
    lead = (
        "Training stops when the validation loss, on times that training has not seen, "
        "no longer falls. The test period plays no part in it. The two losses are not on one "
        "scale: training also asks for hidden stretches and synthetic series."
    )
    facts = [
        (name.replace("_", " "), _plain(value))
        for name, value in sorted(train.items())
        if isinstance(value, int | float | str)
    ]
    details = ""
    if facts:
        rows = table(("figure", "value"), facts, caption="Training in numbers")
        details = f"<details><summary>Training in numbers</summary>{rows}</details>"
    body = loss_curve(loss) + details + augmentation_details(augmentation)
    return section("How it learned", lead, body)


def fans_section(
    fans: Sequence[Fan], forecasts: pl.DataFrame, history: pl.DataFrame, splits: Json
) -> str:
    """Return the forecast fans as small multiples."""
    length, freq = splits.get("prediction_length"), escape(freq_text(splits.get("freq")))
    lead = (
        f"Each panel is one series at one moment, {length} steps of {freq} ahead. The series are "
        "ranked by their skill against no change over the whole test period, the percentage "
        "beside the name, and each is shown where its forecast was as good as it usually is."
    )
    key = legend(
        [
            ("truth", "truth"),
            ("model", "median"),
            ("model swatch", "10 to 90 %, darker to the middle"),
            ("naive thin", "no change"),
        ]
    )
    body = fan_rows(fans, forecasts, history)
    if not body:
        return ""
    return section("What it forecasts", lead, key + body, wide=True)


def calibration_section(evaluate: Json) -> str:
    """Return the coverage of each quantile."""
    lead = (
        "A quantile of level 0.9 should lie above the truth in 90 % of all cases. Points below "
        "the diagonal are too low, points above it too high."
    )
    return section("Do the quantiles hold?", lead, calibration(evaluate.get("coverage") or {}))


def horizon_section(scores: pl.DataFrame, splits: Json) -> str:
    """Return the error by step ahead."""
    lead = "How far ahead the forecasts carry, beside what the baselines reach at the same step."
    return section("How far ahead?", lead, horizon(scores, freq=freq_text(splits.get("freq"))))


def series_section(losses: pl.DataFrame) -> str:
    """Return the series with the highest and the lowest skill."""
    rows = _series(losses)
    shown = f"the ends of the list of {count_text(len(rows))} series"
    if len(rows) <= 2 * NUM_SERIES:
        shown = "one row for each series"
    lead = (
        f"Skill over the whole test period, {shown}. Loss is the scaled quantile loss; 1 is the "
        "ordinary change from one season to the next."
    )
    ends = rows[:NUM_SERIES] + rows[max(NUM_SERIES, len(rows) - NUM_SERIES) :]
    head = ("series", "skill against no change", "against seasonal naive", "loss", "in 80 %")
    cells = [
        (
            f"{row['item_id']} / {row['variate']}" + (" (held out)" if row["held_out"] else ""),
            percent_text(row["skill"]),
            percent_text(row["skill_seasonal"]),
            f"{row[MODEL]:.3f}",
            percent_text(row["cov80"], digits=0),
        )
        for row in ends
    ]
    best, worst = cells[:NUM_SERIES], cells[NUM_SERIES:][::-1]
    body = table(head, best, caption="Best")
    if worst:
        body = table(head, worst, caption="Worst") + body
    return section("Where it works, where it fails", lead, body)


def _series(losses: pl.DataFrame) -> list[dict[str, Any]]:
    keys = ["item_id", "variate", "held_out"]
    of_candidate = losses.filter(pl.col("source") == "candidate")
    means = side_by_side(
        group_means(of_candidate, [*keys, "forecaster"], ["sql"]),
        index=keys,
        forecasters=(MODEL, "naive", "seasonal_naive"),
    )
    covered = group_means(of_candidate.filter(pl.col("forecaster") == MODEL), keys, ["cov80"])
    rows = []
    for row in means.join(covered, on=keys).sort(keys).to_dicts():
        model, naive = number(row.get(MODEL)), number(row.get("naive"))
        if math.isfinite(model) and math.isfinite(naive):
            seasonal = skill(model, number(row.get("seasonal_naive")))
            row |= {"skill": skill(model, naive), "skill_seasonal": seasonal}
            rows.append(row)
    return sorted(rows, key=lambda row: -row["skill"])


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
        ("overlap with the training data", overlap_text(evaluate.get("contamination") or {})),
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


def record_section(params: Json, card: Json) -> str:
    """Return every parameter and the hashes of what was judged."""
    lead = "What made this model: every parameter, and the SHA-256 of what was judged."
    groups: dict[str, list[tuple[str, str]]] = {}
    for path, value in _flat(params):
        groups.setdefault(path[0], []).append((".".join(path[1:]) or path[0], value))
    body = "".join(
        f"<details><summary>{escape(name)}</summary>"
        f"{table(('parameter', 'value'), rows, caption=name)}</details>"
        for name, rows in groups.items()
    )
    config = [(name, _plain(value)) for name, value in sorted((card.get("model") or {}).items())]
    if config:
        listed = table(("key", "value"), config, caption="config.json")
        body += f"<details><summary>config.json of the model</summary>{listed}</details>"
    hashes = [
        *sorted((card.get("candidate_files") or {}).items()),
        *sorted((card.get("hashes") or {}).items()),
        ("test period", card.get("snapshot")),
        ("verdict", card.get("verdict_hash")),
    ]
    listed = "".join(
        f"<div><dt>{escape(str(name))}</dt><dd><code>{escape(str(value))}</code></dd></div>"
        for name, value in hashes
    )
    return section("The record", lead, f'{body}<h3>SHA-256</h3><dl class="hashes">{listed}</dl>')


def _flat(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _flat(part, (*path, str(key)))
    else:
        yield path, _plain(value)


def reproduce_section() -> str:
    """Return the commands that make this page again."""
    body = (
        "<pre><code>make run                 # set up, run everything, print the verdict\n"
        "dvc repro                # run what changed since\n"
        "dvc status               # nothing to do: these outputs belong to this code and data\n"
        "dvc metrics diff HEAD~1  # what changed since the last commit\n"
        "toto promote             # after a PASS and a commit: tag it as the champion"
        "</code></pre>"
        '<p class="note">The same data, parameters, code and kind of machine give the same bytes. '
        "What varies from run to run, such as wall time and host, is on no page: see "
        "<code>runs/</code>, Prefect and W&amp;B.</p>"
    )
    return section("Make it again", "This page follows from the repository alone.", body)


def limits_section(card: Json) -> str:
    """Return what the verdict does not say."""
    limits = "".join(f"<li>{escape(str(limit))}</li>" for limit in card.get("limits") or ())
    affiliation = escape(str(card.get("affiliation") or ""))
    body = f'<ul class="prose">{limits}</ul><p class="note">{affiliation}</p>'
    return section("Limits", "What this page does not say.", body)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(part) for part in value) or "none"
    if isinstance(value, Mapping) and not value:
        return "none"
    return str(value)
