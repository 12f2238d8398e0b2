"""The evaluation in words: whether the model beats no change, by how much, and where not."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from toto_core.evaluation.verdict import TITLES, in_order

NAIVE = "naive"

# Level of the words; the gate has its own (params.yaml, register.alpha).
WORDING_ALPHA = 0.05
# From this ratio of the errors on, the headline shouts, whatever the test says.
SHOUTED_RATIO = 2.0
NUM_NAMED = 3  # variates that the headline names at most

Comparison = Mapping[str, Any]


def headline(skill: Mapping[str, Mapping[str, Comparison]]) -> str:
    """Say in one sentence whether the model beats no change, by how much, and what is not won.

    Args:
        skill: the blocks of ``scores.evaluation_report``; "candidate" must have no change.
    """
    own = skill["candidate"]
    others = [name for name in in_order(own) if name != NAIVE]
    clauses = [_against_no_change(own[NAIVE])]
    won = [TITLES[name] for name in others if _is_won(own[name])]
    lost = [f"{TITLES[name]} ({_amount(own[name])})" for name in others if not _is_won(own[name])]
    if won:
        clauses.append(f"{'also ' if _is_won(own[NAIVE]) else ''}better than {_listed(won)}")
    if lost:
        clauses.append(f"not shown to be better than {_listed(lost)}")
    for block, words in (("held_out", "on held-out series"), ("crossval", "in rolling refits")):
        found = skill.get(block, {}).get(NAIVE)
        if found and not _is_won(found):
            clauses.append(f"{words} not shown to beat no change ({_amount(found)})")
    return "; ".join(clauses) + "."


def caveat(
    pooled: Comparison,
    by_variate: Mapping[str, Mapping[str, Comparison]],
    *,
    unjudged: Sequence[str] = (),
) -> str:
    """Name the variates on which the model is not better than no change, the worst first.

    A gain over all series together may come from one variate alone, while the one that a reader
    cares for is lost.

    Args:
        pooled: of all variates together, against no change.
        by_variate: comparisons with each baseline, for each variate.
        unjudged: variates none of whose series could be judged.

    Returns:
        one sentence, or two with ``unjudged``; empty where there is nothing to add: every variate
        is won, there is one only, or all are lost and the sentence about all of them says WORSE.
    """
    sentences = [f"Not judged on {_listed(unjudged)}."] if unjudged else []
    lost = lost_variates(by_variate)
    shouts = any(_ratio(by_variate[name][NAIVE]) >= SHOUTED_RATIO for name in lost)
    said = len(lost) == len(by_variate) and _is_worse(pooled) and not shouts
    if lost and len(by_variate) > 1 and not said:
        start = "NOT ON" if shouts else "Not on" if _is_won(pooled) else "Not better on"
        if len(lost) == 1:
            (name,) = lost
            text = f"{start} {name}: {_in_words(by_variate[name][NAIVE], over=' than no change')}."
        else:
            named = [
                f"{name} ({_in_words(by_variate[name][NAIVE], over=' than no change' * (n == 0))})"
                for n, name in enumerate(lost[:NUM_NAMED])
            ]
            if len(lost) > NUM_NAMED:
                start = f"{start} {len(lost)} of {len(by_variate)} variates, worst on"
            text = f"{start} {_listed(named)}."
        sentences.insert(0, text)
    return " ".join(sentences)


def lost_variates(by_variate: Mapping[str, Mapping[str, Comparison]]) -> list[str]:
    """Return the variates on which a gain over no change is not shown, the lowest skill first."""
    lost = [name for name, found in by_variate.items() if not _is_won(found[NAIVE])]
    return sorted(lost, key=lambda name: (-_ratio(by_variate[name][NAIVE]), name))


def _in_words(found: Comparison, *, over: str) -> str:
    skill = float(found["skill"])
    if _ratio(found) >= SHOUTED_RATIO:
        return f"ITS ERROR IS {_ratio(found):.1f} TIMES THAT OF NO CHANGE"
    amount = f"{abs(100 * skill):.1f} % {'better' if skill >= 0 else 'worse'}{over}"
    if found["outcome"] == "inconclusive":
        return f"{amount} so far, not decided"
    if _is_worse(found):
        return f"{amount}, more than chance explains"
    return amount if skill < 0 else f"{amount}, which chance explains"


def _against_no_change(found: Comparison) -> str:
    skill, p_value = float(found["skill"]), float(found["p_value"])
    ratio = _ratio(found)
    if ratio >= SHOUTED_RATIO:
        return (
            f"WORSE THAN NO CHANGE: ITS ERROR IS {ratio:.1f} TIMES THAT OF REPEATING THE LAST VALUE"
        )
    if found["outcome"] == "inconclusive":
        return f"Not decided against no change (error {_change(skill)} so far): {found['reason']}"
    if _is_worse(found):
        return (
            f"WORSE than no change: its error is {ratio:.2f} times that of repeating the last value"
        )
    if p_value <= WORDING_ALPHA:
        return (
            f"Better than no change: its error is {100 * skill:.1f} % lower than that of repeating "
            f"the last value (two-sided 95 % interval {100 * float(found['lower']):.1f} % to "
            f"{100 * float(found['upper']):.1f} %, one-sided {_p_text(p_value)})"
        )
    return (
        f"Not distinguishable from no change: its error is {_change(skill)} than that of repeating "
        f"the last value, which chance explains (one-sided {_p_text(p_value)})"
    )


def _ratio(found: Comparison) -> float:
    return 1 - float(found["skill"])


def _is_won(found: Comparison) -> bool:
    return found["outcome"] == "ok" and float(found["p_value"]) <= WORDING_ALPHA


def _is_worse(found: Comparison) -> bool:
    """Whether it is shown to be worse, or so much worse that no test is needed."""
    shown = found["outcome"] == "ok" and float(found["p_value"]) >= 1 - WORDING_ALPHA
    return shown or _ratio(found) >= SHOUTED_RATIO


def _amount(found: Comparison) -> str:
    p_value = float(found["p_value"])
    tested = "not decided" if math.isnan(p_value) else _p_text(p_value)
    return f"error {_change(float(found['skill']))}, {tested}"


def _change(skill: float) -> str:
    word = "lower" if skill >= 0 else "higher"
    return f"{abs(100 * skill):.1f} % {word}"


def _p_text(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def _listed(parts: Sequence[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
