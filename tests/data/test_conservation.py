"""What went in comes out: valid as it was before repair, or in quarantine."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from series_rows import at, items_of, params, rows

from toto_core.data.conservation import NO_TIME, Sums, checksum, series_keys
from toto_core.data.series_facts import collect_calendars, series_facts
from toto_core.data.tables import SORT_KEYS
from toto_core.data.validation import check_shard

NAMES = pl.DataFrame({"item_id": ["a", "b"], "variate": ["cpu", "cpu"]})
KEYS = series_keys(NAMES)


def sum_of(series, times, values):
    return checksum(
        KEYS, np.array(series, np.int64), np.array(times, np.int64), np.array(values, np.float32)
    )


def test_checksum_does_not_depend_on_the_order_of_the_rows():
    rng = np.random.default_rng(0)
    number = 100_000
    series, times = rng.integers(0, 2, number), rng.integers(0, 10**15, number)
    values = rng.standard_normal(number).astype(np.float32)
    order = rng.permutation(number)
    assert sum_of(series, times, values) == sum_of(series[order], times[order], values[order])
    parts = [sum_of(series[p], times[p], values[p]) for p in (order[:7], order[7:])]
    assert sum(parts) % 2**64 == sum_of(series, times, values)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(([0, 0, 1], [1, 2, 2], [6, 5, 7]), id="values swapped"),
        pytest.param(([0, 1, 0], [1, 2, 2], [5, 6, 7]), id="series swapped"),
        pytest.param(([0, 0, 1], [1, 3, 2], [5, 6, 7]), id="another time"),
        pytest.param(([0, 0, 1], [1, 2, 2], [5, 6, np.nextafter(np.float32(7), 8)]), id="last bit"),
        pytest.param(([0, 0], [1, 2], [5, 6]), id="a row lost"),
        pytest.param(([0, 0, 1, 1], [1, 2, 2, 2], [5, 6, 7, 7]), id="a row twice"),
        pytest.param(([0, 0, 1], [1, 2, 2], [5, 6, -7]), id="another sign"),
        pytest.param(([0, 0, 1], [NO_TIME, 2, 2], [5, 6, 7]), id="time lost"),
    ],
)
def test_checksum_notices(other):
    assert sum_of(*other) != sum_of([0, 0, 1], [1, 2, 2], [5, 6, 7])


def test_rows_without_a_value_count_nothing():
    assert sum_of([0, 1], [1, 2], [5, np.nan]) == sum_of([0], [1], [5])
    assert sum_of([], [], []) == 0


def test_key_of_a_series_is_that_of_its_name_alone():
    assert series_keys(NAMES.reverse()).tolist() == KEYS.tolist()[::-1]
    mixed = pl.DataFrame({"item_id": ["a b", "a"], "variate": ["c", "b c"]})
    assert len(set(series_keys(mixed).tolist())) == 2


def test_sums_that_differ_are_noticed():
    sums = Sums(rows_in=3, valid=2**64 - 1, quarantined=4)
    sums.check()
    sums.add(Sums(rows_in=1, valid=2))
    with pytest.raises(
        RuntimeError,
        match=r"checksum of the rows = 0000000000000004, but valid \+ quarantined = "
        r"0000000000000001 \+ 0000000000000004; a fault of the program, report it",
    ):
        sums.check()


@st.composite
def dirty_shards(draw):
    """Series with gaps, jitter, duplicates, skipped hours, resets, splits, spikes and nonsense."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    step = draw(st.sampled_from([5, 60, 1440]))
    frames = []
    for item in range(draw(st.integers(1, 3))):
        for variate in range(draw(st.integers(1, 4))):
            length = draw(st.integers(1, 120))
            minute = step * np.arange(length, dtype=float)
            gone = rng.random(length) < draw(st.sampled_from([0, 0.1, 0.5]))
            minute = minute[~gone]
            late = rng.random(len(minute)) < draw(st.sampled_from([0, 0.05, 0.5]))
            minute = minute + late * rng.choice([0.001, 0.05, 0.5, 1.0]) * step
            if draw(st.booleans()):  # a skipped hour
                minute = np.where((minute >= 120) & (minute < 180), 180, minute)
            minute = np.sort(rng.choice(minute, len(minute)) if draw(st.booleans()) else minute)
            value = np.cumsum(rng.integers(0, 5, len(minute))).astype(float) + 50
            if draw(st.booleans()) and len(value):  # a split or a reset
                value[rng.integers(len(value)) :] /= rng.choice([2, 7, 50])
            broken = rng.random(len(value)) < draw(st.sampled_from([0, 0.1, 1]))
            nonsense = rng.choice([np.nan, np.inf, -np.inf, -1, 1e6, 7], int(broken.sum()))
            value[broken] = nonsense
            times = [None if rng.random() < 0.02 else t for t in at(minute)]
            frames.append(rows(value.tolist(), times=times, item=f"i{item}", variate=f"v{variate}"))
    shard = pl.concat(frames).sort(SORT_KEYS, maintain_order=True)
    return shard, {5: "5min", 60: "1h", 1440: draw(st.sampled_from(["1D", "1B"]))}[step]


OHLC = {"open": "v0", "high": "v1", "low": "v1", "close": "v0", "volume": "v2"}


@settings(max_examples=40, deadline=None)
@given(
    found=dirty_shards(),
    counters=st.sampled_from([(), ("v2",), ("v0", "v3")]),
    splits=st.sampled_from(["adjust", "quarantine", None]),
    ohlc=st.booleans(),
    limits=st.booleans(),
    share=st.sampled_from([0.1, 1.0]),
)
def test_every_row_of_random_dirty_data_is_found_again(
    found, counters, splits, ohlc, limits, share
):
    shard, freq = found
    section = params(
        counters=counters,
        ohlc=OHLC if ohlc else None,
        splits=splits if ohlc else None,
        bounds={"v0": (0, 1000)} if limits else {},
        max_spike={"v0": 3.0, "v1": 5.0} if limits else {},
        max_repeats={"v0": 2, "v3": 1} if limits else {},
        max_variates=3 if limits else None,
        max_irregular_share=share,
        max_missing_share=share,
        min_length=2,
    )
    facts = series_facts(items_of(shard, freq), section)
    checked = check_shard(shard, facts, section, collect_calendars([shard], facts))
    # The remainder is worked out from the tables alone, as a reader of the files would.
    stamp = pl.col("timestamp").dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ")
    observed = shard.filter(pl.col("value").is_not_nan() & pl.col("value").is_not_null())
    texts = observed.select("item_id", "variate", stamp, pl.col("value").cast(pl.String))
    columns = ["item_id", "variate", "timestamp", "value"]
    remainder = Counter(texts.iter_rows())
    remainder.subtract(Counter(checked.quarantined_rows.select(columns).iter_rows()))
    assert min(remainder.values(), default=0) >= 0
    valid = checked.rows.filter(pl.col("value").is_not_nan())
    assert remainder.total() == valid.height == checked.counts.rows_valid
    by_series = Counter(valid.select("item_id", "variate").iter_rows())
    assert by_series == Counter(row[:2] for row in remainder.elements())
    unrepaired = Counter(valid.with_columns(stamp, pl.col("value").cast(pl.String)).iter_rows())
    assert (unrepaired & remainder).total() >= valid.height - checked.counts.rows_repaired
    keys = series_keys(observed)
    index = np.arange(len(keys))
    times = observed["timestamp"].to_physical().fill_null(NO_TIME).to_numpy()
    assert checked.sums.rows_in == checksum(keys, index, times, observed["value"].to_numpy())
    checked.sums.check()
