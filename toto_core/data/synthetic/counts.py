"""Families of counts.

Shape: T time steps.
"""

import numpy as np
from jaxtyping import Bool, Float32

from toto_core.data.synthetic.draws import Number, chance, log_uniform, normal, uniform
from toto_core.data.synthetic.seasons import seasons
from toto_core.data.synthetic.sensor import row


def intermittent(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Counts that are mostly zero: rare demand, or bursts between silences.

    Demand comes with a probability that may have a season; its sizes are geometric or log-normal
    (Croston 1972; Syntetos and Boylan 2005).
    """
    rate = np.full(length, log_uniform(rng, 0.02, 0.4), np.float32)
    if chance(rng, 0.5):
        rate *= np.exp(np.float32(0.7) * seasons(rng, length))
    if chance(rng, 0.4):
        rate = np.where(
            on_off(rng, length, log_uniform(rng, 5, 200)), np.minimum(4 * rate, 0.9), 0.02 * rate
        )
    times = np.flatnonzero(rng.random(length, dtype=np.float32) < rate)
    demand = np.zeros(length, np.float32)
    if chance(rng, 0.6):
        demand[times] = rng.geometric(log_uniform(rng, 0.05, 0.9), len(times))
    else:
        sizes = np.exp(np.float32(uniform(rng, 0.3, 1.2)) * normal(rng, len(times)))
        demand[times] = np.ceil(log_uniform(rng, 1, 1e6) * sizes)
    return row(demand)


def on_off(rng: np.random.Generator, length: int, stay: Number) -> Bool[np.ndarray, " T"]:
    """A two-state process with geometric stays of ``stay`` steps on average, at least 1."""
    switches = rng.random(length, dtype=np.float32) < np.float32(1 / stay)
    switches[0] = chance(rng, 0.5)
    return np.logical_xor.accumulate(switches)
