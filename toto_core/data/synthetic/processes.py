"""Families of stochastic processes without calendars.

Shape: T time steps.
"""

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.draws import chance, log_uniform, uniform
from toto_core.data.synthetic.noise import autoregression, poles, power_law, wander, white
from toto_core.data.synthetic.sensor import measured, row


def autoregressive(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """ARMA, long memory, or an integrated ARMA process with drift (Box and Jenkins 1970)."""
    kind = rng.random()
    if kind < 0.2:
        return measured(rng, power_law(rng, length, uniform(rng, 0.3, 1.8)))
    zeros = [uniform(rng, -0.9, 0.9)] if chance(rng, 0.4) else []
    signal = autoregression(rng, length, poles(rng), zeros)
    if kind < 0.6:
        return measured(rng, signal)
    drift = rng.standard_normal() / length**0.5
    return measured(rng, np.cumsum(signal + np.float32(drift)))


def random_walk(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """A walk or a price whose step size wanders slowly (stochastic volatility: Taylor 1982)."""
    changes = white(rng, length)
    if chance(rng, 0.6):
        size = np.float32(uniform(rng, 0.2, 0.8))
        changes *= np.exp(size * wander(rng, length, log_uniform(rng, 10, 300)))
    walk = np.cumsum(changes + np.float32(rng.standard_normal() / length**0.5))
    if chance(rng, 0.3):
        return measured(rng, walk)
    # Prices: the logarithm walks. The bound keeps the wildest ones within float32.
    growth = np.clip(np.float32(log_uniform(rng, 0.002, 0.03)) * walk, -30, 30)
    return row(np.exp(growth) * np.float32(log_uniform(rng, 0.1, 1e4)))
