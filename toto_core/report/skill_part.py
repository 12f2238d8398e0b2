"""Is it better? Skill with intervals by test set, variate and time, and the tests in numbers."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import polars as pl

from toto_core.evaluation.json_numbers import number
from toto_core.evaluation.verdict import in_order, p_value_text
from toto_core.report.forest import Block, axis_of, forest, interval_text, is_better, is_worse
from toto_core.report.markup import Json, minus, percent_text, section, table
from toto_core.report.palette import title_of
from toto_core.report.segments import CANDIDATE, REFITS, by_fold, by_segment, origin_table

NUM_VARIATES = 8  # drawn at most
NUM_LISTED = 100  # variates in tables at most
NAIVE = "naive"
LONG = timedelta(days=300)  # a test period beyond it is labelled by months
SETS = (
    (
        "candidate",
        "Seen series",
        "Judged on what came after the past that training may see. This is what decides.",
    ),
    ("held_out", "New series", "Kept out of training here: does what was learned carry over?"),
    (
        "crossval",
        "Rolling refits",
        "The same recipe refitted at the start of each fold. Evidence for the recipe, "
        "not for these weights.",
    ),
)
LEAD = (
    "Skill is the share of a baseline's loss that the model saves: 1 - its loss / the loss of the "
    "baseline in that row. Dots are the estimate, bars the two-sided 95 % interval over forecast "
    "moments. p is one-sided: how likely such a gain is where there is none. Blue: better, p at "
    "most 0.05; orange: worse, by the same test turned round; grey: neither is shown."
)
TEST_NOTE = (
    '<p class="note">One loss differential for each moment of forecast, never for each error: '
    "series share their shocks. t, df and p (EWC) are of the equal-weighted cosine test, which the "
    "gate asks: Student's t with df degrees of freedom, one-sided. h: forecasts that overlap in "
    "time; h_eff: the same with the measured autocorrelation on top. p (HLN) is the classical "
    "Diebold-Mariano test as R has it, with the correction of Harvey, Leybourne and Newbold and "
    "n - 1 degrees of freedom, shown for comparison: it decides nothing.</p>"
)


def baselines_of(found: Json) -> list[str]:
    """Return what a test set was compared with, in the order of the page."""
    return list(in_order(b for b, row in found.items() if isinstance(row, Mapping)))


def hardest(found: Json) -> str:
    """Return the baseline against which the skill is the lowest; empty where there is none."""
    known = [b for b in baselines_of(found) if not math.isnan(number(found[b].get("skill")))]
    return min(known, key=lambda b: number(found[b]["skill"]), default="")


def skill_section(evaluate: Json, losses: pl.DataFrame, splits: Json) -> str:
    """Return the interval charts and the table of tests."""
    skills = evaluate.get("skill") or {}
    by_variate = evaluate.get("skill_by_variate") or {}
    sets = _sets(skills)
    if not sets:
        return section("Is it better?", LEAD, '<p class="note">Nothing was judged.</p>')
    blocks = {**sets, **_variates(by_variate), **_in_time(skills, losses, splits, evaluate)}
    axis = axis_of(list(blocks.values()))
    # What decides comes first, then what it is made of, then the evidence beside it.
    order = ["candidate", "variates", "time", "more time", "held_out", "crossval", "folds"]
    drawn = ""
    for key in order:
        if key == "more time":
            others = "".join(forest(b, axis) for k, b in blocks.items() if k.startswith("time "))
            if others:
                drawn += (
                    f"<details><summary>By time, the other baselines</summary>{others}</details>"
                )
        elif key in blocks:
            drawn += forest(blocks[key], axis)
    body = drawn + _tests(skills, by_variate) + _variate_part(by_variate, evaluate)
    return section("Is it better?", LEAD, body)


def finding(rows: Sequence[tuple[str, Json]]) -> str:
    """Say in a few words in how many rows the gain is shown."""
    won = sum(is_better(row) for _, row in rows)
    lost = sum(is_worse(row) for _, row in rows)
    total = len(rows)
    whole = "the one baseline" if total == 1 else f"all {total} baselines"
    if total in (won, lost):
        return f"{'better' if won else 'worse'} than {whole}"
    text = f"better than {won} of {total} baselines"
    if not won:
        text = f"not shown to be better than {'any' if total > 1 else whole}"
    return f"{text}, worse than {lost}" if lost else text


def _sets(skills: Json) -> dict[str, Block]:
    blocks = {}
    for key, title, lead in SETS:
        found = skills.get(key) or {}
        rows = [(title_of(b), found[b]) for b in baselines_of(found)]
        if rows:
            moments = {int(number(row.get("n"))) for _, row in rows if row.get("n") is not None}
            where = f" n = {max(moments)} moments." if moments else ""
            blocks[key] = Block(f"{title}: {finding(rows)}", lead + where, rows)
    return blocks


def _variates(by_variate: Json) -> dict[str, Block]:
    names = worst_first(by_variate)
    if len(names) < 2:
        return {}
    rows = [(name, by_variate[name][NAIVE]) for name in names[:NUM_VARIATES]]
    won = sum(is_better(by_variate[name][NAIVE]) for name in names)
    lead = "The same seen series, each variate for itself, the lowest skill first."
    if len(names) > NUM_VARIATES:
        lead += f" The {len(names) - NUM_VARIATES} with the highest skill are in the table."
    title = f"By variate, against no change: better on {won} of {len(names)}"
    return {"variates": Block(title, lead, rows)}


def _in_time(skills: Json, losses: pl.DataFrame, splits: Json, evaluate: Json) -> dict[str, Block]:
    """Blocks of five segments for each baseline, the hardest first, and of the refits."""
    overlap = int(number(evaluate.get("overlap", 1)))
    blocks = {}
    own = skills.get("candidate") or {}
    first = hardest(own)
    over_time = origin_table(losses, source=CANDIDATE)
    for name in sorted(baselines_of(own), key=lambda b: b != first):
        rows = by_segment(over_time, name, overlap=overlap)
        if len(rows) < 2:
            continue
        ahead = sum(row["skill"] > 0 for row in rows)
        lead = (
            f"Consecutive parts of the test period, {_moments(rows)} in each: the bars are wide, "
            "and there is none where the moments are too few for one."
        )
        why = ", the hardest baseline" if name == first and len(own) > 1 else ""
        title = f"By time, against {title_of(name)}{why}: ahead in {ahead} of {len(rows)} parts"
        block = Block(title, lead, [(_span(row, rows), row) for row in rows], sets_axis=False)
        blocks["time" if name == first else f"time {name}"] = block
    # A refit has no base model beside it, so its hardest baseline may be another one.
    first = hardest(skills.get("crossval") or {})
    refits = by_fold(
        origin_table(losses, source=REFITS), first, splits.get("folds") or (), overlap=overlap
    )
    if len(refits) > 1:
        ahead = sum(row["skill"] > 0 for row in refits)
        title = f"Each refit, against {title_of(first)}: ahead in {ahead} of {len(refits)}"
        lead = f"Each on the moments of its own fold, {_moments(refits)}."
        rows = [(_span(row, refits), row) for row in refits]
        blocks["folds"] = Block(title, lead, rows, sets_axis=False)
    return blocks


def _span(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """First and last moment of a part, as coarse as all parts together allow."""
    if rows[-1]["last"] - rows[0]["first"] > LONG:
        return f"from {row['first']:%b %Y}"
    first, last = (f"{moment.day} {moment:%b}" for moment in (row["first"], row["last"]))
    return first if first == last else f"{first} to {last}"


def _moments(rows: Sequence[Mapping[str, Any]]) -> str:
    low, high = (pick(row["n"] for row in rows) for pick in (min, max))
    return f"n = {low} to {high} moments" if low < high else f"n = {low} moments"


def worst_first(by_variate: Json) -> list[str]:
    """Return the variates by their skill against no change, the lowest first."""
    skills = {
        name: number((found.get(NAIVE) or {}).get("skill")) for name, found in by_variate.items()
    }
    known = [name for name, skill in skills.items() if NAIVE in by_variate[name]]
    return sorted(known, key=lambda name: (_low_if_unknown(skills[name]), name))


def _low_if_unknown(skill: float) -> float:
    return -math.inf if math.isnan(skill) else skill


def _variate_part(by_variate: Json, evaluate: Json) -> str:
    names = worst_first(by_variate)
    if len(names) < 2:
        return ""
    scores = evaluate.get("by_variate") or {}
    baselines = in_order(b for name in names for b in baselines_of(by_variate[name]))
    head = ("variate", *(f"against {title_of(b)}" for b in baselines), "median alone", "in 80 %")
    rows = []
    for name in names[:NUM_LISTED]:
        skills = [number((by_variate[name].get(b) or {}).get("skill")) for b in baselines]
        found = scores.get(name) or {}
        errors = [number((found.get(f) or {}).get("mase")) for f in ("model", NAIVE)]
        point = 1 - errors[0] / errors[1] if errors[1] > 0 else math.nan
        covered = number((found.get("model") or {}).get("coverage80"))
        shares = (*(percent_text(skill) for skill in (*skills, point)),)
        rows.append((name, *shares, percent_text(covered, digits=0)))
    listed = table(head, rows, caption="Skill of each variate", sortable=True)
    if len(names) > NUM_LISTED:
        listed += (
            f'<p class="note">The {len(names) - NUM_LISTED} with higher skill are not shown.</p>'
        )
    return (
        f'{listed}<p class="note">&ldquo;Median alone&rdquo; is the skill of the point forecast '
        "against no change (absolute error), without the quantiles around it; the last column is "
        "the share of the truth inside the 80 % interval.</p>"
    )


def _tests(skills: Json, by_variate: Json) -> str:
    """The Diebold-Mariano table of what decides; those of the other sets are folded away."""
    names = worst_first(by_variate)[:NUM_VARIATES] if len(by_variate) > 1 else []
    more = {title: skills.get(key) or {} for key, title, _ in SETS[1:]}
    more |= {f"Seen series, {name} alone": by_variate[name] for name in names}
    listed = "".join(test_table(title, found) for title, found in more.items())
    if listed:
        listed = f"<details><summary>The other tests in numbers</summary>{listed}</details>"
    own = test_table("Diebold-Mariano tests, seen series", skills.get("candidate") or {})
    return own + TEST_NOTE + listed


def test_table(title: str, found: Json) -> str:
    """Return one row for each baseline: its loss, skill, both tests; empty without a baseline."""
    head = (
        *("against", "its loss", "skill", "95 % interval"),
        *("t", "df", "n", "h", "h_eff", "p (EWC)", "p (HLN)"),
    )
    rows = [(title_of(b), *_test_cells(found[b])) for b in baselines_of(found)]
    losses = {number(found[b].get("loss_model")) for b in baselines_of(found)}
    if len(losses) == 1:
        title += f"; the model's loss is {_loss(losses.pop())}"
    return table(head, rows, caption=title, css="dense") if rows else ""


def _loss(value: float) -> str:
    return minus(f"{value:.3f}")


def _test_cells(row: Json) -> tuple[str, ...]:
    def whole(key: str) -> str:
        return minus(f"{number(row.get(key)):.0f}")

    return (
        _loss(number(row.get("loss_baseline"))),
        percent_text(number(row.get("skill"))),
        interval_text(row),
        minus(f"{number(row.get('statistic')):.2f}"),
        *(whole(key) for key in ("df", "n", "h", "h_eff")),
        *(p_value_text(number(row.get(key))) for key in ("p_value", "p_hln")),
    )
