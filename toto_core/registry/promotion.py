"""Whether a registered candidate may become the champion, and what is written down when it does."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from toto_core.errors import RegistryError
from toto_core.registry.fingerprint import combined, folder_files


def require_promotable(
    card: Mapping[str, object],
    *,
    candidate_files: Mapping[str, str],
    promotions: Sequence[Mapping[str, object]],
) -> None:
    """Refuse what was not proven, what is not the judged model, and what is promoted already.

    Args:
        candidate_files: SHA-256 of each file of the candidate as it lies there now.
        promotions: the log so far.

    Raises:
        RegistryError: one line for each fault.
    """
    faults = []
    outcome = str(card.get("outcome"))
    if outcome != "PASS":
        faults.append(
            f"promote: verdict = {outcome}, only PASS is allowed; "
            "reports/index.html says which checks stand in the way"
        )
    judged, found = str(card.get("candidate_hash")), combined(candidate_files)
    if judged != found:
        faults.append(
            f"promote: models/candidate = {found[:12]}, the card was written for {judged[:12]}; "
            "run dvc repro (or dvc checkout) so that both belong together"
        )
    versions = [str(p.get("version")) for p in promotions if p.get("candidate") == judged]
    if versions:
        faults.append(
            f"promote: candidate {judged[:12]} = {versions[-1]} already, "
            "a new one is needed; nothing is left to do"
        )
    if faults:
        raise RegistryError("\n".join(faults))


def promotion_record(
    card: Mapping[str, object],
    *,
    version: str,
    stage: str,
    commit: str,
    date: str,
    promotions: Sequence[Mapping[str, object]],
) -> dict[str, object]:
    """Return the line of the promotion log.

    Args:
        commit: hash of the git commit that the tags point to.
        date: of that commit, not of the promotion: the line follows from the repository alone.
    """
    champions = [p for p in promotions if p.get("stage") == stage]
    return {
        "version": version,
        "stage": stage,
        "candidate": card["candidate_hash"],
        "snapshot": card["snapshot"],
        "verdict": card["verdict_hash"],
        "commit": commit,
        "date": date,
        "previous": champions[-1]["version"] if champions else None,
    }


def require_recorded(lock: Mapping[str, object], root: Path, *, outputs: Sequence[Path]) -> None:
    """Refuse outputs that are not the ones in ``dvc.lock``.

    Args:
        lock: the parsed ``dvc.lock``.
        outputs: folders, relative to ``root``.

    Raises:
        RegistryError: one line for each output that is missing, unrecorded or different.
    """
    recorded = _recorded_hashes(lock)
    faults = []
    for output in outputs:
        expected = recorded.get(output.as_posix())
        found = dvc_folder_md5(root / output)
        if expected != found:
            faults.append(
                f"promote: {output} = {found[:12]}, dvc.lock has {str(expected)[:12]}; "
                "run dvc repro, commit dvc.lock, then promote"
            )
    if faults:
        raise RegistryError("\n".join(faults))


def dvc_folder_md5(folder: Path) -> str:
    """Return the hash that DVC 3 records for a folder: MD5 of the sorted list of its files.

    Source: iterative/dvc-data, ``dvc_data.hashfile.tree``; "missing" if there is no folder.
    """
    if not folder.is_dir():
        return "missing"
    entries = [
        {"md5": _md5((folder / name).read_bytes()), "relpath": name}
        for name in sorted(folder_files(folder))
    ]
    return _md5(json.dumps(entries, sort_keys=True).encode()) + ".dir"


def _recorded_hashes(lock: Mapping[str, object]) -> dict[str, str]:
    stages = lock.get("stages")
    hashes = {}
    for stage in stages.values() if isinstance(stages, Mapping) else ():
        for out in stage.get("outs", []):
            hashes[str(out["path"])] = str(out.get("md5"))
    return hashes


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
