"""Trends: lines, bends, saturating growth, level shifts, spikes.

Shape: T time steps.
"""

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.draws import chance, log_uniform, normal, pick, rare, steps
from toto_core.data.synthetic.noise import curve, leaky_sum


def trend(rng: np.random.Generator, length: int) -> Float32[np.ndarray, " T"]:
    """No trend, a line, a bent line, or growth that saturates."""
    kind, size = rng.random(), log_uniform(rng, 0.1, 5.0)
    if kind < 0.3:
        return np.zeros(length, np.float32)
    if kind < 0.85:
        bent = curve(rng, length) if kind > 0.55 else steps(length) * (1 / length)
        return bent * (size if chance(rng, 0.5) else -size)
    middle, width = length * rng.random(), length * log_uniform(rng, 0.03, 0.3)
    return pick(rng, (-size, size)) * logistic((steps(length) - np.float32(middle)) / width)


def logistic(argument: np.ndarray) -> Float32[np.ndarray, " T"]:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1 + np.tanh(np.asarray(argument, np.float32) * 0.5))


def level_shifts(rng: np.random.Generator, length: int) -> Float32[np.ndarray, " T"]:
    """Jumps of the level at a few random times, some of which are undone at the next."""
    jumps = np.zeros(length, np.float32)
    sizes = 3 * normal(rng, int(rng.integers(1, 6)))
    if chance(rng, 0.5):
        sizes[1::2] = -sizes[: len(sizes) - len(sizes) % 2 : 2]
    jumps[np.sort(rng.integers(length, size=len(sizes)))] = sizes
    return np.cumsum(jumps)


def spikes(rng: np.random.Generator, length: int) -> Float32[np.ndarray, " T"]:
    """Spikes that decay at once or slowly, at random or regular times."""
    impulses = np.zeros(length, np.float32)
    if chance(rng, 0.3):
        period = int(log_uniform(rng, 8, max(9, length / 3)))
        times = np.arange(int(rng.random() * period), length, period)
    else:
        times = np.flatnonzero(rare(rng, length, log_uniform(rng, 1e-3, 0.03)))
    heights = np.exp(1 + 0.7 * normal(rng, len(times)))
    impulses[times] = heights if chance(rng, 0.7) else -heights
    if chance(rng, 0.5):
        return impulses
    return leaky_sum(impulses, np.exp(-1 / log_uniform(rng, 1, 30)))
