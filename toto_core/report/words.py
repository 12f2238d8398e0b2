"""One paragraph in words, written from the numbers: what, how sure, where not, what not to say."""

import math
from html import escape

import polars as pl

from toto_core.evaluation.headline import lost_variates
from toto_core.evaluation.json_numbers import number
from toto_core.evaluation.verdict import INCONCLUSIVE, MODEL, PASS
from toto_core.report.forest import interval_text, is_better, is_worse
from toto_core.report.markup import Json, count_text, percent_text, prose, section
from toto_core.report.palette import in_words, title_of
from toto_core.report.series_part import SKILL
from toto_core.report.skill_part import baselines_of, hardest

NUM_NAMED = 3
SURE = 0.001
LOW, HIGH = 0.77, 0.83  # of the 80 % interval: nearer to 80 % than that is called right


def words_section(verdict: Json, evaluate: Json, series: pl.DataFrame) -> str:
    """Return the paragraph; empty where nothing was judged.

    Args:
        series: from ``series_table``.
    """
    own = (evaluate.get("skill") or {}).get("candidate") or {}
    first = hardest(own)
    if not first:
        return ""
    sentences = [
        _gain(evaluate, own, first),
        _certainty(own[first], verdict),
        _failures(evaluate, series, first),
        _spread(evaluate),
        _elsewhere(evaluate, first),
        _stopped(verdict),
        _not_to_conclude(verdict, evaluate),
    ]
    text = " ".join(sentence for sentence in sentences if sentence)
    lead = "Written from the numbers below, by rule: the same numbers give the same words."
    return section("In words", lead, f'<p class="words">{escape(prose(text))}</p>')


def _where(evaluate: Json) -> str:
    """Say on what series; what somebody else's model was trained on is not known."""
    return (
        "On the seen series" if evaluate.get("judged") else "On series whose past it was trained on"
    )


def _gain(evaluate: Json, own: Json, first: str) -> str:
    names = baselines_of(own)
    better = [title_of(b) for b in names if is_better(own[b])]
    worse = [title_of(b) for b in names if is_worse(own[b])]
    open_ = [title_of(b) for b in names if not is_better(own[b]) and not is_worse(own[b])]
    parts = []
    if better:
        parts.append(f"is better than {in_words(better)}")
    if worse:
        parts.append(f"is worse than {in_words(worse)}")
    if open_:
        parts.append(f"cannot be told from {in_words(open_)}")
    skill, name = number(own[first].get("skill")), title_of(first)
    ratio = f"its loss is {1 - skill:.1f} times that of {name}"
    lower = "lower" if skill >= 0 else "higher"
    amount = f"its loss is {percent_text(abs(skill))} {lower} than that of {name}"
    hard = ", the hardest of them" if len(names) > 1 else ""
    bounds = f"two-sided 95 % interval of the skill: {interval_text(own[first])}"
    if math.isnan(number(own[first].get("lower"))):
        bounds = "so far, without an interval"
    return (
        f"{_where(evaluate)}, the model {in_words(parts)}: "
        f"{ratio if skill <= -1 else amount}{hard} ({bounds})."
    )


def _certainty(row: Json, verdict: Json) -> str:
    n, h_eff, df = (number(row.get(key)) for key in ("n", "h_eff", "df"))
    p = number(row.get("p_value"))
    if math.isnan(p):
        reason = str(row.get("reason") or "too few moments")
        return f"How sure that is cannot be said: {reason}."
    kind, tail = ("gain", p) if number(row.get("skill")) >= 0 else ("loss", 1 - p)
    chance = "in less than 1 of 1000 cases"
    if tail >= SURE:
        chance = f"in {percent_text(tail)} of all cases"
    overlap = f", of which {h_eff:.0f} in a row hang together" if h_eff > 1 else ""
    text = (
        f"That rests on {n:.0f} moments{overlap}, which leave {df:.0f} degrees of freedom; a "
        f"{kind} this large or larger would come about {chance} if there were none."
    )
    attempt = number(verdict.get("attempt"))
    if attempt > 1:
        text += f" It is candidate {attempt:.0f} on this period, so the gate asks for more."
    return text


def _failures(evaluate: Json, series: pl.DataFrame, first: str) -> str:
    parts = []
    lost = lost_variates(evaluate.get("skill_by_variate") or {})
    if lost:
        more = f" and {len(lost) - NUM_NAMED} more" if len(lost) > NUM_NAMED else ""
        parts.append(f"no gain over no change is shown on {in_words(lost[:NUM_NAMED])}{more}")
    column = SKILL + first
    if column in series.columns:
        known = series.filter(~pl.col("held_out")).drop_nulls(column)
        worse = known.filter(pl.col(column) < 0).sort(column, "item_id", "variate")
        if worse.height:
            named = in_words(
                f"{row['item_id']} / {row['variate']}" for row in worse.head(NUM_NAMED).to_dicts()
            )
            some = "most of all " if worse.height > NUM_NAMED else ""
            count = count_text(known.height)
            share = f"{count_text(worse.height)} of {count}"
            if worse.height == known.height:
                share = f"all {count}"
            parts.append(
                f"{share} series are forecast worse than by {title_of(first)}, {some}{named}"
            )
    if not parts:
        return f"It fails nowhere in particular: every series gains over {title_of(first)}."
    return f"Where it fails: {'; '.join(parts)}."


def _spread(evaluate: Json) -> str:
    pooled = ((evaluate.get("pooled") or {}).get(MODEL)) or {}
    share = number(pooled.get("coverage80", pooled.get("cov80")))
    if math.isnan(share):
        return ""
    meaning = "about what it promises"
    if share < LOW:
        meaning = "so the forecasts are surer of themselves than they should be"
    elif share > HIGH:
        meaning = "so the forecasts are more cautious than they need to be"
    return f"The 80 % interval holds {percent_text(share)} of the truth, {meaning}."


def _elsewhere(evaluate: Json, first: str) -> str:
    skills = evaluate.get("skill") or {}
    parts = []
    for key, words in (("held_out", "on held-out series"), ("crossval", "in refits")):
        row = (skills.get(key) or {}).get(first)
        if row:
            parts.append(f"{words} {percent_text(number(row.get('skill')))}")
    if not parts:
        return ""
    return f"Beside the verdict, its skill against {title_of(first)} is {in_words(parts)}."


def _stopped(verdict: Json) -> str:
    """Name the checks that keep it from being promoted, with what was found."""
    outcome = verdict.get("outcome")
    found = [c for c in verdict.get("checks") or () if c["outcome"] == outcome != PASS]
    if not found:
        return ""
    named = in_words(f"{check['name']} ({check['found']})" for check in found[:NUM_NAMED])
    more = f" and {len(found) - NUM_NAMED} more" if len(found) > NUM_NAMED else ""
    what = "stay open" if outcome == INCONCLUSIVE else "it fails"
    return f"Checks of the gate that {what}: {named}{more}."


def _not_to_conclude(verdict: Json, evaluate: Json) -> str:
    outcome = verdict.get("outcome")
    text = (
        "What not to conclude: nothing here speaks of other series, of times after the test "
        "period, of quantiles beyond 10 and 90 %, or of any single forecast."
    )
    if outcome == INCONCLUSIVE:
        text += " That the verdict is open is no evidence for either side."
    elif outcome != PASS:
        text += " That it failed here does not say that such a model cannot be had."
    unknown = (evaluate.get("contamination") or {}).get("unknown")
    if unknown:
        what = "it" if evaluate.get("judged") else "its base model"
        text += f" What {what} was trained on is not known, so its skill may be flattered."
    return text
