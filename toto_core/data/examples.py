"""Examples of what validation rejected, to be drawn: a few series for each rule, cut to a window.

They are taken while a shard is in memory, by binary search in its sorted rows, so that they cost
next to nothing however large the data are. The choice does not depend on the shards.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float32, Int64

from toto_core.data import rules

PER_RULE: Final = 4
NUM_ITEMS: Final = 15  # of the list of the worst items
NUM_POINTS: Final = 240  # drawn of a series
_STAMP: Final = "%Y-%m-%dT%H:%M:%S%.fZ"
# Without a time there is nothing to draw, and nothing is wrong with these.
_NOT_DRAWN: Final = ("missing_timestamp", "not_final", "counter_start")


@dataclass(frozen=True)
class Example:
    """A window of a series as ingest left it, and the rows in it that a rule took out.

    Attributes:
        rows: quarantined rows of the whole series by this rule.
        reason: of the first of them.
        times: microseconds since 1970.
        bad_times: of the quarantined rows in the window, with their values; may be infinite.
    """

    rule: str
    item_id: str
    variate: str
    rows: int
    reason: str
    times: Int64[np.ndarray, " T"]
    values: Float32[np.ndarray, " T"]
    bad_times: Int64[np.ndarray, " B"]
    bad_values: Float32[np.ndarray, " B"]


def examples_of(
    shard: pl.DataFrame, bad: pl.DataFrame, least: Mapping[str, int] | None = None
) -> list[Example]:
    """Return up to ``PER_RULE`` examples of each rule, those with the most rows.

    Args:
        shard: as ingest left it, sorted.
        bad: its quarantined rows, as ``rules.QUARANTINED_ROWS``.
        least: as ``least_rows`` returns it of examples of other shards; series with fewer rows are
            left out, as they would not be chosen.
    """
    keys = ["rule", "item_id", "variate"]
    found = (
        bad.filter(~pl.col("rule").is_in(list(_NOT_DRAWN)))
        .group_by(keys)
        .agg(rows=pl.len())
        .filter(pl.col("rows") >= pl.col("rule").replace_strict(least or {"": 0}, default=0))
        .sort("rule", "rows", "item_id", "variate", descending=[False, True, False, False])
        .group_by("rule", maintain_order=True)
        .head(PER_RULE)
    )
    if found.is_empty():
        return []
    mine = bad.join(found, on=keys, how="semi", maintain_order="left")
    mine = mine.with_columns(
        pl.col("timestamp").str.to_datetime(_STAMP, time_unit="us").to_physical().alias("time"),
        pl.col("value").cast(pl.Float32),
    )
    examples = []
    spans = _spans(shard, found["item_id"])
    for (rule, item, variate, count), span in zip(
        found.select(*keys, "rows").iter_rows(), spans.iter_rows(), strict=True
    ):
        hit = mine.filter(rule=rule, item_id=item, variate=variate).sort("time")
        series = _series(shard.slice(*span), variate)
        examples.append(_example(series, hit, rule=rule, count=count))
    return examples


def choose(examples: Iterable[Example]) -> list[Example]:
    """Return the ``PER_RULE`` of each rule with the most rows, rules in the order of ``rules``."""
    order = (*rules.ROW_RULES, *rules.SERIES_RULES)
    ranked = sorted(examples, key=lambda e: (order.index(e.rule), -e.rows, e.item_id, e.variate))
    return [
        example for rule in order for example in [e for e in ranked if e.rule == rule][:PER_RULE]
    ]


def least_rows(chosen: Iterable[Example]) -> dict[str, int]:
    """Return the fewest rows among the examples of each rule that has ``PER_RULE`` of them."""
    rows = defaultdict(list)
    for example in chosen:
        rows[example.rule].append(example.rows)
    return {rule: min(found) for rule, found in rows.items() if len(found) >= PER_RULE}


def worst_items(shard: pl.DataFrame, bad: pl.DataFrame) -> pl.DataFrame:
    """Return ``item_id``, ``bad``, ``rows`` and ``rules`` of the items that lost the most rows."""
    found = (
        bad.filter(~pl.col("rule").is_in(list(rules.WANTED)))
        .group_by("item_id")
        .agg(bad=pl.len(), rules=pl.col("rule").unique().sort().str.join(", "))
    )
    found = _most(found)
    return found.with_columns(rows=_spans(shard, found["item_id"])["rows"])


def worst_of(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Return the worst items of all shards."""
    return _most(pl.concat(parts))


def _most(found: pl.DataFrame) -> pl.DataFrame:
    return found.sort("bad", "item_id", descending=[True, False]).head(NUM_ITEMS)


def _spans(shard: pl.DataFrame, items: pl.Series) -> pl.DataFrame:
    """``start`` and number of ``rows`` of each item in a sorted shard."""
    start, end = (
        shard["item_id"].search_sorted(items, side).cast(pl.Int64) for side in ("left", "right")
    )
    return pl.DataFrame({"start": start, "rows": end - start})


def _series(rows: pl.DataFrame, variate: str) -> pl.DataFrame:
    """The rows of a series of an item that have a time and a finite value."""
    return rows.filter(
        pl.col("variate") == variate,
        pl.col("timestamp").is_not_null(),
        pl.col("value").is_finite(),
    )


def _example(series: pl.DataFrame, hit: pl.DataFrame, *, rule: str, count: int) -> Example:
    """Cut the window: a whole series thinned out, else the surroundings of the first bad row."""
    times = series["timestamp"].to_physical().to_numpy()
    bad_times = hit["time"].to_numpy()
    if rule in rules.SERIES_RULES:
        series = series.gather_every(max(1, -(-len(times) // NUM_POINTS)))
        times = series["timestamp"].to_physical().to_numpy()
    else:
        first = int(np.searchsorted(times, bad_times[0]))
        start = max(0, min(first - NUM_POINTS // 2, len(times) - NUM_POINTS))
        series = series.slice(start, NUM_POINTS)
        times = series["timestamp"].to_physical().to_numpy()
        end = times[-1] if len(times) else bad_times[0]
        hit = hit.filter(pl.col("time") <= max(end, bad_times[0]))
    return Example(
        rule=rule,
        item_id=hit["item_id"][0],
        variate=hit["variate"][0],
        rows=count,
        reason=hit["reason"][0],
        times=times,
        values=series["value"].to_numpy(),
        bad_times=hit["time"].head(NUM_POINTS).to_numpy(),
        bad_values=hit["value"].head(NUM_POINTS).to_numpy(),
    )
