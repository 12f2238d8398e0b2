"""Append-only logs: one JSON object per line, chained by hashes, written by one process at a time.

Each line ends with the hash of its own content and names that of the line before it. A line that
was changed, removed, moved or torn no longer fits, and reading says which. Lines removed from the
end leave no trace in the file itself; the history of git has them.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from toto_core.errors import RegistryError
from toto_core.files import writing

_IDENTITY = ("snapshot", "candidate", "calibration", "protocol")
PREVIOUS, OWN = "previous_line", "this_line"
FIRST = "0" * 64
WAIT_S = 120.0  # for another process to finish with a log; judging happens while it is held

Record = Mapping[str, object]


class Log:
    """A log that this process alone may write to, as ``open_log`` gives it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.records: list[dict[str, object]] = read_log(path)

    def append(self, record: Record) -> None:
        """Add a record at the end; the file is replaced as a whole, never torn."""
        text = self._path.read_text(encoding="utf-8") if self._path.is_file() else ""
        previous = json.loads(text.splitlines()[-1])[OWN] if text else FIRST
        line = {**record, PREVIOUS: previous}
        line[OWN] = _hash_of(line)
        with writing(self._path) as temporary:
            temporary.write_text(f"{text}{_as_json(line)}\n", encoding="utf-8")
        self.records.append(dict(record))


@contextmanager
def open_log(path: Path, *, wait_s: float = WAIT_S) -> Iterator[Log]:
    """Hold a log for reading and writing; nobody else appends to it meanwhile.

    Raises:
        RegistryError: if another process holds it for ``wait_s`` seconds, or as ``read_log``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=wait_s)
    try:
        lock.acquire()
    except Timeout:
        raise RegistryError(
            f"{path}: held by another process for {wait_s:g} s, one may write at a time; wait for "
            "the other register or promote to end, and run again"
        ) from None
    try:
        yield Log(path)
    finally:
        lock.release()


def append_log(path: Path, record: Record) -> None:
    """Add one record at the end of a log.

    Raises:
        RegistryError: as ``open_log``.
    """
    with open_log(path) as log:
        log.append(record)


def read_log(path: Path) -> list[dict[str, object]]:
    """Return the records of a log, oldest first; a log that does not exist is empty.

    Raises:
        RegistryError: if a line is torn, edited or not the one after the line before it.
    """
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    remedy = f"restore the file with git checkout {path}"
    records, previous = [], FIRST
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        where = f"{path}: line {number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            record = None
        torn = number == len(lines) and not text.endswith("\n")
        if torn or not isinstance(record, dict):
            what = "is torn, a whole line" if torn else "is no record, a JSON object"
            raise RegistryError(f"{where} = {line[:40]!r} {what} is needed; {remedy}")
        own, before = str(record.pop(OWN, "missing")), str(record.get(PREVIOUS, "missing"))
        found = _hash_of(record)
        if found != own:
            raise RegistryError(
                f"{where} = {found[:12]}, {own[:12]} was written; the line was edited, {remedy}"
            )
        if before != previous:
            raise RegistryError(
                f"{where} follows {before[:12]}, the line before it is {previous[:12]}; lines were "
                f"removed, added or moved, {remedy}"
            )
        del record[PREVIOUS]
        records.append(record)
        previous = own
    return records


@dataclass(frozen=True)
class Attempt:
    """A candidate under a protocol, to be judged on a test period.

    Attributes:
        snapshot: identity of the truth that it is judged on.
        candidate: hash of what is judged.
        calibration: hash of what corrects its quantiles.
        protocol: hash of the frozen protocol; the same candidate under another one is another look.
        test_end: of the period, ISO 8601 in UTC.
        series: a sketch of the judged series (``fingerprint.series_sketch``).
    """

    snapshot: str
    candidate: str
    calibration: str
    protocol: str
    test_end: str
    series: Sequence[str]

    def record(self, p_value: float | None) -> dict[str, object]:
        """Return the line of the log; ``p_value`` None: the test could not decide."""
        return {
            "snapshot": self.snapshot,
            "candidate": self.candidate,
            "calibration": self.calibration,
            "protocol": self.protocol,
            "test_end": self.test_end,
            "series": list(self.series),
            "p_value": p_value,
        }


def earlier_attempts(records: Sequence[Record], attempt: Attempt) -> tuple[list[Record], bool]:
    """Find what was judged on the test period of ``attempt`` before it.

    A period counts as the same if it is the same truth, or if it shares series and ends no
    later: taking away an origin or an item, or another horizon, makes no new period. Newer data
    do. The same candidate, calibration, protocol and truth stand once in a log.

    Returns:
        the records of the period, oldest first, up to its own; and whether it has its own.
    """
    own = attempt.record(None)
    earlier = []
    for record in records:
        if all(record.get(key) == own[key] for key in _IDENTITY):
            return earlier, True
        if record.get("snapshot") == attempt.snapshot or _covers(record, attempt):
            earlier.append(record)
    return earlier, False


def p_values(records: Sequence[Record]) -> list[float | None]:
    """Return the p-value of each record of an attempt; None where the test could not decide."""
    found = (record.get("p_value") for record in records)
    return [float(p) if isinstance(p, int | float) else None for p in found]


def _covers(record: Record, attempt: Attempt) -> bool:
    series = record.get("series")
    shared = set(series if isinstance(series, list) else ()) & set(attempt.series)
    if not shared:
        return False
    ends = (datetime.fromisoformat(str(end)) for end in (record["test_end"], attempt.test_end))
    return next(ends) >= next(ends)


def _as_json(record: Record) -> str:
    return json.dumps(record, sort_keys=True, ensure_ascii=False)


def _hash_of(record: Record) -> str:
    return hashlib.sha256(_as_json(record).encode()).hexdigest()
