"""What is known of all series before their shards are read: frequencies, limits and calendars."""

from collections.abc import Iterable

import polars as pl

from toto_core.config import ValidateParams
from toto_core.data import grid, rules
from toto_core.data.frequency import parse_freq
from toto_core.data.grid import Calendar
from toto_core.data.tables import SERIES_SCHEMA


def series_facts(items: pl.DataFrame, params: ValidateParams) -> pl.DataFrame:
    """Return what the rules need to know of each series: its frequency and its limits.

    Args:
        items: ``items.parquet`` of the series; ``freq`` may be null or empty where none was found.

    Returns:
        ``item_id``, ``variate``, ``freq`` (canonical or null), ``interval`` (microseconds; null
        for calendar frequencies), ``lowest``, ``highest`` and ``floor``, one row for each series.
    """
    names = items["freq"].drop_nulls().unique().sort()
    known = {name: parse_freq(name) for name in names if name}
    interval = {n: f.interval_us for n, f in known.items() if not f.is_calendar}
    canonical = {n: f.canonical for n, f in known.items()}
    freq = pl.col("freq")
    facts = items.select(
        "item_id",
        "variate",
        freq=freq.replace_strict(canonical, default=None, return_dtype=pl.String),
        interval=freq.replace_strict(interval, default=None, return_dtype=pl.Int64),
    )
    variates = facts.select(pl.col("variate").unique().sort())
    limits = rules.limits(params, variates["variate"])
    return facts.join(
        pl.concat([variates, limits], how="horizontal"),
        on="variate",
        how="left",
        maintain_order="left",
    )


def collect_calendars(shards: Iterable[pl.DataFrame], facts: pl.DataFrame) -> dict[str, Calendar]:
    """Return the calendar of each calendar frequency, from the times observed by any item.

    Args:
        shards: read one after the other; ``item_id``, ``timestamp`` and ``value`` are used.
        facts: as ``series_facts`` returns them.
    """
    freqs = facts.filter(pl.col("interval").is_null() & pl.col("freq").is_not_null())
    freqs = freqs.select("item_id", "freq").unique("item_id")
    if freqs.is_empty():
        return {}
    observed = pl.DataFrame(schema={"freq": pl.String, "timestamp": SERIES_SCHEMA["timestamp"]})
    for shard in shards:
        found = (
            shard.filter(pl.col("value").is_finite() & pl.col("timestamp").is_not_null())
            .join(freqs, on="item_id")
            .select("freq", "timestamp")
        )
        observed = pl.concat([observed, found]).unique()
    by_freq = observed.sort("freq", "timestamp").partition_by("freq", as_dict=True)
    return {
        str(freq): grid.make_calendar(times["timestamp"].to_physical().to_numpy(), str(freq))
        for (freq,), times in by_freq.items()
    }


def absent_series(facts: pl.DataFrame, seen: pl.DataFrame, params: ValidateParams) -> pl.DataFrame:
    """Return the series of ``facts`` without a single row, as ``rules.QUARANTINED_SERIES``."""
    return (
        facts.join(seen, on=["item_id", "variate"], how="anti", maintain_order="left")
        .select(
            "item_id",
            "variate",
            rows=pl.lit(0, pl.Int64),
            rule=pl.lit("too_short"),
            reason=pl.lit(f"0 points, at least {params.min_length}"),
            value=pl.lit(0.0),
        )
        .cast(rules.QUARANTINED_SERIES)
    )
