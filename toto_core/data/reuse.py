"""What an ingest remembers, so that the next one reads only the files that have changed.

The folder of the state holds hard links of the shards that were written (DVC removes the originals
before a stage runs), and tables of the files, items and series behind them. It is used if

- params, code and libraries are the same, and so is the number of shards,
- each item of a changed or removed file has all its rows in that file, and
- each item of a changed or new file is new or has its other rows in earlier files alone.

Otherwise everything is read again. Either way the series are the same, byte for byte.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from toto_core.config import IngestParams
from toto_core.data.codes import Variates
from toto_core.data.object_store import is_address
from toto_core.data.raw_files import RawFile, Schema
from toto_core.data.shards import REJECTED_FILE
from toto_core.data.sorting import Shard
from toto_core.data.spool import Base, Count, Spool
from toto_core.data.tables import shard_path
from toto_core.errors import DataError
from toto_core.files import writing

_FACTS, _SERIES, _FILES, _NOTES = "items.parquet", "series.parquet", "files.parquet", "state.json"
_SCHEMAS: Final = "schemas.parquet"
# The modules that decide what becomes of a file; another version of one reads all again.
CODE: Final = (
    "buckets",
    "codes",
    "csv_head",
    "file_heads",
    "finding",
    "frequency",
    "gluonts",
    "group_reader",
    "in_order",
    "layouts",
    "local_time",
    "numerals",
    "object_store",
    "raw_files",
    "reuse",
    "runs",
    "shards",
    "sorting",
    "sources",
    "spool",
    "stretches",
    "tables",
    "timestamps",
)
# These sections do not change how a file is read.
_WITHOUT_EFFECT: Final = {"paths", "demo", "prometheus", "sql"}


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


class Memory:
    """The state of the last run, as far as it may be used.

    Args:
        folder: of the state; None: nothing is remembered.
        params: the section ``ingest``.
        root: the project.
    """

    def __init__(self, folder: Path | None, params: IngestParams, root: Path) -> None:
        self._folder = folder
        self._key = _key(params, root)
        # An hour that a clock repeats is numbered over all files of an item.
        self._is_utc = params.timezone == "UTC"
        self._digests: dict[str, str] = {}
        self._notes: Mapping[str, object] = {}
        self._inputs: dict[str, Input] = {}
        self._counts: dict[str, Count] = {}
        try:
            self._load()
        except (OSError, ValueError, KeyError, pl.exceptions.PolarsError):
            # A state that is not there or torn is no state.
            self._notes, self._inputs = {}, {}

    def unchanged(self, now: Mapping[str, Stamp]) -> dict[str, Input]:
        """The files that the last run saw as they are now, by location."""
        found = {}
        for location, stamp in now.items():
            then = self._inputs.get(location)
            if then is None or then.stamp != stamp:
                if self._folder is not None:
                    self._digests[location] = _digest(location)
                if then is None or then.digest != self._digests.get(location):
                    continue
            found[location] = then if then.stamp == stamp else replace(then, stamp=stamp)
        return found

    def digest(self, location: str) -> str:
        """Of a file that ``unchanged`` had to read, or that it knew; else empty."""
        then = self._inputs.get(location)
        return self._digests.get(location) or (then.digest if then else "")

    def base(self, inputs: Sequence[Input], changed: set[str], num_buckets: int) -> Base | None:
        """What need not be read again if only ``changed`` are, or None if all must be."""
        names = [one.file.name for one in inputs]
        present = {one.file.location for one in inputs}
        stays = present - changed
        usable = self._notes.get("num_buckets") == num_buckets and len(set(names)) == len(names)
        if not usable or not stays:
            return None
        old = list(self._inputs)
        number = {one.file.location: i for i, one in enumerate(inputs)}
        gone = np.array([location not in stays for location in old])
        facts = pl.read_parquet(self._path(_FACTS))
        dropped = _items_of(facts, gone)
        if dropped is None:
            return None
        kept = facts.filter(~pl.col("item_id").is_in(dropped.implode()))
        new_number = pl.Series([number.get(location, -1) for location in old], dtype=pl.Int64)
        kept = kept.with_columns(
            first=new_number.gather(kept["first"]), last=new_number.gather(kept["last"])
        )
        left_out = {self._inputs[location].file.name for location in old if location not in stays}
        rejected = pl.read_parquet(self._path(REJECTED_FILE))
        return Base(
            shards=(shards := self._shards()),
            paths={bucket: self._path(f"bucket-{bucket}") for bucket in shards},
            facts=kept,
            dropped=dropped,
            variates=Variates(list(self._notes["variates"]), list(self._notes["roles"])),  # pyright: ignore
            counts={name: count for name, count in self._counts.items() if name not in left_out},
            rejected=rejected.filter(~pl.col("source").is_in(list(left_out))),
        )

    def fits(self, spool: Spool, base: Base) -> bool:
        """Whether the rows of the changed files may be added to those of the base."""
        new = spool.items.facts()
        both = new.join(base.facts, on="item_id", suffix="_base")
        return (
            both.select(
                (
                    (pl.col("first") > pl.col("last_base"))
                    & (pl.col("origin") == pl.col("origin_base"))
                    & pl.col("declared").eq_missing(pl.col("declared_base"))
                ).all()
            ).item()
            and spool.variates.is_consistent
        )

    def keep(
        self, spool: Spool, directory: Path, inputs: Sequence[Input], num_buckets: int
    ) -> None:
        """Remember what was written to ``directory``; nothing where links are not possible."""
        if self._folder is None:
            return
        try:
            with writing(self._folder) as folder:
                folder.mkdir()
                _write(folder, spool, directory, inputs)
                notes = {
                    "key": self._key,
                    "num_buckets": num_buckets,
                    "variates": spool.variates.names,
                    "roles": spool.variates.roles,
                    "shards": [
                        [s.bucket, s.first_us, s.last_us, *_facts_of(folder / f"bucket-{s.bucket}")]
                        for s in spool.shards
                    ],
                }
                (folder / _NOTES).write_text(json.dumps(notes), encoding="utf-8")
        except OSError:
            # Another file system or a full disk: the next run reads everything.
            return

    def _path(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / name

    def _load(self) -> None:
        if self._folder is None:
            return
        notes = json.loads(self._path(_NOTES).read_text(encoding="utf-8"))
        whole = all(
            _facts_of(self._path(f"bucket-{bucket}")) == tuple(facts)
            for bucket, _, _, *facts in notes["shards"]
        )
        if notes["key"] != self._key or not whole:
            return
        schemas = [
            pl.read_ipc(BytesIO(blob)).schema
            for blob in pl.read_parquet(self._path(_SCHEMAS))["ipc"]
        ]
        for row in pl.read_parquet(self._path(_FILES)).iter_rows(named=True):
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
            self._inputs[file.location] = Input(file, stamp, row["digest"], row["signature"])
            if row["rows"] is not None:
                self._counts[file.name] = Count(row["rows"], row["empty"])
        self._notes = notes

    def _shards(self) -> dict[int, Shard]:
        series = pl.read_parquet(self._path(_SERIES)).partition_by(
            "bucket", as_dict=True, include_key=False, maintain_order=True
        )
        return {
            bucket: Shard(bucket, series[(bucket,)], first_us, last_us)
            for bucket, first_us, last_us, *_ in self._notes["shards"]  # pyright: ignore
        }


def _write(folder: Path, spool: Spool, directory: Path, inputs: Sequence[Input]) -> None:
    for index, shard in enumerate(spool.shards):
        (folder / f"bucket-{shard.bucket}").hardlink_to(shard_path(directory, index))
    (folder / REJECTED_FILE).hardlink_to(directory / REJECTED_FILE)
    spool.facts.write_parquet(folder / _FACTS)
    pl.concat(
        [shard.series.with_columns(bucket=pl.lit(shard.bucket, pl.Int64)) for shard in spool.shards]
    ).write_parquet(folder / _SERIES)
    schemas: dict[tuple[tuple[str, object], ...], int] = {}
    # Most files share one object.
    number_of: dict[int, int] = {}
    rows = []
    for one in inputs:
        schema = number_of.get(id(one.file.schema))
        if schema is None:
            schema = schemas.setdefault(tuple(one.file.schema.items()), len(schemas))
            number_of[id(one.file.schema)] = schema
        count = spool.counts.get(one.file.name)
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


def _items_of(facts: pl.DataFrame, gone: np.ndarray) -> pl.Series | None:
    """Items whose rows are all in a file that is gone; None if one has rows in others too."""
    before = np.append(0, np.cumsum(gone))
    first, last = facts["first"].to_numpy(), facts["last"].to_numpy()
    touched = before[last + 1] > before[first]
    if (touched & (first != last)).any():
        return None
    return facts["item_id"].filter(pl.Series(touched))


def _key(params: IngestParams, root: Path) -> str:
    """What else the series depend on: params, code, libraries."""
    text = params.model_dump_json(exclude=_WITHOUT_EFFECT)
    digest = hashlib.sha256(f"{root.resolve()} {text} {pl.__version__} {np.__version__}".encode())
    for module in CODE:
        digest.update((Path(__file__).parent / f"{module}.py").read_bytes())
    return digest.hexdigest()


def _digest(location: str) -> str:
    with Path(location).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _stamp(location: str) -> Stamp:
    found = os.stat(location)  # noqa: PTH116  # a path object costs as much again
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _facts_of(path: Path) -> tuple[int, int]:
    """What tells whether a shard was written to since: size and time of the last change."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _as_ipc(schema: Schema) -> bytes:
    buffer = BytesIO()
    pl.DataFrame(schema=schema).write_ipc(buffer)
    return buffer.getvalue()
