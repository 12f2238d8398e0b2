"""Which card may be promoted, what the log says, and which tags and versions follow from it."""

import pytest

from toto_core.errors import RegistryError
from toto_core.registry.fingerprint import combined
from toto_core.registry.promotion import (
    Moment,
    Present,
    champion,
    next_version,
    promotion_line,
    require_promotable,
    rollback_line,
    rollback_target,
    tags_of,
)

FILES = {"model.safetensors": "aa", "config.json": "bb"}
CARD = {
    "outcome": "PASS",
    "candidate_hash": combined(FILES),
    "snapshot": "s" * 64,
    "verdict_hash": "v" * 64,
    "run": {"last_training_time": "2025-01-01T00:00:00+00:00"},
    "splits": {"test_start": "2025-02-01T00:00:00+00:00"},
}
NOW = Moment(who="Ada <ada@example.org>", date="2026-03-01", head="c" * 40)


def promoted(number):
    """Lines of promotions, one after the other."""
    lines = []
    for _ in range(number):
        facts = {"moment": NOW, "succession": None, "card_file": "registry/cards/x.json"}
        lines.append(promotion_line(CARD, lines=lines, **facts))
    return lines


def rolled_back(lines, version=None):
    return [*lines, rollback_line(rollback_target(lines, version), moment=NOW, lines=lines)]


def test_require_promotable_accepts_a_pass():
    require_promotable(CARD, Present(FILES, {}), lines=[])


@pytest.mark.parametrize("outcome", ["FAIL", "INCONCLUSIVE", "pass", None])
def test_require_promotable_refuses_anything_but_pass(outcome):
    with pytest.raises(RegistryError, match=f"verdict = {outcome}, only PASS is allowed"):
        require_promotable({**CARD, "outcome": outcome}, Present(FILES, {}), lines=[])


def test_require_promotable_reports_all_faults_together():
    lines = [{"version": "v0.3.0", "candidate": CARD["candidate_hash"]}]
    card = {**CARD, "outcome": "FAIL"}
    with pytest.raises(RegistryError) as raised:
        require_promotable(card, Present({"x": "y"}, {}), lines=lines)
    told = str(raised.value).splitlines()
    assert told[0].startswith("promote: verdict = FAIL")
    judged, found = CARD["candidate_hash"][:12], combined({"x": "y"})[:12]
    assert told[1].startswith(
        f"promote: models/candidate = {found}, the card was written for {judged};"
    )
    assert told[2].startswith(f"promote: candidate {judged} = v0.3.0 already")


def test_evidence_that_is_not_that_of_the_card_is_named():
    card = {**CARD, "hashes": {"losses": "1" * 64, "splits": "2" * 64, "evaluation": "3" * 64}}
    present = Present(FILES, {"losses": "9" * 64, "splits": "2" * 64})  # one is not there
    with pytest.raises(RegistryError) as raised:
        require_promotable(card, present, lines=[])
    assert str(raised.value) == (
        "promote: losses = 999999999999, the card was written for 111111111111; "
        "run dvc repro (or dvc checkout) so that both belong together"
    )


def test_versions_and_predecessors_follow_from_the_log():
    lines = rolled_back(promoted(3))
    assert [line["version"] for line in lines] == ["v0.1.0", "v0.2.0", "v0.3.0", "v0.2.0"]
    assert [line["previous"] for line in lines] == [None, "v0.1.0", "v0.2.0", "v0.3.0"]
    assert champion(lines) is lines[1]
    assert next_version(lines) == "v0.4.0"
    assert next_version([{"version": "v1.9.0"}, {"version": "v0.10.0"}]) == "v1.10.0"
    assert champion([]) is None


def test_rollback_goes_on_to_the_one_before_that():
    lines = rolled_back(rolled_back(promoted(3)))
    assert lines[-1]["version"] == "v0.1.0"
    with pytest.raises(RegistryError, match=r"champion = v0\.1\.0, promoted in place of none"):
        rollback_target(lines, None)


def test_tags_follow_from_the_lines():
    lines = rolled_back(promoted(2))
    assert [name for name, _ in tags_of(lines)] == [
        *("toto@v0.1.0", "toto#champion#1"),
        *("toto@v0.2.0", "toto#champion#2"),
        "toto#champion#3",
    ]
    assert tags_of(lines, after=2) == [("toto#champion#3", NOW.head)]


def test_line_carries_the_times_until_which_the_model_has_seen_data():
    (line,) = promoted(1)
    assert line["last_training_time"] == "2025-01-01T00:00:00+00:00"
    assert line["test_start"] == "2025-02-01T00:00:00+00:00"
    assert (line["who"], line["stage"]) == ("Ada <ada@example.org>", "champion")
