"""Promotion on a real git repository: what is refused, which tags are made, what is logged."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from flows.promote import promote
from toto_core.errors import RegistryError
from toto_core.registry.fingerprint import combined, folder_files
from toto_core.registry.ledger import read_log
from toto_core.registry.promotion import dvc_folder_md5

DATE = "2026-03-01T12:00:00+00:00"


def git(root, *arguments):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "GIT_AUTHOR_DATE": DATE,
        "GIT_COMMITTER_DATE": DATE,
    }
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return done.stdout.strip()


def write_candidate(root, weights, outcome="PASS"):
    """Write a candidate with its card, and the dvc.lock that records both."""
    candidate, registry = root / "models/candidate", root / "models/registry"
    candidate.mkdir(parents=True, exist_ok=True)
    registry.mkdir(exist_ok=True)
    (candidate / "model.safetensors").write_text(weights)
    card = {
        "outcome": outcome,
        "candidate_hash": combined(folder_files(candidate)),
        "snapshot": "s",
        "verdict_hash": "v",
    }
    (registry / "card.json").write_text(json.dumps(card))
    write_lock(root)
    return card


def write_lock(root):
    outs = [
        {"path": p, "md5": dvc_folder_md5(root / p)}
        for p in ("models/candidate", "models/registry")
    ]
    (root / "dvc.lock").write_text(yaml.safe_dump({"stages": {"all": {"outs": outs}}}))


def commit(root):
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "-m", "State")


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "--quiet")
    git(root, "config", "user.name", "Test")
    git(root, "config", "user.email", "test@example.org")
    (root / ".gitignore").write_text("/models/\n")
    write_candidate(root, "first")
    commit(root)
    return root


def test_promote_tags_head_and_logs(project):
    message = promote(project)
    head = git(project, "rev-parse", "HEAD")
    tags = git(project, "tag", "--points-at", "HEAD").splitlines()
    assert tags == ["toto#champion#1", "toto@v0.1.0"]
    assert message == (
        f"promoted: toto v0.1.0 is now champion (tags on {head[:12]}). "
        "Now commit registry/promotions.jsonl and run: git push --tags"
    )
    (record,) = read_log(project / "registry/promotions.jsonl")
    assert record["commit"] == head
    assert record["date"].startswith("2026-03-01T12:00:00")
    assert record["previous"] is None


def test_promote_bumps_the_version_and_names_the_champion_before(project):
    promote(project)
    write_candidate(project, "second")
    commit(project)
    assert "toto v0.2.0 is now champion, in place of v0.1.0" in promote(project)
    assert read_log(project / "registry/promotions.jsonl")[1]["previous"] == "v0.1.0"


def test_promote_refuses_the_same_candidate_twice(project):
    promote(project)
    commit(project)
    with pytest.raises(RegistryError, match=r"= v0\.1\.0 already"):
        promote(project)
    assert git(project, "tag").splitlines() == ["toto#champion#1", "toto@v0.1.0"]


@pytest.mark.parametrize("outcome", ["FAIL", "INCONCLUSIVE"])
def test_promote_refuses_anything_but_pass(project, outcome):
    write_candidate(project, "first", outcome)
    commit(project)
    with pytest.raises(RegistryError, match=f"verdict = {outcome}, only PASS is allowed"):
        promote(project)
    assert git(project, "tag") == ""
    assert not (project / "registry").exists()


def test_promote_refuses_uncommitted_records(project):
    (project / "dvc.lock").write_text((project / "dvc.lock").read_text() + "# changed\n")
    (project / "registry").mkdir()
    (project / "registry/attempts.jsonl").write_text("")
    with pytest.raises(RegistryError, match=r"uncommitted = dvc\.lock, registry/, none is allowed"):
        promote(project)


def test_promote_refuses_outputs_that_are_not_those_of_the_lock(project):
    (project / "models/candidate/model.safetensors").write_text("swapped")
    with pytest.raises(RegistryError, match=r"promote: models/candidate = [0-9a-f]{12}, dvc\.lock"):
        promote(project)


def test_promote_refuses_a_candidate_that_the_card_was_not_written_for(project):
    (project / "models/candidate/model.safetensors").write_text("swapped")
    write_lock(project)
    commit(project)
    with pytest.raises(RegistryError, match="the card was written for"):
        promote(project)


def test_promote_refuses_a_folder_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    write_candidate(tmp_path, "first")
    with pytest.raises(
        RegistryError, match=f"promote: {tmp_path} = no git repository with a commit"
    ):
        promote(tmp_path)


def test_promote_refuses_a_lock_outside_git(project):
    git(project, "rm", "--quiet", "--cached", "dvc.lock")
    (project / ".gitignore").write_text("/models/\n/dvc.lock\n")
    commit(project)
    with pytest.raises(RegistryError, match=r"uncommitted = dvc\.lock \(not in git\)"):
        promote(project)


def test_promote_leaves_no_tag_behind_when_the_second_one_cannot_be_made(project):
    with pytest.raises(RegistryError, match=r"promote: tags = none made, .*not a stage"):
        promote(project, stage="not a stage")
    assert git(project, "tag") == ""
    assert not Path(project / "registry/promotions.jsonl").exists()
