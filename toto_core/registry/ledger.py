"""Append-only logs: one JSON object per line, each line naming the SHA-256 of the line before it.

A line that was changed, removed or torn no longer fits its neighbour, and reading says which.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from toto_core.errors import RegistryError
from toto_core.files import writing

PREVIOUS = "previous_line"
FIRST = "0" * 64


def read_log(path: Path) -> list[dict[str, object]]:
    """Return the records of a log, oldest first; a log that does not exist is empty.

    Raises:
        RegistryError: if a line is no JSON object or does not follow the line before it.
    """
    if not path.is_file():
        return []
    records, previous = [], FIRST
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            record = None
        if not isinstance(record, dict):
            raise RegistryError(
                f"{path}: line {number} = {line[:40]!r}, a JSON object is needed; "
                f"restore the file with git checkout {path}"
            )
        found = str(record.pop(PREVIOUS, "missing"))
        if found != previous:
            raise RegistryError(
                f"{path}: line {number} follows {found[:12]}, the line before it is "
                f"{previous[:12]}; the log was edited, restore it with git checkout {path}"
            )
        records.append(record)
        previous = _line_hash(line)
    return records


def append_log(path: Path, record: Mapping[str, object]) -> None:
    """Add one record at the end of a log; the file is replaced as a whole, never torn."""
    read_log(path)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    previous = _line_hash(text.splitlines()[-1]) if text else FIRST
    line = json.dumps({**record, PREVIOUS: previous}, sort_keys=True, ensure_ascii=False)
    with writing(path) as temporary:
        temporary.write_text(f"{text}{line}\n", encoding="utf-8")


def record_attempt(path: Path, *, snapshot: str, candidate: str) -> int:
    """Note that ``candidate`` is judged on the test period ``snapshot``.

    The same candidate on the same period is noted once, so a rerun changes nothing.

    Returns:
        its place among the distinct candidates judged on that period, from 1.
    """
    earlier = [str(r.get("candidate")) for r in read_log(path) if r.get("snapshot") == snapshot]
    if candidate in earlier:
        return earlier.index(candidate) + 1
    append_log(path, {"snapshot": snapshot, "candidate": candidate})
    return len(earlier) + 1


def _line_hash(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()
