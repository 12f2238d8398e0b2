"""Families that grow: saturating and exponential growth, epidemics, life cycles, slow economies.

Shape: T time steps.
"""

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.draws import (
    chance,
    log_uniform,
    normal,
    pick,
    rare,
    standardised,
    steps,
    uniform,
    whole,
)
from toto_core.data.synthetic.noise import leaky_sum, wander, white
from toto_core.data.synthetic.seasons import cycle, repeated
from toto_core.data.synthetic.sensor import counted, positive, row
from toto_core.data.synthetic.trends import logistic

_MAX_LOG = 18.0  # of a level, e-fold: keeps explosive growth within float32


def saturating_growth(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Growth towards ceilings: logistic (Verhulst), Gompertz, exponential; several stacked."""
    level = np.full(length, np.float32(log_uniform(rng, 1e-4, 0.1)))
    for _ in range(int(rng.integers(1, 5))):
        pace = log_uniform(rng, 8, length / 3)
        time = (steps(length) - uniform(rng, 0, length)) * (1 / pace)
        kind, height = rng.random(), log_uniform(rng, 0.1, 3)
        if kind < 0.5:
            level += height * logistic(3 * time)
        elif kind < 0.8:
            level += height * np.exp(-np.exp(np.clip(-2 * time, -30, 4)))
        else:
            level += height * -np.expm1(-np.maximum(time, 0))
    level *= np.exp(log_uniform(rng, 0.001, 0.1) * white(rng, length))
    if chance(rng, 0.3):
        level *= np.exp(log_uniform(rng, 0.03, 0.3) * repeated(rng, cycle(rng, 7), length))
    return positive(rng, level)


def epidemic(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Cases or deaths, new or in total: waves whose growth rate changes sign, weekly reporting.

    The logarithm of new cases is the sum of a growth rate that wanders (renewal model: Fraser
    2007); before the first case there is nothing.
    """
    rate = wander(rng, length, log_uniform(rng, 10, 100))
    logs = standardised(leaky_sum(rate, 1 - log_uniform(rng, 0.002, 0.03)))
    logs = log_uniform(rng, 0.7, 4) * logs + uniform(rng, -1, 6)
    if chance(rng, 0.7):
        logs += log_uniform(rng, 0.05, 0.6) * repeated(rng, cycle(rng, 7), length)
    logs += log_uniform(rng, 0.02, 0.4) * white(rng, length)
    new = counted(rng, np.exp(np.clip(logs, -20, _MAX_LOG)))
    if chance(rng, 0.6):
        new[0, : int(logs.argmax() * rng.random())] = 0
    if chance(rng, 0.2):  # no reports at weekends
        closed = np.resize(np.array([1, 1, 1, 1, 1, 0, 0], np.float32), length)
        new *= closed
    if chance(rng, 0.5):
        return new
    total = np.cumsum(new, axis=1, dtype=np.float64)
    if chance(rng, 0.5):  # outbreaks are counted apart
        begin = steps(length).astype(np.intp) // whole(rng, 60, 600)
        total -= total[:, np.searchsorted(begin, begin)]
    return total.astype(np.float32)


def exponential_growth(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Growth by a rate that changes now and then, collapses, and growth again (log-linear)."""
    breaks = rare(rng, length, 1 / log_uniform(rng, 30, 600))
    breaks[0] = True
    segment = np.cumsum(breaks) - 1
    num = int(segment[-1]) + 1
    rates = log_uniform(rng, 0.002, 0.15) * (normal(rng, num) + uniform(rng, 0, 1))
    changes = rates[segment]
    if chance(rng, 0.5):  # starts again from little
        falls = breaks & rare(rng, length, 0.5)
        changes[falls] -= log_uniform(rng, 0.5, 6)
    noise = log_uniform(rng, 0.003, 0.2) * white(rng, length)
    logs = leaky_sum(changes, 1 - log_uniform(rng, 1e-4, 0.02))
    logs = np.float32(_MAX_LOG) * np.tanh(logs * np.float32(1 / _MAX_LOG)) + noise
    if chance(rng, 0.3):
        logs += log_uniform(rng, 0.03, 0.4) * repeated(
            rng, cycle(rng, pick(rng, (4, 7, 12, 24))), length
        )
    return positive(rng, np.exp(logs))


def life_cycle(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Sales of generations of a product: launch, peak, decline (Norton and Bass 1987).

    A generation sells at the density of a gamma distribution in time.
    """
    span = log_uniform(rng, 40, 600)
    starts = np.cumsum(2 * span * rng.random(int(length / span) + 2)) - 2 * span
    rate = np.full(length, np.float32(log_uniform(rng, 1e-3, 0.1)))
    ages = steps(int(3 * span)) * (4 / span)
    shape = ages ** log_uniform(rng, 0.3, 3) * np.exp(-ages)
    for start in starts.astype(np.intp):
        life = shape[max(0, -start) : max(0, length - start)]
        rate[max(0, start) : start + len(shape)] += np.float32(rng.standard_exponential()) * life
    rate *= np.exp(log_uniform(rng, 0.03, 0.5) * white(rng, length))
    if chance(rng, 0.5):
        period = pick(rng, (7, 7, 12, 52))
        rate *= np.exp(log_uniform(rng, 0.05, 0.6) * repeated(rng, cycle(rng, period), length))
    if chance(rng, 0.5):
        return counted(rng, rate * log_uniform(rng, 1, 300))
    return positive(rng, rate)


def economy(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Yearly, quarterly or monthly statistics: growth in cycles, a season, breaks, few surprises.

    Local linear trend with a season that evolves (Harvey 1989), in levels or logarithms. One in
    four begins late: up to half of the length is missing before.
    """
    slope = leaky_sum(normal(rng, length), 1 - 1 / log_uniform(rng, 2, 60))
    growth = standardised(slope) * log_uniform(rng, 0.1, 1)
    growth += log_uniform(rng, 0.05, 1.5) * normal(rng, length)
    signal = np.cumsum(growth + (0.15 * rng.standard_normal()))
    if chance(rng, 0.3):  # without a trend in the long run
        signal -= signal[-1] / length * steps(length)
    if chance(rng, 0.65):
        period = pick(rng, (4, 12, 12))
        part = log_uniform(rng, 0.3, 8) * repeated(rng, cycle(rng, period), length)
        if chance(rng, 0.4):
            part *= 1 + 0.3 * wander(rng, length, 8 * period)
        signal = signal + part
    signal = signal + log_uniform(rng, 0.03, 1.5) * white(rng, length)
    if chance(rng, 0.6):
        signal = np.exp(np.clip(signal * np.float32(log_uniform(rng, 0.002, 0.02)), -15, 15))
    else:
        signal = signal + uniform(rng, -1, 3) * np.float32(np.abs(signal).mean())
    made = row(signal * log_uniform(rng, 1, 1e4))
    if chance(rng, 0.25):
        made[:, : int(length * uniform(rng, 0, 0.5))] = np.nan
    return made
