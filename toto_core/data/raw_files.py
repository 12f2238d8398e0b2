"""Raw files: finding them, telling what they are, and reading them in batches.

A file is CSV (also .gz, .zst, .bz2), Parquet, Arrow IPC (file or stream) or JSON lines. Whatever
is wrong with one is found here, before anything is written, as far as its beginning shows it.
"""

import bz2
import glob
import gzip
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl
from polars.exceptions import PolarsError

from toto_core.data import csv_head, object_store
from toto_core.errors import DataError

# pl.Schema is a mapping of this type, but its annotation breaks the runtime type checks of tests.
Schema = Mapping[str, Any]
Kind = Literal["csv", "parquet", "ipc", "ipc_stream", "jsonl"]

_EXTENSIONS: Final[dict[str, Kind]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "ipc",
    ".feather": "ipc",
    ".ipc": "ipc",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_COMPRESSIONS: Final = (".gz", ".zst", ".bz2")
# A folder may hold notes and licences beside its data.
_NOT_IN_FOLDERS: Final = frozenset({".txt", ".json"})
_MAGIC: Final = {
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip or Excel",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_NOT_READ: Final = ("zip or Excel", "UTF-16")
_HEAD_BYTES: Final = 1 << 16
_HEAD_LINES: Final = 200
_HEAD_OBJECTS: Final = 1000
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


def find_files(patterns: Sequence[str], root: Path) -> list[str]:
    """Return where the data files lie that files, folders and globs name, each once, in order.

    Args:
        patterns: absolute or relative to ``root``, or in an object store; ``**`` crosses folders,
            a folder means all data files below it.

    Returns:
        local paths ordered by their parts, then addresses in object stores.

    Raises:
        DataError: one line for each pattern without a data file.
    """
    found: set[Path] = set()
    addresses: set[str] = set()
    faults = []
    for pattern in patterns:
        path = root / pattern
        if object_store.is_address(pattern):
            try:
                addresses.update(object_store.find(pattern))
            except DataError as error:
                faults.append(str(error))
            continue
        if path.is_dir():
            matches = [file for file in path.rglob("*") if _belongs(file, path)]
            fault = f"0 data files in the folder, {_kinds()} are read"
        elif path.is_file():
            matches, fault = [path], ""
        elif glob.has_magic(pattern):
            # Path.glob takes no absolute pattern.
            names = glob.glob(str(path), recursive=True)  # noqa: PTH207
            matches = [Path(name) for name in names if Path(name).is_file()]
            fault = "0 files match, at least one is needed"
        else:
            matches, fault = [], "not found, a file, folder or glob is needed"
        found.update(matches)
        if not matches:
            faults.append(f"ingest.paths: {pattern} = {fault}; mend the path in params.yaml")
    if faults:
        raise DataError("\n".join(faults))
    return [*map(str, sorted(found)), *sorted(addresses)]


def look_at(locations: Sequence[str], root: Path, *, known: Mapping[str, RawFile]) -> list[RawFile]:
    """Look at the beginning of each file.

    Args:
        locations: as ``find_files`` returns them.
        root: the project.
        known: files that were looked at before, by location.

    Raises:
        DataError: one line for each file that is empty, unreadable or not what its name says.
    """
    files, faults = [], []
    for location in locations:
        try:
            files.append(known.get(location) or _look_at_one(location, root))
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError("\n".join(faults))
    return files


def groups_of_like(files: Sequence[RawFile]) -> list[list[RawFile]]:
    """Runs of files that one scan can read: same kind, separator and columns."""

    def key(file: RawFile) -> tuple[object, ...]:
        alone = file.path if file.path.suffix == ".bz2" or file.kind == "ipc_stream" else None
        looks = (file.kind, file.separator, file.words, file.decimal_comma)
        return *looks, tuple(file.schema.items()), alone

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
            if file.path.suffix == ".bz2":
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
        return _scan(group[:1], scratch).head(_HEAD_LINES).collect()
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
    if file.path.suffix != ".bz2":
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


def _look_at_one(location: str, root: Path) -> RawFile:
    path = Path(location)
    if object_store.is_address(location):
        schema, rows = _typed_schema(location, location, "parquet")
        return RawFile(location, location, path.stem, "parquet", "", schema, rows)
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    extensions = [part.lower() for part in path.suffixes]
    extension = next((part for part in reversed(extensions) if part not in _COMPRESSIONS), "")
    kind = _EXTENSIONS.get(extension)
    if kind is None:
        raise DataError(f"{name}: extension = {path.suffix!r}, {_kinds()} are read; rename it")
    if path.stat().st_size == 0:
        raise DataError(f"{name}: 0 bytes, rows are needed; remove the file or fill it")
    item = path.name[: path.name.lower().rindex(extension)]
    if kind == "csv":
        head = csv_head.look_at(_head_lines(path, name), name)
        schema = pl.Schema(dict.fromkeys(head.columns, pl.String()))
        rows = _estimated_rows(path, len(schema))
        return RawFile(
            location, name, item, kind, head.separator, schema, rows, head.words, head.decimal_comma
        )
    if kind == "ipc" and not _starts_with(path, b"ARROW1"):
        kind = "ipc_stream"
    schema, rows = _typed_schema(location, name, kind)
    if kind not in ("parquet", "ipc"):
        rows = _estimated_rows(path, len(schema))
    return RawFile(location, name, item, kind, "", schema, rows)


def _estimated_rows(path: Path, num_columns: int) -> int:
    packed = 8 if path.suffix in _COMPRESSIONS else 1
    return path.stat().st_size * packed // (12 * num_columns)


def _typed_schema(path: str, name: str, kind: Kind) -> tuple[Schema, int]:
    """Columns and number of rows; of JSON lines whether there is one."""
    try:
        if kind == "parquet":
            scan = pl.scan_parquet(path, glob=False)
        elif kind == "ipc":
            scan = pl.scan_ipc(path, glob=False)
        elif kind == "ipc_stream":
            scan = pl.read_ipc_stream(path).lazy()
        elif path.endswith(".bz2"):
            with bz2.open(path) as lines:
                first = b"".join(islice(lines, _HEAD_OBJECTS))
            scan = pl.read_ndjson(first, infer_schema_length=None).lazy()
        else:
            scan = pl.scan_ndjson(path, infer_schema_length=_HEAD_OBJECTS)
        schema = scan.collect_schema()
        if kind == "jsonl":
            scan = scan.head(1)
        rows = int(scan.select(pl.len()).collect().item())
    except (PolarsError, OSError, EOFError) as error:
        raise DataError(f"{name}: not {kind}: {_one_line(error)}; export it again") from None
    if rows == 0:
        raise DataError(f"{name}: 0 rows, at least one is needed; remove the file or fill it")
    return schema, rows


def _head_lines(path: Path, name: str) -> list[str]:
    """The first lines that are not blank and stand whole in the file's beginning."""
    if path.suffix == ".zst":
        return _zstd_head_lines(path, name)
    try:
        with _open(path) as handle:
            head = handle.read(_HEAD_BYTES)
    except (OSError, EOFError) as error:
        raise DataError(f"{name}: cannot be unpacked: {_one_line(error)}; copy it again") from None
    for magic, found in _MAGIC.items():
        if head.startswith(magic):
            if found in _NOT_READ:
                advice = "save it as CSV in UTF-8"
            else:
                advice = "name the file as what it is"
            raise DataError(f"{name}: {found} data, text is needed; {advice}")
    if b"\x00" in head:
        raise DataError(f"{name}: binary data, text is needed; export it as CSV")
    if len(head) == _HEAD_BYTES:
        head = head[: head.rindex(b"\n") + 1] if b"\n" in head else head
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: byte {head[error.start]:#x} at {error.start} is not UTF-8, UTF-8 text is "
            "needed; save the file as UTF-8"
        ) from None
    return _not_blank(text.splitlines(), name)


def _zstd_head_lines(path: Path, name: str) -> list[str]:
    try:
        lines = pl.scan_lines(path, glob=False).head(_HEAD_LINES).collect()["line"]
    except PolarsError as error:
        raise DataError(f"{name}: cannot be unpacked: {_one_line(error)}; copy it again") from None
    return _not_blank(lines.to_list(), name)


def _not_blank(lines: Sequence[str], name: str) -> list[str]:
    kept = [line for line in lines if line.strip()][:_HEAD_LINES]
    if not kept:
        raise DataError(f"{name}: 0 rows, a header and rows are needed; remove or fill the file")
    return kept


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as handle:
        return handle.read(len(magic)) == magic


def _open(path: Path) -> BufferedIOBase:
    if path.suffix == ".gz":
        return gzip.open(path)
    if path.suffix == ".bz2":
        return bz2.open(path)
    return path.open("rb")


def _belongs(file: Path, folder: Path) -> bool:
    """Whether a folder's file is data: not hidden, not a note."""
    extensions = [part.lower() for part in file.suffixes if part.lower() not in _COMPRESSIONS]
    hidden = any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    extension = extensions[-1] if extensions else ""
    return (
        file.is_file()
        and not hidden
        and extension in _EXTENSIONS
        and extension not in _NOT_IN_FOLDERS
    )


def _kinds() -> str:
    return ", ".join(sorted(_EXTENSIONS))


def _broken(group: Sequence[RawFile], error: Exception) -> str:
    names = group[0].name if len(group) == 1 else f"{group[0].name} .. {group[-1].name}"
    return f"{names}: {_one_line(error)}; mend the file or export it again"


def _one_line(error: Exception) -> str:
    """The first line of another library's message."""
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
