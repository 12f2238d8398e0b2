"""Families of Gaussian processes, sampled by their spectra.

A stationary kernel is the Fourier transform of its spectral density (Bochner), so a sum of kernels
costs one inverse transform at any length, where a Cholesky factor costs the cube of it. A product
of sample paths has the product of their kernels.

Shapes: T time steps, F frequencies.
"""

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.draws import chance, log_uniform, pick, rare, steps, uniform
from toto_core.data.synthetic.noise import curve, frequencies, shaped, white
from toto_core.data.synthetic.processes import PERIODS
from toto_core.data.synthetic.sensor import measured
from toto_core.data.synthetic.trends import logistic

_SMOOTHNESS = (0.5, 1.5, 2.5)  # of Matern kernels


def gaussian_process(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """A sum of up to six kernels, with a line and a few spikes (TempoPFN, arXiv:2510.25502)."""
    signal = _path(rng, length, num_kernels=int(rng.integers(1, 7)))
    if chance(rng, 0.4):
        signal += (2 * rng.standard_normal() / length) * steps(length)
    signal += log_uniform(rng, 0.003, 0.3) * white(rng, length)
    if chance(rng, 0.1):
        signal[rare(rng, length, 0.01)] += 3 * rng.standard_normal()
    return measured(rng, signal)


def kernel_synth(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Kernels joined by sums, products and change points (KernelSynth: Chronos, arXiv:2403.07815).

    A change point hands over from one path to another (Lloyd et al. 2014).
    """
    signal = _path(rng, length, num_kernels=int(rng.integers(1, 3)))
    for _ in range(int(rng.integers(1, 3))):
        other = _path(rng, length, num_kernels=1)
        kind = rng.random()
        if kind < 0.35:
            signal = signal + other
        elif kind < 0.7:
            signal = signal * (rng.standard_normal() + other)
        elif kind < 0.85:
            part = logistic((steps(length) - (length * rng.random())) / log_uniform(rng, 1, 30))
            signal = signal + part * (other - signal)
        else:
            signal = signal * np.exp(0.5 * curve(rng, length))
    return measured(rng, signal + log_uniform(rng, 0.003, 0.3) * white(rng, length))


def _path(rng: np.random.Generator, length: int, *, num_kernels: int) -> Float32[np.ndarray, " T"]:
    """A path of standard deviation one under a weighted sum of random kernels."""
    over = frequencies(length, memory=length)
    power = np.zeros(len(over), np.float32)
    for _ in range(num_kernels):
        density = _periodic(rng, over) if chance(rng, 0.5) else _smooth(rng, over)
        power += np.float32(log_uniform(rng, 0.05, 1) / density.sum()) * density
    return shaped(rng, np.sqrt(power), length)


def _smooth(rng: np.random.Generator, over: Float32[np.ndarray, " F"]) -> Float32[np.ndarray, " F"]:
    """Spectral density of a Matern, squared-exponential or rational quadratic kernel."""
    turns = np.float32(2 * np.pi * log_uniform(rng, 1, len(over) / 4)) * over
    kind = rng.random()
    if kind < 0.5:
        order = pick(rng, _SMOOTHNESS)
        return (1 + np.square(turns) / np.float32(2 * order)) ** np.float32(-order - 0.5)
    if kind < 0.75:
        return np.exp(np.maximum(np.float32(-0.5) * np.square(turns), -80))
    # A mixture of squared exponentials of all scales: its tail is exponential.
    return np.exp(np.maximum(-turns, -80))


def _periodic(
    rng: np.random.Generator, over: Float32[np.ndarray, " F"]
) -> Float32[np.ndarray, " F"]:
    """Spectral density of a periodic kernel, lines that fall off, or a locally periodic one."""
    size = 2 * (len(over) - 1)
    period = pick(rng, PERIODS) if chance(rng, 0.5) else log_uniform(rng, 4, 512)
    orders = np.arange(1, 1 + min(12, int(period // 2)))
    weights = np.exp(-orders * uniform(rng, 0.1, 1.5)).astype(np.float32)
    density = np.zeros(len(over), np.float32)
    width = int(rng.integers(1, 4)) if chance(rng, 0.3) else 0
    for shift in range(-width, width + 1):
        places = np.clip(np.rint(orders * size / period).astype(np.intp) + shift, 1, size // 2)
        density[places] += weights * np.float32(np.exp(-abs(shift)))
    return density
