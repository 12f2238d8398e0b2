"""Promotions at the same time, stopped on the way, or with a log or tags that were changed."""

import shutil
import subprocess
import sys

import pytest
from registry_project import commit, git, write_candidate
from toy_project import environment

from flows.history import history
from flows.promote import _ready, _require_unchanged, promote
from flows.releases import one_writer
from flows.rollback import rollback
from toto_core.errors import RegistryError
from toto_core.registry.ledger import read_log
from toto_core.registry.promotion import Moment, rollback_line

LOG = "registry/promotions.jsonl"
ALL_TAGS = ["toto#champion#1", "toto@v0.1.0"]

# The process kills itself at a call of somebody else's function, before the call does anything.
KILLED = """
import os, pathlib, signal, sys
import gto.tag
calls = 0
def dying(function, wanted):
    def call(*arguments, **more):
        global calls
        if wanted(*arguments):
            calls += 1
            if calls == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)
    return call
if sys.argv[1] == "line":
    pathlib.Path.replace = dying(pathlib.Path.replace, lambda _, to: to.name == "promotions.jsonl")
else:
    gto.tag.create_tag = dying(gto.tag.create_tag, lambda *_: True)
from flows.promote import _ready, _require_unchanged, promote
from flows.releases import one_writer
promote(pathlib.Path())
"""


# Everything is imported before either may begin.
TOGETHER = """
import sys
import flows.cli, flows.promote, gto.registry
print("ready", flush=True)
sys.stdin.readline()
sys.argv = ["toto", "promote"]
flows.cli.main()
"""


def tags(root):
    return git(root, "tag").splitlines()


def start(root, *arguments):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=root,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_of_two_promotions_at_once_one_wins(registered):
    both = [start(registered, "-c", TOGETHER) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [(*process.communicate(), process.returncode) for process in both]
    (said, _, code), (nothing, refused, other) = sorted(ended, key=lambda end: end[2])
    assert (code, other) == (0, 1)
    assert said.startswith("promoted: toto v0.1.0 is now champion (tags on ")
    assert nothing == ""
    assert refused.startswith(
        ("promote: champion = v0.1.0 since a moment ago, none", "promote: uncommitted = registry/")
    )
    assert tags(registered) == ALL_TAGS
    assert len(read_log(registered / LOG)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "number", "left"),
    [("line", 1, []), ("tag", 1, []), ("tag", 2, ["toto@v0.1.0"])],
    ids=["before-the-line", "before-the-tags", "between-the-tags"],
)
def test_killed_promotion_is_finished_by_the_next(registered, where, number, left):
    process = start(registered, "-c", KILLED, where, str(number))
    process.communicate()
    assert process.returncode == -9
    assert tags(registered) == left
    assert len(_lines(registered)) == (where == "tag")
    message = promote(registered)
    if where == "tag":
        made = ", ".join(name for name in ("toto@v0.1.0", "toto#champion#1") if name not in left)
        assert message.startswith(
            "finished: the promotion of v0.1.0 was stopped before its tags; made "
            f"{made}. Now commit registry and run: git push --atomic origin HEAD 'toto@v0.1.0'"
        )
    assert tags(registered) == ALL_TAGS
    assert len(_lines(registered)) == 1


def _lines(root):
    return read_log(root / LOG)


@pytest.mark.slow
def test_rollback_after_a_killed_promotion_finishes_that_and_says_so(registered):
    start(registered, "-c", KILLED, "tag", "1").communicate()
    message = "finished: the promotion of v0.1.0 .*; then run the rollback again"
    with pytest.raises(RegistryError, match=message):
        rollback(registered)
    assert tags(registered) == ALL_TAGS


@pytest.mark.slow
def test_stopped_rollback_is_finished_by_the_next(held):
    write_candidate(held, 2, error=0.8)
    promote(held)
    commit(held)
    with one_writer(held) as log:  # stopped after the line
        moment = Moment(who="Ada", date="2026-03-01", head=git(held, "rev-parse", "HEAD"))
        log.append(rollback_line(log.records[0], moment=moment, lines=log.records))
    message = rollback(held)
    assert message.startswith("finished: the rollback of v0.1.0 was stopped before its tags; made")
    assert message.endswith("git push --atomic origin HEAD 'toto#champion#3'")
    first, third = (git(held, "rev-parse", f"toto#champion#{n}^{{}}") for n in (1, 3))
    assert third == first


def test_promotion_is_refused_if_another_came_first(registered):
    before = _ready(registered)
    promote(registered)
    message = r"promote: champion = v0\.1\.0 since a moment ago, none is what this candidate was"
    with pytest.raises(RegistryError, match=message):
        _require_unchanged(registered, before)


def test_promotion_is_refused_if_head_moved_meanwhile(registered):
    before = _ready(registered)
    commit(registered)
    with pytest.raises(RegistryError, match=r"promote: HEAD = [0-9a-f]{12} since a moment ago, "):
        _require_unchanged(registered, before)


def test_torn_line_is_named_by_every_command(held):
    log = held / LOG
    log.write_bytes(log.read_bytes()[:-20])
    commit(held)
    for command in (promote, rollback, history):
        with pytest.raises(RegistryError, match=r"promotions\.jsonl: line 1 = .* is torn, a whole"):
            command(held)


def test_edited_line_is_named(held):
    log = held / LOG
    log.write_text(log.read_text().replace("Ada", "Eve"))
    with pytest.raises(RegistryError, match=r"line 1 = [0-9a-f]{12}, .* the line was edited"):
        history(held)


def test_lines_that_were_removed_leave_tags_that_tell(held):
    (held / LOG).unlink()
    write_candidate(held, 2)
    message = (
        r"promote: tag toto#champion#1 = in no line of registry/promotions\.jsonl, each belongs to "
        r"one; restore the lines that are gone \(git log -p registry/promotions\.jsonl\), or "
        r"remove it: git tag --delete 'toto#champion#1'"
    )
    with pytest.raises(RegistryError, match=message):
        promote(held)


def test_tags_that_were_not_fetched_are_named_and_never_made_anew(held):
    git(held, "tag", "--delete", "toto@v0.1.0")
    message = r"tag toto@v0\.1\.0 = missing, .* run git fetch --tags, or if it was never pushed"
    with pytest.raises(RegistryError, match=f"promote: {message}"):
        promote(held)
    assert "tag toto@v0.1.0 = missing" in history(held)
    assert tags(held) == ["toto#champion#1"]


def test_tag_that_was_moved_is_named(held):
    commit(held)
    git(held, "tag", "--force", "toto@v0.1.0", "HEAD")
    with pytest.raises(RegistryError, match=r"rollback: tag toto@v0\.1\.0 = .* restore the one"):
        rollback(held)


@pytest.mark.slow
def test_of_two_clones_only_one_can_push(held, tmp_path):
    origin = tmp_path / "origin.git"
    git(held, "init", "--quiet", "--bare", str(origin))
    git(held, "remote", "add", "origin", str(origin))
    git(held, "push", "--quiet", "--atomic", "origin", "HEAD", "--tags")
    other = shutil.copytree(held, tmp_path / "other")
    for root, seed in ((held, 2), (other, 3)):
        write_candidate(root, seed, error=0.8)
        push = promote(root).partition("run: git ")[2].replace("'", "").split()
        commit(root)
        if root is held:
            git(root, *push)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        git(other, *push)
    assert "rejected" in refused.value.stderr
    assert git(origin, "rev-parse", "toto@v0.2.0^{}") == git(held, "rev-parse", "toto@v0.2.0^{}")
