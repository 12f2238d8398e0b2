"""The promotion log and its git tags, read together, and one command at a time to change them.

A line is written first, as one rename, and its tags after it. A command that was killed in between
leaves a line that is not committed and lacks tags; ``settle`` makes them. Whatever else differs
between log and tags is named and never mended in silence.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows import paths
from toto_core.errors import RegistryError
from toto_core.registry.ledger import Log, open_log, read_log
from toto_core.registry.promotion import ARTIFACT, Moment, tags_of

PROMOTIONS = paths.LEDGER / "promotions.jsonl"
LOCK = Path("dvc.lock")
COMMITTED = (LOCK, Path("dvc.yaml"), paths.PARAMS, paths.LEDGER)


@contextmanager
def one_writer(root: Path) -> Iterator[Log]:
    """Wait until no other command changes the promotion log, and keep the others waiting.

    Raises:
        RegistryError: as ``open_log``.
    """
    with open_log(root / PROMOTIONS) as log:
        yield log


def read_lines(root: Path) -> list[dict[str, Any]]:
    """Return the lines of the promotion log, oldest first.

    Raises:
        RegistryError: naming the line that is torn or was edited.
    """
    return read_log(root / PROMOTIONS)


def record(root: Path, log: Log, line: Mapping[str, object], command: str) -> None:
    """Add a line to the log that ``one_writer`` gave, then make its tags."""
    log.append(line)
    settle(root, command)


def settle(root: Path, command: str) -> list[str]:
    """Make the tags that a stopped command has left out; to be called within ``one_writer``.

    Returns:
        the names of the tags that were made.

    Raises:
        RegistryError: one line for each other difference between the log and the tags.
    """
    lines, tags = read_lines(root), _tags(root)
    pending = tags_of(lines, after=_num_committed(root))
    made = {name: commit for name, commit in pending if name not in tags}
    faults = differences(lines, tags | made)
    if faults:
        raise RegistryError("\n".join(f"{command}: {fault}" for fault in faults))
    _make(root, made, command)
    return list(made)


def tag_faults(root: Path) -> list[str]:
    """Return what differs between the log and the tags, changing nothing."""
    return differences(read_lines(root), _tags(root))


def differences(lines: list[dict[str, Any]], tags: Mapping[str, str]) -> list[str]:
    """Return one text for each tag that is missing, points elsewhere or belongs to no line."""
    expected = dict(tags_of(lines))
    faults = [
        f"tag {name} = missing, {PROMOTIONS} has it on {commit[:12]}; run git fetch --tags, or "
        f"if it was never pushed git tag -a -m restored '{name}' {commit[:12]}"
        for name, commit in expected.items()
        if name not in tags
    ]
    faults += [
        f"tag {name} = {tags[name][:12]}, {PROMOTIONS} has it on {commit[:12]}; restore the one "
        "that was changed from a clone that has it right"
        for name, commit in expected.items()
        if tags.get(name, commit) != commit
    ]
    faults += [
        f"tag {name} = in no line of {PROMOTIONS}, each belongs to one; restore the lines that "
        f"are gone (git log -p {PROMOTIONS}), or remove it: git tag --delete '{name}'"
        for name in tags
        if name not in expected
    ]
    return faults


def moment(root: Path, command: str) -> Moment:
    """Return who acts on which commit.

    Raises:
        RegistryError: outside git, without a commit, or if git does not know its user.
    """
    try:
        head = git(root, "rev-parse", "--verify", "HEAD")
    except (subprocess.CalledProcessError, FileNotFoundError):
        raise RegistryError(
            f"{command}: {root.resolve()} = no git repository with a commit, tags need one; "
            f"run git init, commit, then {command}"
        ) from None
    try:
        who = git(root, "var", "GIT_COMMITTER_IDENT").rpartition(">")[0] + ">"
    except subprocess.CalledProcessError:
        raise RegistryError(
            f"{command}: git user = unknown, the log names who decides; "
            "run git config user.name and git config user.email"
        ) from None
    return Moment(who=who, date=git(root, "show", "-s", "--format=%cI", "HEAD"), head=head)


def require_committed(root: Path, command: str) -> None:
    """Refuse to go on while the graph, the parameters or the logs differ from HEAD.

    Raises:
        RegistryError: naming each path.
    """
    names = [path.as_posix() for path in COMMITTED]
    changed = git(root, "status", "--porcelain", "--", *names).splitlines()
    untracked = [] if git(root, "ls-files", "--", LOCK.as_posix()) else [f"{LOCK} (not in git)"]
    faults = sorted({line[3:] for line in changed} | set(untracked))
    if faults:
        raise RegistryError(
            f"{command}: uncommitted = {', '.join(faults)}, none is allowed; "
            "commit them so that the tag holds what was judged"
        )


def finished(root: Path, tags: list[str], kind: str) -> str:
    """Return what ``settle`` has done for a command of this kind that was run again.

    Raises:
        RegistryError: with the same text, if it was a command of another kind that was stopped:
            what is asked for now has not been done.
    """
    line = read_lines(root)[-1]
    text = (
        f"finished: the {line['kind']} of {line['version']} was stopped before its tags; made "
        f"{', '.join(tags)}. {what_is_left(root)}"
    )
    if line["kind"] != kind:
        raise RegistryError(f"{text}; then run the {kind} again")
    return text


def what_is_left(root: Path) -> str:
    """Return how to publish the newest line and its tags: together, or not at all."""
    lines = read_lines(root)
    tags = " ".join(f"'{name}'" for name, _ in tags_of(lines, after=len(lines) - 1))
    return f"Now commit {paths.LEDGER} and run: git push --atomic origin HEAD {tags}"


def git(root: Path, *arguments: str) -> str:
    """Return what ``git`` prints, run in ``root``.

    Raises:
        CalledProcessError: if it fails.
    """
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"LC_ALL": "C"},
    )
    return done.stdout.rstrip("\n")


def _tags(root: Path) -> dict[str, str]:
    """Return the commit of each tag of the model."""
    form = "--format=%(refname:strip=2) %(objectname) %(*objectname)"  # of an annotated one both
    lines = git(root, "for-each-ref", form, f"refs/tags/{ARTIFACT}@*", f"refs/tags/{ARTIFACT}#*")
    words = [line.split() for line in lines.splitlines()]
    return {name: commits[-1] for name, *commits in words}


def _num_committed(root: Path) -> int:
    try:
        return len(git(root, "show", f"HEAD:./{PROMOTIONS.as_posix()}").splitlines())
    except subprocess.CalledProcessError:
        return 0


def _make(root: Path, tags: Mapping[str, str], command: str) -> None:
    if not tags:
        return
    # Half a second to import, for every command line otherwise.
    from gto.exceptions import GTOException  # noqa: PLC0415
    from gto.registry import GitRegistry  # noqa: PLC0415
    from gto.tag import create_tag  # noqa: PLC0415
    from scmrepo.exceptions import SCMError  # noqa: PLC0415

    try:
        with GitRegistry.from_url(root) as registry:
            for name, commit in tags.items():
                create_tag(registry.scm, name, commit, f"Recorded in {PROMOTIONS}")
    except (GTOException, SCMError) as error:
        raise RegistryError(
            f"{command}: tags {', '.join(tags)} = not all made, {' '.join(str(error).split())}; "
            f"the line stands in {PROMOTIONS}: mend it and run the command again"
        ) from None
