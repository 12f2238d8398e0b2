"""Augmentations of the size of the values, step by step: missing points (NaN) stay missing.

A value that leaves the range of float32 becomes infinite, which counts as missing. Covariates that
are known ahead keep their values (noise and sign apart): what they say of the targets would change.

Shapes: B rows, V slots, T time steps, n slots that are hit.
"""

from functools import cache
from statistics import NormalDist

import numpy as np
from jaxtyping import Float32, Float64

from toto_core.data.augmentation.block import Block
from toto_core.data.augmentation.chance import by_series, by_slot, shared

# Amplitude modulation: most straight pieces of the factor, and its range.
MAX_PIECES = 6
AMPLITUDE = (0.3, 3.0)
# Points that are worked on at once where that saves time: what the nearest memory holds.
_CACHED_POINTS = 2**16
# Censoring: how many places are tried for a point that is observed.
_TRIES = 8
# Spikes: steps that one lasts, steps from one to the next, height in units of the window's spread.
SPIKE_STEPS = (1.0, 12.0)
SPIKE_PERIOD = (16.0, 400.0)
SPIKE_HEIGHT = (2.0, 20.0)


def noise(block: Block, rng: np.random.Generator, *, probability: float, std: float) -> None:
    """Multiply each point of a slot by 1 + ``std`` * z, z standard normal, with ``probability``.

    z is one of 65,536 equally likely quantiles, which takes a third of the time of exact ones.
    """
    hit = by_slot(rng, block.values.shape[:2], probability)
    part = block.values[hit]
    quantiles = _normal_quantiles()
    rows = max(1, _CACHED_POINTS // part.shape[1])
    with np.errstate(over="ignore"):
        for first in range(0, len(part), rows):
            some = part[first : first + rows]
            factor = quantiles[rng.integers(2**16, size=some.shape, dtype=np.uint16)]
            factor *= np.float32(std)
            factor += np.float32(1)
            some *= factor
    block.values[hit] = part


@cache
def _normal_quantiles() -> Float32[np.ndarray, " 65536"]:
    """The standard normal law as 65,536 equally likely values."""
    law, count = NormalDist(), 2**16
    return np.array([law.inv_cdf((n + 0.5) / count) for n in range(count)], np.float32)


def sign_flip(block: Block, rng: np.random.Generator, *, probability: float) -> None:
    """Turn a slot upside down with ``probability``."""
    values = block.values
    hit = by_slot(rng, values.shape[:2], probability)
    values *= np.where(hit, np.float32(-1), np.float32(1))[..., None]


def amplitude_modulation(block: Block, rng: np.random.Generator, *, probability: float) -> None:
    """Multiply a series by a piecewise linear factor with ``probability`` (TiRex, 2505.23719).

    The factor has one to ``MAX_PIECES`` pieces and is the same for all
    variates, so that their ratios stay. In half of the series the level counts too, in the others
    only the distance from the mean of the window.
    """
    values, series_ids = block.values, block.series_ids
    hit = by_series(rng, series_ids, probability) & ~block.known
    number, about, *drawn = shared(rng, series_ids, 2 + 2 * (MAX_PIECES + 1))[:, hit]
    pieces = 1 + (number * MAX_PIECES).astype(np.int64)
    shift, level = np.array(drawn).reshape(2, MAX_PIECES + 1, -1)
    part = values[hit]
    middle = np.where(about < 0.5, _mean(part), 0).astype(np.float32)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        part -= middle
        part *= _piecewise(values.shape[-1], pieces, shift.T, level.T)
        part += middle
    values[hit] = part


def _piecewise(
    num_steps: int, pieces: np.ndarray, shift: np.ndarray, level: np.ndarray
) -> Float32[np.ndarray, "n T"]:
    """Draw lines between knots; ``shift`` and ``level`` [n, knots] uniform in [0, 1) place them."""
    knot, pieces = np.arange(MAX_PIECES + 1), pieces[:, None]
    # Evenly spaced, then moved by up to 0.3 of their distance: never two at one place.
    moved = knot + 0.6 * (shift - 0.5)
    place = np.where(knot < pieces, np.where(knot > 0, moved, 0) / pieces, 1.0)
    height = log_uniform(level, *AMPLITUDE)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(knot[:-1] < pieces, np.diff(height) / np.diff(place), 0.0)
    bend = np.diff(slope, axis=1, prepend=0.0)
    time = np.linspace(0, 1, num_steps, dtype=np.float32)
    factor = np.repeat(height[:, :1].astype(np.float32), num_steps, axis=1)
    for n in range(MAX_PIECES):
        rise = np.maximum(time - place[:, n, None].astype(np.float32), 0)
        rise *= bend[:, n, None].astype(np.float32)
        factor += rise
    return factor


def censoring(block: Block, rng: np.random.Generator, *, probability: float) -> None:
    """Clip a slot with ``probability``, from above or below (TiRex, arXiv 2505.23719).

    The bound is the value of a random observed point: a quantile whose level is uniform.
    """
    values = block.values
    num_steps = values.shape[-1]
    hit = by_slot(rng, values.shape[:2], probability) & ~block.known
    places = (rng.random((*hit.shape, _TRIES))[hit] * num_steps).astype(np.int64)
    above = rng.random(hit.shape)[hit] < 0.5
    part = values[hit]
    found = np.take_along_axis(part, places, axis=1)
    first = np.argmin(np.isnan(found), axis=1)
    bound = np.take_along_axis(found, first[:, None], axis=1)
    unknown = np.isnan(bound)
    low = np.where(unknown | above[:, None], np.float32(-np.inf), bound)
    high = np.where(unknown | ~above[:, None], np.float32(np.inf), bound)
    values[hit] = np.clip(part, low, high, out=part)


def spikes(block: Block, rng: np.random.Generator, *, probability: float) -> None:
    """Add spikes to a slot with ``probability`` (TiRex, arXiv 2505.23719).

    They come regularly or at random times at the same rate, all of one slot with the same height,
    sign and length, flat or fading.
    """
    values = block.values
    hit = by_slot(rng, values.shape[:2], probability) & ~block.known
    drawn = rng.random((6, *hit.shape))[:, hit][..., None]
    period = np.floor(log_uniform(drawn[0], *SPIKE_PERIOD)).astype(np.int64)
    steps = np.floor(log_uniform(drawn[1], *SPIKE_STEPS))
    height = log_uniform(drawn[2], *SPIKE_HEIGHT) * np.where(drawn[3] < 0.25, -1, 1)
    regular, fading = drawn[4] < 0.5, drawn[5] < 0.5
    time = np.arange(values.shape[-1])
    starts = rng.random((len(period), len(time)), dtype=np.float32) < 1 / period
    last = np.maximum.accumulate(np.where(starts, time, -len(time)), axis=1)
    phase = (drawn[3] * period).astype(np.int64)
    age = np.where(regular, (time + phase) % period, time - last)
    shape = np.where(fading, np.exp(-age / steps), age < steps)
    part = values[hit]
    with np.errstate(over="ignore"):
        part += (height * _spread(part)[:, None] * shape).astype(np.float32)
    values[hit] = part


def log_uniform(
    places: Float64[np.ndarray, "*shape"], low: float, high: float
) -> Float64[np.ndarray, "*shape"]:
    """Map ``places`` uniform in [0, 1) to numbers uniform in the logarithm in [low, high)."""
    return low * (high / low) ** places


def mean_size(part: Float32[np.ndarray, "n T"]) -> Float64[np.ndarray, " n"]:
    """Mean absolute value of the observed points of each slot, 0 where there are none."""
    size = np.abs(part)
    seen = np.isfinite(size)
    total = np.sum(size, axis=1, where=seen, dtype=np.float64)
    return total / np.maximum(seen.sum(axis=1), 1)


def _mean(part: Float32[np.ndarray, "n T"]) -> Float64[np.ndarray, " n"]:
    seen = np.isfinite(part)
    total = np.sum(part, axis=1, where=seen, dtype=np.float64)
    return total / np.maximum(seen.sum(axis=1), 1)


def _spread(part: Float32[np.ndarray, "n T"]) -> Float64[np.ndarray, " n"]:
    """Mean distance from the mean, of the observed points."""
    return mean_size((part - _mean(part)[:, None]).astype(np.float32))
