"""Random processes that the families build on: white, coloured and wandering noise, point events.

Stationary processes are made in the frequency domain: the root of the power spectrum at random
phases, then one inverse transform (Shinozuka and Deodatis 1991). So many terms add up to normal
numbers, save where a few of the lowest frequencies hold the power: these have random sizes as well
(Timmer and Koenig 1995).

Shape: T time steps.
"""

import cmath
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import scipy.fft
from jaxtyping import Bool, Float32

from toto_core.data.synthetic.draws import (
    Number,
    chance,
    log_uniform,
    normal,
    rare,
    standardised,
    uniform,
)

_FEW_LARGE: Final = 64  # lowest frequencies, of random size
_FORGOTTEN: Final = 1e-8  # share of an input that no longer counts


def white(rng: np.random.Generator, length: int) -> Float32[np.ndarray, " T"]:
    """White noise of scale one: normal or heavy-tailed, of constant or wandering size."""
    noise = normal(rng, length)
    kind = rng.random()
    if kind < 0.25:
        # Normal with log-normal size: heavy tails (Clark 1973).
        noise *= np.exp(uniform(rng, 0.3, 0.9) * normal(rng, length))
    elif kind < 0.4:
        noise *= np.exp(0.5 * curve(rng, length))
    return noise


def curve(rng: np.random.Generator, length: int) -> Float32[np.ndarray, " T"]:
    """Piecewise linear through a few normal knots."""
    knots = normal(rng, int(rng.integers(2, 10)))
    return through(knots, length)


def through(knots: np.ndarray, length: int) -> Float32[np.ndarray, " T"]:
    """Lines through two or more equally spaced knots, from the first step to the last."""
    places = np.arange(len(knots)) * ((length - 1) / (len(knots) - 1))
    return np.interp(np.arange(length), places, knots).astype(np.float32)


def shaped(
    rng: np.random.Generator, amplitudes: np.ndarray, length: int
) -> Float32[np.ndarray, " T"]:
    """Return a stationary normal process of standard deviation one.

    Args:
        amplitudes: roots of the power at the frequencies 0, 1/n, 2/n, ... of a transform of
            n = ``2 * (len(amplitudes) - 1)`` steps, n at least ``length``; overwritten.
    """
    angles = np.float32(2 * np.pi) * rng.random(len(amplitudes), dtype=np.float32)
    sizes = np.asarray(amplitudes, np.float32)
    few = rng.standard_exponential(min(_FEW_LARGE, len(sizes)), dtype=np.float32)
    sizes[: len(few)] *= np.sqrt(few)
    spectrum = np.empty(len(sizes), np.complex64)
    np.multiply(sizes, np.cos(angles), out=spectrum.real)
    np.multiply(sizes, np.sin(angles), out=spectrum.imag)
    spectrum[0] = 0
    return standardised(np.asarray(scipy.fft.irfft(spectrum))[:length])


def frequencies(length: int, *, memory: Number) -> Float32[np.ndarray, " F"]:
    """Frequencies, in cycles a step, of a transform for ``length`` steps; not to be written to.

    A transform makes the end run into the start. So it is a quarter longer where what happens is
    felt for more than a small part of the length: ``memory``, in steps.
    """
    return _frequencies(length if memory < length / 32 else length + length // 4)


@lru_cache(maxsize=64)
def _frequencies(least: int) -> Float32[np.ndarray, " F"]:
    size = 2 * int(scipy.fft.next_fast_len(-(-least // 2), real=True) or least)
    made = np.arange(size // 2 + 1, dtype=np.float32) / np.float32(size)
    made.flags.writeable = False
    return made


def autoregression(
    rng: np.random.Generator,
    length: int,
    poles: Sequence[complex | float],
    zeros: Sequence[complex | float] = (),
) -> Float32[np.ndarray, " T"]:
    """Return an ARMA process of standard deviation one.

    Args:
        poles: of the autoregression, inside the unit circle, complex ones in pairs.
        zeros: of the moving average.
    """
    memory = max(1 / (1 - abs(pole)) for pole in poles) if poles else 1.0
    angles = np.float32(2 * np.pi) * frequencies(length, memory=memory)
    power = np.ones(len(angles), np.float32)
    for zero in zeros:
        power *= _distance(angles, complex(zero))
    for pole in poles:
        power /= _distance(angles, complex(pole))
    return shaped(rng, np.sqrt(power), length)


def _distance(angles: np.ndarray, pole: complex) -> np.ndarray:
    """Square of the distance of a pole to the unit circle at these angles, without cancellation."""
    half = np.sin(0.5 * angles - np.float32(0.5 * cmath.phase(pole)))
    return np.float32((1 - abs(pole)) ** 2) + np.float32(4 * abs(pole)) * half * half


def wander(rng: np.random.Generator, length: int, memory: Number) -> Float32[np.ndarray, " T"]:
    """Return first-order autoregressive noise that forgets within ``memory`` steps, at least 1."""
    return autoregression(rng, length, [np.exp(-1 / memory)])


def power_law(rng: np.random.Generator, length: int, exponent: Number) -> Float32[np.ndarray, " T"]:
    """Noise whose power falls with frequency ** -``exponent``: long memory from 0 to 2."""
    over = frequencies(length, memory=length)
    gain = np.zeros(len(over), np.float32)
    gain[1:] = over[1:] ** np.float32(-exponent / 2)
    return shaped(rng, gain, length)


def leaky_sum(inputs: np.ndarray, decay: Number | np.ndarray) -> np.ndarray:
    """Return x with x[t] = decay[t] x[t - 1] + inputs[t] along the first axis, x[-1] = 0.

    Doubling (Hillis and Steele 1986): after k rounds each x holds its last 2 ** k inputs.
    """
    total, shift = np.array(inputs), 1
    if not isinstance(decay, np.ndarray):
        factor = total.dtype.type(decay)
        while shift < len(total) and abs(factor) > _FORGOTTEN:
            total[shift:] += factor * total[:-shift]
            factor, shift = factor * factor, 2 * shift
        return total
    factors = np.array(decay, total.dtype)
    while shift < len(total):
        total[shift:] += factors[shift:] * total[:-shift]
        factors[shift:] *= factors[:-shift].copy()
        shift *= 2
    return total


def poles(rng: np.random.Generator) -> list[complex]:
    """Poles of a stationary autoregression: one or two real ones, or a real one and a pair."""
    real = [1 - log_uniform(rng, 0.003, 1.0) for _ in range(1 + chance(rng, 0.5))]
    if chance(rng, 0.6):
        return [complex(pole) for pole in real]
    radius, angle = 1 - log_uniform(rng, 0.003, 0.3), 2 * np.pi / log_uniform(rng, 3, 200)
    pole = complex(radius * np.exp(1j * angle))
    return [complex(real[0]), pole, pole.conjugate()]


def on_off(rng: np.random.Generator, length: int, stay: Number) -> Bool[np.ndarray, " T"]:
    """A two-state process with geometric stays of ``stay`` steps on average, at least 1."""
    switches = rare(rng, length, 1 / stay)
    switches[0] = chance(rng, 0.5)
    return np.logical_xor.accumulate(switches)
