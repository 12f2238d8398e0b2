"""The rules of validation: their names, what they check on rows, and what quarantine looks like.

A row is one value of one variate of one item at one time. A value that is NaN or null is a missed
scrape, not a fault: it is counted as missing and never quarantined. Infinite values are faults.
"""

from typing import Final

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData
from pandera.errors import SchemaErrors

from toto_core.config import ValidateParams
from toto_core.data.tables import SERIES_SCHEMA
from toto_core.errors import ConfigError, DataError

# A row breaks one rule only: the first of these. The first three are found by ingest.
ROW_RULES: Final = (
    "unparsable_timestamp",
    "not_a_number",
    "missing_item_id",
    "missing_timestamp",
    "infinite_value",
    "negative_volume",
    "negative_counter",
    "out_of_bounds",
    "off_grid",
    "duplicate_timestamp",
    "ohlc_contradiction",
    "not_final",
    "lone_outlier",
    "stale",
    "before_split",
    "counter_start",
)
SERIES_RULES: Final = (
    "too_many_variates",
    "irregular",
    "coarse_counter",
    "too_short",
    "too_many_gaps",
    "constant",
)
REPAIRS: Final = (
    "renumber_dst",
    "snap_to_grid",
    "split_adjust",
    "counter_increments",
    "counter_reset",
    "gap_fill",
)
# What params.yaml itself asks to set aside says nothing about the data.
WANTED: Final = ("not_final", "before_split", "counter_start")

MEANING: Final = {
    "unparsable_timestamp": "the time stamp could not be read",
    "not_a_number": "text where a number should be",
    "missing_item_id": "no name of the item",
    "missing_timestamp": "a value without a time",
    "infinite_value": "infinity is no measurement",
    "negative_volume": "a volume below 0",
    "negative_counter": "a counter below 0",
    "out_of_bounds": "outside validate.bounds",
    "off_grid": "too far from the regular grid to be moved onto it",
    "duplicate_timestamp": "a second value at the same point of the grid; the first is kept",
    "ohlc_contradiction": "high, low, open and close of a bar contradict each other",
    "not_final": "among the newest points, as validate.drop_last asks",
    "lone_outlier": "a single point far from both its neighbours",
    "stale": "the value did not move for longer than validate.max_repeats; the first is kept",
    "before_split": "a bar before a stock split, as validate.splits asks",
    "counter_start": "where a counter starts: the first value has no increment",
    "too_many_variates": "the item has more series than validate.max_variates",
    "irregular": "too many points lie off any regular grid",
    "coarse_counter": "float32 cannot tell neighbouring levels of the counter apart",
    "too_short": "fewer points than validate.min_length",
    "too_many_gaps": "more points are missing than validate.max_missing_share",
    "constant": "all values are equal: there is nothing to learn or forecast",
    "renumber_dst": "samples of an hour that clocks skip, all with one stamp, numbered in order",
    "snap_to_grid": "moved by a small deviation onto the regular grid",
    "split_adjust": "prices before a stock split divided by its ratio, volumes multiplied",
    "counter_increments": "levels of a counter made into increments per step",
    "counter_reset": "increments at which a counter started again from 0",
    "gap_fill": "absent steps became missing values; nothing is interpolated",
}
OPTIONAL: Final = {
    "max_items": "most items of the run",
    "max_variates": "most series of an item",
    "bounds": "lowest and highest value of each variate",
    "max_repeats": "values that no longer move",
    "max_spike": "single points far from both neighbours",
    "counters": "variates that only rise, to be made into increments",
    "ohlc": "price bars that contradict themselves",
    "splits": "stock splits",
    "drop_last": "newest points that are not final yet",
}

QUARANTINED_ROWS: Final = pl.Schema(
    {
        "item_id": pl.String(),
        "variate": pl.String(),
        "timestamp": pl.String(),
        "value": pl.String(),
        "rule": pl.String(),
        "reason": pl.String(),
    }
)
QUARANTINED_SERIES: Final = pl.Schema(
    {
        "item_id": pl.String(),
        "variate": pl.String(),
        "rows": pl.Int64(),
        "rule": pl.String(),
        "reason": pl.String(),
        "value": pl.Float64(),
    }
)

# Prices are stored as float32 and often adjusted by a factor: a bar may contradict itself by the
# rounding of both.
OHLC_TOLERANCE: Final = 1e-6


def check_names(params: ValidateParams, variates: set[str]) -> None:
    """Refuse rules that name no variate, which would check nothing in silence.

    Raises:
        ConfigError: one line for each fault.
    """
    known = ", ".join(sorted(variates))
    faults = [
        f"params.yaml: validate.{rule}.{name} names no variate, "
        f"the variates are {known}; mend the name or remove it"
        for rule in ("bounds", "max_repeats", "max_spike")
        for name in getattr(params, rule)
        if name not in variates
    ]
    faults.extend(
        f"params.yaml: validate.counters = {name!r} names no variate, "
        f"the variates are {known}; mend the name or remove it"
        for name in params.counters
        if name not in variates
    )
    columns = params.ohlc.model_dump(exclude_none=True) if params.ohlc else {}
    faults.extend(
        f"params.yaml: validate.ohlc.{column} = {name!r} names no variate, "
        f"the variates are {known}; mend the name or remove it"
        for column, name in columns.items()
        if name not in variates
    )
    if faults:
        raise ConfigError("\n".join(faults))


def limits(params: ValidateParams, variates: pl.Series) -> pl.DataFrame:
    """Return the columns ``lowest``, ``highest`` and ``floor`` for each name in ``variates``.

    ``floor`` is 0 for the volume and counters and minus infinity elsewhere. All are float32 like
    the values, so that a value equal to its bound stays inside.
    """
    not_negative = {params.ohlc.volume if params.ohlc else None, *params.counters}
    bounds = [params.bounds.get(name, (-float("inf"), float("inf"))) for name in variates]
    return pl.DataFrame(
        {
            "lowest": [low for low, _ in bounds],
            "highest": [high for _, high in bounds],
            "floor": [0.0 if name in not_negative else -float("inf") for name in variates],
        },
        schema=dict.fromkeys(("lowest", "highest", "floor"), pl.Float32),
    )


def has_limits(params: ValidateParams) -> bool:
    """Whether ``limits`` says anything at all."""
    volume = params.ohlc.volume if params.ohlc else None
    return bool(params.bounds or params.counters or volume)


def _is_finite(data: PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(~pl.col(data.key).is_infinite())


def _is_above_floor(data: PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(pl.col(data.key) >= pl.col("floor"))


def _is_in_bounds(data: PolarsData) -> pl.LazyFrame:
    # NaN is greater than every number in Polars, yet a missing value breaks no bound.
    value = pl.col(data.key)
    return data.lazyframe.select(value.is_between("lowest", "highest") | value.is_nan())


_ROW_TYPES: Final = [(name, SERIES_SCHEMA[name]) for name in ("timestamp", "value")]
_NO_FAULTS: Final = pl.DataFrame(schema={"index": pl.UInt32, "rule": pl.Enum(ROW_RULES)})


def row_schema(*, bounded: bool) -> pa.DataFrameSchema:
    """Return the schema of rows as ingest leaves them.

    Args:
        bounded: whether the rows carry the columns of ``limits`` to be checked against.
    """
    # Checks of a column that look at others row by row: the same as a check of the frame, but its
    # failures are not written out as JSON, which takes sixty times as long.
    checks = [pa.Check(_is_finite, name="infinite_value")]
    if bounded:
        checks.append(pa.Check(_is_above_floor, name="negative_volume"))
        checks.append(pa.Check(_is_in_bounds, name="out_of_bounds"))
    return pa.DataFrameSchema(
        {
            "timestamp": pa.Column(SERIES_SCHEMA["timestamp"], nullable=False),
            "value": pa.Column(SERIES_SCHEMA["value"], checks, nullable=True),
        }
    )


def row_faults(rows: pl.DataFrame, *, bounded: bool) -> pl.DataFrame:
    """Return ``index`` and ``rule`` of the rows that break ``row_schema``, one rule for each row.

    Raises:
        DataError: if the columns themselves are wrong, so that no row can be judged.
    """
    if rows.is_empty() and all(rows.schema.get(name) == type for name, type in _ROW_TYPES):
        return _NO_FAULTS
    try:
        # Collected, not lazy: pandera checks only the types of a lazy frame.
        row_schema(bounded=bounded).validate(rows, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        if cases["index"].null_count():
            found = "; ".join(f"{c}" for c in cases.filter(pl.col("index").is_null())["check"])
            raise DataError(
                f"data/series: columns fail {found}, the layout of toto_core.data.tables is "
                "needed; run ingest again"
            ) from None
        rule = pl.col("check").replace({"not_nullable": "missing_timestamp"})
        return (
            cases.select(
                pl.col("index").cast(pl.UInt32), rule.cast(pl.Enum(ROW_RULES)).alias("rule")
            )
            .sort("index", "rule")
            .unique("index", keep="first", maintain_order=True)
        )
    return _NO_FAULTS
