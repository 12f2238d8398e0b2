"""The champions of this project in the order of the promotion log."""

import json
from collections.abc import Sequence
from pathlib import Path

from flows import releases
from toto_core.evaluation.json_numbers import number
from toto_core.evaluation.verdict import percent
from toto_core.registry.promotion import Line, promotion_of

HEAD = ("version", "became champion", "stage", "when", "by", "skill", "verdict", "in place of")
NOTHING = "-"


def history(root: Path, *, as_json: bool = False) -> str:
    """Return a table of the promotion log, the newest line last, and what its tags lack.

    Args:
        as_json: return the lines themselves, with the champion and the faults of the tags.

    Raises:
        RegistryError: naming the line of the log that is torn or was edited.
    """
    lines = releases.read_lines(root)
    faults = releases.tag_faults(root)
    champion = lines[-1]["version"] if lines else None
    if as_json:
        found = {"champion": champion, "lines": lines, "faults": faults}
        return json.dumps(found, indent=2, ensure_ascii=False)
    if not lines:
        text = "no champion yet: toto promote makes the first"
    else:
        rows = [HEAD, *(_row(line, lines) for line in lines)]
        text = f"{_aligned(rows)}\n\nchampion: {champion}"
    return "\n".join([text, *faults])


def _row(line: Line, lines: Sequence[Line]) -> tuple[str, ...]:
    origin = promotion_of(lines, str(line["version"])) or line
    tests, succession = origin.get("tests"), line.get("succession")
    against = tests.get("naive") if isinstance(tests, dict) else None
    verdict = str(origin.get("outcome", NOTHING))
    if isinstance(succession, dict):
        verdict += f", {succession['outcome']} against {succession['champion']}"
    return (
        str(line["version"]),
        str(line.get("kind", NOTHING)),
        str(line["stage"]),
        str(line["date"])[:16].replace("T", " "),
        str(line.get("who", NOTHING)),
        percent(number(against.get("skill"))) if isinstance(against, dict) else NOTHING,
        verdict,
        str(line.get("previous") or NOTHING),
    )


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
