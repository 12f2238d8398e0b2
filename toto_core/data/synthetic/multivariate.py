"""Families of several variates that belong together.

Chronos-2 (arXiv:2510.15821) makes multivariate series of univariate ones: mixed at the same time,
led and lagged, cointegrated, or joined by a random causal graph; CauKer (arXiv:2508.02879) puts
nonlinear edges into such a graph.

Shapes: V variates, T time steps, K latent series.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.draws import (
    chance,
    log_uniform,
    normal,
    pick,
    standardised,
    uniform,
)
from toto_core.data.synthetic.noise import leaky_sum, power_law, wander, white
from toto_core.data.synthetic.seasons import cycle, repeated, seasons
from toto_core.data.synthetic.sensor import counted, measured, positive, row
from toto_core.data.synthetic.telemetry import load
from toto_core.data.synthetic.trends import level_shifts, spikes, trend

_LONGEST_LAG: Final = 48


def _seasonal(rng: np.random.Generator, length: int) -> np.ndarray:
    return seasons(rng, length) + log_uniform(rng, 0.05, 0.5) * normal(rng, length)


def _drifting(rng: np.random.Generator, length: int) -> np.ndarray:
    return trend(rng, length) + 0.3 * wander(rng, length, log_uniform(rng, 3, 200))


_LATENT: Final[tuple[Callable[[np.random.Generator, int], np.ndarray], ...]] = (
    _seasonal,
    _seasonal,
    _drifting,
    lambda rng, length: wander(rng, length, log_uniform(rng, 1, 300)),
    lambda rng, length: power_law(rng, length, uniform(rng, 0.5, 2)),
    lambda rng, length: np.cumsum(white(rng, length)),
    lambda rng, length: level_shifts(rng, length) + 0.1 * normal(rng, length),
    lambda rng, length: spikes(rng, length) + 0.2 * normal(rng, length),
)
_EDGES: Final[tuple[Callable[[np.ndarray], np.ndarray], ...]] = (
    lambda x: x,
    lambda x: x,
    lambda x: -x,
    np.tanh,
    np.abs,
    np.square,
    np.sin,
    lambda x: np.maximum(x, 0),
    lambda x: (x > 0.5).astype(np.float32),
)


def causal_graph(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "V T"]:
    """A random temporal causal model: causes act later, nonlinearly, at times with inertia.

    Each variate has up to three causes among those before it, and a driver of its own.
    """
    signals: list[np.ndarray] = []
    for node in range(_num_variates(rng)):
        signal = standardised(pick(rng, _LATENT)(rng, length))
        if node:
            signal *= log_uniform(rng, 0.05, 1.5)
        for _ in range(min(node, int(rng.integers(1, 4)))):
            cause = _delayed(pick(rng, signals), int(log_uniform(rng, 1, _LONGEST_LAG)))
            effect = pick(rng, _EDGES)(cause)
            if chance(rng, 0.3):
                effect = leaky_sum(effect, 1 - 1 / log_uniform(rng, 1.5, 50))
            signal = signal + rng.standard_normal() * standardised(effect)
        signals.append(standardised(signal))
    return _measured_all(rng, signals)


def mixed_factors(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "V T"]:
    """Variates that mix a few latent series at the same time (factor model)."""
    num_factors = int(rng.integers(1, 5))
    factors = [standardised(pick(rng, _LATENT)(rng, length)) for _ in range(num_factors)]
    own = log_uniform(rng, 0.02, 1)
    signals = []
    for _ in range(_num_variates(rng)):
        weights = normal(rng, len(factors))
        mixed = sum(weight * factor for weight, factor in zip(weights, factors, strict=True))
        signals.append(mixed + own * white(rng, length))
    return _measured_all(rng, signals)


def lead_lag(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "V T"]:
    """One signal that reaches each variate later than the first, with noise of its own."""
    source = standardised(pick(rng, _LATENT)(rng, length + 4 * _LONGEST_LAG))
    noise = log_uniform(rng, 0.01, 0.7)
    signals = []
    for node in range(_num_variates(rng)):
        lag = 0 if node == 0 else int(log_uniform(rng, 1, 4 * _LONGEST_LAG))
        signal = source[4 * _LONGEST_LAG - lag :][:length]
        if node and chance(rng, 0.3):
            signal = standardised(leaky_sum(signal, 1 - 1 / log_uniform(rng, 1.5, 30)))
        size = pick(rng, (1, 1, 1, -1))
        signals.append(size * signal + (noise * rng.random()) * normal(rng, length))
    return _measured_all(rng, signals)


def cointegrated(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "V T"]:
    """Walks that share their trends and return to each other (Engle and Granger 1987)."""
    trends = [np.cumsum(white(rng, length)) for _ in range(1 + chance(rng, 0.3))]
    spread = log_uniform(rng, 1, 15)
    signals = []
    for _ in range(_num_variates(rng)):
        common = sum(uniform(rng, 0.3, 1.5) * walk for walk in trends)
        signals.append(common + spread * wander(rng, length, log_uniform(rng, 2, 100)))
    scale, level = log_uniform(rng, 1e-3, 1e4), log_uniform(rng, 1, 300)
    if chance(rng, 0.5):
        size = log_uniform(rng, 0.002, 0.02)
        return np.stack([np.exp(np.clip(size * x, -20, 20)) for x in signals]) * np.float32(scale)
    return (np.stack(signals) + np.float32(level)) * np.float32(scale)


def hierarchy(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "V T"]:
    """A total and its parts, which share a season and differ in size, trend and luck."""
    common = seasons(rng, length) * log_uniform(rng, 0.1, 0.8)
    week = log_uniform(rng, 0.05, 0.5)
    parts = []
    for _ in range(int(rng.integers(2, 8))):
        logs = common * uniform(rng, 0.3, 1.3)
        logs += week * repeated(rng, cycle(rng, 7), length) if chance(rng, 0.3) else 0
        logs += log_uniform(rng, 0.1, 0.8) * trend(rng, length)
        logs += log_uniform(rng, 0.03, 0.5) * wander(rng, length, log_uniform(rng, 1, 100))
        parts.append(np.exp(np.clip(logs, -8, 8)) * np.float32(np.exp(rng.standard_normal())))
    if chance(rng, 0.5):
        rate = log_uniform(rng, 0.5, 300)
        parts = [counted(rng, rate * part)[0] for part in parts]
    made = np.stack([*parts, sum(parts)]).astype(np.float32)
    return made if chance(rng, 0.5) else made[::-1].copy()


def service(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "V T"]:
    """What is scraped of one service: requests, processor, latency, errors, memory, queue."""
    work = load(rng, length)
    use = np.minimum(work * np.float32(1 / (work.max() * uniform(rng, 0.7, 2))), 1)
    noise = log_uniform(rng, 0.01, 0.2)
    waiting = np.maximum(use - np.float32(np.quantile(use, uniform(rng, 0.3, 0.95))), 0)
    waiting *= np.float32(1 / max(waiting.max(), 1e-6))
    rows = [
        counted(rng, work * log_uniform(rng, 1, 1e4)),
        row(100 * np.clip(use + noise * np.abs(normal(rng, length)), 0, 1)),
        positive(rng, np.exp(2 * noise * white(rng, length)) / (1.05 - use)),
        counted(rng, (0.01 + waiting) * log_uniform(rng, 3, 100)),
        positive(rng, 1 + np.maximum(leaky_sum(use - use.mean(), 0.98) * np.float32(0.1), -1)),
        row(np.rint(leaky_sum(waiting, 0.9) * log_uniform(rng, 3, 100))),
    ]
    order = rng.permutation(len(rows))[: int(rng.integers(3, len(rows) + 1))]
    return np.concatenate([rows[k] for k in order])


def price_bars(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "V T"]:
    """Open, high, low, close and volume of a price: four changes within each bar.

    Volume follows the size of the changes (Karpoff 1987).
    """
    ticks = 4
    spread = uniform(rng, 0.2, 0.6)
    size = np.exp(spread * wander(rng, length, log_uniform(rng, 5, 100)))
    changes = white(rng, ticks * length).reshape(length, ticks) * size[:, None]
    if chance(rng, 0.5):
        changes[:, 0] *= 2  # over night
    path = np.cumsum(changes.reshape(-1)).reshape(length, ticks)
    step = log_uniform(rng, 0.001, 0.015)
    price = np.exp(np.clip(step * path, -20, 20)) * np.float32(log_uniform(rng, 0.5, 1e3))
    luck = np.exp(0.3 * (normal(rng, length) + wander(rng, length, 10)))
    volume = (size + np.abs(changes).mean(axis=1)) * luck * log_uniform(rng, 1e3, 1e7)
    bars = np.stack(
        [price[:, 0], price.max(axis=1), price.min(axis=1), price[:, -1], np.rint(volume)]
    ).astype(np.float32)
    return bars if chance(rng, 0.7) else bars[:4]


def _num_variates(rng: np.random.Generator) -> int:
    return int(rng.integers(2, 9))


def _delayed(signal: np.ndarray, lag: int) -> np.ndarray:
    """The signal of ``lag`` steps before; its first value where there is none."""
    late = np.empty_like(signal)
    late[:lag], late[lag:] = signal[0], signal[:-lag]
    return late


def _measured_all(
    rng: np.random.Generator, signals: list[np.ndarray]
) -> Float32[np.ndarray, "V T"]:
    return np.concatenate([measured(rng, np.asarray(x, np.float32)) for x in signals])
