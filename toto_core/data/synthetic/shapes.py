"""Families of sharp shapes: saw-teeth, sines, steps, spikes, anomalies.

Shapes: T time steps, S segments.
"""

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
from toto_core.data.synthetic.noise import curve, white
from toto_core.data.synthetic.seasons import repeated, season, seasons, turning
from toto_core.data.synthetic.sensor import measured
from toto_core.data.synthetic.trends import level_shifts, spikes, trend


def sawtooth(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Ramps that fall back at once, bent or straight, two periods at times (TempoPFN)."""
    signal = log_uniform(rng, 0.003, 0.2) * white(rng, length)
    for _ in range(1 + chance(rng, 0.3)):
        turns = np.arange(length) / log_uniform(rng, 6, 600) + rng.random()
        if chance(rng, 0.3):
            turns += 0.3 * np.cumsum(normal(rng, length)) / length**0.5
        ramp = (turns - np.floor(turns)).astype(np.float32)
        if chance(rng, 0.5):
            ramp **= log_uniform(rng, 0.3, 3)
        if chance(rng, 0.4):  # teeth of unequal height
            teeth = np.floor(turns - turns.min()).astype(np.intp)
            ramp *= np.exp(0.4 * normal(rng, int(teeth.max()) + 1))[teeth]
        signal += ramp if chance(rng, 0.7) else -ramp
    if chance(rng, 0.4):
        signal += trend(rng, length)
    return measured(rng, signal)


def sine_waves(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """One to three sines with noise, trend, or a slow change of size (TempoPFN)."""
    signal = log_uniform(rng, 0.01, 0.4) * white(rng, length)
    for _ in range(int(rng.integers(1, 4))):
        turns = np.arange(length) / log_uniform(rng, 5, 500) + rng.random()
        wave = log_uniform(rng, 0.2, 1) * turning(turns)
        signal += wave * (1 + 0.4 * curve(rng, length)) if chance(rng, 0.3) else wave
    if chance(rng, 0.4):
        signal += trend(rng, length)
    return measured(rng, signal)


def step_patterns(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Segments that are flat, rise, fall, settle or climb stairs, one after another (TempoPFN)."""
    starts = rare(rng, length, 1 / log_uniform(rng, 10, 200))
    starts[0] = True
    segment = np.cumsum(starts) - 1
    firsts = np.flatnonzero(starts)
    num = len(firsts)
    levels = normal(rng, num)
    if chance(rng, 0.3):
        levels = np.cumsum(levels)
    elif chance(rng, 0.4):
        levels = levels[rng.integers(min(num, int(rng.integers(2, 6))), size=num)]
    signal = levels[segment]
    since = steps(length) - firsts.astype(np.float32)[segment]
    if chance(rng, 0.5):
        slopes = normal(rng, num) * (rng.random(num) < 0.4) * log_uniform(rng, 0.003, 0.1)
        signal += slopes.astype(np.float32)[segment] * since
    if chance(rng, 0.4):  # a start that settles: charging, overshoot
        overshoot = normal(rng, num)[segment]
        signal += overshoot * np.exp(since * (-1 / log_uniform(rng, 1, 30)))
    if chance(rng, 0.2):
        signal += np.floor(since * (1 / log_uniform(rng, 3, 30))) * (0.5 * rng.standard_normal())
    if chance(rng, 0.3):
        signal += log_uniform(rng, 0.1, 1) * seasons(rng, length)
    return measured(rng, signal + log_uniform(rng, 0.001, 0.3) * white(rng, length))


def spike_train(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Spikes of one shape on a quiet or wandering base, regular or in bursts (TempoPFN)."""
    base = log_uniform(rng, 0.01, 0.3) * white(rng, length)
    if chance(rng, 0.4):
        base += uniform(rng, 0.1, 1) * standardised(np.cumsum(normal(rng, length)))
    width = int(log_uniform(rng, 1, 40))
    times = _spike_times(rng, length, gap=max(width + 1, log_uniform(rng, 8, 300)))
    heights = uniform(rng, 2, 8) * np.exp(log_uniform(rng, 0.01, 0.6) * normal(rng, len(times)))
    rise = 1 - np.abs(np.linspace(-1, 1, width + 2, dtype=np.float32)[1:-1])
    if chance(rng, 0.3):  # chopped
        rise = np.minimum(rise, np.float32(uniform(rng, 0.2, 0.8)))
    elif chance(rng, 0.4):
        rise = np.exp(-np.arange(width, dtype=np.float32) / np.float32(0.3 * width + 0.1))
    padded = np.zeros(length + width, np.float32)
    np.maximum.at(padded, times[:, None] + np.arange(width), heights[:, None] * rise)
    return measured(rng, base + pick(rng, (1, 1, -1)) * padded[:length])


def periodic_anomalies(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """A seasonal base, broken at nearly regular times by spikes, dips or silence (TempoPFN)."""
    base = log_uniform(rng, 0.02, 0.3) * white(rng, length)
    if chance(rng, 0.7):
        base += season(rng, length, log_uniform(rng, 5, 100))
    times = _spike_times(rng, length, gap=log_uniform(rng, 40, 300))
    width = int(log_uniform(rng, 1, 12))
    places = np.minimum(times[:, None] + np.arange(width), length - 1)
    sizes = uniform(rng, 2, 8) * (1 + 0.2 * normal(rng, len(times)))
    if chance(rng, 0.3):
        sizes *= np.linspace(0.3, 1.5, len(times), dtype=np.float32)
    if chance(rng, 0.3):
        base[places] = -sizes.mean() if len(times) else 0
    else:
        base[places] += pick(rng, (-1, 1)) * sizes[:, None]
    return measured(rng, base)


def shifts_spikes(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """A quiet base with level shifts, decaying spikes, saw-teeth or changes of its noise."""
    base = white(rng, length) * log_uniform(rng, 0.02, 0.5)
    if chance(rng, 0.5):
        base += log_uniform(rng, 0.1, 1.0) * seasons(rng, length)
    if chance(rng, 0.6):
        base += level_shifts(rng, length)
    if chance(rng, 0.6):
        base += spikes(rng, length)
    if chance(rng, 0.2):
        period = int(log_uniform(rng, 8, max(9, length / 4)))
        ramp = np.arange(period, dtype=np.float32) / period
        base += pick(rng, (-2, 2)) * repeated(rng, ramp, length)
    return measured(rng, base)


def _spike_times(rng: np.random.Generator, length: int, *, gap: Number) -> np.ndarray:
    """Increasing times: one each ``gap`` steps, with jitter, missing ones, or in clusters."""
    regular = np.arange(gap * rng.random(), length, gap)
    kind = rng.random()
    if kind < 0.3:
        times = regular
    elif kind < 0.6:
        times = regular + 0.2 * gap * rng.standard_normal(len(regular))
    elif kind < 0.8:
        times = length * rng.random(len(regular))
    else:
        size = int(rng.integers(2, 8))
        centres = length * rng.random(max(1, len(regular) // size))
        times = (centres[:, None] + np.arange(size) * log_uniform(rng, 2, 20)).reshape(-1)
    return np.unique(np.clip(times, 0, length - 1).astype(np.intp))
