"""Looking at the beginning of raw files: what they are, which columns they have and of what type.

Whatever is wrong with a file is found here, before anything is written, as far as its beginning
shows it.
"""

import bz2
import gzip
from collections.abc import Mapping, Sequence
from io import BufferedIOBase
from itertools import islice
from pathlib import Path
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from toto_core.data import csv_head, object_store
from toto_core.data.finding import COMPRESSIONS, EXTENSIONS, extension_of, kinds
from toto_core.data.raw_files import HEAD_LINES, Kind, RawFile, Schema, one_line
from toto_core.errors import DataError

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
_HEAD_OBJECTS: Final = 1000


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


def _look_at_one(location: str, root: Path) -> RawFile:
    path = Path(location)
    if object_store.is_address(location):
        schema, rows = _typed_schema(location, location, "parquet")
        return RawFile(location, location, path.stem, "parquet", "", schema, rows)
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    extension = extension_of(path.name)
    kind = EXTENSIONS.get(extension)
    if kind is None:
        raise DataError(f"{name}: extension = {path.suffix!r}, {kinds()} are read; rename it")
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
    packed = 8 if path.suffix in COMPRESSIONS else 1
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
        raise DataError(f"{name}: not {kind}: {one_line(error)}; export it again") from None
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
        raise DataError(f"{name}: cannot be unpacked: {one_line(error)}; copy it again") from None
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
        lines = pl.scan_lines(path, glob=False).head(HEAD_LINES).collect()["line"]
    except PolarsError as error:
        raise DataError(f"{name}: cannot be unpacked: {one_line(error)}; copy it again") from None
    return _not_blank(lines.to_list(), name)


def _not_blank(lines: Sequence[str], name: str) -> list[str]:
    kept = [line for line in lines if line.strip()][:HEAD_LINES]
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
