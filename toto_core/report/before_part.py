"""What was fixed and what was known before the verdict: protocol, attempts, overlap, exclusions."""

from collections.abc import Sequence
from html import escape

from toto_core.evaluation.contamination import overlap_text
from toto_core.evaluation.json_numbers import number
from toto_core.evaluation.verdict import in_order, p_value_text
from toto_core.report.markup import Json, count_text, flat, percent_text, section, table
from toto_core.report.palette import title_of

MAX_LISTED = 200  # exclusions, and attempts
HASH = 12  # digits of a hash that are shown


def before_section(
    verdict: Json, card: Json, evaluate: Json, protocol: Json, attempts: Sequence[Json]
) -> str:
    """Return what bounds the freedom to find a pleasing result.

    Args:
        protocol: ``reports/protocol.json``; empty where none was frozen.
        attempts: the ledger's records of this test period up to this candidate, oldest first.
    """
    lead = (
        "A result is worth as much as the freedom that was given up for it: rules frozen before "
        "training, every candidate counted, nothing of the test seen in training, nothing left out "
        "in silence."
    )
    body = (
        _attempts(verdict, card, attempts)
        + _protocol(protocol, verdict)
        + _overlap(evaluate)
        + _exclusions(evaluate)
    )
    return section("Was it a fair trial?", lead, body)


def _attempts(verdict: Json, card: Json, attempts: Sequence[Json]) -> str:
    attempt = int(number(verdict.get("attempt", 1)))
    total = max(len(attempts), attempt)
    text = (
        f"This is candidate {attempt} of {total} judged on this test period. "
        if total > 1
        else "This is the only candidate that was judged on this test period. "
    )
    text += (
        "Alpha is what the level of params.yaml leaves after Holm's correction for all of them, "
        "halved where moments are few or lopsided: the best of many useless candidates passes an "
        "undivided test."
    )
    tests = verdict.get("tests") or {}
    rows = [
        (
            title_of(name),
            percent_text(number(test.get("skill"))),
            p_value_text(number(test.get("p_value"))),
            f"{number(test.get('level')):.3g}",
            f"{number(test.get('skewness')):.2f}".replace("-", "\N{MINUS SIGN}"),
        )
        for name, test in ((name, tests[name]) for name in in_order(tests))
    ]
    head = ("against", "skill", "p beyond the margin", "alpha", "skewness")
    listed = table(head, rows, caption="What the gate tested") if rows else ""
    return f'<h3>Attempts</h3><p class="note">{escape(text)}</p>{listed}{_ledger(card, attempts)}'


def _ledger(card: Json, attempts: Sequence[Json]) -> str:
    own = str(card.get("candidate_hash"))
    rows = []
    for n, record in enumerate(attempts[:MAX_LISTED], start=1):
        candidate = str(record.get("candidate"))
        mark = "this one" if candidate == own else "another"
        p_value = p_value_text(number(record.get("p_value")))
        rows.append((str(n), candidate[:HASH], mark, p_value))
    if not rows:
        return ""
    head = ("attempt", "candidate", "which", "p beyond the margin")
    listed = table(head, rows, caption="The ledger of this test period")
    if len(attempts) > MAX_LISTED:
        listed += f'<p class="note">{len(attempts) - MAX_LISTED} later ones are not shown.</p>'
    return f"<details><summary>The ledger</summary>{listed}</details>"


def _protocol(protocol: Json, verdict: Json) -> str:
    if not protocol:
        note = "No protocol was frozen before training."
        return f'<h3>Protocol</h3><p class="note">{note}</p>'
    found = [c for c in verdict.get("checks") or () if c["name"] in ("frozen protocol",)]
    said = f"{found[0]['reason']} ({found[0]['found']})" if found else ""
    groups: dict[str, list[tuple[str, str]]] = {}
    for path, value in flat(protocol):
        groups.setdefault(path[0], []).append((".".join(path[1:]) or path[0], value))
    rows = [(f"{g}: {name}" if name != g else g, v) for g, vs in groups.items() for name, v in vs]
    listed = table(("what", "frozen value"), rows, caption="The frozen protocol", css="values")
    return (
        '<h3>Protocol</h3><p class="note">Data, origins, metrics, baselines and every threshold '
        f"were written down before training. {escape(said)}</p>"
        f"<details><summary>The frozen protocol, {len(rows)} values</summary>{listed}</details>"
    )


def _overlap(evaluate: Json) -> str:
    found = evaluate.get("contamination") or {}
    items = [str(name) for name in found.get("items") or ()]
    text = f"Values of the test period in the training data: {overlap_text(found)}."
    listed = ""
    if items:
        names = "".join(f"<li>{escape(name)}</li>" for name in items[:MAX_LISTED])
        listed = f'<ul class="prose">{names}</ul>'
    return f'<h3>Overlap with the training data</h3><p class="note">{escape(text)}</p>{listed}'


def _exclusions(evaluate: Json) -> str:
    left_out = list(evaluate.get("exclusions") or ())
    judged = count_text(evaluate.get("num_series"))
    title = "<h3>Left out</h3>"
    if not left_out:
        return f'{title}<p class="note">No series was left out; {judged} were judged.</p>'
    rows = [
        (
            f"{row.get('item_id')} / {row.get('variate', 'all')}",
            "held out" if row.get("held_out") else "seen",
            str(row.get("reason")),
        )
        for row in left_out[:MAX_LISTED]
    ]
    count = count_text(len(left_out))
    listed = table(("series", "kind", "reason"), rows, caption="Left out, for all forecasters")
    more = ""
    if len(left_out) > MAX_LISTED:
        more = (
            f'<p class="note">{count_text(len(left_out) - MAX_LISTED)} more stand in '
            "<code>reports/metrics/evaluate.json</code>.</p>"
        )
    note = f"Left out for all because they could not be judged: {count} series; judged: {judged}."
    return (
        f'{title}<p class="note">{note}</p>'
        f"<details><summary>Which, and why</summary>{listed}{more}</details>"
    )
