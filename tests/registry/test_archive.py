"""The cards of all verdicts."""

import json

from toto_core.registry.archive import keep_card


def test_each_verdict_keeps_its_card_once(tmp_path):
    registry, ledger = tmp_path / "models", tmp_path / "registry"
    registry.mkdir()
    kept = []
    for candidate, verdict in (("a", "1"), ("a", "2"), ("b", "2"), ("a", "1")):
        card = {"candidate_hash": candidate * 64, "verdict_hash": verdict * 64, "outcome": "FAIL"}
        (registry / "card.json").write_text(json.dumps(card))
        (registry / "card.md").write_text(f"# {candidate}{verdict}\n")
        kept.append(keep_card(registry, ledger).relative_to(tmp_path).as_posix())
    names = [f"registry/cards/{a * 12}-{b * 12}.json" for a, b in ("a1", "a2", "b2", "a1")]
    assert kept == names
    assert len(list((ledger / "cards").iterdir())) == 6
    assert (tmp_path / names[0]).with_suffix(".md").read_text() == "# a1\n"
