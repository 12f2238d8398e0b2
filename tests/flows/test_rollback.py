"""Rolling back: which version comes back, what is written, and that its files are there."""

import shutil

import pytest
from registry_project import commit, git, write_candidate

from flows.promote import promote
from flows.rollback import rollback
from toto_core.errors import RegistryError
from toto_core.registry.fingerprint import combined, folder_files
from toto_core.registry.ledger import read_log

LOG = "registry/promotions.jsonl"


@pytest.fixture
def second(held):
    """A project whose champion v0.2.0 has taken the place of v0.1.0."""
    write_candidate(held, 2, error=0.8)
    promote(held)
    commit(held)
    return held


def test_rollback_returns_to_the_champion_before(second):
    of_first = git(second, "rev-parse", "toto@v0.1.0^{}")
    message = rollback(second)
    promotion, line = read_log(second / LOG)[0], read_log(second / LOG)[-1]
    folder = second / "runs/champions/v0.1.0"
    assert message.startswith(
        f"rolled back: toto v0.1.0 is champion again, in place of v0.2.0 (tag on {of_first[:12]}). "
        f"Its files are in {folder.relative_to(second)}; to work on from there: git checkout "
        "toto@v0.1.0 -- dvc.lock && dvc checkout. Now commit registry and run: "
        "git push --atomic origin HEAD 'toto#champion#3'"
    )
    assert combined(folder_files(folder / "candidate")) == promotion["candidate"]
    assert (line["kind"], line["version"], line["previous"]) == ("rollback", "v0.1.0", "v0.2.0")
    assert line["commit"] == of_first
    assert line["head"] == git(second, "rev-parse", "HEAD")
    assert git(second, "rev-parse", "toto#champion#3^{}") == of_first
    assert len(git(second, "tag").splitlines()) == 5


@pytest.mark.slow
def test_next_promotion_after_a_rollback_has_a_new_version_and_another_opponent(second):
    rollback(second)
    commit(second)
    write_candidate(second, 3, error=0.9)
    assert "toto v0.3.0 is now champion, in place of v0.1.0: PASS" in promote(second)
    assert read_log(second / LOG)[-1]["succession"]["skill"] == pytest.approx(0.1)


@pytest.mark.slow
def test_rollback_to_a_version_may_go_forward_again(second):
    rollback(second)
    commit(second)
    with pytest.raises(RegistryError, match=r"champion = v0\.1\.0, promoted in place of none"):
        rollback(second)
    assert "toto v0.2.0 is champion again, in place of v0.1.0" in rollback(second, version="v0.2.0")


def test_rollback_refuses_what_cannot_be(held, registered):
    for root, version, message in (
        (registered, None, "rollback: champion = none, one is needed; toto promote makes the"),
        (held, None, r"rollback: champion = v0\.1\.0, promoted in place of none; there is nothing"),
        (held, "v0.1.0", r"rollback: v0\.1\.0 = champion already, an earlier version is needed"),
        (held, "v7", r"rollback: version = v7, one of v0\.1\.0 is needed; choose one"),
    ):
        with pytest.raises(RegistryError, match=message):
            rollback(root, version=version)


def test_rollback_refuses_uncommitted_records(second):
    (second / LOG).with_name("note").write_text("x")
    with pytest.raises(RegistryError, match="rollback: uncommitted = registry/note, none is"):
        rollback(second)


def test_rollback_to_a_model_that_is_lost_is_refused(second):
    shutil.rmtree(second / ".dvc/cache")
    before = (second / LOG).read_bytes()
    message = r"models/candidate of v0\.1\.0 = not in DVC's cache and on no remote as of commit "
    with pytest.raises(RegistryError, match=message):
        rollback(second)
    assert (second / LOG).read_bytes() == before


def test_rollback_fetches_from_the_remote(second, tmp_path):
    with (second / ".dvc/config").open("a") as file:
        file.write(f"[core]\n remote = store\n['remote \"store\"']\n url = {tmp_path}/store\n")
    commit(second)
    (second / ".dvc/cache").rename(tmp_path / "store")  # a remote is laid out as the cache is
    assert "toto v0.1.0 is champion again" in rollback(second)


def test_damaged_cache_is_named(second):
    for path in (second / ".dvc/cache/files/md5").rglob("*"):
        if path.is_file() and path.stat().st_size > 100_000:
            path.chmod(0o644)
            path.write_bytes(b"damaged")
    with pytest.raises(RegistryError, match=r"models/candidate of v0\.1\.0 = "):
        rollback(second)
