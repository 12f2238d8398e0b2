"""Promotion in real git and DVC repositories: what is refused, tagged and logged."""

import pytest
from registry_project import commit, git, write_candidate

from flows.challenge import challenge
from flows.promote import promote
from toto_core.errors import RegistryError
from toto_core.registry.fingerprint import file_sha256
from toto_core.registry.ledger import read_log

LOG = "registry/promotions.jsonl"


def tags(root):
    return git(root, "tag").splitlines()


def test_first_promotion_tags_head_and_says_on_what_evidence(registered):
    message = promote(registered)
    head = git(registered, "rev-parse", "HEAD")
    assert git(registered, "tag", "--points-at", "HEAD").splitlines() == [
        "toto#champion#1",
        "toto@v0.1.0",
    ]
    assert message == (
        f"promoted: toto v0.1.0 is now champion (tags on {head[:12]}). Now commit registry and "
        "run: git push --atomic origin HEAD 'toto@v0.1.0' 'toto#champion#1'"
    )
    (line,) = read_log(registered / LOG)
    assert line["who"] == "Ada <ada@example.org>"
    assert line["date"].startswith("2026-03-01T12:00:00")
    assert (line["commit"], line["head"], line["previous"]) == (head, head, None)
    assert line["tests"]["naive"] == {"skill": 0.25, "p_value": 0.001}
    of_losses = file_sha256(registered / "data/losses.parquet")
    assert (line["metrics"], line["hashes"]) == ({"sql": 0.5}, {"losses": of_losses})
    assert line["succession"] is None


def test_promotion_keeps_the_card(registered):
    promote(registered)
    (line,) = read_log(registered / LOG)
    kept, original = registered / line["card"], registered / "models/registry/card.json"
    assert kept.read_bytes() == original.read_bytes()
    assert kept.with_suffix(".md").read_text() == "# toto: PASS\n"


def test_gto_reads_the_tags(registered):
    from gto.registry import GitRegistry  # noqa: PLC0415

    promote(registered)
    with GitRegistry.from_url(registered) as registry:
        artifact = registry.find_artifact("toto")
        (version,) = artifact.get_versions()
        assert version.version == "v0.1.0"
        assert [stage.stage for stage in version.get_vstages()] == ["champion"]


def test_better_candidate_takes_the_place_of_the_champion(held):
    write_candidate(held, 2, error=0.8)
    assert "toto v0.2.0 is now champion, in place of v0.1.0: PASS" in promote(held)
    line = read_log(held / LOG)[1]
    assert line["previous"] == "v0.1.0"
    assert line["succession"]["outcome"] == "PASS"
    assert line["succession"]["skill"] == pytest.approx(0.2)
    assert line["succession"]["n"] == 24
    assert tags(held) == ["toto#champion#1", "toto#champion#2", "toto@v0.1.0", "toto@v0.2.0"]


@pytest.mark.parametrize("unproven", [False, True])
def test_worse_candidate_is_refused_whatever_is_allowed(held, unproven):
    write_candidate(held, 2, error=1.2, noise=0.05)
    message = r"promote: against v0\.1\.0 = FAIL \(its error is \d\d\.\d % higher .* keep the"
    with pytest.raises(RegistryError, match=message):
        promote(held, allow_unproven=unproven)
    assert len(tags(held)) == 2


def test_undecided_candidate_needs_a_word_and_the_log_keeps_it(held):
    write_candidate(held, 3, error=1.0, noise=1.0)
    message = r"against v0\.1\.0 = INCONCLUSIVE \(.* is not ruled out .*with --allow-unproven"
    with pytest.raises(RegistryError, match=message):
        promote(held)
    assert "v0.2.0 is now champion, in place of v0.1.0: INCONCLUSIVE" in promote(
        held, allow_unproven=True
    )
    assert read_log(held / LOG)[1]["succession"]["outcome"] == "INCONCLUSIVE"


def test_champion_is_not_promoted_again(held):
    with pytest.raises(RegistryError, match=r"= v0\.1\.0 already, a new one is needed"):
        promote(held)
    assert len(tags(held)) == 2


@pytest.mark.parametrize("outcome", ["FAIL", "INCONCLUSIVE"])
def test_promote_refuses_anything_but_pass(registered, outcome):
    write_candidate(registered, 1, outcome=outcome)
    with pytest.raises(RegistryError, match=f"verdict = {outcome}, only PASS is allowed"):
        promote(registered)
    assert tags(registered) == []
    assert not (registered / LOG).exists()


def test_promote_refuses_uncommitted_records(registered):
    (registered / "dvc.lock").write_text((registered / "dvc.lock").read_text() + "# changed\n")
    (registered / "registry").mkdir()
    (registered / "registry/attempts.jsonl").write_text("")
    with pytest.raises(RegistryError, match=r"uncommitted = dvc\.lock, registry/, none is allowed"):
        promote(registered)


def test_promote_refuses_outputs_that_are_not_those_of_the_lock(registered):
    (registered / "models/candidate/model.safetensors").write_text("swapped")
    with pytest.raises(RegistryError, match=r"promote: models/candidate = [0-9a-f]{12}, dvc\.lock"):
        promote(registered)


def test_promote_refuses_a_candidate_that_the_card_was_not_written_for(registered):
    (registered / "models/candidate/model.safetensors").write_text("swapped")
    commit(registered)
    with pytest.raises(RegistryError, match="the card was written for"):
        promote(registered)


def test_promote_refuses_a_verdict_on_other_losses(held):
    write_candidate(held, 2, error=0.8)
    losses = held / "data/losses.parquet"
    losses.write_bytes((held / "data/valid/items.parquet").read_bytes())
    commit(held)
    with pytest.raises(
        RegistryError, match=r"promote: losses = [0-9a-f]{12}, the card was written"
    ):
        promote(held)
    with pytest.raises(RegistryError, match=r"challenge: losses = [0-9a-f]{12}, the card was"):
        challenge(held)


def test_promote_refuses_data_that_are_not_those_of_the_lock(held):
    write_candidate(held, 2, error=0.8)
    shard = next((held / "data/valid").glob("part-*"))
    shard.write_bytes(b"")
    with pytest.raises(RegistryError, match=r"promote: data/valid = [0-9a-f]{12}, dvc\.lock has"):
        promote(held)


@pytest.mark.parametrize(("text", "found"), [("{", "unreadable"), ("{}", "of an older form")])
def test_promote_refuses_a_card_that_it_cannot_read(registered, text, found):
    (registered / "models/registry/card.json").write_text(text)
    message = f"promote: .*card.json = {found}, the card of the register stage is needed; run dvc"
    with pytest.raises(RegistryError, match=message):
        promote(registered)


def test_promote_refuses_a_folder_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(
        RegistryError, match=f"promote: {tmp_path} = no git repository with a commit"
    ):
        promote(tmp_path)


def test_promote_refuses_a_lock_outside_git(registered):
    git(registered, "rm", "--quiet", "--cached", "dvc.lock")
    with (registered / ".gitignore").open("a") as file:
        file.write("/dvc.lock\n")
    git(registered, "commit", "--quiet", "-am", "Ignore the lock")
    with pytest.raises(RegistryError, match=r"uncommitted = dvc\.lock \(not in git\)"):
        promote(registered)


def test_promote_refuses_a_user_without_a_name(registered, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git(registered, "config", "--unset", "user.email")
    git(registered, "config", "user.useConfigOnly", "true")
    with pytest.raises(RegistryError, match="promote: git user = unknown, the log names who"):
        promote(registered)
