"""The model card for readers: which sections it has, and what stands in them."""

import pytest
from small_card import CHECK, SKILL, small_card

from toto_core.registry.card_page import card_markdown

SECTIONS = [
    *("Intended use", "Model", "Training", "Data", "Evaluation", "Calibration"),
    *("Contamination", "Weakest series", "Attempts", "Limits", "Hashes (SHA-256)"),
]


def section(text, name):
    """The lines of a section that are not empty."""
    _, _, rest = text.partition(f"\n## {name}\n")
    return [line for line in rest.partition("\n## ")[0].splitlines() if line]


def test_card_has_every_section_in_order():
    text = card_markdown(small_card())
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == SECTIONS
    assert "\n# toto: PASS\n\nBetter than no change.\n\nIndependent.\n" in text


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("PASS", "Meant for series like those it was judged on, and for a later time than"),
        ("FAIL", "Its verdict is FAIL: it is not meant to be relied on. This card keeps the"),
        ("INCONCLUSIVE", "Its verdict is INCONCLUSIVE: it is not meant to be relied on."),
    ],
)
def test_use_follows_from_the_outcome(outcome, says):
    first, second = section(card_markdown(small_card(outcome=outcome)), "Intended use")
    assert first.startswith(
        "Forecasts 24 steps of 1h ahead from up to 512 past values, as nine quantiles from 0.1 to "
    )
    assert says in first
    assert second.startswith("Not meant for decisions about rare extremes")


def test_training_says_what_is_known_and_nothing_else():
    assert section(card_markdown(small_card()), "Training")[2:] == [
        "| points seen | 46,698,543 |",
        "| last training target | 2025-07-26T23:00:00+00:00 |",
        "| training loss | 0.25 |",
        "| lr | 0.15 |",
        "| batch size | 16 |",
        "| version of torch | 2.13.0 |",
    ]
    assert section(card_markdown(small_card(run={})), "Training") == []


def test_data_come_with_licences_and_hashes():
    lines = section(card_markdown(small_card()), "Data")
    assert lines[0] == "112 series of 28 items, 1000 rows, 2025-01-06 to 2025-10-12."
    assert lines[3] == "| a\\|b &lt;i> | 1000 | MIT |"
    assert lines[-1] == f"| values.f32 | `{'3' * 64}` |"


def test_evaluation_has_checks_claims_scores_and_tests():
    lines = section(card_markdown(small_card()), "Evaluation")
    assert "| origins | PASS | 60 | 40 |" in lines
    assert "| new series | INCONCLUSIVE | 60 | 40 |" in lines
    assert "| the model | 0.5000 | 0.6000 | 0.1000 | 0.7900 |" in lines
    assert "| no change | 1.0000 | 1.2000 | 0.2000 | - |" in lines
    assert lines[-6:] == [
        "| Seen series | skill | 95 % interval | p | origins | h_eff | df |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| no change | 20.0 % | 10.0 % to 30.0 % | &lt; 0.0001 | 60 | 2 | 7 |",
        "| Rolling refits | skill | 95 % interval | p | origins | h_eff | df |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| no change | 20.0 % | 10.0 % to 30.0 % | &lt; 0.0001 | 60 | 2 | 7 |",
    ]


def test_reasons_of_what_did_not_pass_are_told():
    failed = {**CHECK, "name": "attempts", "outcome": "FAIL", "reason": "Too many."}
    lines = section(card_markdown(small_card(checks=[CHECK, failed])), "Evaluation")
    assert "- attempts: Too many." in lines
    assert "- origins: Enough." not in lines


def test_variates_come_with_the_worst_first():
    scores = small_card()["scores"]
    by_variate = {
        "volume": {"naive": SKILL},
        "close": {"naive": SKILL | {"skill": -0.02}, "drift": SKILL},
        "x": {"naive": SKILL | {"skill": None}},
    }
    lines = section(
        card_markdown(small_card(scores=scores | {"skill_by_variate": by_variate})), "Evaluation"
    )
    assert [line.split(" | ")[:2] for line in lines[-4:]] == [
        ["| x", "no change"],
        ["| close", "no change"],
        ["| close", "drift"],
        ["| volume", "no change"],
    ]


def test_calibration_shows_what_a_correction_has_changed():
    assert section(card_markdown(small_card()), "Calibration")[2:] == [
        "| 0.1 | 10.0 % |",
        "| 0.9 | 91.0 % |",
    ]
    correction = {
        "method": "pooled",
        "reason": "",
        "num_origins": 10,
        "before": {"coverage": {"0.1": 0.2, "0.9": 0.8}},
    }
    scores = small_card()["scores"] | {"calibrate": correction}
    assert section(card_markdown(small_card(scores=scores)), "Calibration")[2:] == [
        "| 0.1 | 10.0 % | 20.0 % |",
        "| 0.9 | 91.0 % | 80.0 % |",
        "Corrected on 10 validation origins (pooled).",
    ]
    scores["calibrate"] = {"method": "none", "reason": "turned off"}
    text = card_markdown(small_card(scores=scores))
    assert section(text, "Calibration")[-1] == "turned off"


def test_attempts_limits_and_weakest_series_are_told():
    text = card_markdown(small_card())
    assert section(text, "Attempts")[0].startswith("This is candidate number 3 that was judged on")
    assert section(text, "Limits") == ["- Not for extremes."]
    assert section(text, "Weakest series")[-1] == "| x / cpu | -50.0 % | True |"


def test_hashes_are_those_of_files_evidence_and_bases():
    base = {"init": "owner/base", "revision": "abc", "sha256": {"weights": "4" * 64}, "base": None}
    text = card_markdown(small_card(run={"base": base}))
    assert [line.split(" | ")[0] for line in section(text, "Hashes (SHA-256)")[2:]] == [
        *("| config.json", "| splits", "| owner/base/weights", "| test period", "| verdict"),
    ]
    assert "| fine-tuned from | owner/base, commit abc |" in text
