"""Series from files and servers become a folder of series; unchanged files are not read again."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from toto_core.config import IngestParams
from toto_core.data import prometheus, reuse, sql
from toto_core.data.file_heads import look_at
from toto_core.data.finding import find_files
from toto_core.data.frequency import Frequency, parse_freq
from toto_core.data.group_reader import GroupReader
from toto_core.data.inputs import Input, check_unchanged, stamps
from toto_core.data.layouts import Columns, resolve
from toto_core.data.numerals import numbers, with_points
from toto_core.data.raw_files import (
    PATH_COLUMN,
    RawFile,
    groups_of_like,
    head_rows,
    read_batches,
)
from toto_core.data.shards import IngestReport
from toto_core.data.spool import Base, Spool, num_buckets_for
from toto_core.data.tables import KNOWN_COVARIATE, PAST_COVARIATE, TARGET
from toto_core.data.timestamps import check_timezone, detect_format
from toto_core.errors import ConfigError, DataError

SCRATCH: Final = "scratch"
_FORMAT_ROWS: Final = 500_000


@dataclass(frozen=True)
class _Group:
    """Files that are read together, and how.

    Attributes:
        format: of their time stamps; see ``TimestampReader``.
        numeric: value columns that hold numbers in the first rows.
        words: columns whose first values are mostly no numbers, with one of them.
    """

    files: Sequence[RawFile]
    columns: Columns
    format: str | None
    numeric: frozenset[str]
    words: Mapping[str, str]

    @property
    def signature(self) -> str:
        """What the rows of a file of this group depend on beside its bytes."""
        columns = {**vars(self.columns), "values": list(self.columns.values.items())}
        return repr((columns, self.format, self.files[0].kind, self.files[0].separator))


def ingest_source(
    params: IngestParams, root: Path, directory: Path, *, state: Path | None = None
) -> IngestReport:
    """Read the source that ``params`` names and write it as a folder of series.

    Files are read in batches, so memory does not grow with their rows. An empty cell becomes no
    row; a value or a time stamp that cannot be parsed becomes a rejected row.

    Args:
        params: the section ``ingest``.
        root: the project, which paths are relative to.
        directory: of the series; exists and is empty.
        state: a folder on the same file system that remembers what was read, so that the next
            run reads only files that have changed; the result is the same, byte for byte.

    Raises:
        ConfigError: if a value of ``params`` cannot be used.
        DataError: if a source cannot be read or understood; one line for each fault.
    """
    freq = _check(params)
    scratch = directory / SCRATCH
    scratch.mkdir()
    if params.source == "files":
        report = _ingest_files(params, root, directory, freq, reuse.Memory(state, params, root))
    else:
        groups = _fetched(params, root, scratch)
        files = [file for group in groups for file in group.files]
        rows = sum(f.num_rows * len(group.columns.values) for group in groups for f in group.files)
        spool = _read(params, directory, groups, files, num_buckets_for(rows))
        report = spool.finish(freq=freq, group_pattern=params.group_pattern)
    shutil.rmtree(scratch)
    return report


def _ingest_files(
    params: IngestParams,
    root: Path,
    directory: Path,
    freq: Frequency | None,
    memory: reuse.Memory,
) -> IngestReport:
    locations = find_files(params.paths, root)
    now = stamps(locations)
    seen = memory.unchanged(now)
    files = look_at(locations, root, known={key: one.file for key, one in seen.items()})
    groups = [
        _group(like, _columns(like, params, directory, len(files)), directory)
        for like in groups_of_like(files)
    ]
    _check_words(groups)
    inputs, changed = [], set()
    expected = 0
    for group in groups:
        signature = group.signature
        for file in group.files:
            known = seen.get(file.location)
            inputs.append(
                Input(
                    file=file,
                    stamp=now.get(file.location),
                    digest=memory.digest(file.location),
                    signature=signature,
                )
            )
            expected += file.num_rows * len(group.columns.values)
            if known is None or known.signature != signature:
                changed.add(file.location)
    num_buckets = num_buckets_for(expected)
    base = memory.base(inputs, changed, num_buckets)
    spool = _read(params, directory, groups, files, num_buckets, changed, base)
    if base is not None and not memory.fits(spool, base):
        changed = set(locations)
        spool = _read(params, directory, groups, files, num_buckets)
    check_unchanged([one for one in inputs if one.file.location in changed or base is None])
    report = spool.finish(freq=freq, group_pattern=params.group_pattern)
    memory.keep(spool, directory, inputs, num_buckets)
    return report


def _check_words(groups: Sequence[_Group]) -> None:
    """Refuse a column that holds numbers in one file and words in another."""
    numeric: dict[str, str] = {}
    for group in groups:
        for name in group.numeric:
            numeric.setdefault(name, group.files[0].name)
    faults = [
        f"{group.files[0].name}: {name} = {word!r}, a number as in {numeric[name]} is needed; mend "
        "the file or rename its column"
        for group in groups
        for name, word in group.words.items()
        if name in numeric
    ]
    if faults:
        raise DataError("\n".join(faults))


def _read(
    params: IngestParams,
    directory: Path,
    groups: Sequence[_Group],
    files: Sequence[RawFile],
    num_buckets: int,
    changed: set[str] | None = None,
    base: Base | None = None,
) -> Spool:
    """Read files into a spool: all, or on top of a base the changed ones."""
    scratch = directory / SCRATCH
    for left in scratch.iterdir():
        if left.is_file():
            left.unlink()
    names = [file.name for file in files]
    numbers = {file.location: number for number, file in enumerate(files)}
    spool = Spool(directory, scratch=scratch, files=names, num_buckets=num_buckets, base=base)
    for group in groups:
        chosen = [f for f in group.files if base is None or f.location in (changed or ())]
        if chosen:
            reader = GroupReader(
                spool, chosen, group.columns, group.format, params, numbers=numbers
            )
            reader.read(scratch)
    return spool


def _group(files: Sequence[RawFile], columns: Columns, directory: Path) -> _Group:
    """Find the format of the time stamps: from the first rows if they show it, else from many."""
    scratch = directory / SCRATCH

    def more() -> pl.Series:
        rows = next(read_batches(files, size=_FORMAT_ROWS, scratch=scratch))
        return rows[columns.timestamp]

    sample = head_rows(files, scratch=scratch)
    words = _words(sample, files[0])
    numeric = frozenset(
        name
        for name in columns.values
        if name not in words and sample[name].null_count() < sample.height
    )
    where = f"{files[0].name}: {columns.timestamp}"
    format = detect_format(sample[columns.timestamp], where=where, more=more)
    return _Group(files, columns, format, numeric, words)


def _words(sample: pl.DataFrame, file: RawFile) -> dict[str, str]:
    """Columns of words among the first rows of a file, each with one of them."""
    found = {}
    for name in sample.columns:
        if sample.schema[name] != pl.String or name == PATH_COLUMN:
            continue
        _, wrong = numbers(sample[name], decimal_comma=file.decimal_comma)
        is_words = 2 * wrong.sum() > sample.height - sample[name].null_count()
        if wrong.any() and (name in file.words if file.kind == "csv" else is_words):
            found[name] = sample[name].filter(wrong)[0]
    return found


def _fetched(params: IngestParams, root: Path, scratch: Path) -> list[_Group]:
    """What a server answered, in groups of like files."""
    folder = scratch / "fetched"
    folder.mkdir()
    if params.source == "prometheus":
        assert params.prometheus is not None
        pages = groups_of_like(prometheus.fetch(params.prometheus, folder))
        return [_group(like, _query_columns(like[0], params), scratch.parent) for like in pages]
    assert params.sql is not None
    batches = groups_of_like(sql.fetch(params.sql, root, folder))
    columns = _columns(batches[0], params, scratch.parent, num_files=1)
    return [_group(like, columns, scratch.parent) for like in batches]


def _columns(
    group: Sequence[RawFile], params: IngestParams, directory: Path, num_files: int
) -> Columns:
    sample = head_rows(group, scratch=directory / SCRATCH)
    if group[0].decimal_comma:
        numerals = [name for name in sample.columns if name not in (PATH_COLUMN, *group[0].words)]
        sample = sample.with_columns(with_points(sample[name]) for name in numerals)
    return resolve(sample, params, where=group[0].name, num_files=num_files)


def _query_columns(page: RawFile, params: IngestParams) -> Columns:
    [variate] = [name for name in page.schema if name not in (prometheus.ITEM, prometheus.TIME)]
    role = TARGET
    if variate in params.past_covariates:
        role = PAST_COVARIATE
    if variate in params.known_covariates:
        role = KNOWN_COVARIATE
    return Columns("long", prometheus.ITEM, prometheus.TIME, {variate: role})


def _check(params: IngestParams) -> Frequency | None:
    check_timezone(params.timezone)
    check_group_pattern(params.group_pattern)
    if params.freq is None:
        return None
    try:
        return parse_freq(params.freq)
    except ValueError as error:
        raise ConfigError(f"params.yaml: ingest.{error}") from None


def check_group_pattern(pattern: str | None) -> None:
    """Check the regular expression that names groups.

    Raises:
        ConfigError: if it is none or has no group of its own.
    """
    if pattern is None:
        return
    try:
        num_groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(
            f"params.yaml: ingest.group_pattern = {pattern!r}, {error}; mend the expression"
        ) from None
    if num_groups == 0:
        raise ConfigError(
            f"params.yaml: ingest.group_pattern = {pattern!r}, a group in parentheses is needed; "
            "write for example ^([a-z]+)-"
        )
