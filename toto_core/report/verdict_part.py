"""The headline, the few numbers that matter most, and the checks of the gate."""

import math
from html import escape

import polars as pl

from toto_core.evaluation.headline import lost_variates
from toto_core.evaluation.json_numbers import number
from toto_core.evaluation.verdict import FAIL, INCONCLUSIVE, MODEL, PASS
from toto_core.report.markup import Json, count_text, percent_text, prose, section
from toto_core.report.palette import title_of
from toto_core.report.skill_part import NAIVE, hardest, worst_first

BADGES = {PASS: ("pass", "\N{CHECK MARK}"), FAIL: ("fail", "\N{MULTIPLICATION X}")}
UNSURE = ("unsure", "?")
ORDER = (FAIL, INCONCLUSIVE, PASS)
LONG_HEADLINE = 90  # characters; longer ones are set smaller
MEANING = {
    PASS: "Every check passed: this model may be promoted.",
    FAIL: "Nothing is promoted.",
    INCONCLUSIVE: "Nothing failed, but there is too little evidence. Nothing is promoted.",
}
# Of what `toto judge` was pointed at, which is no candidate for promotion.
MEANING_JUDGED = {
    PASS: "Every check of the forecasts passed; where they come from is another question.",
    INCONCLUSIVE: "Nothing failed, but there is too little evidence.",
}


def opening(verdict: Json, evaluate: Json, losses: pl.DataFrame) -> str:
    """Return the headline in words, the verdict and the few numbers that matter most."""
    outcome = str(verdict.get("outcome"))
    css, sign = BADGES.get(outcome, UNSURE)
    checks = verdict.get("checks") or []
    stopped = [str(c["name"]) for c in checks if c["outcome"] == outcome != PASS]
    sentence = (MEANING_JUDGED if evaluate.get("judged") else MEANING).get(outcome, "")
    if stopped:
        word = "failed" if outcome == FAIL else "could not be decided"
        sentence = (
            f"{len(stopped)} of {len(checks)} checks {word}: {_listed(stopped)}. {sentence}".strip()
        )
    full, but = prose(str(verdict.get("headline"))), prose(str(evaluate.get("caveat") or ""))
    headline = escape(full)
    if but and full.endswith(but):
        headline = f'{escape(full.removesuffix(but))}<em class="but">{escape(but)}</em>'
        if outcome == PASS:
            sentence += _best_served(evaluate)
    size = ' class="long"' if len(full) > LONG_HEADLINE else ""
    return (
        '<header class="top"><p class="over">Verdict on a forecasting model</p>'
        f"<h1{size}>{headline}</h1>"
        f'<p class="verdict"><span class="badge {css}"><span aria-hidden="true">{sign}</span> '
        f"{escape(outcome)}</span> <span>{escape(sentence)}</span></p>{_facts(evaluate, losses)}"
        "</header>"
    )


def _best_served(evaluate: Json) -> str:
    """Say for which variates the model is not the better choice."""
    names = lost_variates(evaluate.get("skill_by_variate") or {})
    return f" For {_listed(names)} no change serves as well." if names else ""


def _listed(names: list[str]) -> str:
    shown = names[:4]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(shown) + more


def _facts(evaluate: Json, losses: pl.DataFrame) -> str:
    skills = (evaluate.get("skill") or {}).get("candidate") or {}
    first = hardest(skills)
    facts = [
        (
            f"skill against {title_of(name)}" + (", the hardest" if name != NAIVE else ""),
            percent_text(number((skills.get(name) or {}).get("skill"))),
        )
        for name in dict.fromkeys((NAIVE, first or NAIVE))
    ]
    by_variate = evaluate.get("skill_by_variate") or {}
    worst = worst_first(by_variate)
    if len(worst) > 1:
        skill = number(by_variate[worst[0]]["naive"].get("skill"))
        name = f"on {worst[0]}, the worst of {len(worst)} variates, against no change"
        facts.insert(1, (name, percent_text(skill)))
    model = ((evaluate.get("pooled") or {}).get(MODEL)) or {}
    coverage = number(model.get("coverage80", model.get("cov80")))
    if not math.isnan(coverage):
        facts.append(("of the truth inside the 80 % interval", percent_text(coverage)))
    judged = losses.filter(
        (pl.col("source") == "candidate") & (pl.col("forecaster") == MODEL) & ~pl.col("held_out")
    )
    series = judged.select("item_id", "variate").n_unique()
    origins = judged["origin"].n_unique()
    facts.append(
        (f"forecasts: {count_text(series)} series at {origins} moments", count_text(judged.height))
    )
    items = "".join(
        f"<div><dt>{escape(prose(name))}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts
    )
    return f'<dl class="facts">{items}</dl>'


def checks_section(verdict: Json) -> str:
    """Return the checks, what stands in the way first, with what was found and what was needed."""
    checks = sorted(verdict.get("checks") or [], key=lambda c: _rank(c["outcome"]))
    passed = sum(check["outcome"] == PASS for check in checks)
    lead = (
        f"{passed} of {len(checks)} checks passed. Thresholds come from "
        "<code>params.yaml</code>, section <code>register</code>; one failed check fails the model."
    )
    body = _checks(checks)
    claims = verdict.get("claims") or []
    if claims:
        body += "<h3>Beside the verdict, deciding nothing</h3>" + _checks(claims)
    return section("The gate", lead, body)


def _checks(checks: list[Json]) -> str:
    return f'<ul class="checks">{"".join(_check(check) for check in checks)}</ul>'


def _check(check: Json) -> str:
    outcome = str(check["outcome"])
    css, sign = BADGES.get(outcome, UNSURE)
    name, found, allowed, reason = (
        escape(prose(str(check[key]))) for key in ("name", "found", "allowed", "reason")
    )
    return (
        f'<li class="{css}"><span class="sign" role="img" aria-label="{escape(outcome)}">{sign}'
        f"</span><div><b>{name[:1].upper()}{name[1:]}</b><p>{reason}</p></div>"
        f"<div><p>{found}</p><p>needed: {allowed}</p></div></li>"
    )


def _rank(outcome: str) -> int:
    return ORDER.index(outcome) if outcome in ORDER else 0
