"""Families of stochastic processes: autoregression, smoothing models, walks, regimes, copies.

Shape: T time steps.
"""

from typing import Final

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.draws import (
    Number,
    chance,
    log_uniform,
    normal,
    pick,
    rare,
    standardised,
    steps,
    uniform,
)
from toto_core.data.synthetic.noise import (
    autoregression,
    leaky_sum,
    on_off,
    poles,
    power_law,
    through,
    wander,
    white,
)
from toto_core.data.synthetic.seasons import cycle, repeated, sampled, seasons
from toto_core.data.synthetic.sensor import measured, row
from toto_core.data.synthetic.trends import trend

_TURNS: Final = 64  # of the phase of a drifting season
# Days and weeks of several sampling rates, weeks of hours above all: too long to be met by chance.
_LONG_PERIODS: Final = (24, 48, 96, 144, 168, 168, 168, 288, 336, 336, 672)
PERIODS: Final = (4, 5, 7, 12, 12, 24, 24, 30, 48, 52, 60, 96, 144)


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


def seasonal_arima(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Seasonal ARIMA: each value remembers the same phase of the last cycle and its neighbours.

    (1 - phi B)(1 - Phi B^s) x = (1 - theta B)(1 - Theta B^s) e, then up to one difference undone
    (Box and Jenkins 1970).
    """
    period = _period(rng)
    shocks = normal(rng, length)
    shocks[period:] -= uniform(rng, 0, 0.9) * shocks[:-period].copy()
    if chance(rng, 0.5):
        shocks[1:] -= uniform(rng, -0.8, 0.8) * shocks[:-1].copy()
    memory = 1.0 if chance(rng, 0.5) else 1 - log_uniform(rng, 0.01, 0.5)
    signal = standardised(_every(shocks, period, memory))
    signal += log_uniform(rng, 0.1, 3) * repeated(rng, cycle(rng, period), length)
    signal = leaky_sum(signal, uniform(rng, -0.3, 0.9)) if chance(rng, 0.5) else signal
    if chance(rng, 0.4):
        signal = standardised(signal) + log_uniform(rng, 0.1, 3) * standardised(
            np.cumsum(normal(rng, length))
        )
    return measured(rng, signal)


def exponential_smoothing(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Innovations of level, damped trend and season from one shock (ETS: Hyndman et al. 2008).

    Multiplicative errors and seasons are the exponential of the additive model in logarithms.
    """
    shocks = white(rng, length)
    level = np.cumsum(log_uniform(rng, 0.01, 1) * shocks)
    if chance(rng, 0.5):
        damping = 1 - log_uniform(rng, 0.002, 0.2)
        slope = leaky_sum(log_uniform(rng, 0.001, 0.1) * shocks, damping)
        slope += (0.03 * rng.standard_normal()) * np.float32(damping) ** steps(length)
        level += np.cumsum(slope)
    signal = level + shocks
    if chance(rng, 0.7):
        period = _period(rng)
        states = log_uniform(rng, 0.002, 0.3) * shocks
        states[:period] += log_uniform(rng, 1, 10) * cycle(rng, period)
        signal += _every(states, period, 1.0)
    if chance(rng, 0.4):
        growth = log_uniform(rng, 0.1, 1.0) * standardised(signal)
        return row(np.exp(growth) * log_uniform(rng, 0.01, 1e5))
    return measured(rng, signal)


def random_walk(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """A walk or a price whose step size wanders slowly (stochastic volatility: Taylor 1982)."""
    changes = white(rng, length)
    if chance(rng, 0.6):
        size = uniform(rng, 0.2, 0.8)
        changes *= np.exp(size * wander(rng, length, log_uniform(rng, 10, 300)))
    if chance(rng, 0.15):  # jumps (Merton 1976)
        changes += 5 * normal(rng, length) * rare(rng, length, 0.01)
    walk = np.cumsum(changes + (rng.standard_normal() / length**0.5))
    if chance(rng, 0.3):
        return measured(rng, walk)
    # Prices: the logarithm walks. The bound keeps the wildest ones within float32.
    growth = np.clip(np.float32(log_uniform(rng, 0.002, 0.03)) * walk, -30, 30)
    price = np.exp(growth) * log_uniform(rng, 0.1, 1e4)
    return row(np.rint(100 * price) / 100 if chance(rng, 0.3) and price.min() > 1 else price)


def regime_ou(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Ornstein-Uhlenbeck with two regimes of pull, noise and mean; trend and season in the mean.

    TempoPFN (arXiv:2510.25502): a quiet regime that pulls strongly and a wild one that does not.
    """
    states = on_off(rng, length, log_uniform(rng, 7, 500)).view(np.int8)
    pull = np.array([log_uniform(rng, 0.05, 0.7), log_uniform(rng, 0.002, 0.1)], np.float32)
    size = np.array([log_uniform(rng, 0.05, 0.5), log_uniform(rng, 0.3, 2)], np.float32)
    mean = (2 * normal(rng, 2))[states]
    if chance(rng, 0.6):
        mean += trend(rng, length)
    if chance(rng, 0.6):
        mean += log_uniform(rng, 0.2, 3) * seasons(rng, length)
    pulls = pull[states]
    kicks = (size * np.sqrt(2 * pull))[states] * normal(rng, length)
    return measured(rng, leaky_sum(pulls * mean + kicks, 1 - pulls))


def drifting_season(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Seasons of any period whose phase, size and shape change slowly, or beat with each other.

    Stochastic seasonality (Harvey 1989), with periods that no calendar makes, as in TiRex.
    """
    num_seasons = int(rng.integers(1, 4))
    signal = log_uniform(rng, 0.02, 0.5) * white(rng, length)
    for _ in range(num_seasons):
        period = log_uniform(rng, 4, 600)
        turns = np.arange(length) / period + rng.random()
        if chance(rng, 0.5):
            walk = np.cumsum(normal(rng, _TURNS)) / _TURNS**0.5
            turns += log_uniform(rng, 0.02, 0.5) * through(walk, length)
        made = _morphing(rng, turns, period)
        if chance(rng, 0.5):  # each few cycles of another size
            sizes = np.exp(0.5 * normal(rng, 3 + int(length / (3 * period))))
            made *= through(sizes, length)
        signal += log_uniform(rng, 0.2, 1) * made
    if chance(rng, 0.4):
        signal += trend(rng, length)
    return measured(rng, signal)


def copied_pattern(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """A pattern of any period that returns nearly unchanged, at times with a gap between.

    What is next stands one period back: the lesson of seasons at all lags, calendars' and others.
    """
    period = pick(rng, _LONG_PERIODS) if chance(rng, 0.3) else int(log_uniform(rng, 3, 700))
    made = cycle(rng, period) if chance(rng, 0.6) else normal(rng, period)
    if chance(rng, 0.3):  # two levels only
        made = np.sign(made + (0.2 * rng.standard_normal()))
    signal = repeated(rng, made, length)
    if chance(rng, 0.3):
        slow = max(2, int(log_uniform(rng, 2, 15)))
        signal = signal * repeated(rng, np.repeat(normal(rng, slow), period), length)
    if chance(rng, 0.2):
        signal = signal * np.exp(0.3 * wander(rng, length, 4 * period))
    if chance(rng, 0.3):
        signal = signal + trend(rng, length)
    return measured(rng, signal + log_uniform(rng, 0.003, 0.5) * normal(rng, length))


def _period(rng: np.random.Generator) -> int:
    return pick(rng, PERIODS) if chance(rng, 0.7) else int(log_uniform(rng, 3, 200))


def _every(inputs: np.ndarray, period: int, memory: Number) -> Float32[np.ndarray, " T"]:
    """Return x with x[t] = memory x[t - period] + inputs[t]."""
    cycles = -(-len(inputs) // period)
    padded = np.zeros(cycles * period, np.float32)
    padded[: len(inputs)] = inputs
    table = padded.reshape(cycles, period)
    return leaky_sum(table, memory).reshape(-1)[: len(inputs)]


def _morphing(rng: np.random.Generator, turns: np.ndarray, period: Number) -> np.ndarray:
    """A season at these numbers of turns, perhaps one that turns into another."""
    points = 1 << int(4 * period).bit_length()
    first = sampled(cycle(rng, points), turns)
    if chance(rng, 0.7):
        return first
    part = np.linspace(0, 1, len(turns), dtype=np.float32)
    return (1 - part) * first + part * sampled(cycle(rng, points), turns)
