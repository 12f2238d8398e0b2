"""What the gate says: checks, their outcomes and the verdict that follows from them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from toto_core.config import MANDATORY_BASELINES

PASS, FAIL, INCONCLUSIVE = "PASS", "FAIL", "INCONCLUSIVE"
MODEL = "model"
MANDATORY = MANDATORY_BASELINES
BASE = "base"  # what a fine-tuned model began as
UNCALIBRATED = "uncalibrated"  # the model's own quantiles, before their correction
# In the order in which they are shown.
TITLES = {
    MODEL: "the model",
    "naive": "no change",
    "naive_gaussian": "Gaussian no change",
    "drift": "drift",
    "seasonal_naive": "seasonal naive",
    "moving_average": "moving average",
    "auto_theta": "Theta",
    "auto_ets": "exponential smoothing",
    BASE: "its base model",
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
            the spread of no change, series that are not there at each origin.
        tests: for each baseline the numbers behind superiority and effect.
        attempt: how many candidates, this one included, were judged on the same test period.
    """

    outcome: str
    headline: str
    checks: tuple[Check, ...]
    claims: tuple[Check, ...] = ()
    tests: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    attempt: int = 1

    @property
    def p_value(self) -> float | None:
        """Return the p-value of being better than every baseline: the largest of all of them.

        Doubled where the level was halved, so that it is compared with the undivided level; None
        where a test could not decide.
        """
        found = [t["p_value"] * (2 if t["is_halved"] else 1) for t in self.tests.values()]
        decided = found and not any(math.isnan(p) for p in found)
        return min(1.0, max(found)) if decided else None

    def to_json(self) -> dict[str, object]:
        """Return the verdict as plain values for ``verdict.json``."""
        return asdict(self)


def title(forecaster: str) -> str:
    """Return what a forecaster is called in words."""
    return TITLES.get(forecaster, forecaster.replace("_", " "))


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sort the names of forecasters as they are shown; unknown ones come last, by name."""
    rank = {name: n for n, name in enumerate(TITLES)}
    return tuple(sorted(set(names), key=lambda name: (rank.get(name, len(rank)), name)))


def baselines_of(evaluation: Mapping[str, object]) -> tuple[str, ...]:
    """Return the baselines that ``reports/metrics/evaluate.json`` names, the mandatory ones always.

    The base of a fine-tuned model is none of them.
    """
    named = evaluation.get("baselines")
    return in_order(
        [*MANDATORY, *(str(name) for name in (named if isinstance(named, list) else ()))]
    )


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
