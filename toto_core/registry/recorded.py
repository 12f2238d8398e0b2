"""Whether files are those that ``dvc.lock`` records, by the hashes that DVC itself uses."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from toto_core.errors import RegistryError
from toto_core.registry.fingerprint import folder_files

MISSING = "missing"


def require_recorded(
    lock: Mapping[str, object], root: Path, *, outputs: Sequence[Path], command: str
) -> None:
    """Refuse outputs that are not the ones in ``dvc.lock``.

    Args:
        lock: the parsed ``dvc.lock``.
        outputs: files and folders, relative to ``root``.
        command: who asks; it begins each message.

    Raises:
        RegistryError: one line for each output that is missing, unrecorded or different.
    """
    recorded = _recorded_hashes(lock)
    faults = []
    for output in outputs:
        expected, found = recorded.get(output.as_posix()), dvc_md5(root / output)
        if expected != found:
            faults.append(
                f"{command}: {output} = {found[:12]}, dvc.lock has {str(expected)[:12]}; "
                f"run dvc repro, commit dvc.lock, then {command}"
            )
    if faults:
        raise RegistryError("\n".join(faults))


def dvc_md5(path: Path) -> str:
    """Return the hash that DVC 3 records for a file or a folder, "missing" if there is none.

    Of a folder it is the MD5 of the sorted list of its files (iterative/dvc-data,
    ``dvc_data.hashfile.tree``).
    """
    if path.is_file():
        return _file_md5(path)
    if not path.is_dir():
        return MISSING
    entries = [
        {"md5": _file_md5(path / name), "relpath": name} for name in sorted(folder_files(path))
    ]
    text = json.dumps(entries, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _file_md5(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _recorded_hashes(lock: Mapping[str, object]) -> dict[str, str]:
    stages = lock.get("stages")
    hashes = {}
    for stage in stages.values() if isinstance(stages, Mapping) else ():
        for out in stage.get("outs", []):
            hashes[str(out["path"])] = str(out.get("md5"))
    return hashes
