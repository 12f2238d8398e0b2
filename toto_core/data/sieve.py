"""What has passed validation so far, and what was taken out, with rule and reason."""

from collections import Counter

import numpy as np
import polars as pl
from jaxtyping import Bool, Int64, UInt64

from toto_core.data import rules
from toto_core.data.conservation import NO_TIME, checksum


class Sieve:
    """The rows that have passed so far, and those that were taken out with rule and reason.

    Attributes:
        rows: ``series`` (index into ``series``), ``time`` and ``value`` as ingest left them, and
            what the steps add; ``mended`` holds the value after repairs.
        series: a row for each series of the shard.
    """

    def __init__(self, rows: pl.DataFrame, series: pl.DataFrame) -> None:
        self.rows = rows
        self.series = series
        self._repairs: dict[str, Int64[np.ndarray, " S"]] = {}
        self._rows: list[pl.DataFrame] = []
        self._series: list[pl.DataFrame] = []

    @property
    def is_gone(self) -> pl.Series:
        """Whether each series of the shard was quarantined whole."""
        gone = np.zeros(self.series.height, np.bool_)
        for frame in self._series:
            gone[frame["series"].to_numpy()] = True
        return pl.Series(gone)

    @property
    def repairs(self) -> Counter[str]:
        """Values that were repaired, by name of the repair, in the series that are left."""
        is_left = ~self.is_gone.to_numpy()
        return Counter({name: int(found[is_left].sum()) for name, found in self._repairs.items()})

    def note_repair(self, name: str, is_repaired: Bool[np.ndarray, " R"]) -> None:
        """Count the repaired rows of each series."""
        series = self.rows["series"].to_numpy()[is_repaired]
        self._repairs[name] = np.bincount(series, minlength=self.series.height)

    def drop(
        self,
        is_bad: pl.Series,
        rule: str | pl.Expr,
        reason: pl.Expr,
        *,
        facts: pl.DataFrame | None = None,
        without: pl.Series | None = None,
    ) -> None:
        """Take out the rows where ``is_bad``.

        Args:
            reason: may use the columns of the rows, of ``facts``, and the ``freq``, ``lowest``
                and ``highest`` of their series.
            facts: a row for each bad row.
            without: which rows leave besides, without a trace: those that carry no value.
        """
        gone = is_bad if without is None else is_bad | without
        if not gone.any():
            return
        bad = self.rows.filter(is_bad)
        of_series = self.series.select("freq", "lowest", "highest")
        known = [bad, of_series.select(pl.all().gather(bad["series"]))]
        known += [] if facts is None else [facts]
        name = pl.lit(rule) if isinstance(rule, str) else rule.cast(pl.String)
        self._rows.append(
            pl.concat(known, how="horizontal").select(
                "series", "time", "value", name.alias("rule"), reason.alias("reason")
            )
        )
        self.rows = self.rows.filter(~gone)

    def drop_series(self, bad: pl.DataFrame) -> None:
        """Take out all rows of the series in ``bad`` (series, rule, reason, measured)."""
        if bad.is_empty():
            return
        taken = self.rows.select("series", "time", "value").join(
            bad.select("series", "rule", "reason"), on="series", maintain_order="left"
        )
        self._rows.append(taken)
        num_rows = taken.group_by("series").agg(rows=pl.len().cast(pl.Int64))
        bad = bad.join(num_rows, on="series", how="left", maintain_order="left")
        self._series.append(bad.with_columns(pl.col("rows").fill_null(0)))
        self.rows = self.rows.filter(~pl.col("series").is_in(bad["series"].implode()))

    def checksum(self, keys: UInt64[np.ndarray, " S"]) -> int:
        """The checksum of the rows that were taken out."""
        return sum(checksum_of(keys, rows) for rows in self._rows)

    def quarantine(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return what was taken out, as ``QUARANTINED_ROWS`` and ``QUARANTINED_SERIES``."""
        rows = pl.concat(self._rows or [_NO_ROWS]).sort("series", "time", maintain_order=True)
        series = pl.concat(self._series or [_NO_SERIES]).sort("series")
        stamp = pl.from_epoch("time", time_unit="us").dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ")
        rows = rows.with_columns(timestamp=stamp, value=pl.col("value").cast(pl.String))
        series = series.with_columns(value=pl.col("measured"))
        return (
            _with_names(rows, self.series).select(rules.QUARANTINED_ROWS.names()),
            _with_names(series, self.series).select(rules.QUARANTINED_SERIES.names()),
        )


_NO_ROWS = pl.DataFrame(
    schema={
        "series": pl.UInt32,
        "time": pl.Int64,
        "value": pl.Float32,
        "rule": pl.String,
        "reason": pl.String,
    }
)
_NO_SERIES = pl.DataFrame(
    schema={
        "series": pl.UInt32,
        "rule": pl.String,
        "reason": pl.String,
        "measured": pl.Float64,
        "rows": pl.Int64,
    }
)


def _with_names(table: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    names = series.select("item_id", "variate").select(pl.all().gather(table["series"]))
    return pl.concat([table, names], how="horizontal")


def observed(value: pl.Series) -> pl.Series:
    """Whether each value is there; NaN and null are a missed scrape."""
    return value.is_not_null() & value.is_not_nan().fill_null(value=False)


def checksum_of(keys: UInt64[np.ndarray, " S"], rows: pl.DataFrame) -> int:
    """Return the checksum of rows with ``series``, ``time`` and ``value``."""
    return checksum(
        keys,
        rows["series"].to_numpy(),
        rows["time"].fill_null(NO_TIME).to_numpy(),
        rows["value"].fill_null(float("nan")).to_numpy(),
    )
