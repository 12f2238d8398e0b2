"""A simulated cloud fleet: series whose truth is known, with the faults of real monitoring data.

Every service has the variates cpu (percent), latency (milliseconds), memory (percent) and
requests (per step). Requests follow the day, the week, slow growth, a drifting level, shocks that
the whole fleet feels, deployments and incidents; cpu and latency follow requests, late and
saturating; memory leaks until a restart. Batch services receive no request most of the time.

Services are named ``<group>-<number>``; siblings of a group share the shape of their day. The four
``legacy`` services and a few dozen rows are broken on purpose, for validation to find.

Shapes: T time steps; rows of the variates in the order of ``VARIATES``.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64

from toto_core.data.frequency import DAY_US, HOUR_US, Frequency
from toto_core.data.tables import ITEMS_SCHEMA, SERIES_SCHEMA, SORT_KEYS, TARGET

VARIATES = ("cpu", "latency", "memory", "requests")
SOURCE = "demo"
START_US = 1_736_121_600_000_000  # Monday 2025-01-06T00:00Z

WEB_GROUPS = (
    "checkout",
    "search",
    "cart",
    "catalog",
    "payment",
    "login",
    "gateway",
    "images",
    "pricing",
)
BATCH_GROUPS = ("reports", "billing", "export")
GROUPS = (*WEB_GROUPS, *BATCH_GROUPS)
LEGACY = ("legacy-constant", "legacy-irregular", "legacy-short", "legacy-silent")

# First words of the seeds, so that no two draws share a stream.
_FLEET, _GROUP, _SERVICE, _SCRAPES, _FAULTS = range(5)


@dataclass(frozen=True)
class Fleet:
    """The simulated series.

    Attributes:
        rows: with the columns of ``SERIES_SCHEMA``, sorted.
        items: with the columns of ``ITEMS_SCHEMA``, sorted.
    """

    rows: pl.DataFrame
    items: pl.DataFrame


@dataclass(frozen=True)
class _Clock:
    """The grid of time stamps and what the simulation needs to know of it."""

    times: Int64[np.ndarray, " T"]
    step_days: float

    @property
    def hours(self) -> Float64[np.ndarray, " T"]:
        return (self.times % DAY_US) / HOUR_US

    @property
    def days(self) -> Float64[np.ndarray, " T"]:
        return (self.times - START_US) / DAY_US


def simulate_fleet(*, num_services: int, num_days: int, freq: Frequency, seed: int) -> Fleet:
    """Simulate ``num_services`` healthy services and the four broken ones.

    The same arguments give the same values; a service keeps its values when others are added.

    Args:
        num_services: >= 1.
        num_days: length of the history in days, >= 1; it begins at ``START_US``.
        freq: of the scrapes; its nominal step is used.
        seed: >= 0.
    """
    times = np.arange(START_US, START_US + num_days * DAY_US, freq.interval_us, dtype=np.int64)
    clock = _Clock(times, freq.interval_us / DAY_US)
    shocks_T = _shared_shocks(clock, seed)
    tables = [
        _scraped(
            f"{GROUPS[index % len(GROUPS)]}-{index // len(GROUPS) + 1}",
            times,
            _service(clock, shocks_T, index, seed),
            np.random.default_rng([seed, _SCRAPES, index]),
        )
        for index in range(num_services)
    ]
    rows = pl.concat([_with_faulty_rows(pl.concat(tables), seed), _legacy(clock, shocks_T, seed)])
    rows = rows.sort(SORT_KEYS, maintain_order=True)
    return Fleet(rows=rows, items=_items(rows, freq))


def _items(rows: pl.DataFrame, freq: Frequency) -> pl.DataFrame:
    return (
        rows.select("item_id", "variate")
        .unique()
        .with_columns(
            role=pl.lit(TARGET),
            freq=pl.lit(freq.canonical),
            group=pl.col("item_id").str.extract(r"^(.*?)-", 1),
            source=pl.lit(SOURCE),
        )
        .cast(ITEMS_SCHEMA)
        .sort("item_id", "variate")
    )


def _ar(
    rng: np.random.Generator, clock: _Clock, *, half_life_days: float, std: float
) -> Float64[np.ndarray, " T"]:
    """A stationary first-order autoregressive path with the given standard deviation."""
    decay = 0.5 ** (clock.step_days / half_life_days)
    noise = rng.standard_normal(len(clock.times)) * std * np.sqrt(1 - decay**2)
    noise[0] = rng.standard_normal() * std
    return _decaying(noise, decay)


def _decaying(impulses_T: Float64[np.ndarray, " T"], decay: float) -> Float64[np.ndarray, " T"]:
    """Sum of past impulses, each shrunk by ``decay`` a step, in blocks that cannot overflow."""
    block = max(1, int(200 / -np.log2(decay)))
    result = np.empty_like(impulses_T)
    carry = 0.0
    for start in range(0, len(impulses_T), block):
        part = impulses_T[start : start + block]
        weights = decay ** np.arange(1, len(part) + 1)
        result[start : start + block] = weights * (carry + np.cumsum(part / weights))
        carry = float(result[start + len(part) - 1])
    return result


def _shared_shocks(clock: _Clock, seed: int) -> Float64[np.ndarray, " T"]:
    """What the whole fleet feels, on the logarithm of requests: campaigns, outages, the mood."""
    rng = np.random.default_rng([seed, _FLEET])
    events = (rng.random(len(clock.times)) < clock.step_days / 12) * rng.normal(
        0.0, 0.4, len(clock.times)
    )
    return _decaying(events, 0.5 ** (clock.step_days / 0.6)) + _ar(
        rng, clock, half_life_days=4.0, std=0.06
    )


def _service(
    clock: _Clock, shocks_T: Float64[np.ndarray, " T"], index: int, seed: int
) -> Float64[np.ndarray, "4 T"]:
    group = index % len(GROUPS)
    rng = np.random.default_rng([seed, _SERVICE, index])
    shape_rng = np.random.default_rng([seed, _GROUP, group])
    if GROUPS[group] in BATCH_GROUPS:
        requests_T = _batch_requests(rng, shape_rng, clock)
    else:
        log_T = _seasons(rng, shape_rng, clock) + _level(rng, clock)
        requests_T = rng.uniform(2e3, 4e4) * np.exp(log_T + rng.uniform(0.5, 1.2) * shocks_T)
    return _resources(rng, clock, requests_T)


def _seasons(
    rng: np.random.Generator, shape_rng: np.random.Generator, clock: _Clock
) -> Float64[np.ndarray, " T"]:
    """Logarithm of the day's and the week's shape; the group's shape, a little shifted."""
    peak, width = shape_rng.uniform(10, 20), shape_rng.uniform(0.7, 1.5)
    depth = shape_rng.uniform(0.25, 0.6)
    evening, weekend = shape_rng.uniform(0.05, 0.3), shape_rng.uniform(-0.6, 0.25)
    angle_T = 2 * np.pi * (clock.hours - peak - rng.normal(0, 0.4)) / 24
    day_T = depth * (np.exp(width * (np.cos(angle_T) - 1)) - 0.5) + evening * np.cos(2 * angle_T)
    # The weekend comes on over some hours, not at midnight.
    week_T = 1 / (1 + np.exp(-8 * (np.cos(2 * np.pi * (clock.days - 6) / 7) - 0.62)))
    return day_T * (1 - 0.3 * week_T) + weekend * week_T


def _level(rng: np.random.Generator, clock: _Clock) -> Float64[np.ndarray, " T"]:
    """Logarithm of the level: growth, drift, deployments, incidents and heavy-tailed noise."""
    size = len(clock.times)
    growth_T = rng.normal(0.2, 0.25) * clock.days / 365
    drift_T = _ar(rng, clock, half_life_days=10.0, std=0.12)
    deployments_T = np.cumsum(_rare(rng, clock, every_days=45.0) * rng.normal(0, 0.15, size))
    drops_T = _decaying(
        _rare(rng, clock, every_days=40.0) * rng.uniform(-1.5, -0.5, size),
        0.5 ** (clock.step_days / 0.08),
    )
    quick_T = _ar(rng, clock, half_life_days=0.1, std=0.05)
    noise_T = rng.standard_t(4, size) * rng.uniform(0.05, 0.10)
    return growth_T + drift_T + deployments_T + drops_T + quick_T + noise_T


def _rare(rng: np.random.Generator, clock: _Clock, *, every_days: float) -> Bool[np.ndarray, " T"]:
    return rng.random(len(clock.times)) < clock.step_days / every_days


def _batch_requests(
    rng: np.random.Generator, shape_rng: np.random.Generator, clock: _Clock
) -> Float64[np.ndarray, " T"]:
    """Requests of a nightly job: nothing most of the time, then some hours of work."""
    start, weekday_only = shape_rng.uniform(0, 6), shape_rng.random() < 0.5
    since_T = (clock.hours - start) % 24
    running_T = since_T < rng.uniform(2, 5)
    if weekday_only:
        running_T &= clock.days % 7 < 5
    stray_T = rng.random(len(clock.times)) < 0.02
    size_T = rng.uniform(300, 2000) * np.exp(
        _ar(rng, clock, half_life_days=6.0, std=0.25) + rng.normal(0, 0.25, len(clock.times))
    )
    return np.where(running_T, size_T, np.where(stray_T, 0.1 * size_T, 0.0))


def _resources(
    rng: np.random.Generator, clock: _Clock, requests_T: Float64[np.ndarray, " T"]
) -> Float64[np.ndarray, "4 T"]:
    """The four variates that belong to expected requests."""
    size = len(requests_T)
    # Work queues up: load is a short moving average of requests, so cpu and latency lag them.
    keep = 0.5 ** (clock.step_days / 0.03)
    load_T = (1 - keep) * _decaying(requests_T, keep)
    load_T /= rng.uniform(1.1, 1.6) * np.quantile(load_T, 0.98) + 1e-9
    busy_T = np.tanh(1.2 * load_T) / np.tanh(1.2)
    cpu_T = rng.uniform(3, 10) + rng.uniform(45, 75) * busy_T
    cpu_T = cpu_T * np.exp(rng.normal(0, 0.06, size)) + _ar(rng, clock, half_life_days=2.0, std=1.5)
    incidents_T = _decaying(
        _rare(rng, clock, every_days=25.0) * rng.pareto(2.5, size), 0.5 ** (clock.step_days / 0.08)
    )
    queue_T = 1 + 0.6 * load_T / (1.15 - np.minimum(load_T, 1.0))
    latency_T = rng.uniform(20, 120) * queue_T * (1 + incidents_T)
    latency_T *= np.exp(
        rng.standard_t(5, size) * 0.07 + _ar(rng, clock, half_life_days=5.0, std=0.1)
    )
    return np.stack(
        [
            np.clip(cpu_T, 0.0, 100.0).round(3),
            latency_T.round(3),
            _memory(rng, clock, load_T),
            rng.poisson(requests_T).astype(np.float64),
        ]
    )


def _memory(
    rng: np.random.Generator, clock: _Clock, load_T: Float64[np.ndarray, " T"]
) -> Float64[np.ndarray, " T"]:
    """Percent of memory: a leak that grows with load until the scaler restarts the service."""
    base, span = rng.uniform(20, 40), rng.uniform(20, 40)
    leak_T = np.cumsum((0.3 + load_T) * np.exp(rng.normal(0, 0.3, len(load_T))))
    leak_T *= span * clock.step_days / rng.uniform(2, 6)
    memory_T = base + leak_T % span + 8 * load_T + rng.normal(0, 0.5, len(load_T))
    return np.clip(memory_T, 0.0, 100.0).round(3)


def _scraped(
    item_id: str,
    times: Int64[np.ndarray, " T"],
    values_VT: Float64[np.ndarray, "4 T"],
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Rows of the service without the scrapes that were missed, alone or for some steps."""
    size = len(times)
    lost_T = np.zeros(size, dtype=bool)
    for start in np.flatnonzero(rng.random(size) < 1 / 400):
        lost_T[start : start + rng.geometric(0.4)] = True
    lost_VT = lost_T | (rng.random(values_VT.shape) < 1 / 500)
    return _rows(item_id, times, values_VT, keep_VT=~lost_VT)


def _rows(
    item_id: str,
    times: Int64[np.ndarray, " T"],
    values_VT: Float64[np.ndarray, "4 T"],
    *,
    keep_VT: Bool[np.ndarray, "4 T"],
) -> pl.DataFrame:
    names = np.repeat(np.array(VARIATES), len(times))
    return (
        pl.DataFrame(
            {
                "item_id": pl.repeat(item_id, len(names), eager=True),
                "variate": pl.Series(names.tolist(), dtype=pl.String),
                "timestamp": np.tile(times, len(VARIATES)),
                "value": values_VT.ravel(),
            }
        )
        .filter(pl.Series(keep_VT.ravel()))
        .cast(SERIES_SCHEMA)
    )


def _with_faulty_rows(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Plant values that are not finite, negative cpu, and duplicates that agree or contradict."""
    rng = np.random.default_rng([seed, _FAULTS])
    count = max(1, rows.height // 40_000)
    cpu = np.flatnonzero((rows["variate"] == "cpu").to_numpy())
    values = rows["value"].to_numpy().copy()
    values[rng.choice(rows.height, count, replace=False)] = np.nan
    values[rng.choice(rows.height, count, replace=False)] = np.inf
    values[rng.choice(cpu, count, replace=False)] = -1.0
    rows = rows.with_columns(value=pl.Series(values))
    agreeing = rows[np.sort(rng.choice(rows.height, 3 * count, replace=False))]
    other = rows[np.sort(rng.choice(rows.height, count, replace=False))]
    return pl.concat([rows, agreeing, other.with_columns(value=pl.col("value") * 1.5)])


def _legacy(clock: _Clock, shocks_T: Float64[np.ndarray, " T"], seed: int) -> pl.DataFrame:
    """The services that validation must refuse as a whole; they are too brief to weigh much."""
    rng = np.random.default_rng([seed, _FAULTS, 1])
    tables = []
    for number, item_id in enumerate(LEGACY):
        size = min(len(clock.times), 60 if item_id == "legacy-short" else 400)
        times = clock.times[:size]
        values_VT = _service(clock, shocks_T, 1000 * len(GROUPS) + number, seed)[:, :size]
        keep_VT = np.ones(values_VT.shape, dtype=bool)
        if item_id == "legacy-constant":
            values_VT = np.repeat(values_VT[:, :1], size, axis=1)
        elif item_id == "legacy-irregular":
            step = times[1] - times[0]
            times = times[0] + np.cumsum(rng.integers(step // 4, 2 * step, size) // 1000 * 1000)
        elif item_id == "legacy-silent":
            keep_VT &= rng.random(size) < 0.1
            keep_VT[:, [0, -1]] = True
        tables.append(_rows(item_id, times, values_VT, keep_VT=keep_VT))
    return pl.concat(tables)
