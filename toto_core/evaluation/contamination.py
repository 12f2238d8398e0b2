"""The gate's question whether training has seen what the model is judged on."""

from collections.abc import Mapping

from toto_core.evaluation.verdict import FAIL, INCONCLUSIVE, PASS, Check

NAME = "unseen targets"
_MOST_NAMED = 5


def unseen(evaluation: Mapping[str, object]) -> Check:
    """Ask whether values of the test period stand in the training data under any name.

    Args:
        evaluation: the content of ``reports/metrics/evaluate.json``; its ``contamination`` is what
            ``data.overlap.contamination`` found.
    """
    record = evaluation.get("contamination")
    found = record if isinstance(record, Mapping) else {}
    measured = f"overlap: {overlap_text(found)}"
    unknown = found.get("unknown")
    bases = ", ".join(unknown) if isinstance(unknown, list) else ""
    if found.get("overlap") == "found":
        outcome = FAIL
        reason = "Values that are judged stand in the training data too; take the copies out of it."
    elif found.get("overlap") != "none":
        outcome = INCONCLUSIVE
        reason = "The candidate carries no fingerprints of its training data; train it anew."
    elif bases:
        outcome = PASS
        reason = f"What {bases} was trained on is not known; the rest of it holds no judged value."
    else:
        outcome, reason = PASS, "No judged value was found in the training data."
    return Check(NAME, outcome, measured, "overlap: none", reason)


def overlap_text(found: Mapping[str, object]) -> str:
    """Return a contamination record in words: ``none``, ``found`` or ``unknown``, and details."""
    state = found.get("overlap")
    if state == "none":
        asked, checkable = found.get("asked"), found.get("checkable")
        return f"none ({checkable} of {asked} items are distinctive enough to tell)"
    if state != "found":
        return "unknown"
    items = found.get("items")
    names = [str(name) for name in items] if isinstance(items, list) else []
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"found ({', '.join(names[:_MOST_NAMED])}{more})"
