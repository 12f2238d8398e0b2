"""Raw files, and their rows in batches.

A file is CSV (also .gz, .zst, .bz2), Parquet, Arrow IPC (file or stream) or JSON lines.
"""

import bz2
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl
from polars.exceptions import PolarsError

from toto_core.errors import DataError

# pl.Schema is a mapping of this type, but its annotation breaks the runtime type checks of tests.
Schema = Mapping[str, Any]
Kind = Literal["csv", "parquet", "ipc", "ipc_stream", "jsonl"]

HEAD_LINES: Final = 200
# One scan opens its files together, so their number is bounded.
_MAX_GROUP: Final = 256
PATH_COLUMN: Final = "\x00path"


@dataclass(frozen=True)
class RawFile:
    """A file whose beginning was looked at.

    Attributes:
        location: where it is opened: a path, or an address in an object store.
        name: relative to the project, or its last part if it lies outside.
        item: its name without folder and extensions.
        kind: how it is read.
        separator: of the columns of a CSV file, else empty.
        schema: names and types of its columns; a CSV file's are all text.
        num_rows: exact where its format counts them, else estimated from its size.
        words: columns of a CSV file whose first values are mostly no numbers.
        decimal_comma: whether a CSV file writes 1.234,5 for 1234.5.
    """

    location: str
    name: str
    item: str
    kind: Kind
    separator: str
    schema: Schema
    num_rows: int
    words: tuple[str, ...] = ()
    decimal_comma: bool = False

    @property
    def path(self) -> Path:
        """The path of a file that is not in an object store."""
        return Path(self.location)


def groups_of_like(files: Sequence[RawFile]) -> list[list[RawFile]]:
    """Runs of files that one scan can read: same kind, separator and columns."""

    def key(file: RawFile) -> tuple[object, ...]:
        alone = _is_packed(file) or file.kind == "ipc_stream"
        looks = (file.kind, file.separator, file.words, file.decimal_comma)
        # As a list, since the order of the columns counts.
        return *looks, schemas[id(file.schema)], file.location if alone else None

    schemas = {id(file.schema): file.schema for file in files}
    schemas = {place: list(schema.items()) for place, schema in schemas.items()}
    groups = []
    for _, run in groupby(files, key):
        alike = list(run)
        groups += [alike[i : i + _MAX_GROUP] for i in range(0, len(alike), _MAX_GROUP)]
    return groups


def read_batches(group: Sequence[RawFile], *, size: int, scratch: Path) -> Iterator[pl.DataFrame]:
    """Yield the rows of files of a group in order, about ``size`` at a time.

    ``PATH_COLUMN`` says which file a row is from. Memory holds a few batches, except for an
    Arrow IPC stream, which is read whole.

    Args:
        scratch: an existing folder for what must be unpacked first.

    Raises:
        DataError: if a file turns out to be broken further down.
    """
    try:
        batches = _scan(group, scratch).collect_batches(chunk_size=size, maintain_order=True)
        yield from _joined(batches, size)
    except (PolarsError, OSError, EOFError) as error:
        raise DataError(_broken(group, error)) from None
    finally:
        for file in group:
            if _is_packed(file):
                _unpacked(file.path, scratch).unlink(missing_ok=True)


def _joined(batches: Iterator[pl.DataFrame], size: int) -> Iterator[pl.DataFrame]:
    """Batches of about ``size`` rows: Polars does not join the rows of small files."""
    held: list[pl.DataFrame] = []
    num_rows = 0
    for batch in batches:
        if held and num_rows + batch.height > size:
            yield pl.concat(held)
            held, num_rows = [], 0
        held.append(batch)
        num_rows += batch.height
    if held:
        yield pl.concat(held)


def head_rows(group: Sequence[RawFile], *, scratch: Path) -> pl.DataFrame:
    """Return the first rows of a group of files.

    Raises:
        DataError: if they cannot be read.
    """
    try:
        return _scan(group[:1], scratch).head(HEAD_LINES).collect()
    except (PolarsError, OSError, EOFError) as error:
        raise DataError(_broken(group[:1], error)) from None


def _scan(group: Sequence[RawFile], scratch: Path) -> pl.LazyFrame:
    first = group[0]
    paths = [file.path for file in group]
    if first.kind == "parquet":
        locations = [file.location for file in group]
        return pl.scan_parquet(locations, glob=False, include_file_paths=PATH_COLUMN)
    if first.kind == "ipc":
        return pl.scan_ipc(paths, glob=False, include_file_paths=PATH_COLUMN)
    if first.kind == "jsonl":
        plain = [_unpacked(path, scratch) for path in paths]
        scan = pl.scan_ndjson(plain, schema=first.schema, include_file_paths=PATH_COLUMN)
        return _with_its_path(scan, first)
    if first.kind == "ipc_stream":
        table = pl.read_ipc_stream(first.path)
        return table.with_columns(pl.lit(str(first.path)).alias(PATH_COLUMN)).lazy()
    scan = pl.scan_csv(
        [_unpacked(path, scratch) for path in paths],
        separator=first.separator,
        infer_schema=False,
        glob=False,
        include_file_paths=PATH_COLUMN,
    )
    return _with_its_path(scan, first)


def _with_its_path(scan: pl.LazyFrame, file: RawFile) -> pl.LazyFrame:
    if not _is_packed(file):
        return scan
    return scan.with_columns(pl.lit(file.location).alias(PATH_COLUMN))


def _unpacked(path: Path, scratch: Path) -> Path:
    """The file itself, or for bzip2, which Polars does not know, an unpacked copy."""
    if path.suffix != ".bz2":
        return path
    copy = scratch / path.as_posix().replace("/", "_")
    if not copy.exists():
        with bz2.open(path) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    return copy


def _is_packed(file: RawFile) -> bool:
    """Whether Polars cannot unpack it."""
    return file.location.endswith(".bz2")


def _broken(group: Sequence[RawFile], error: Exception) -> str:
    names = group[0].name if len(group) == 1 else f"{group[0].name} .. {group[-1].name}"
    return f"{names}: {one_line(error)}; mend the file or export it again"


def one_line(error: Exception) -> str:
    """The first line of another library's message."""
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
