"""The promotion log: which version is the champion, on what evidence, and in whose place.

Every line is a promotion or a rollback and names the git tags that go with it. The log is written
first and the tags follow from it, so a command that is killed in between leaves a line whose tags
are missing: the next command makes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toto_core.errors import RegistryError
from toto_core.evaluation.verdict import PASS
from toto_core.registry.fingerprint import combined

ARTIFACT = "toto"
STAGE = "champion"
PROMOTION, ROLLBACK = "promotion", "rollback"

Line = Mapping[str, object]


@dataclass(frozen=True)
class Moment:
    """Who decided what the line says, and on which commit.

    Attributes:
        who: name and address of git's user.
        date: of ``head``, not of the command: the line follows from the repository alone.
        head: commit that was checked out.
    """

    who: str
    date: str
    head: str


def champion(lines: Sequence[Line]) -> Line | None:
    """Return the promotion of the version that is the champion, None before the first one."""
    return promotion_of(lines, str(lines[-1]["version"])) if lines else None


def promotion_of(lines: Sequence[Line], version: str) -> Line | None:
    """Return the line that a version was promoted with, its first; None if it never was."""
    return next((line for line in lines if line["version"] == version), None)


def calibration_of(facts: Line) -> str | None:
    """Return the hash of the calibration that a line or a card names; None if it has none."""
    found = _part(facts, "hashes").get("calibration")
    return str(found) if found else None


def tags_of(lines: Sequence[Line], *, after: int = 0) -> list[tuple[str, str]]:
    """Return name and commit of every tag that the log names, from line ``after`` + 1 on."""
    tags = []
    for number, line in enumerate(lines[after:], start=after + 1):
        commit = str(line["commit"])
        if line.get("kind") != ROLLBACK:
            tags.append((_version_tag(str(line["version"])), commit))
        tags.append((_stage_tag(number), commit))
    return tags


def next_version(lines: Sequence[Line]) -> str:
    """Return the version after the highest one of the log, a step of the minor number."""
    numbers = [tuple(map(int, str(line["version"])[1:].split("."))) for line in lines]
    major, minor, _ = max(numbers, default=(0, 0, 0))
    return f"v{major}.{minor + 1}.0"


@dataclass(frozen=True)
class Present:
    """What lies in the project now.

    Attributes:
        candidate_files: SHA-256 of each file of the candidate.
        evidence: SHA-256 of what the verdict was given on, by the names of the card's hashes;
            what is not there is left out.
    """

    candidate_files: Mapping[str, str]
    evidence: Mapping[str, str]


def other_files(card: Line, present: Present, *, command: str) -> list[str]:
    """Return one text for each file that is not the one that the card was written for."""
    judged = {"models/candidate": str(card.get("candidate_hash"))}
    judged |= {name: str(value) for name, value in _part(card, "hashes").items()}
    found = {"models/candidate": combined(present.candidate_files), **present.evidence}
    return [
        f"{command}: {name} = {found[name][:12]}, the card was written for {value[:12]}; "
        "run dvc repro (or dvc checkout) so that both belong together"
        for name, value in judged.items()
        if found.get(name, value) != value
    ]


def require_promotable(card: Line, present: Present, *, lines: Sequence[Line]) -> None:
    """Refuse what was not proven, what is not the judged model, and what is promoted already.

    Args:
        lines: the log so far.

    Raises:
        RegistryError: one line for each fault.
    """
    faults = []
    outcome = str(card.get("outcome"))
    if outcome != PASS:
        faults.append(
            f"promote: verdict = {outcome}, only PASS is allowed; "
            "reports/index.html says which checks stand in the way"
        )
    faults += other_files(card, present, command="promote")
    judged = str(card.get("candidate_hash"))
    own = judged, calibration_of(card)
    versions = [
        str(line["version"])
        for line in lines
        if line.get("kind") != ROLLBACK and (line.get("candidate"), calibration_of(line)) == own
    ]
    if versions:
        faults.append(
            f"promote: candidate {judged[:12]} = {versions[-1]} already, a new one is needed; "
            "`toto history` shows its line, `toto rollback` returns to an earlier champion"
        )
    if faults:
        raise RegistryError("\n".join(faults))


def promotion_line(
    card: Mapping[str, object],
    *,
    moment: Moment,
    lines: Sequence[Line],
    succession: Mapping[str, object] | None,
    card_file: str,
) -> dict[str, object]:
    """Return the line of a promotion.

    Args:
        card: of the candidate; its figures and hashes go into the line.
        succession: the comparison with the champion; None where there is none yet.
        card_file: where the card is kept, relative to the project.
    """
    splits, run = _part(card, "splits"), _part(card, "run")
    scores = _part(card, "scores")
    return {
        "kind": PROMOTION,
        "version": next_version(lines),
        **_facts(moment, lines),
        "commit": moment.head,
        "candidate": card["candidate_hash"],
        "verdict": card["verdict_hash"],
        "outcome": card["outcome"],
        "snapshot": card["snapshot"],
        "attempt": card.get("attempt"),
        "hashes": _part(card, "hashes"),
        "metrics": _part(_part(scores, "pooled"), "model"),
        "tests": _part(card, "tests"),
        "last_training_time": run.get("last_training_time"),
        "test_start": splits.get("test_start"),
        "card": card_file,
        "succession": succession,
    }


def rollback_line(target: Line, *, moment: Moment, lines: Sequence[Line]) -> dict[str, object]:
    """Return the line that makes the version of the promotion ``target`` the champion again."""
    return {
        "kind": ROLLBACK,
        "version": target["version"],
        **_facts(moment, lines),
        "commit": target["commit"],
        "candidate": target["candidate"],
    }


def rollback_target(lines: Sequence[Line], version: str | None) -> Line:
    """Return the promotion of the version to return to.

    Args:
        version: None: the one that the champion was promoted in place of.

    Raises:
        RegistryError: if there is no champion, no such version, or it is the champion.
    """
    now = champion(lines)
    if now is None:
        raise RegistryError(
            "rollback: champion = none, one is needed; toto promote makes the first"
        )
    wanted = version or now.get("previous")
    if wanted is None:
        raise RegistryError(
            f"rollback: champion = {now['version']}, promoted in place of none; "
            "there is nothing to return to"
        )
    if wanted == now["version"]:
        raise RegistryError(
            f"rollback: {wanted} = champion already, an earlier version is needed; "
            "`toto history` lists them"
        )
    target = promotion_of(lines, str(wanted))
    if target is None:
        known = ", ".join(dict.fromkeys(str(line["version"]) for line in lines))
        raise RegistryError(f"rollback: version = {wanted}, one of {known} is needed; choose one")
    return target


def _facts(moment: Moment, lines: Sequence[Line]) -> dict[str, object]:
    before = champion(lines)
    return {
        "stage": STAGE,
        "previous": before["version"] if before else None,
        "who": moment.who,
        "date": moment.date,
        "head": moment.head,
    }


def _version_tag(version: str) -> str:
    return f"{ARTIFACT}@{version}"


def _stage_tag(number: int) -> str:
    """GTO's name of the assignment that the line of this number makes, counted from 1."""
    return f"{ARTIFACT}#{STAGE}#{number}"


def _part(value: Mapping[str, object], key: str) -> dict[str, object]:
    found = value.get(key)
    return dict(found) if isinstance(found, Mapping) else {}
