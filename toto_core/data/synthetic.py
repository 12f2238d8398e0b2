"""Synthetic series for pretraining: four families, each a short function of (generator, length).

They cover what real series of operations and markets do: calendar seasons with trends, correlated
noise and random walks, shifts with spikes, and intermittent counts. A series is a pure function of
(seed, index), so any part of the set can be made alone.

Ideas, in our own form: seasons times trend times noise from ForecastPFN (arXiv:2311.01933);
summed components from KernelSynth (Chronos, arXiv:2403.07815); regime changes, spikes and
saw-teeth from TempoPFN (arXiv:2510.25502); censoring and amplitude modulation from TiRex
(arXiv:2505.23719).

Shape: T time steps.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64

_STREAM: Final = 4  # apart from the streams of data.windows and of training

# Seasons that calendars make, in steps, shortest first: days and weeks at 1 hour, 30, 15 and 5
# minutes, hours at 1 minute and 10 seconds, weeks and years of days and business days, months of
# days, years of weeks, months and quarters.
PERIOD_SETS: Final = (
    (24,),
    (24, 168),
    (48, 336),
    (96,),
    (96, 672),
    (288,),
    (60,),
    (360,),
    (7,),
    (7, 30),
    (7, 365),
    (5,),
    (5, 21),
    (30,),
    (52,),
    (12,),
    (4,),
)


def trend_season(rng: np.random.Generator, length: int) -> Float32[np.ndarray, " T"]:
    """Trend, one or two calendar seasons and noise, added up or multiplied (ForecastPFN)."""
    season = _seasons(rng, length)
    if rng.random() < 0.3:  # TiRex: amplitude modulation
        season *= 1 + 0.5 * _curve(rng, length)
    signal = season + _trend(rng, length)
    noise = _noise(rng, length) * _log_uniform(rng, 0.02, 1.0)
    if rng.random() < 0.5:
        # Multiplicative: swings and noise grow with the level.
        strength = _log_uniform(rng, 0.1, 1.0)
        return _measured(rng, np.exp(strength * _standardised(signal) + 0.3 * strength * noise))
    return _measured(rng, signal + noise)


def autoregressive(rng: np.random.Generator, length: int) -> Float32[np.ndarray, " T"]:
    """Correlated noise: autoregressions, long memory, and random walks with drift and volatility.

    Stationary kinds are made in the frequency domain: white noise divided by the polynomial of the
    poles, or by a power of the frequency (Timmer and Koenig 1995, Astron. Astrophys. 300, 707).
    """
    kind = rng.random()
    if kind < 0.35:
        return _measured(rng, _filtered(rng, length, _poles(rng)))
    if kind < 0.5:
        return _measured(rng, _long_memory(rng, length, exponent=rng.uniform(0.3, 1.8)))
    # Stochastic volatility: the logarithm of the step size wanders slowly (Taylor 1982).
    steps = _noise(rng, length)
    if rng.random() < 0.5:
        steps *= np.exp(rng.uniform(0.2, 0.8) * _filtered(rng, length, np.array([0.97])))
    walk = np.cumsum(steps + rng.normal() / math.sqrt(length))
    if rng.random() < 0.5:
        # Prices: the logarithm walks. The bound keeps the wildest ones within float32.
        growth = np.clip(_log_uniform(rng, 0.002, 0.03) * walk, -30, 30)
        return _placed(np.exp(growth), _log_uniform(rng, 0.1, 1e4))
    return _measured(rng, walk)


def shifts_spikes(rng: np.random.Generator, length: int) -> Float32[np.ndarray, " T"]:
    """A quiet base with level shifts, decaying spikes, saw-teeth or changes of its noise."""
    base = _noise(rng, length) * _log_uniform(rng, 0.02, 0.5)
    if rng.random() < 0.5:
        base += _log_uniform(rng, 0.1, 1.0) * _seasons(rng, length)
    if rng.random() < 0.6:
        base += _level_shifts(rng, length)
    if rng.random() < 0.6:
        base += _spikes(rng, length)
    if rng.random() < 0.3:
        period = int(_log_uniform(rng, 8, max(9, length // 4)))
        base += rng.choice([-2.0, 2.0]) * _tiled(rng, np.arange(period) / period, length)
    return _measured(rng, base)


def intermittent(rng: np.random.Generator, length: int) -> Float32[np.ndarray, " T"]:
    """Counts that are mostly zero: rare demand, or bursts between silences.

    Demand comes with a probability that may have a season; its sizes are geometric or log-normal
    (Croston 1972; Syntetos and Boylan 2005).
    """
    chance = np.full(length, _log_uniform(rng, 0.02, 0.4))
    if rng.random() < 0.5:
        chance *= np.exp(0.7 * _seasons(rng, length))
    if rng.random() < 0.4:
        chance = np.where(_on_off(rng, length), np.minimum(4 * chance, 0.9), 0.02 * chance)
    occurs = rng.random(length, dtype=np.float32) < chance
    if rng.random() < 0.6:
        sizes = rng.geometric(_log_uniform(rng, 0.05, 0.9), length).astype(np.float64)
    else:
        spread = rng.uniform(0.3, 1.2)
        sizes = np.ceil(_log_uniform(rng, 1, 1e6) * np.exp(spread * _normal(rng, length)))
    return np.where(occurs, sizes, 0.0).astype(np.float32)


FAMILIES: Final[Mapping[str, Callable[[np.random.Generator, int], np.ndarray]]] = {
    "trend_season": trend_season,
    "autoregressive": autoregressive,
    "shifts_spikes": shifts_spikes,
    "intermittent": intermittent,
}


def synthetic_series(
    seed: int, index: int, *, length: int, weights: Mapping[str, float]
) -> tuple[str, Float32[np.ndarray, " T"]]:
    """Make series ``index`` of the set of ``seed``: the name of its family, and its values.

    Args:
        length: T, steps, at least 1.
        weights: how often each of ``FAMILIES`` is drawn, >= 0, not all zero.
    """
    rng = np.random.default_rng([seed, _STREAM, index])
    names = [name for name in FAMILIES if weights[name] > 0]
    cumulative = np.cumsum([weights[name] for name in names])
    place = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    name = names[min(int(place), len(names) - 1)]
    return name, FAMILIES[name](rng, length)


def generate(
    seed: int, count: int, *, length: int, weights: Mapping[str, float]
) -> Iterator[tuple[str, Float32[np.ndarray, " T"]]]:
    """Yield the first ``count`` series of the set of ``seed``, see ``synthetic_series``."""
    for index in range(count):
        yield synthetic_series(seed, index, length=length, weights=weights)


def _seasons(rng: np.random.Generator, length: int) -> Float64[np.ndarray, " T"]:
    """One or two seasons of standard deviation one together: calendar periods, or a random one."""
    if rng.random() < 0.8:
        periods = PERIOD_SETS[rng.integers(len(PERIOD_SETS))]
    else:
        periods = (int(_log_uniform(rng, 3, max(4, length // 3))),)
    total = _tiled(rng, _cycle(rng, periods[0]), length)
    if len(periods) > 1 and periods[1] <= 2 * length:
        weight = _log_uniform(rng, 0.1, 1.0)
        if periods[1] % periods[0] == 0 and rng.random() < 0.7:
            # Days of the week differ: the longer season scales whole days.
            days = 1 + weight * _normal(rng, periods[1] // periods[0])
            total *= _tiled(rng, np.repeat(days, periods[0]), length)
        else:
            total += weight * _tiled(rng, _cycle(rng, periods[1]), length)
    return _standardised(total)


def _cycle(rng: np.random.Generator, period: int) -> Float64[np.ndarray, " period"]:
    """One cycle of a season: a few harmonics, a smooth random profile, or a plateau."""
    kind = rng.random()
    if kind < 0.4:
        orders = np.arange(1, 1 + min(rng.integers(1, 7), max(1, period // 2)))
        sizes = _normal(rng, len(orders)) * orders ** -rng.uniform(0.5, 2.0)
        angles = 2 * np.pi * (np.outer(orders, np.arange(period) / period) + rng.random())
        return sizes @ np.sin(angles)
    if kind < 0.8:
        knots = _normal(rng, int(rng.integers(3, 13)))
        places = np.linspace(0, period, len(knots) + 1)
        return np.interp(np.arange(period), places, np.append(knots, knots[0]))
    busy = rng.uniform(0.1, 0.7)
    edges = np.arange(period) / period
    steepness = _log_uniform(rng, 5, 100)
    return 1 / (1 + np.exp(np.clip(steepness * (np.abs(edges - 0.5) - busy / 2), -50, 50)))


def _tiled(rng: np.random.Generator, cycle: np.ndarray, length: int) -> np.ndarray:
    """Repeat a cycle from a random phase on."""
    start = int(rng.integers(len(cycle)))
    return np.tile(cycle, -(-(length + start) // len(cycle)))[start : start + length]


def _trend(rng: np.random.Generator, length: int) -> np.ndarray:
    """No trend, a line, a bent line, or growth that saturates."""
    kind, size = rng.random(), _log_uniform(rng, 0.1, 5.0)
    if kind < 0.3:
        return np.zeros(length)
    time = np.linspace(0, 1, length)
    if kind < 0.55:
        return rng.choice([-size, size]) * time
    if kind < 0.85:
        return size * _curve(rng, length)
    middle, width = rng.random(), _log_uniform(rng, 0.03, 0.3)
    return rng.choice([-size, size]) / (1 + np.exp((middle - time) / width))


def _curve(rng: np.random.Generator, length: int) -> np.ndarray:
    """Piecewise linear through a few normal knots."""
    knots = _normal(rng, int(rng.integers(2, 10)))
    return np.interp(np.arange(length), np.linspace(0, length, len(knots)), knots)


def _noise(rng: np.random.Generator, length: int) -> np.ndarray:
    """White noise of scale one: normal or heavy-tailed, with constant or wandering size."""
    noise = _normal(rng, length)
    kind = rng.random()
    if kind < 0.3:
        # Normal with log-normal size: heavy tails (Clark 1973).
        noise *= np.exp(rng.uniform(0.3, 0.9) * _normal(rng, length))
    elif kind < 0.5:
        noise *= np.exp(0.5 * _curve(rng, length))
    return noise


def _poles(rng: np.random.Generator) -> np.ndarray:
    """Poles of a stationary autoregression: one or two real ones, perhaps a rotating pair."""
    real = np.array([1 - _log_uniform(rng, 0.003, 1.0) for _ in range(rng.integers(1, 3))])
    if rng.random() < 0.6:
        return real
    radius, angle = 1 - _log_uniform(rng, 0.003, 0.3), 2 * np.pi / _log_uniform(rng, 3, 200)
    pair = radius * np.exp(1j * angle * np.array([1, -1]))
    return np.concatenate([real[:1], pair])


def _filtered(rng: np.random.Generator, length: int, poles: np.ndarray) -> np.ndarray:
    """Return a stationary autoregression with these poles, of standard deviation one."""
    size = _fast_size(2 * length)
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    divisor = np.ones_like(turn)
    for pole in poles:
        divisor *= 1 - pole * turn
    return _standardised(np.fft.irfft(np.fft.rfft(_normal(rng, size)) / divisor)[:length])


def _long_memory(rng: np.random.Generator, length: int, *, exponent: float) -> np.ndarray:
    """Noise whose spectrum falls with frequency ** -``exponent``."""
    size = _fast_size(2 * length)
    spectrum = np.fft.rfft(_normal(rng, size))
    spectrum[0] = 0
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-exponent / 2)
    return np.fft.irfft(spectrum)[:length]


def _fast_size(least: int) -> int:
    return 1 << max(2, least - 1).bit_length()


def _level_shifts(rng: np.random.Generator, length: int) -> np.ndarray:
    """Jumps of the level at a few random times, some of which are undone at the next."""
    steps = np.zeros(length)
    count = int(rng.integers(1, 6))
    sizes = 3 * _normal(rng, count)
    if rng.random() < 0.5:
        sizes[1::2] = -sizes[:-1:2]
    steps[np.sort(rng.integers(length, size=count))] = sizes
    return np.cumsum(steps)


def _spikes(rng: np.random.Generator, length: int) -> np.ndarray:
    """Spikes that decay at once or slowly, at random or regular times."""
    if rng.random() < 0.3:
        period = int(_log_uniform(rng, 8, max(9, length // 3)))
        times = np.arange(int(rng.integers(period)), length, period)
    else:
        times = np.flatnonzero(rng.random(length, dtype=np.float32) < _log_uniform(rng, 1e-3, 0.03))
    impulses = np.zeros(length)
    impulses[times] = rng.choice([-1.0, 1.0, 1.0]) * np.exp(1 + 0.7 * _normal(rng, len(times)))
    fade = rng.choice([0.0, _log_uniform(rng, 1, 30)])
    if fade == 0:
        return impulses
    kernel = np.exp(-np.arange(int(4 * fade) + 1) / fade)
    return np.convolve(impulses, kernel)[:length]


def _on_off(rng: np.random.Generator, length: int) -> np.ndarray:
    """A two-state process with geometric stays."""
    stays = rng.geometric(1 / _log_uniform(rng, 5, 200), size=64)
    state = np.repeat(np.arange(64) % 2 == 0, stays)
    return np.resize(state, length)


def _measured(rng: np.random.Generator, signal: np.ndarray) -> np.ndarray:
    """Put a signal on a scale as a sensor would: plain, censored, counted or rounded.

    Scales cover many orders of magnitude; the offset is nothing, or a multiple of the scale.
    """
    signal = _standardised(signal)
    kind, scale = rng.random(), _log_uniform(rng, 1e-3, 1e6)
    if kind < 0.12:
        mean = _log_uniform(rng, 0.5, 1e3)
        rate = mean * np.maximum(1 + rng.uniform(0.2, 0.9) * signal, 0.0)
        return rng.poisson(rate).astype(np.float32)
    if kind < 0.24:
        # Utilisation: between nothing and a ceiling that it may touch.
        low, high = -rng.uniform(1, 4), rng.uniform(0.7, 4)
        top = rng.choice([1.0, 100.0])
        return _placed((np.clip(signal, low, high) - low) / (high - low), top)
    if kind < 0.34:
        step = _log_uniform(rng, 0.05, 0.5)
        signal = np.round(signal / step) * step
    offset = rng.choice([0.0, rng.normal() * 3, _log_uniform(rng, 3, 100)])
    return _placed(signal + offset, scale)


def _placed(signal: np.ndarray, scale: float) -> np.ndarray:
    return (signal * scale).astype(np.float32)


def _standardised(signal: np.ndarray) -> np.ndarray:
    """Mean zero and standard deviation one; a constant becomes zero."""
    centred = signal - signal.mean()
    spread = np.sqrt(centred @ centred / len(centred))
    return centred / spread if spread > 0 else centred


def _normal(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.standard_normal(size, dtype=np.float32).astype(np.float64)


def _log_uniform(rng: np.random.Generator, low: float | int, high: float | int) -> float:
    """Uniform in the logarithm between ``low`` and ``high``."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))
