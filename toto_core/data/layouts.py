"""The four layouts of raw series: which column is the item, the time stamp, a variate.

- long: a row is an item and a time stamp, each value column a variate;
- wide: a row is a time stamp, each value column an item with the one variate ``target``;
- per_file: a row is a time stamp, the file is the item, each value column a variate;
- gluonts: a row is a whole item with its start, frequency and list of values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from toto_core.config import IngestParams
from toto_core.data.raw_files import PATH_COLUMN
from toto_core.data.tables import KNOWN_COVARIATE, PAST_COVARIATE, TARGET
from toto_core.data.timestamps import looks_like_time
from toto_core.errors import ConfigError, DataError

Layout = Literal["long", "wide", "per_file", "gluonts"]

ITEM_NAMES: Final = ("item_id", "unique_id", "series_id", "ts_id", "symbol", "ticker")
TIME_NAMES: Final = ("timestamp", "ds", "datetime", "date", "time", "ts", "@timestamp", "open_time")
VALUE_NAMES: Final = frozenset({"target", "y", "value"})
_BAR: Final = frozenset({"open", "high", "low", "close"})

START, FREQ = "start", "freq"
# GluonTS names of lists beside the target, and the roles of their rows.
_LISTS: Final = {
    "target": TARGET,
    "past_feat_dynamic_real": PAST_COVARIATE,
    "feat_dynamic_real": KNOWN_COVARIATE,
}


@dataclass(frozen=True)
class Columns:
    """What the columns of a file mean.

    Attributes:
        item: column of the item; empty where the file or the column is the item.
        timestamp: column of the time stamp, or of the start of a gluonts row.
        values: column of values to its role.
        freq: column of the frequency (gluonts), or empty.
    """

    layout: Layout
    item: str
    timestamp: str
    values: Mapping[str, str]
    freq: str = ""


def resolve(sample: pl.DataFrame, params: IngestParams, *, where: str, num_files: int) -> Columns:
    """Find the layout and the columns of a file.

    In the automatic layout, a file with a list column of values is gluonts, one with an item
    column is long. Of the others, several files, one value column, named value columns or the
    columns of a price bar mean per_file; a single file with more columns is wide.

    Args:
        sample: its first rows.
        params: names that are given are used; the usual ones are recognised.
        where: the file that a message names.
        num_files: files of the whole input.

    Raises:
        ConfigError: if covariates are named in the layout wide, or a column has two roles.
        DataError: one line for each column that is missing.
    """
    columns = [name for name in sample.columns if name != PATH_COLUMN]
    _check_named(columns, params, where)
    is_gluonts = START in columns and isinstance(sample.schema.get("target"), pl.List)
    if params.layout == "gluonts" or (params.layout == "auto" and is_gluonts):
        return _gluonts(sample, columns, params, where)
    item = params.item_id or _first_known(columns, ITEM_NAMES)
    if params.layout in ("wide", "per_file"):
        item = params.item_id or ""
    timestamp = params.timestamp or _timestamp(sample, columns, where)
    if looks_like_time(pl.Series([timestamp])):
        raise DataError(
            f"{where}: header = {columns}, names of columns are needed; add a first line with "
            "names such as timestamp,value"
        )
    _check_roles(params, item=item, timestamp=timestamp)
    values = _values(sample, [name for name in columns if name not in (item, timestamp)], params)
    if not values:
        raise DataError(
            f"{where}: 0 columns of numbers among {columns}, at least one is needed; "
            "name it in ingest.targets"
        )
    layout = _layout(params, item=item, values=list(values), num_files=num_files)
    if layout == "long" and not item:
        raise DataError(
            f"{where}: no item column among {columns}, the layout long needs one; "
            "name it in ingest.item_id"
        )
    if layout == "wide" and set(values.values()) != {TARGET}:
        raise ConfigError(_wide_covariates(params))
    return Columns(layout, item if layout == "long" else "", timestamp, values)


def _wide_covariates(params: IngestParams) -> str:
    return "\n".join(
        f"params.yaml: ingest.{key} = {list(names)} in the layout wide, where each column is an "
        "item of its own; use the layout long"
        for key, names in (
            ("past_covariates", params.past_covariates),
            ("known_covariates", params.known_covariates),
        )
        if names
    )


def _layout(params: IngestParams, *, item: str, values: Sequence[str], num_files: int) -> Layout:
    if params.layout != "auto":
        return params.layout
    if item:
        return "long"
    named = params.targets or params.past_covariates or params.known_covariates
    is_bar = {name.lower() for name in values} >= _BAR
    return "per_file" if num_files > 1 or len(values) == 1 or named or is_bar else "wide"


def _check_named(columns: Sequence[str], params: IngestParams, where: str) -> None:
    named = {
        "item_id": [params.item_id] if params.item_id else [],
        "timestamp": [params.timestamp] if params.timestamp else [],
        "targets": params.targets,
        "past_covariates": params.past_covariates,
        "known_covariates": params.known_covariates,
    }
    faults = [
        f"{where}: ingest.{key} = {name!r}, one of {list(columns)} is needed; mend params.yaml"
        for key, names in named.items()
        for name in names
        if name not in columns
    ]
    if faults:
        raise DataError("\n".join(faults))


def _check_roles(params: IngestParams, *, item: str, timestamp: str) -> None:
    roles = {
        "item_id": [item] if item else [],
        "timestamp": [timestamp],
        "targets": params.targets,
        "past_covariates": params.past_covariates,
        "known_covariates": params.known_covariates,
    }
    found: dict[str, list[str]] = {}
    for role, names in roles.items():
        for name in dict.fromkeys(names):
            found.setdefault(name, []).append(role)
    faults = [
        f"params.yaml: ingest: column {name!r} = {' and '.join(several)}, one role is allowed; "
        "name it once"
        for name, several in found.items()
        if len(several) > 1
    ]
    if faults:
        raise ConfigError("\n".join(faults))


def _first_known(columns: Sequence[str], names: Sequence[str]) -> str:
    lower = {column.lower().strip(): column for column in reversed(columns)}
    return next((lower[name] for name in names if name in lower), "")


def _timestamp(sample: pl.DataFrame, columns: Sequence[str], where: str) -> str:
    known = _first_known(columns, TIME_NAMES)
    found = known or next((name for name in columns if looks_like_time(sample[name])), None)
    if found is None:
        raise DataError(
            f"{where}: no time stamp among the columns {list(columns)}, one is needed; "
            "name it in ingest.timestamp"
        )
    return found


def _values(sample: pl.DataFrame, rest: Sequence[str], params: IngestParams) -> dict[str, str]:
    roles = dict.fromkeys(params.past_covariates, PAST_COVARIATE)
    roles |= dict.fromkeys(params.known_covariates, KNOWN_COVARIATE)
    targets = params.targets or [
        name for name in rest if name not in roles and is_number_like(sample[name])
    ]
    return dict.fromkeys(targets, TARGET) | roles


def is_number_like(column: pl.Series) -> bool:
    """Whether a column holds values: a number type, or text of which at least half are numbers."""
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return True
    if column.dtype != pl.String:
        return False
    if column.name.lower() in VALUE_NAMES:
        return True
    text = column.drop_nulls().str.strip_chars()
    truths = text.str.to_lowercase().is_in(["true", "false"])
    numbers = text.cast(pl.Float64, strict=False).is_not_null() | truths
    return 2 * int(numbers.sum()) >= len(text)


def _gluonts(
    sample: pl.DataFrame, columns: Sequence[str], params: IngestParams, where: str
) -> Columns:
    item = params.item_id or _first_known(columns, ITEM_NAMES)
    start = params.timestamp or (START if START in columns else "")
    _check_roles(params, item=item, timestamp=start)
    faults = [
        f"{where}: no column {name!r} among {list(columns)}, the layout gluonts needs it; "
        f"name it in {key}"
        for name, key, found in (
            ("item_id", "ingest.item_id", item),
            ("start", "ingest.timestamp", start),
            ("freq", "ingest.freq as a value", params.freq or FREQ in columns),
            ("target", "ingest.targets", params.targets or "target" in columns),
        )
        if not found
    ]
    if faults:
        raise DataError("\n".join(faults))
    values = {name: role for name, role in _LISTS.items() if name in columns}
    if params.targets:
        values = dict.fromkeys(params.targets, TARGET)
    values |= dict.fromkeys(params.past_covariates, PAST_COVARIATE)
    values |= dict.fromkeys(params.known_covariates, KNOWN_COVARIATE)
    for name in values:
        if not isinstance(sample.schema[name], pl.List | pl.Array):
            raise DataError(
                f"{where}: {name} is {sample.schema[name]}, a list of values is needed; "
                "set ingest.layout"
            )
    return Columns("gluonts", item, start, values, "" if params.freq else FREQ)
