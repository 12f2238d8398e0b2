"""The rows of one group of like files, batch by batch, into a spool."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Int64, UInt32

from toto_core.config import IngestParams
from toto_core.data.codes import Origin
from toto_core.data.frequency import parse_freq
from toto_core.data.gluonts import stamps, variates_of_lists
from toto_core.data.layouts import Columns
from toto_core.data.numerals import numbers
from toto_core.data.raw_files import PATH_COLUMN, RawFile, read_batches
from toto_core.data.runs import starts_of, starts_of_names
from toto_core.data.shards import MISSING_ITEM_ID, NOT_A_NUMBER, UNPARSABLE_TIMESTAMP
from toto_core.data.spool import Spool
from toto_core.data.stretches import Stretches
from toto_core.data.tables import TARGET
from toto_core.data.timestamps import TimestampReader
from toto_core.errors import DataError

BATCH_ROWS: Final = 500_000
# Rows of the gluonts layout are whole series.
BATCH_SERIES: Final = 256


@dataclass(frozen=True)
class _Rows:
    """Values of one variate, before they are judged.

    Attributes:
        variate: its name.
        role: its role.
        items: name of each row's item.
        codes: in the spool, of the item of each stretch of rows.
        starts: where each stretch begins.
        times: in UTC, null where they could not be parsed.
        found_times: as found.
        values: as found.
        runs: files and their numbers of rows, in order.
    """

    variate: str
    role: str
    items: pl.Series
    codes: UInt32[np.ndarray, " K"]
    starts: Int64[np.ndarray, " K"]
    times: pl.Series
    found_times: pl.Series
    values: pl.Series
    runs: Sequence[tuple[RawFile, int]]


class GroupReader:
    """Reads files of one group into a spool.

    Args:
        spool: gets the rows.
        files: like ones, in order.
        columns: what their columns mean.
        format: of their time stamps; see ``TimestampReader``.
        params: the section ``ingest``.
        numbers: number of each file, by its location, in the order of all files.
    """

    def __init__(
        self,
        spool: Spool,
        files: Sequence[RawFile],
        columns: Columns,
        format: str | None,
        params: IngestParams,
        *,
        numbers: Mapping[str, int],
    ) -> None:
        self._spool = spool
        self._files = files
        self._columns = columns
        self._params = params
        self._numbers = numbers
        self._file_of_location = {file.location: file for file in files}
        self._times = TimestampReader(format, params.timezone)

    def read(self, scratch: Path) -> None:
        """Read all batches."""
        whole_series = self._columns.layout == "gluonts"
        size = BATCH_SERIES if whole_series else BATCH_ROWS
        for batch in read_batches(self._files, size=size, scratch=scratch):
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
            starts = np.union1d(starts_of_names(items), _starts(runs))
        else:
            items = _repeated(runs, lambda file: file.item)
            starts = _starts(runs)
        codes = self._encode(items.gather(starts), starts, runs)
        found = batch[self._columns.timestamp]
        times = self._times.read(found, items)
        for name, role in self._columns.values.items():
            self._add(_Rows(name, role, items, codes, starts, times, found, batch[name], runs))

    def _wide(self, batch: pl.DataFrame) -> None:
        runs = self._runs(batch)
        found = batch[self._columns.timestamp]
        # Each file may repeat an hour by itself.
        times = self._times.read(found, _repeated(runs, lambda file: file.location))
        for name in self._columns.values:
            items = pl.repeat(name, batch.height, eager=True)
            starts = _starts(runs)
            codes = self._encode(items.gather(starts), starts, runs)
            self._add(_Rows(TARGET, TARGET, items, codes, starts, times, found, batch[name], runs))

    def _series(self, batch: pl.DataFrame) -> None:
        runs = self._runs(batch)
        items = batch[self._columns.item].cast(pl.String)
        codes = self._encode(items, np.arange(batch.height), runs)
        found = batch[self._columns.timestamp]
        firsts = self._times.read(found, items)
        freqs = self._declared_freqs(batch, codes)
        for column, role in self._columns.values.items():
            for part in variates_of_lists(batch[column]):
                rows = pl.Series(part.rows)
                times = _series_times(firsts.gather(rows), part.positions, freqs.gather(rows))
                lengths = np.add.reduceat(
                    np.bincount(part.rows, minlength=batch.height), _starts(runs)
                )
                self._add(
                    _Rows(
                        part.name,
                        role,
                        items.gather(rows),
                        codes[part.rows[starts := starts_of(part.rows)]],
                        starts,
                        times,
                        found.gather(rows),
                        _without_nan(part.values),
                        [(file, int(n)) for (file, _), n in zip(runs, lengths, strict=True)],
                    )
                )

    def _add(self, rows: _Rows) -> None:
        values, wrong = numbers(rows.values, decimal_comma=self._files[0].decimal_comma)
        no_time, no_value = rows.times.is_null(), values.is_null()
        good = ~no_time & ~no_value
        empty = no_value & ~wrong & ~no_time
        variate = self._spool.variates.encode(rows.variate, rows.role)
        codes, times = rows.codes, rows.times.to_physical()
        lengths = np.diff(rows.starts, append=len(good))
        if not good.all():
            times, values = times.filter(good), values.filter(good)
            lengths = np.add.reduceat(good.to_numpy(), rows.starts, dtype=np.int64)
            codes, lengths = codes[lengths > 0], lengths[lengths > 0]
        variates = np.full(len(codes), variate, np.uint16)
        self._spool.add(Stretches(codes, variates, lengths, times.to_numpy(), values.to_numpy()))
        num_good, num_empty = (_sums(mask, rows.runs) for mask in (good, empty))
        for (file, _), count, nothing in zip(rows.runs, num_good, num_empty, strict=True):
            self._spool.count(file.name, rows=count, empty=nothing)
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
        paths = batch[PATH_COLUMN]
        if paths[0] == paths[-1]:  # a file is read in one go
            return [(self._file_of_location[paths[0]], len(paths))]
        runs = paths.rle().struct.unnest()
        return [(self._file_of_location[path], length) for length, path in runs.iter_rows()]

    def _encode(
        self,
        items: pl.Series,
        starts: Int64[np.ndarray, " K"],
        runs: Sequence[tuple[RawFile, int]],
    ) -> UInt32[np.ndarray, " K"]:
        """Codes of the items of stretches, each within one file, that are noted to be there."""
        codes = self._spool.items.encode(items).to_numpy()
        numbers = np.array([self._numbers[file.location] for file, _ in runs])
        files = numbers[np.searchsorted(_starts(runs), starts, side="right") - 1]
        for origin, rows in self._origins(runs):
            part = slice(*np.searchsorted(starts, [rows.start, rows.stop]).tolist())
            self._spool.items.note(codes[part], files[part], origin=origin)
        return codes

    def _origins(self, runs: Sequence[tuple[RawFile, int]]) -> Iterator[tuple[Origin, slice]]:
        """What the items of rows must share with other files of theirs."""
        layout = self._columns.layout
        if layout != "gluonts":
            named = sorted(self._columns.values) if layout in ("long", "per_file") else ()
            yield Origin(layout, tuple(named)), slice(0, sum(length for _, length in runs))
            return
        end = 0
        for file, length in runs:
            folder = file.name.rpartition("/")[0] or "."
            yield Origin(layout, folder=folder), slice(end, end + length)
            end += length

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
                raise DataError(f"{self._files[0].name}: {error}") from None
        freqs = texts.replace_strict(canonical, return_dtype=pl.String)
        self._spool.items.freqs.update(zip(codes.tolist(), freqs, strict=True))
        return freqs


def _repeated(runs: Sequence[tuple[RawFile, int]], name_of: Callable[[RawFile], str]) -> pl.Series:
    """A name for each row of runs of files."""
    names = pl.Series([name_of(file) for file, _ in runs], dtype=pl.String)
    return names.gather(np.repeat(np.arange(len(runs)), [length for _, length in runs]))


def _starts(runs: Sequence[tuple[RawFile, int]]) -> Int64[np.ndarray, " F"]:
    """The first row of each run of files."""
    return np.cumsum([0] + [length for _, length in runs[:-1]])


def _sums(mask: pl.Series, runs: Sequence[tuple[RawFile, int]]) -> list[int]:
    """How many rows of each run a mask chooses."""
    starts = _starts(runs).tolist()
    return [
        int(mask.slice(start, length).sum())
        for start, (_, length) in zip(starts, runs, strict=True)
    ]


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
