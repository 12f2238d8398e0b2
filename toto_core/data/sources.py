"""Series from files and servers: every layout and format becomes rows of a spool, in batches."""

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Int64, UInt32

from toto_core.config import IngestParams
from toto_core.data import prometheus, sql
from toto_core.data.frequency import Frequency, parse_freq
from toto_core.data.gluonts import stamps, variates_of_lists
from toto_core.data.layouts import Columns, resolve
from toto_core.data.raw_files import (
    PATH_COLUMN,
    RawFile,
    find_files,
    groups_of_like,
    head,
    look_at,
    num_rows,
    read_batches,
)
from toto_core.data.shards import (
    MISSING_ITEM_ID,
    NOT_A_NUMBER,
    UNPARSABLE_TIMESTAMP,
    IngestReport,
)
from toto_core.data.spool import Spool
from toto_core.data.tables import KNOWN_COVARIATE, PAST_COVARIATE, TARGET
from toto_core.data.timestamps import TimestampReader, check_timezone, detect_format
from toto_core.errors import ConfigError, DataError

BATCH_ROWS: Final = 500_000
# Rows of the gluonts layout are whole series.
BATCH_SERIES: Final = 256
# Words that stand for no value.
_EMPTY_WORDS: Final = ("", "na", "n/a", "null", "none", "-")


def ingest_source(params: IngestParams, root: Path, directory: Path) -> IngestReport:
    """Read the source that ``params`` names and write it as a folder of series.

    Files are read in batches, so memory does not grow with their rows. An empty cell becomes no
    row; a value or a time stamp that cannot be parsed becomes a rejected row.

    Args:
        params: the section ``ingest``.
        root: the project, which paths are relative to.
        directory: of the series; exists and is empty.

    Raises:
        ConfigError: if a value of ``params`` cannot be used.
        DataError: if a file cannot be read or understood; one line for each fault.
    """
    freq = _check(params)
    scratch = directory / "scratch"
    scratch.mkdir()
    groups = _groups(params, root, scratch)
    expected = sum(
        num_rows(file) * len(columns.values) for group, columns in groups for file in group
    )
    spool = Spool(directory, scratch=scratch, num_rows=expected)
    for group, columns in groups:
        _Reader(spool, group, columns, params).read(scratch)
    report = spool.finish(freq=freq, group_pattern=params.group_pattern)
    shutil.rmtree(scratch)
    return report


def _groups(params: IngestParams, root: Path, scratch: Path) -> list[tuple[list[RawFile], Columns]]:
    """The files of the source in groups of like ones, and what their columns mean."""
    if params.source == "prometheus":
        assert params.prometheus is not None
        fetched = scratch / "fetched"
        fetched.mkdir()
        pages = groups_of_like(prometheus.fetch(params.prometheus, fetched))
        return [(group, _query_columns(group[0], params)) for group in pages]
    if params.source == "sql":
        assert params.sql is not None
        fetched = scratch / "fetched"
        fetched.mkdir()
        batches = groups_of_like(sql.fetch(params.sql, root, fetched))
        columns = _columns(batches[0], params, scratch, num_files=1)
        return [(group, columns) for group in batches]
    files = look_at(find_files(params.paths, root), root)
    return [
        (group, _columns(group, params, scratch, len(files))) for group in groups_of_like(files)
    ]


def _columns(
    group: Sequence[RawFile], params: IngestParams, scratch: Path, num_files: int
) -> Columns:
    sample = head(group, scratch=scratch)
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


def numbers(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return a column as Float32, null where it holds no number, and where it holds something else.

    Truth values are 1 and 0; blank text and the usual words for nothing are empty, not wrong.
    """
    values = column.cast(pl.Float32, strict=False)
    wrong = values.is_null() & column.is_not_null()
    if column.dtype == pl.String and wrong.any():
        rows = wrong.arg_true()
        text = column.gather(rows).str.strip_chars().str.to_lowercase()
        truth = text.replace_strict({"true": "1", "false": "0"}, default=text)
        values = values.scatter(rows, truth.cast(pl.Float32, strict=False))
        wrong = values.is_null() & column.is_not_null()
        wrong = wrong.scatter(rows.filter(text.is_in(_EMPTY_WORDS)), values=False)
    return values, wrong


@dataclass(frozen=True)
class _Rows:
    """Values of one variate, before they are judged.

    Attributes:
        variate: its name.
        role: its role.
        items: name of each row's item.
        codes: of the items in the spool.
        times: in UTC, null where they could not be parsed.
        found_times: as found.
        values: as found.
        runs: files and their numbers of rows, in order.
    """

    variate: str
    role: str
    items: pl.Series
    codes: UInt32[np.ndarray, " N"]
    times: pl.Series
    found_times: pl.Series
    values: pl.Series
    runs: Sequence[tuple[RawFile, int]]


class _Reader:
    """Reads one group of like files into a spool."""

    def __init__(
        self, spool: Spool, group: Sequence[RawFile], columns: Columns, params: IngestParams
    ) -> None:
        self._spool = spool
        self._group = group
        self._columns = columns
        self._params = params
        self._file_of_path = {file.location: file for file in group}
        self._times: TimestampReader | None = None
        self._origin = f"the layout {columns.layout}"
        if columns.layout == "per_file":
            self._origin += f" and the columns {sorted(columns.values)}"

    def read(self, scratch: Path) -> None:
        """Read all batches."""
        whole_series = self._columns.layout == "gluonts"
        size = BATCH_SERIES if whole_series else BATCH_ROWS
        for batch in read_batches(self._group, size=size, scratch=scratch):
            rows = self._with_item(self._without_blank_lines(batch))
            if rows.is_empty():
                continue
            if whole_series:
                self._series(rows)
            elif self._columns.layout == "wide":
                self._wide(rows)
            else:
                self._long(rows)

    def _long(self, batch: pl.DataFrame) -> None:
        runs = self._runs(batch)
        if self._columns.item:
            items = batch[self._columns.item].cast(pl.String)
        else:
            items = _repeated(runs, lambda file: file.item)
        codes = self._encode(items, runs)
        found = batch[self._columns.timestamp]
        times = self._read_times(found, items)
        for name, role in self._columns.values.items():
            self._add(_Rows(name, role, items, codes, times, found, batch[name], runs))

    def _wide(self, batch: pl.DataFrame) -> None:
        runs = self._runs(batch)
        found = batch[self._columns.timestamp]
        times = self._read_times(found, None)
        for name in self._columns.values:
            items = pl.repeat(name, batch.height, eager=True)
            codes = self._encode(items, runs)
            self._add(_Rows(TARGET, TARGET, items, codes, times, found, batch[name], runs))

    def _series(self, batch: pl.DataFrame) -> None:
        runs = self._runs(batch)
        items = batch[self._columns.item].cast(pl.String)
        codes = self._encode(items, runs)
        found = batch[self._columns.timestamp]
        starts = self._read_times(found, items)
        freqs = self._declared_freqs(batch, codes)
        for column, role in self._columns.values.items():
            for part in variates_of_lists(batch[column]):
                rows = pl.Series(part.rows)
                times = _series_times(starts.gather(rows), part.positions, freqs.gather(rows))
                lengths = np.add.reduceat(
                    np.bincount(part.rows, minlength=batch.height),
                    np.cumsum([0] + [length for _, length in runs[:-1]]),
                )
                self._add(
                    _Rows(
                        part.name,
                        role,
                        items.gather(rows),
                        codes[part.rows],
                        times,
                        found.gather(rows),
                        _without_nan(part.values),
                        [(file, int(n)) for (file, _), n in zip(runs, lengths, strict=True)],
                    )
                )

    def _add(self, rows: _Rows) -> None:
        values, wrong = numbers(rows.values)
        no_time, no_value = rows.times.is_null(), values.is_null()
        self._spool.num_empty += len((no_value & ~wrong & ~no_time).arg_true())
        good = ~no_time & ~no_value
        variate = self._spool.variates.encode(rows.variate, rows.role)
        codes, times = rows.codes, rows.times.to_physical()
        if not good.all():
            codes, times, values = codes[good.to_numpy()], times.filter(good), values.filter(good)
        self._spool.add(codes, variate, times.to_numpy(), values.to_numpy())
        end = 0
        for file, length in rows.runs:
            self._spool.count(file.name, len(good[end : end + length].arg_true()))
            end += length
        if no_time.any() or wrong.any():
            self._reject(rows, no_time, wrong)

    def _reject(self, rows: _Rows, no_time: pl.Series, wrong: pl.Series) -> None:
        table = pl.DataFrame(
            {
                "item_id": rows.items,
                "variate": pl.repeat(rows.variate, len(rows.items), eager=True),
                "timestamp": rows.found_times.cast(pl.String),
                "value": rows.values.cast(pl.String),
                "rule": pl.select(
                    pl.when(no_time)
                    .then(pl.lit(UNPARSABLE_TIMESTAMP))
                    .otherwise(pl.lit(NOT_A_NUMBER))
                ).to_series(),
                "source": _repeated(rows.runs, lambda file: file.name),
            }
        )
        self._spool.reject(table.filter(no_time | wrong))

    def _without_blank_lines(self, batch: pl.DataFrame) -> pl.DataFrame:
        if batch[self._columns.timestamp].null_count() == 0:
            return batch
        return batch.filter(~pl.all_horizontal(pl.exclude(PATH_COLUMN).is_null()))

    def _with_item(self, batch: pl.DataFrame) -> pl.DataFrame:
        """The rows that name their item; the others are rejected."""
        name = self._columns.item
        if not name or batch[name].null_count() == 0:
            return batch
        nameless = batch.filter(pl.col(name).is_null())
        source = _repeated(self._runs(nameless), lambda file: file.name)
        for column in self._columns.values:
            self._spool.reject(
                nameless.select(
                    item_id=pl.lit(None, pl.String),
                    variate=pl.lit(column),
                    timestamp=pl.col(self._columns.timestamp).cast(pl.String),
                    value=pl.format("{}", pl.col(column)),
                    rule=pl.lit(MISSING_ITEM_ID),
                    source=source,
                )
            )
        return batch.filter(pl.col(name).is_not_null())

    def _runs(self, batch: pl.DataFrame) -> list[tuple[RawFile, int]]:
        runs = batch[PATH_COLUMN].rle().struct.unnest()
        return [(self._file_of_path[path], length) for length, path in runs.iter_rows()]

    def _encode(
        self, items: pl.Series, runs: Sequence[tuple[RawFile, int]]
    ) -> UInt32[np.ndarray, " N"]:
        codes = self._spool.items.encode(items)
        sources = runs[0][0].name if len(runs) == 1 else _repeated(runs, lambda file: file.name)
        self._spool.items.note(codes, sources, origin=self._origin)
        return codes.to_numpy()

    def _read_times(self, found: pl.Series, items: pl.Series | None) -> pl.Series:
        if self._times is None:
            where = f"{self._group[0].name}: {self._columns.timestamp}"
            self._times = TimestampReader(detect_format(found, where=where), self._params.timezone)
        return self._times.read(found, items)

    def _declared_freqs(self, batch: pl.DataFrame, codes: UInt32[np.ndarray, " N"]) -> pl.Series:
        """Canonical frequency of each row."""
        if self._params.freq is not None:
            return pl.repeat(parse_freq(self._params.freq).canonical, batch.height, eager=True)
        texts = batch[self._columns.freq].cast(pl.String)
        canonical = {}
        for text in texts.unique(maintain_order=True):
            try:
                canonical[text] = parse_freq(text or "").canonical
            except ValueError as error:
                raise DataError(f"{self._group[0].name}: {error}") from None
        freqs = texts.replace_strict(canonical, return_dtype=pl.String)
        self._spool.items.freqs.update(zip(codes.tolist(), freqs, strict=True))
        return freqs


def _repeated(runs: Sequence[tuple[RawFile, int]], name_of: Callable[[RawFile], str]) -> pl.Series:
    """A name for each row of runs of files."""
    return pl.concat([pl.repeat(name_of(file), length, eager=True) for file, length in runs])


def _series_times(
    starts: pl.Series, positions: Int64[np.ndarray, " N"], freqs: pl.Series
) -> pl.Series:
    """Time stamps of the elements of lists, null where the start is."""
    starts_us = starts.to_physical().fill_null(0).to_numpy()
    times = np.zeros(len(starts_us), np.int64)
    for freq in freqs.unique(maintain_order=True):
        chosen = (freqs == freq).to_numpy()
        times[chosen] = stamps(starts_us[chosen], positions[chosen], parse_freq(freq))
    return pl.Series(times).cast(starts.dtype).set(starts.is_null(), None)


def _without_nan(values: pl.Series) -> pl.Series:
    """NaN is how a list says that a value is missing."""
    if values.dtype.is_float():
        return values.fill_nan(None)
    if values.dtype == pl.String:
        return values.set(values.str.to_lowercase() == "nan", None)
    return values
