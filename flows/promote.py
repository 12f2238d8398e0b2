"""Make the registered candidate the champion: GTO tags on HEAD and a line in the promotion log.

It runs after the commit, never inside a stage, because a tag must point to the commit that holds
the ``dvc.lock`` of the model.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml
from gto.exceptions import GTOException
from gto.registry import GitRegistry

from flows import paths
from toto_core.errors import RegistryError
from toto_core.registry.fingerprint import folder_files
from toto_core.registry.ledger import append_log, read_log
from toto_core.registry.promotion import promotion_record, require_promotable, require_recorded

ARTIFACT = "toto"
FIRST_VERSION = "v0.1.0"
LOCK = Path("dvc.lock")
PROMOTIONS = paths.LEDGER / "promotions.jsonl"
COMMITTED = (LOCK, Path("dvc.yaml"), paths.PARAMS, paths.LEDGER)


def promote(root: Path, *, stage: str = "champion") -> str:
    """Tag HEAD with the next version of the model and with ``stage``, and log it.

    Returns:
        what was done and what is left to do, for the terminal.

    Raises:
        RegistryError: outside git, with uncommitted records, with outputs that are not those of
            ``dvc.lock``, with a candidate that is not the judged one, or without a PASS.
    """
    commit = _head(root)
    _require_committed(root)
    lock = yaml.safe_load((root / LOCK).read_text(encoding="utf-8"))
    require_recorded(lock or {}, root, outputs=(paths.CANDIDATE, paths.REGISTRY))
    card = _card(root)
    promotions = read_log(root / PROMOTIONS)
    require_promotable(
        card, candidate_files=folder_files(root / paths.CANDIDATE), promotions=promotions
    )
    version = _tag(root, stage)
    record = promotion_record(
        card,
        version=version,
        stage=stage,
        commit=commit,
        date=_git(root, "show", "-s", "--format=%cI", "HEAD"),
        promotions=promotions,
    )
    append_log(root / PROMOTIONS, record)
    before = f", in place of {record['previous']}" if record["previous"] else ""
    return (
        f"promoted: {ARTIFACT} {version} is now {stage}{before} (tags on {commit[:12]}). "
        f"Now commit {PROMOTIONS} and run: git push --tags"
    )


def _head(root: Path) -> str:
    try:
        return _git(root, "rev-parse", "--verify", "HEAD")
    except (subprocess.CalledProcessError, FileNotFoundError):
        raise RegistryError(
            f"promote: {root.resolve()} = no git repository with a commit, tags need one; "
            "run git init, commit, then promote"
        ) from None


def _require_committed(root: Path) -> None:
    names = [path.as_posix() for path in COMMITTED]
    changed = _git(root, "status", "--porcelain", "--", *names).splitlines()
    untracked = [] if _git(root, "ls-files", "--", LOCK.as_posix()) else [f"{LOCK} (not in git)"]
    faults = sorted({line[3:] for line in changed} | set(untracked))
    if faults:
        raise RegistryError(
            f"promote: uncommitted = {', '.join(faults)}, none is allowed; "
            "commit them so that the tag holds what was judged"
        )


def _card(root: Path) -> dict[str, Any]:
    path = root / paths.REGISTRY / "card.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise RegistryError(
            f"promote: {path} = unreadable, the card of the register stage is needed; "
            "run dvc repro register"
        ) from None


def _tag(root: Path, stage: str) -> str:
    """Register the next version and assign the stage; both tags or none."""
    version = None
    try:
        with GitRegistry.from_url(root) as registry:
            latest = registry.find_artifact(ARTIFACT, create_new=True).get_latest_version()
            bump = {"bump_minor": True} if latest else {"version": FIRST_VERSION}
            version = registry.register(ARTIFACT, "HEAD", simple=True, **bump).version
            registry.assign(ARTIFACT, stage, version=version)
    except GTOException as error:
        if version:
            _git(root, "tag", "--delete", f"{ARTIFACT}@{version}")
        raise RegistryError(
            f"promote: tags = none made, {' '.join(str(error).split())}; see git tag --list 'toto*'"
        ) from None
    return version


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.rstrip("\n")
