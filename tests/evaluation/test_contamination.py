"""The gate fails a model that was trained on what it is judged on, and says where."""

import pytest

from toto_core.evaluation.contamination import overlap_text, unseen
from toto_core.evaluation.verdict import FAIL, INCONCLUSIVE, PASS

NONE = {"overlap": "none", "items": [], "asked": 40, "checkable": 38, "unknown": []}


@pytest.mark.parametrize(
    ("record", "outcome", "found", "reason"),
    [
        pytest.param(
            NONE,
            PASS,
            "overlap: none (38 of 40 items are distinctive enough to tell)",
            "No judged value was found in the training data.",
            id="none",
        ),
        pytest.param(
            NONE | {"unknown": ["Datadog/toto", "models/base"]},
            PASS,
            "overlap: none (38 of 40 items are distinctive enough to tell)",
            "What Datadog/toto, models/base was trained on is not known; the rest of it holds no "
            "judged value.",
            id="unknown base",
        ),
        pytest.param(
            NONE | {"overlap": "found", "items": ["a", "b", "c", "d", "e", "f", "g"]},
            FAIL,
            "overlap: found (a, b, c, d, e and 2 more)",
            "Values that are judged stand in the training data too; take the copies out of it.",
            id="found",
        ),
        pytest.param(
            {"overlap": "unknown", "unknown": ["models/candidate"]},
            INCONCLUSIVE,
            "overlap: unknown",
            "The candidate carries no fingerprints of its training data; train it anew.",
            id="unknown",
        ),
        pytest.param(
            None,
            INCONCLUSIVE,
            "overlap: unknown",
            "The candidate carries no fingerprints of its training data; train it anew.",
            id="no record",
        ),
    ],
)
def test_unseen_says_whether_training_saw_the_targets(record, outcome, found, reason):
    check = unseen({"contamination": record} if record else {})
    assert (check.outcome, check.found, check.reason) == (outcome, found, reason)
    assert (check.name, check.allowed) == ("unseen targets", "overlap: none")


def test_five_names_are_all_there_are():
    assert overlap_text({"overlap": "found", "items": list("abcde")}) == "found (a, b, c, d, e)"
