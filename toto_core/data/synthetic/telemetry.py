"""Families of observability: requests, gauges, memory, disks, counters, latencies, errors, jobs.

Shape: T time steps.
"""

from typing import Final

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.draws import (
    chance,
    log_uniform,
    normal,
    pick,
    rare,
    standardised,
    uniform,
    whole,
)
from toto_core.data.synthetic.noise import leaky_sum, on_off, wander, white
from toto_core.data.synthetic.seasons import RATES, cycle, peaks, sampled
from toto_core.data.synthetic.sensor import counted, positive, row

_RATES: Final = ("10s", "10s", "1min", "1min", "5min", "5min", "5min", "15min", "1h")
_DAY_POINTS: Final = 1440


def load(rng: np.random.Generator, length: int) -> Float32[np.ndarray, " T"]:
    """Work that arrives, about 1: day and week at a scraping interval, wander and bursts."""
    if chance(rng, 0.5):
        day = cycle(rng, _DAY_POINTS)
    else:
        day = standardised(peaks(rng, _DAY_POINTS, count=int(rng.integers(1, 4))))
    week = np.tile(log_uniform(rng, 0.03, 1) * day, 7)
    if chance(rng, 0.6):
        week[5 * _DAY_POINTS :] -= rng.random()
    steps_a_week = 7 * RATES[pick(rng, _RATES)].day
    logs = sampled(week, np.arange(length) / steps_a_week + rng.random())
    logs += log_uniform(rng, 0.02, 0.4) * wander(rng, length, log_uniform(rng, 2, 200))
    work = np.exp(logs)
    if chance(rng, 0.4):
        work += bursts(rng, length)
    if chance(rng, 0.25):
        work *= deployments(rng, length)
    return work


def bursts(rng: np.random.Generator, length: int) -> Float32[np.ndarray, " T"]:
    """Bursts at random times, of Pareto heights, that end at once or fade."""
    impulses = np.zeros(length, np.float32)
    times = np.flatnonzero(rare(rng, length, log_uniform(rng, 0.001, 0.05)))
    tail = 1 / uniform(rng, 1.2, 3.5)
    impulses[times] = np.float32(log_uniform(rng, 0.2, 3)) * np.minimum(
        rng.random(len(times), dtype=np.float32) ** -tail, 100
    )
    if chance(rng, 0.3):
        return impulses
    return leaky_sum(impulses, np.exp(-1 / log_uniform(rng, 0.7, 20)))


def deployments(rng: np.random.Generator, length: int) -> Float32[np.ndarray, " T"]:
    """Factors that change at a few times and then stay: releases, scaling, moved traffic."""
    changes = np.zeros(length, np.float32)
    times = np.flatnonzero(rare(rng, length, log_uniform(rng, 1, 8) / length))
    changes[times] = 0.5 * normal(rng, len(times))
    return np.exp(np.cumsum(changes))


def request_rate(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Requests: a load, counted, with outages at times."""
    work = load(rng, length)
    if chance(rng, 0.15):
        down = leaky_sum(rare(rng, length, 3 / length).astype(np.float32), 0.9) > 0.2
        work = np.where(down, np.float32(0.02) * work, work)
    if chance(rng, 0.6):
        return counted(rng, work * log_uniform(rng, 0.3, 1e4))
    return positive(rng, work * np.exp(log_uniform(rng, 0.01, 0.3) * normal(rng, length)))


def utilisation(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """A busy share of a processor or a link: grows with the load, saturates at 100, is rounded."""
    work = load(rng, length) * log_uniform(rng, 0.03, 0.9)
    busy = -np.expm1(-work) if chance(rng, 0.5) else np.minimum(work, 1)
    busy += log_uniform(rng, 0.001, 0.1) * np.abs(white(rng, length))
    share = np.clip(busy + np.float32(uniform(rng, 0, 0.2)), 0, 1)
    scale = pick(rng, (1.0, 100.0, 100.0))
    grain = pick(rng, (0.0, 0.001, 0.01)) * scale
    return row(np.rint(share * (scale / grain)) * grain if grain else share * scale)


def collected_memory(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Memory below a garbage collector: rises with the work, drops at a limit, leaks, restarts."""
    work = load(rng, length) if chance(rng, 0.5) else np.exp(0.3 * normal(rng, length))
    filled = np.cumsum(work.astype(np.float32))
    filled *= np.float32(length / log_uniform(rng, 5, 400) / filled[-1])
    drop = np.floor(filled).astype(np.intp)
    survivors = np.abs(0.1 * normal(rng, int(drop[-1]) + 1))
    if chance(rng, 0.4):  # what is never given back
        survivors += np.cumsum(np.abs(normal(rng, len(survivors)))) * np.float32(
            log_uniform(rng, 0.1, 3) / len(survivors)
        )
    used = log_uniform(rng, 0.1, 5) + survivors[drop] + filled - drop
    if chance(rng, 0.2):
        used = np.where(rare(rng, length, 3 / length), np.float32(0.1), used)
    noise = log_uniform(rng, 0.001, 0.05) * normal(rng, length)
    return positive(rng, np.maximum(used + noise, 0).astype(np.float32))


def disk_space(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Space in use: fills by what is written, clean-ups at regular or random times free a share."""
    written = load(rng, length) * rng.standard_exponential(length, dtype=np.float32)
    kept = np.ones(length, np.float32)
    if chance(rng, 0.6):
        gap = int(log_uniform(rng, 20, 800))
        times = np.arange(int(rng.random() * gap), length, gap)
    else:
        times = np.flatnonzero(rare(rng, length, 1 / log_uniform(rng, 30, 1000)))
    kept[times] = rng.random(len(times), dtype=np.float32) ** log_uniform(rng, 0.2, 3)
    used = leaky_sum(written, kept)
    used = used * np.float32(1 / used.max()) + uniform(rng, 0, 2)
    if chance(rng, 0.4):
        return row(np.rint(used * np.float32(1000 / used.max())) / 10)  # percent
    return positive(rng, used)


def counter(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """A total that only grows, and starts from zero when its process restarts or a day is over."""
    new = rng.poisson(load(rng, length) * log_uniform(rng, 0.1, 100))
    total = np.cumsum(new)
    if chance(rng, 0.7):
        restarts = np.flatnonzero(rare(rng, length, log_uniform(rng, 0.3, 20) / length))
    else:
        period = whole(rng, 20, 600)
        restarts = np.arange(int(rng.random() * period), length, period)
    lost = np.zeros(length, total.dtype)
    lost[restarts] = total[restarts]
    return row(total - np.maximum.accumulate(lost))


def latency(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Response times: higher under load (queueing: 1 / (1 - use)), heavy right tail, time-outs."""
    use = -np.expm1(-load(rng, length) * log_uniform(rng, 0.2, 2))
    tail = np.exp(log_uniform(rng, 0.03, 0.8) * white(rng, length))
    taken = tail / (1.02 - use)
    if chance(rng, 0.5):
        slow = rare(rng, length, log_uniform(rng, 0.001, 0.05))
        taken[slow] *= 1 + 20 * rng.standard_exponential(int(slow.sum()), dtype=np.float32)
    if chance(rng, 0.3):
        taken = np.minimum(taken, np.float32(uniform(rng, 4, 40)))
    return positive(rng, taken)


def error_count(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Errors: few in proportion to the load, many while an incident lasts."""
    rate = load(rng, length) * log_uniform(rng, 0.01, 3)
    incidents = rare(rng, length, log_uniform(rng, 0.5, 10) / length).astype(np.float32)
    incidents *= log_uniform(rng, 5, 300)
    rate += leaky_sum(incidents, np.exp(-1 / log_uniform(rng, 1, 60)))
    if not chance(rng, 0.3):
        return counted(rng, rate)
    served = log_uniform(rng, 10, 1000)
    return row(np.minimum(counted(rng, rate)[0] / served, 1))


def scheduled_jobs(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Jobs of a schedule over a quiet base: spikes, blocks each few minutes, hour, day or week."""
    rate = RATES[pick(rng, _RATES)]
    used = log_uniform(rng, 0.01, 0.3) * np.abs(white(rng, length))
    for _ in range(int(rng.integers(1, 4))):
        period = pick(
            rng,
            (rate.hour or rate.day, rate.day, rate.week or rate.day, log_uniform(rng, 5, 700)),
        )
        start = period * rng.random() + np.arange(-1, length / period + 1) * period
        start += log_uniform(rng, 0.01, 2) * rng.random(len(start))
        ran = rng.random(len(start)) < uniform(rng, 0.8, 1.05)
        width = log_uniform(rng, 1, max(2, period / 3)) * np.exp(
            0.2 * rng.standard_normal(len(start))
        )
        height = log_uniform(rng, 0.3, 3) * np.exp(0.2 * rng.standard_normal(len(start))) * ran
        used += _blocks(start, np.maximum(width, 1), height, length)
    return positive(rng, used)


def batch_jobs(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Work that is on or off: a level while a job runs, almost nothing between."""
    running = on_off(rng, length, log_uniform(rng, 4, 300))
    job = np.cumsum(np.diff(running, prepend=False))
    level = np.exp(log_uniform(rng, 0.02, 0.8) * normal(rng, int(job[-1]) + 1))[job]
    inner = 1 + log_uniform(rng, 0.005, 0.3) * white(rng, length)
    used = np.where(running, level * np.abs(inner), np.float32(log_uniform(rng, 1e-4, 0.1)))
    if chance(rng, 0.4):
        used = leaky_sum(0.3 * used, 0.7)
    return positive(rng, used.astype(np.float32))


def bursty_gauge(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """A virtual machine: a level that seldom changes, heavy-tailed bursts and busy spells."""
    used = log_uniform(rng, 0.01, 1) * deployments(rng, length)
    used *= np.exp(log_uniform(rng, 0.003, 0.3) * white(rng, length))
    used += bursts(rng, length)
    if chance(rng, 0.5):
        busy = on_off(rng, length, log_uniform(rng, 5, 200)) & on_off(rng, length, 100)
        used += busy * np.exp(0.5 * white(rng, length)) * log_uniform(rng, 0.1, 5)
    if chance(rng, 0.4):
        used = np.minimum(used, np.float32(np.quantile(used, 0.995)))
    return positive(rng, used)


def queue_depth(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """What waits: arrivals beyond capacity pile up and are worked off (Lindley 1952)."""
    arrivals = load(rng, length) * rng.standard_exponential(length, dtype=np.float32)
    capacity = np.float32(np.quantile(arrivals, uniform(rng, 0.6, 0.85)))
    surplus = np.cumsum(arrivals - capacity, dtype=np.float64)
    waiting = surplus - np.minimum(np.minimum.accumulate(surplus), 0)
    depth = np.rint(waiting * log_uniform(rng, 1, 300) / max(waiting.mean(), 1e-9))
    return row(depth)


def _blocks(
    start: np.ndarray, width: np.ndarray, height: np.ndarray, length: int
) -> Float32[np.ndarray, " T"]:
    """Sum of rectangles, cut to the length."""
    edges = np.zeros(length + 1, np.float64)
    np.add.at(edges, np.clip(start, 0, length).astype(np.intp), height)
    np.subtract.at(edges, np.clip(start + width, 0, length).astype(np.intp), height)
    return np.cumsum(edges[:length]).astype(np.float32)
