"""Which card may be promoted, and what the log then says."""

import json

import pytest

from toto_core.errors import RegistryError
from toto_core.registry.fingerprint import combined
from toto_core.registry.promotion import (
    dvc_folder_md5,
    promotion_record,
    require_promotable,
    require_recorded,
)

FILES = {"model.safetensors": "aa", "config.json": "bb"}
CARD = {
    "outcome": "PASS",
    "candidate_hash": combined(FILES),
    "snapshot": "s" * 64,
    "verdict_hash": "v" * 64,
}


def test_require_promotable_accepts_a_pass():
    require_promotable(CARD, candidate_files=FILES, promotions=[])


@pytest.mark.parametrize("outcome", ["FAIL", "INCONCLUSIVE", "pass", None])
def test_require_promotable_refuses_anything_but_pass(outcome):
    with pytest.raises(RegistryError, match=f"verdict = {outcome}, only PASS is allowed"):
        require_promotable({**CARD, "outcome": outcome}, candidate_files=FILES, promotions=[])


def test_require_promotable_reports_all_faults_together():
    promotions = [{"version": "v0.3.0", "candidate": CARD["candidate_hash"]}]
    card = {**CARD, "outcome": "FAIL"}
    with pytest.raises(RegistryError) as raised:
        require_promotable(card, candidate_files={"x": "y"}, promotions=promotions)
    lines = str(raised.value).splitlines()
    assert lines[0].startswith("promote: verdict = FAIL")
    judged, found = CARD["candidate_hash"][:12], combined({"x": "y"})[:12]
    assert lines[1].startswith(
        f"promote: models/candidate = {found}, the card was written for {judged};"
    )
    assert lines[2].startswith(f"promote: candidate {judged} = v0.3.0 already")


def test_promotion_record_names_the_champion_of_the_same_stage():
    promotions = [
        {"version": "v0.1.0", "stage": "champion"},
        {"version": "v0.2.0", "stage": "champion"},
        {"version": "v0.3.0", "stage": "shadow"},
    ]
    facts = {"version": "v0.4.0", "commit": "c", "date": "d", "promotions": promotions}
    assert promotion_record(CARD, stage="champion", **facts)["previous"] == "v0.2.0"
    assert promotion_record(CARD, stage="other", **facts)["previous"] is None


def test_dvc_folder_md5_equals_what_dvc_records(tmp_path):
    # Recorded by DVC 3.67 for the same four files.
    (tmp_path / "sub").mkdir()
    for name, text in {"a.txt": "a", "sub-x": "e", "sub.txt": "c", "sub/b.txt": "b"}.items():
        (tmp_path / name).write_text(text + "\n")
    assert dvc_folder_md5(tmp_path) == "750c261ecc5202da161c25ae013d4487.dir"


def test_require_recorded_names_each_output_that_differs(tmp_path):
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "f").write_text("x")
    lock = {"stages": {"s": {"outs": [{"path": "good", "md5": dvc_folder_md5(tmp_path / "good")}]}}}
    good = (tmp_path / "good").relative_to(tmp_path)
    require_recorded(lock, tmp_path, outputs=[good])
    (tmp_path / "good" / "f").write_text("y")
    with pytest.raises(RegistryError) as raised:
        require_recorded(json.loads(json.dumps(lock)), tmp_path, outputs=[good, good / "gone"])
    first, second = str(raised.value).splitlines()
    assert first.startswith("promote: good = ")
    assert second.startswith("promote: good/gone = missing, dvc.lock has None;")
