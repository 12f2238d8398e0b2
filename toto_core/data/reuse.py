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
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from toto_core.config import IngestParams
from toto_core.data.codes import Variates
from toto_core.data.inputs import Input, Stamp, digest_of, read_inputs, write_inputs
from toto_core.data.shards import REJECTED_FILE
from toto_core.data.sorting import Shard
from toto_core.data.spool import Base, Count, Spool
from toto_core.data.tables import shard_path
from toto_core.files import writing

_FACTS, _SERIES, _NOTES = "items.parquet", "series.parquet", "state.json"
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
    "inputs",
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
                    self._digests[location] = digest_of(location)
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
        self._inputs, self._counts = read_inputs(self._folder)
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
    write_inputs(folder, inputs, spool.counts)


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


def _facts_of(path: Path) -> tuple[int, int]:
    """What tells whether a shard was written to since: size and time of the last change."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns
