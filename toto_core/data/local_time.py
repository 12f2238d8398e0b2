"""Local time in UTC, across the hours that a clock repeats or skips."""

import polars as pl


class Repeats:
    """How often each item had each time stamp of an hour that a clock repeats."""

    def __init__(self) -> None:
        self._counts = pl.DataFrame(
            schema={"item": pl.String(), "time": pl.Datetime("us"), "before": pl.UInt32()}
        )

    def number(self, items: pl.Series, times: pl.Series) -> pl.Series:
        """Number each row among those of its item and time, from 0, over all calls."""
        table = pl.DataFrame({"item": items, "time": times})
        numbered = table.with_columns(
            nth=pl.int_range(pl.len(), dtype=pl.UInt32).over("item", "time")
        ).join(self._counts, on=["item", "time"], how="left", maintain_order="left")
        new = table.group_by("item", "time").agg(before=pl.len())
        self._counts = (
            pl.concat([self._counts, new]).group_by("item", "time").agg(pl.col("before").sum())
        )
        return numbered.select(pl.col("nth") + pl.col("before").fill_null(0)).to_series()


def localised(naive: pl.Series, items: pl.Series, timezone: str, repeats: Repeats) -> pl.Series:
    """Naive local time in UTC; for repeated and skipped hours see ``TimestampReader.read``."""
    if timezone == "UTC":
        return naive.dt.replace_time_zone("UTC")
    zone = naive.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    later = naive.dt.replace_time_zone(timezone, ambiguous="latest", non_existent="null")
    repeated = (zone != later).fill_null(value=False)
    if repeated.any():
        rows = repeated.arg_true()
        nth = repeats.number(items.gather(rows), naive.gather(rows))
        second = rows.filter(nth % 2 == 1)
        zone = zone.scatter(second, later.gather(second))
    return zone.dt.convert_time_zone("UTC")
