"""Augmentations of time: the same for all variates of a series, inside the window that was cut.

Shapes: B rows, V slots, S windows, T time steps, n slots that are hit.
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64

from toto_core.data.augmentation.block import Block
from toto_core.data.augmentation.chance import by_series, lowest, shared

# Time warp: waves that bend time, and the most that they change its speed: 1 - this to 1 + this.
NUM_WAVES = 4
MAX_SPEED_CHANGE = 0.8


def time_flip(block: Block, rng: np.random.Generator, *, probability: float) -> None:
    """Turn a series back to front with ``probability``, from its first observed step to the last.

    What is missing before the first step stays there. Series with covariates that are known ahead
    are left alone: an effect would come before its cause.
    """
    values, series_ids = block.values, block.series_ids
    num_steps = values.shape[-1]
    guided = lowest(np.where(block.known, 0.0, 1.0), series_ids) == 0
    hit = by_series(rng, series_ids, probability) & ~guided
    part = values[hit]
    seen = ~np.isnan(part)
    first = np.full(hit.shape, np.inf)
    first[hit] = np.where(seen.any(axis=1), seen.argmax(axis=1), num_steps)
    start = lowest(first, series_ids)[hit].astype(np.int64)[:, None]
    time = np.arange(num_steps)
    back = np.where(time >= start, num_steps - 1 + start - time, time)
    values[hit] = np.take_along_axis(part, back, axis=1)


def time_warp(block: Block, rng: np.random.Generator, *, probability: float) -> None:
    """Let the time of a series run faster and slower with ``probability``.

    The place that is read at t, both in [0, 1], is t + sum_j a_j sin(pi j t) / (pi j). Its speed
    1 + sum_j a_j cos(pi j t) is positive, since sum |a_j| < 1; begin and end stay.
    """
    values, series_ids = block.values, block.series_ids
    num_steps = values.shape[-1]
    hit = by_series(rng, series_ids, probability)
    drawn = shared(rng, series_ids, NUM_WAVES + 1)[:, hit].T
    bends, strength = 2 * drawn[:, 1:] - 1, MAX_SPEED_CHANGE * drawn[:, :1]
    bends *= strength / np.maximum(np.abs(bends).sum(axis=1, keepdims=True), 1e-9)
    time, wave = np.linspace(0, 1, num_steps), np.pi * np.arange(1, NUM_WAVES + 1)
    places = time + (bends / wave) @ np.sin(np.outer(wave, time))
    values[hit] = read_between(values[hit], (num_steps - 1) * places)


def stretch(values: Float32[np.ndarray, "S T"], factor: Int64[np.ndarray, " S"]) -> None:
    """Fill a window with its last T / ``factor`` steps and straight lines between them."""
    num_steps = values.shape[-1]
    hit = factor > 1
    back = (num_steps - 1 - np.arange(num_steps)) / factor[hit][:, None]
    values[hit] = read_between(values[hit], num_steps - 1 - back)


def read_between(
    part: Float32[np.ndarray, "n T"], places: Float64[np.ndarray, "n T"]
) -> Float32[np.ndarray, "n T"]:
    """Read ``part`` at ``places`` in [0, T - 1], straight lines between its steps.

    A place beside a missing step is missing, unless it is a step itself.
    """
    left = np.clip(places.astype(np.int64), 0, max(part.shape[1] - 2, 0))
    share = (places - left).astype(np.float32)
    before = np.take_along_axis(part, left, axis=1)
    after = np.take_along_axis(part, np.minimum(left + 1, part.shape[1] - 1), axis=1)
    between = before * (1 - share) + after * share
    return np.where(share <= 0, before, np.where(share >= 1, after, between))
