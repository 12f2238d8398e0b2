"""Random numbers as every synthetic family draws them.

Scalars come from single uniform draws and vectors are float32: at a few thousand points a series,
the cost of a call counts as much as that of its points.

Shape: T time steps.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float32

T = TypeVar("T")
Number = float | int


def uniform(rng: np.random.Generator, low: Number, high: Number) -> float:
    """Uniform between ``low`` and ``high``."""
    return float(low + (high - low) * rng.random())


def log_uniform(rng: np.random.Generator, low: Number, high: Number) -> float:
    """Uniform in the logarithm between ``low`` and ``high``, both above 0."""
    return float(low * (high / low) ** rng.random())


def chance(rng: np.random.Generator, probability: Number) -> bool:
    """True with this probability."""
    return rng.random() < probability


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, all alike."""
    return options[int(rng.random() * len(options))]


def whole(rng: np.random.Generator, low: Number, high: Number) -> int:
    """A whole number from ``low`` to ``high``, both included, uniform in the logarithm."""
    return int(log_uniform(rng, low, high + 1))


def normal(rng: np.random.Generator, size: int) -> Float32[np.ndarray, " T"]:
    """Standard normal numbers."""
    return rng.standard_normal(size, dtype=np.float32)


def rare(rng: np.random.Generator, length: int, rate: Number) -> Bool[np.ndarray, " T"]:
    """True at random steps, each with probability ``rate``."""
    return rng.random(length, dtype=np.float32) < rate


def steps(length: int) -> Float32[np.ndarray, " T"]:
    """Return 0, 1, 2, ... as float32."""
    return np.arange(length, dtype=np.float32)


def standardised(signal: Float32[np.ndarray, " T"]) -> Float32[np.ndarray, " T"]:
    """Mean zero and standard deviation one; a constant becomes zero."""
    centred = signal - np.float32(np.add.reduce(signal) / len(signal))
    spread = float(np.add.reduce(np.square(centred)) / len(signal)) ** 0.5
    return centred / np.float32(spread) if spread > 0 else centred
