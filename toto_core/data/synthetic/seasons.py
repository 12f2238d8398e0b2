"""Cycles: what one looks like, how it repeats, and which periods calendars make.

Shapes: T time steps, M points of one cycle.
"""

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64

from toto_core.data.synthetic.draws import (
    Number,
    chance,
    log_uniform,
    normal,
    pick,
    standardised,
    uniform,
)
from toto_core.data.synthetic.noise import through

_FINEST_CYCLE: Final = 4096  # points


class Rate(NamedTuple):
    """A sampling rate: how many steps calendars' cycles last; 0: not seen at this rate."""

    hour: float
    day: float
    week: float
    year: float


RATES: Final = {
    "10s": Rate(360, 8640, 0, 0),
    "1min": Rate(60, 1440, 10080, 0),
    "5min": Rate(12, 288, 2016, 0),
    "10min": Rate(6, 144, 1008, 0),
    "15min": Rate(4, 96, 672, 0),
    "30min": Rate(0, 48, 336, 17532),
    "1h": Rate(0, 24, 168, 8766),
    "3h": Rate(0, 8, 56, 2922),
    "1D": Rate(0, 0, 7, 365.25),
    "1B": Rate(0, 0, 5, 260.9),
    "1W": Rate(0, 0, 0, 52.18),
    "1M": Rate(0, 0, 0, 12),
    "1Q": Rate(0, 0, 0, 4),
}
PERIODS: Final = (
    *(tuple(period for period in rate if period >= 2) for rate in RATES.values()),
    *((7, 30.44), (5, 21.74), (24,), (7,), (12,), (60,), (30,), (4, 13)),
)


def cycle(rng: np.random.Generator, size: int) -> Float32[np.ndarray, " M"]:
    """One cycle of ``size`` points, of mean zero and standard deviation one."""
    kind = rng.random()
    if kind < 0.3:
        made = _harmonics(rng, size)
    elif kind < 0.5:
        knots = normal(rng, int(rng.integers(4, 14)))
        knots[-1] = knots[0]
        made = through(knots, size + 1)
    elif kind < 0.65:
        busy, steepness = uniform(rng, 0.1, 0.7), log_uniform(rng, 5, 100)
        made = np.tanh(steepness * (busy / 2 - np.abs(_phases(size) - 0.5)))
    elif kind < 0.85:
        made = peaks(rng, size, count=int(rng.integers(1, 5)))
    elif kind < 0.95:
        # No shape at all: it can only be copied from one cycle to the next.
        made = normal(rng, size) if size <= 48 else np.repeat(normal(rng, 32), -(-size // 32))
    else:
        made = _phases(size) ** log_uniform(rng, 0.3, 3)
        made *= pick(rng, (-1, 1))
    return standardised(made[:size])


def peaks(rng: np.random.Generator, size: int, *, count: int) -> Float32[np.ndarray, " M"]:
    """Bell-shaped peaks on a circle of ``size`` points, the highest about 1 (von Mises)."""
    centres = rng.random(count, dtype=np.float32)[:, None]
    heights = (0.2 + 0.8 * rng.random(count, dtype=np.float32))[:, None]
    widths = 0.02 * 8 ** rng.random(count, dtype=np.float32)[:, None]
    sharpness = 1 / np.square(np.float32(2 * np.pi) * widths)
    turns = np.cos(np.float32(2 * np.pi) * (_phases(size) - centres)) - 1
    return (heights * np.exp(sharpness * turns)).sum(axis=0)


def repeated(rng: np.random.Generator, made: np.ndarray, length: int) -> Float32[np.ndarray, " T"]:
    """Repeat a cycle from a random phase on."""
    start = int(rng.random() * len(made))
    return np.tile(made, -(-(length + start) // len(made)))[start : start + length]


def season(rng: np.random.Generator, length: int, period: Number) -> Float32[np.ndarray, " T"]:
    """Repeat a random cycle with any period of at least 2 steps, whole or not."""
    if period == int(period) and period <= _FINEST_CYCLE:
        return repeated(rng, cycle(rng, int(period)), length)
    made = cycle(rng, min(_FINEST_CYCLE, 1 << int(4 * period).bit_length()))
    return sampled(made, np.arange(length) / period + rng.random())


def sampled(
    made: Float32[np.ndarray, " M"], turns: Float64[np.ndarray, " T"]
) -> Float32[np.ndarray, " T"]:
    """Read a cycle at these numbers of turns; a whole number is its start."""
    places = ((turns - np.floor(turns)) * len(made)).astype(np.intp)
    return made.take(places, mode="clip")


def turning(turns: Float64[np.ndarray, " T"]) -> Float32[np.ndarray, " T"]:
    """Cosine of these numbers of turns."""
    return np.cos(np.float32(2 * np.pi) * (turns - np.floor(turns)).astype(np.float32))


def seasons(rng: np.random.Generator, length: int) -> Float32[np.ndarray, " T"]:
    """One or two seasons of standard deviation one together: calendar periods, or any."""
    if chance(rng, 0.6):
        periods = pick(rng, PERIODS)
    else:
        periods = (log_uniform(rng, 3, max(4, length / 4)),)
        if chance(rng, 0.5):
            periods = (round(periods[0]),)
    periods = [period for period in periods if period <= length] or [24]
    total = season(rng, length, periods[0])
    for period in periods[1:]:
        weight = log_uniform(rng, 0.1, 1.0)
        ratio = period / periods[0]
        if ratio == int(ratio) and chance(rng, 0.6):
            # Days of the week differ: the longer season scales whole days.
            levels = 1 + weight * normal(rng, int(ratio))
            total *= repeated(rng, np.repeat(levels, int(periods[0])), length)
        else:
            total += weight * season(rng, length, period)
    return standardised(total)


def _harmonics(rng: np.random.Generator, size: int) -> Float32[np.ndarray, " M"]:
    orders = np.arange(1, 1 + min(int(rng.integers(1, 7)), max(1, size // 2)), dtype=np.float32)
    sizes = normal(rng, len(orders)) * orders ** (-uniform(rng, 0.5, 2.0))
    starts = np.float32(2 * np.pi) * rng.random(len(orders), dtype=np.float32)
    angles = np.float32(2 * np.pi) * np.multiply.outer(orders, _phases(size))
    return (sizes[:, None] * np.sin(angles + starts[:, None])).sum(axis=0)


def _phases(size: int) -> Float32[np.ndarray, " M"]:
    return np.arange(size, dtype=np.float32) / np.float32(size)
