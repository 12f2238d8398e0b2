"""What the gate says: checks, their outcomes and the verdict that follows from them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

PASS, FAIL, INCONCLUSIVE = "PASS", "FAIL", "INCONCLUSIVE"
MODEL = "model"
BASELINES = ("naive", "drift", "seasonal_naive")
TITLES = {
    MODEL: "the model",
    "naive": "no change",
    "drift": "drift",
    "seasonal_naive": "seasonal naive",
}


@dataclass(frozen=True)
class Check:
    """One question that the gate asks.

    Attributes:
        found: what was measured, in words.
        allowed: what would have passed, in words.
        reason: one sentence for a reader who knows neither.
    """

    name: str
    outcome: str
    found: str
    allowed: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """The outcome with everything that led to it.

    Attributes:
        checks: what decides.
        claims: what is reported beside it and decides nothing: held-out series, rolling refits,
            the spread of no change.
        tests: for each baseline the numbers behind superiority and effect.
        attempt: how many candidates, this one included, were judged on the same test period.
    """

    outcome: str
    headline: str
    checks: tuple[Check, ...]
    claims: tuple[Check, ...] = ()
    tests: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    attempt: int = 1

    def to_json(self) -> dict[str, object]:
        """Return the verdict as plain values for ``verdict.json``."""
        return asdict(self)


def worst(outcomes: Iterable[str]) -> str:
    """Return FAIL over INCONCLUSIVE over PASS; no outcome at all is inconclusive."""
    found = set(outcomes)
    for outcome in (FAIL, INCONCLUSIVE):
        if outcome in found:
            return outcome
    return PASS if found else INCONCLUSIVE


def percent(share: float) -> str:
    """Return a share as a percentage with one decimal; NaN is ``unknown``."""
    if math.isnan(share):
        return "unknown"
    text = f"{100 * share:.1f} %"
    return "0.0 %" if text == "-0.0 %" else text


def p_value_text(p_value: float) -> str:
    """Return a p-value with four decimals, or that it is beyond them."""
    if math.isnan(p_value):
        return "unknown"
    if p_value < 1e-4:
        return "< 0.0001"
    return "> 0.9999" if p_value > 1 - 1e-4 else f"{p_value:.4f}"


def sentence(faults: Sequence[str]) -> str:
    """Join the faults to one sentence; none gives an empty text."""
    if not faults:
        return ""
    text = "; ".join(faults)
    return text[0].upper() + text[1:] + "."
