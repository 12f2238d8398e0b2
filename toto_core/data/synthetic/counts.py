"""Families of counts: rare demand, and low rates with a season.

Shape: T time steps.
"""

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.draws import chance, log_uniform, normal, pick, uniform
from toto_core.data.synthetic.noise import on_off, wander
from toto_core.data.synthetic.seasons import cycle, repeated, seasons
from toto_core.data.synthetic.sensor import row
from toto_core.data.synthetic.trends import trend

_HIGHEST_RATE = 1e4


def intermittent(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Counts that are mostly zero: rare demand, or bursts between silences.

    Demand comes with a probability that may have a season; its sizes are geometric or log-normal
    (Croston 1972; Syntetos and Boylan 2005).
    """
    rate = np.full(length, log_uniform(rng, 0.02, 0.4), np.float32)
    if chance(rng, 0.5):
        rate *= np.exp(0.7 * seasons(rng, length))
    if chance(rng, 0.4):
        busy = on_off(rng, length, log_uniform(rng, 5, 200))
        rate *= np.where(busy, np.float32(3), np.float32(0.05))
    times = np.flatnonzero(rng.random(length, dtype=np.float32) < rate)
    demand = np.zeros(length, np.float32)
    if chance(rng, 0.6):
        demand[times] = rng.geometric(log_uniform(rng, 0.05, 0.9), len(times))
    else:
        sizes = np.exp(uniform(rng, 0.3, 1.2) * normal(rng, len(times)))
        demand[times] = np.ceil(log_uniform(rng, 1, 1e6) * sizes)
    return row(demand)


def seasonal_counts(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Sales or visits: Poisson or negative binomial, with weekdays, a season, a trend.

    A negative binomial number is a Poisson one whose rate is a gamma number (Greenwood and Yule
    1920); a log-normal one does the same here. Promotions multiply the rate for some days; an
    empty shelf or a closed shop is zero.
    """
    logs = np.full(length, np.log(log_uniform(rng, 0.1, 60)), np.float32)
    if chance(rng, 0.75):
        period = pick(rng, (7, 7, 7, 12, 24, 24, 4, 52))
        logs += log_uniform(rng, 0.1, 1) * repeated(rng, cycle(rng, period), length)
    else:
        logs += log_uniform(rng, 0.1, 1) * seasons(rng, length)
    if chance(rng, 0.5):
        logs += log_uniform(rng, 0.05, 0.6) * trend(rng, length)
    if chance(rng, 0.4):
        logs += log_uniform(rng, 0.1, 0.7) * wander(rng, length, log_uniform(rng, 3, 200))
    if chance(rng, 0.4):
        logs += log_uniform(rng, 0.1, 0.8) * normal(rng, length)
    if chance(rng, 0.3):
        promoted = on_off(rng, length, log_uniform(rng, 4, 20)) & on_off(rng, length, 60)
        logs += uniform(rng, 0.3, 1.8) * promoted
    sold = rng.poisson(np.minimum(np.exp(logs), np.float32(_HIGHEST_RATE))).astype(np.float32)
    if chance(rng, 0.15):
        sold *= on_off(rng, length, 30) | on_off(rng, length, 30) | on_off(rng, length, 30)
    return row(sold)
