"""The last step of a family: a signal as an instrument reports it.

Scales span many orders of magnitude, levels none or many times the swing; values may be counted,
rounded, clipped to a range (censoring: TiRex, arXiv:2505.23719) or the signal's exponential.

Shape: T time steps, V variates.
"""

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.draws import chance, log_uniform, normal, pick, standardised, uniform

_LARGE_RATE = 15.0  # from here on a normal number, rounded, serves as a Poisson one


def measured(rng: np.random.Generator, signal: np.ndarray) -> Float32[np.ndarray, "1 T"]:
    """Any signal: plain, counted, clipped, rounded or its exponential, on a random scale."""
    signal = standardised(signal)
    kind = rng.random()
    if kind < 0.08:
        mean = log_uniform(rng, 0.5, 1e3)
        return counted(rng, mean * np.maximum(1 + uniform(rng, 0.2, 0.9) * signal, 0))
    if kind < 0.18:
        # Utilisation: between nothing and a ceiling that it may touch.
        low, high = -uniform(rng, 1, 4), uniform(rng, 0.7, 4)
        return row((np.clip(signal, low, high) - low) * (pick(rng, (1.0, 100.0)) / (high - low)))
    if kind < 0.3:
        return positive(rng, np.exp(log_uniform(rng, 0.1, 1.0) * signal))
    if kind < 0.42:
        grain = log_uniform(rng, 0.05, 0.5)
        signal = np.rint(signal / grain) * grain
    offset = pick(rng, (0.0, 3 * rng.standard_normal(), log_uniform(rng, 3, 100)))
    return row((signal + np.float32(offset)) * log_uniform(rng, 1e-3, 1e6))


def positive(rng: np.random.Generator, level: np.ndarray) -> Float32[np.ndarray, "1 T"]:
    """Put a level at or above 0 on a random scale, now and then rounded; 0 stays 0."""
    if chance(rng, 0.25):
        mean = float(level.mean())
        grain = log_uniform(rng, 0.005, 0.3) * mean if mean > 0 else 1.0
        return row(np.rint(level * (1 / grain)) * pick(rng, (grain, 1.0, 0.1, 0.01)))
    return row(level * log_uniform(rng, 1e-3, 1e6))


def counted(rng: np.random.Generator, rate: np.ndarray) -> Float32[np.ndarray, "1 T"]:
    """Counts with these expectations: Poisson."""
    rate = np.asarray(rate, np.float32)
    if rate.mean() < _LARGE_RATE:
        return row(rng.poisson(rate))
    return row(np.maximum(np.rint(rate + np.sqrt(rate) * normal(rng, len(rate))), 0))


def row(signal: np.ndarray) -> Float32[np.ndarray, "1 T"]:
    """One variate of float32."""
    return np.asarray(signal, np.float32)[None]
