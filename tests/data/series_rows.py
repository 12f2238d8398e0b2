"""Rows of series that a test can write down, and what validation makes of them."""

from datetime import datetime, timedelta

import polars as pl

from toto_core.config import ValidateParams
from toto_core.data.series_facts import collect_calendars, series_facts
from toto_core.data.tables import SERIES_SCHEMA, SORT_KEYS
from toto_core.data.validation import check_shard

START = datetime(2024, 1, 1)


def params(**changes):
    """Lenient settings with all optional rules off."""
    given = {
        "min_length": 4,
        "max_missing_share": 0.5,
        "max_irregular_share": 0.2,
        "max_items": None,
        "max_variates": None,
        "bounds": {},
        "max_repeats": {},
        "max_spike": {},
        "counters": (),
        "ohlc": None,
        "splits": None,
        "drop_last": 0,
        "max_quarantined": 1.0,
    }
    return ValidateParams.model_validate(given | changes)


def at(minutes, start=START):
    return [start + timedelta(minutes=float(m)) for m in minutes]


def rows(values, *, minutes=None, times=None, item="a", variate="cpu"):
    """Rows of one series, by default one a minute."""
    minutes = range(len(values)) if minutes is None else minutes
    return pl.DataFrame(
        {
            "item_id": [item] * len(values),
            "variate": [variate] * len(values),
            "timestamp": times if times is not None else at(minutes),
            "value": values,
        },
        schema=SERIES_SCHEMA | {"timestamp": pl.Datetime("us")},
    ).with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))


def items_of(shard, freq: str | None = "1min"):
    return (
        shard.select("item_id", "variate")
        .unique()
        .sort("item_id", "variate")
        .with_columns(freq=pl.lit(freq, pl.String))
    )


def check(*frames, freq: str | None = "1min", **changes):
    """Validate the rows as one shard."""
    shard = pl.concat(frames).sort(SORT_KEYS, maintain_order=True)
    section = params(**changes)
    facts = series_facts(items_of(shard, freq), section)
    return check_shard(shard, facts, section, collect_calendars([shard], facts))


def values_of(checked, variate="cpu", item="a"):
    return checked.rows.filter(variate=variate, item_id=item)["value"].to_list()


def minutes_of(checked, variate="cpu", item="a"):
    times = checked.rows.filter(variate=variate, item_id=item)["timestamp"]
    return ((times.dt.replace_time_zone(None) - START).dt.total_seconds() / 60).to_list()


def quarantined(checked):
    return checked.quarantined_rows.select("timestamp", "value", "rule", "reason").rows()
