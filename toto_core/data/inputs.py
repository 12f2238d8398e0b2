"""The files of a run: what the file system says of them, and the table that remembers them."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import polars as pl

from toto_core.data.object_store import is_address
from toto_core.data.raw_files import RawFile, Schema
from toto_core.data.spool import Count
from toto_core.errors import DataError

_FILES: Final = "files.parquet"
_SCHEMAS: Final = "schemas.parquet"


@dataclass(frozen=True)
class Stamp:
    """What the file system says of a file; another stamp does not mean another content."""

    size: int
    modified_ns: int
    changed_ns: int


@dataclass(frozen=True)
class Input:
    """A file of the run.

    Attributes:
        stamp: when it was looked at; None in an object store.
        digest: of its bytes; empty where nothing is remembered.
        signature: what its rows depend on beside its bytes.
    """

    file: RawFile
    stamp: Stamp | None
    digest: str
    signature: str


def stamps(locations: Sequence[str]) -> dict[str, Stamp]:
    """The stamp of each file that is not in an object store."""
    return {location: _stamp(location) for location in locations if not is_address(location)}


def check_unchanged(inputs: Sequence[Input]) -> None:
    """Check that files are still as they were when they were looked at.

    Raises:
        DataError: one line for each file that is not.
    """
    faults = []
    for one in inputs:
        if one.stamp is None:
            continue
        try:
            size, same = _size_and_same(one)
        except FileNotFoundError:
            size, same = "no", False
        if not same:
            faults.append(
                f"{one.file.name}: {size} bytes now, {one.stamp.size} when it was looked at, it "
                "changed while it was read; run again when nothing writes to it"
            )
    if faults:
        raise DataError("\n".join(faults))


def _size_and_same(one: Input) -> tuple[int, bool]:
    now = _stamp(one.file.location)
    assert one.stamp is not None
    then = one.stamp
    return now.size, (now.size, now.modified_ns) == (then.size, then.modified_ns)


def digest_of(location: str) -> str:
    """The SHA-256 of the bytes of a file."""
    with Path(location).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _stamp(location: str) -> Stamp:
    found = os.stat(location)  # noqa: PTH116  # a path object costs as much again
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def write_inputs(folder: Path, inputs: Sequence[Input], counts: Mapping[str, Count]) -> None:
    """Write the table of files with the rows counted in each, by its name."""
    schemas: dict[tuple[tuple[str, object], ...], int] = {}
    # Most files share one object.
    number_of: dict[int, int] = {}
    rows = []
    for one in inputs:
        schema = number_of.get(id(one.file.schema))
        if schema is None:
            schema = schemas.setdefault(tuple(one.file.schema.items()), len(schemas))
            number_of[id(one.file.schema)] = schema
        count = counts.get(one.file.name)
        rows.append(
            {
                "location": one.file.location,
                "name": one.file.name,
                "item": one.file.item,
                "kind": one.file.kind,
                "separator": one.file.separator,
                "schema": schema,
                "size": one.stamp.size if one.stamp else None,
                "modified_ns": one.stamp.modified_ns if one.stamp else None,
                "changed_ns": one.stamp.changed_ns if one.stamp else None,
                "digest": one.digest,
                "num_rows": one.file.num_rows,
                "words": list(one.file.words),
                "decimal_comma": one.file.decimal_comma,
                "signature": one.signature,
                "rows": count.rows if count else None,
                "empty": count.empty if count else None,
            }
        )
    pl.DataFrame(
        rows, schema_overrides={"words": pl.List(pl.String)}, infer_schema_length=None
    ).write_parquet(folder / _FILES)
    pl.DataFrame(
        {"ipc": [_as_ipc(dict(s)) for s in schemas]}, schema={"ipc": pl.Binary()}
    ).write_parquet(folder / _SCHEMAS)


def read_inputs(folder: Path) -> tuple[dict[str, Input], dict[str, Count]]:
    """Read what ``write_inputs`` wrote: inputs by location, and counts by name."""
    schemas = [
        pl.read_ipc(BytesIO(blob)).schema for blob in pl.read_parquet(folder / _SCHEMAS)["ipc"]
    ]
    inputs, counts = {}, {}
    for row in pl.read_parquet(folder / _FILES).iter_rows(named=True):
        file = RawFile(
            row["location"],
            row["name"],
            row["item"],
            row["kind"],
            row["separator"],
            schemas[row["schema"]],
            row["num_rows"],
            tuple(row["words"]),
            row["decimal_comma"],
        )
        stamp = None
        if row["size"] is not None:
            stamp = Stamp(row["size"], row["modified_ns"], row["changed_ns"])
        inputs[file.location] = Input(file, stamp, row["digest"], row["signature"])
        if row["rows"] is not None:
            counts[file.name] = Count(row["rows"], row["empty"])
    return inputs, counts


def _as_ipc(schema: Schema) -> bytes:
    buffer = BytesIO()
    pl.DataFrame(schema=schema).write_ipc(buffer)
    return buffer.getvalue()
