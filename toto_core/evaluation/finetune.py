"""The gate asks a fine-tuned model whether it is better than the model that it began as."""

from toto_core.evaluation.comparison import Comparison
from toto_core.evaluation.verdict import (
    BASE,
    FAIL,
    INCONCLUSIVE,
    PASS,
    TITLES,
    Check,
    p_value_text,
    percent,
    sentence,
)

NAME = f"better than {TITLES[BASE]}"


def against_base(comparison: Comparison | None) -> Check:
    """Ask whether fine-tuning has made the model better on these series.

    The base costs nothing, so there is no margin: better at the level passes, worse fails, and
    what chance explains is inconclusive.

    Args:
        comparison: at the same origins, without a margin; None with too few origins to compare.
    """
    if comparison is None:
        allowed = "skill above 0.0 %, with a p-value at most at the level"
        return Check(NAME, INCONCLUSIVE, "too few origins", allowed, "Not judged.")
    test, skill = comparison.margin_test, comparison.skill
    allowed = f"skill above 0.0 % with p at most {comparison.level:.3g}"
    decided = test.outcome == "ok"
    p_value = f"p {p_value_text(test.p_value)}" if decided else "no p-value"
    found = f"skill {percent(skill)}, {p_value}"
    if skill < 0:
        reason = "Fine-tuning has made it worse on these series; use the base as it is."
        return Check(NAME, FAIL, found, allowed, reason)
    if not decided:
        return Check(NAME, INCONCLUSIVE, found, allowed, sentence([test.reason]))
    if test.p_value > comparison.level:
        reason = "Chance explains what fine-tuning has gained; collect more origins."
        return Check(NAME, INCONCLUSIVE, found, allowed, reason)
    return Check(NAME, PASS, found, allowed, "Fine-tuning has gained more than chance explains.")
