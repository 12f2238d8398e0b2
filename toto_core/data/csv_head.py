"""What the first lines of a CSV file tell: separator, columns, decimal mark, columns of words."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from toto_core.data.numerals import EMPTY_WORDS, TRUTHS
from toto_core.errors import DataError

_SEPARATORS: Final = ",;\t|"
_JUDGED_ROWS: Final = 50
_COMMA: Final = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+([eE][+-]?\d+)?")
_POINT: Final = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
_THOUSANDS: Final = re.compile(r"[+-]?\d{1,3}(\.\d{3})+")


@dataclass(frozen=True)
class Head:
    """How a file is read.

    Attributes:
        columns: names in the first line.
        words: columns whose first values are mostly no numbers.
        decimal_comma: whether 1.234,5 means 1234.5.
    """

    separator: str
    columns: Sequence[str]
    words: tuple[str, ...]
    decimal_comma: bool


def look_at(lines: Sequence[str], name: str) -> Head:
    """Read the first lines of a file.

    Args:
        lines: not blank, at least one.
        name: of the file, for messages.

    Raises:
        DataError: if they are no table with a header and one separator and decimal mark.
    """
    separator = max(_SEPARATORS, key=lambda mark: len(_fields(lines[0], mark)))
    columns = _fields(lines[0], separator)
    if len(columns) < 2:
        raise DataError(
            f"{name}: columns = {columns}, at least a time stamp and a value are needed, "
            "separated by a comma, semicolon, tab or bar; mend the header"
        )
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise DataError(f"{name}: columns {twice} appear twice, a name once; rename one of each")
    if len(lines) < 2:
        raise DataError(f"{name}: a header and 0 rows, at least one row is needed; fill the file")
    reader = csv.reader(lines, delimiter=separator)
    rows = []
    for fields in reader:
        _check_fields(name, fields, lines[reader.line_num - 1], reader.line_num, separator, columns)
        rows.append(fields)
    judged = list(zip(*rows[1 : _JUDGED_ROWS + 1], strict=True))
    comma = separator != "," and _writes_commas(name, judged)
    words = [
        column for column, values in zip(columns, judged, strict=True) if _is_words(values, comma)
    ]
    return Head(separator, columns, tuple(words), comma)


def _check_fields(
    name: str, fields: list[str], line: str, number: int, separator: str, columns: list[str]
) -> None:
    if len(fields) == len(columns):
        return
    for other in _SEPARATORS:
        if other != separator and len(_fields(line, other)) == len(columns):
            raise DataError(
                f"{name}: separator = {other!r} in line {number} but {separator!r} in line 1, "
                "one is needed in the whole file; export it again"
            )
    raise DataError(
        f"{name}: {len(fields)} fields in line {number}, {len(columns)} as in the header are "
        "needed; quote text that holds the separator"
    )


def _fields(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _writes_commas(name: str, columns: Sequence[Sequence[str]]) -> bool:
    values = [value.strip() for column in columns for value in column]
    comma = next((value for value in values if _COMMA.fullmatch(value)), None)
    if comma is None:
        return False
    points = (v for v in values if _POINT.fullmatch(v) and not _THOUSANDS.fullmatch(v))
    point = next(points, None)
    if point is not None:
        raise DataError(
            f"{name}: decimal marks = both {comma!r} and {point!r}, one is needed in the whole "
            "file; export it again"
        )
    return True


def _is_words(values: Sequence[str], decimal_comma: bool) -> bool:
    """Whether more values are words than numbers."""
    balance = 0
    for value in values:
        try:
            float(value)
            balance += 1
        except ValueError:
            text = value.strip().lower()
            if text in TRUTHS or (decimal_comma and _COMMA.fullmatch(text)):
                balance += 1
            elif text not in EMPTY_WORDS:
                balance -= 1
    return balance < 0
