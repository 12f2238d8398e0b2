"""Augmentations that hide points: what is hidden becomes NaN, nothing else changes.

The gaps are as long and as many as in published data. Of the CloudWatch metrics of NAB (5 minutes,
19 series of some days or weeks) six miss 0.02 to 0.2 % of their steps, in gaps of one to three;
road sensors miss 8 % (METR-LA) and air quality stations 13 and 26 % (AQI-36 and AQI; Cini et al.
2022, arXiv:2108.00298, who let failures last 12 to 48 steps); exchanges and offices close every
night.

Shapes: B rows, V slots, T time steps, n slots that are hit.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from toto_core.data.augmentation.block import Block
from toto_core.data.augmentation.chance import by_series, by_slot, lowest, shared
from toto_core.data.augmentation.size import log_uniform

# The longest stretch that a time mask hides, as a share of the window: long enough to be an
# outage, short enough that most of the context stays.
MAX_MASKED_SHARE = 0.25
# Share of the steps that is missing, and the mean length of a gap where they are longer than one.
MISSING_SHARE = (0.0002, 0.26)
GAP_STEPS = (2.0, 48.0)
# Regular gaps: a day or a week of common sampling intervals, and how much of it is closed.
PERIODS = (7, 24, 48, 96, 144, 168, 288)
CLOSED_SHARE = (0.05, 0.6)
# How often gaps are single points or stretches; the rest are regular.
_POINTS, _STRETCHES = 1 / 3, 1 / 3


def time_mask(block: Block, rng: np.random.Generator, *, probability: float) -> None:
    """Hide one random stretch of a series with ``probability``.

    The same steps are hidden in all of its variates, as by an outage of its collector. The
    stretch has 1 to T * ``MAX_MASKED_SHARE`` steps, uniformly, and lies anywhere in the window.
    """
    values, series_ids = block.values, block.series_ids
    num_steps = values.shape[-1]
    hit = by_series(rng, series_ids, probability)
    size, place = shared(rng, series_ids, 2)[:, hit]
    longest = max(1, int(num_steps * MAX_MASKED_SHARE))
    length = 1 + (size * longest).astype(np.int64)[:, None]
    start = (place[:, None] * (num_steps - length + 1)).astype(np.int64)
    steps = np.arange(num_steps)
    part = values[hit]
    part[(steps >= start) & (steps < start + length)] = np.nan
    values[hit] = part


def gaps(block: Block, rng: np.random.Generator, *, probability: float) -> None:
    """Give a series with ``probability`` the gaps of real ones: points, stretches, or regular ones.

    In half of the series all variates miss the same steps; in the others each one has its own
    gaps, of the same kind.
    """
    values, series_ids = block.values, block.series_ids
    num_steps = values.shape[-1]
    hit = by_series(rng, series_ids, probability)
    kind, share, mean, together = shared(rng, series_ids, 4)[:, hit]
    like = np.where(together < 0.5, _first_of_series(series_ids, hit), np.arange(len(kind)))
    regular = kind >= _POINTS + _STRETCHES
    length = np.where(kind < _POINTS, 1.0, log_uniform(mean, *GAP_STEPS))
    chance = np.where(regular, 0.0, log_uniform(share, *MISSING_SHARE) / length)
    gone = _stretches(rng.random((len(kind), num_steps), dtype=np.float32)[like], chance, length)
    period = np.array(PERIODS)[(mean * len(PERIODS)).astype(np.int64)]
    closed = period * (CLOSED_SHARE[0] + share * (CLOSED_SHARE[1] - CLOSED_SHARE[0]))
    phase = np.floor(rng.random(len(kind))[like] * period)
    since = (np.arange(num_steps) + phase[regular, None]) % period[regular, None]
    gone[regular] = since < closed[regular, None]
    part = values[hit]
    part[gone] = np.nan
    values[hit] = part


def _stretches(
    place: Float32[np.ndarray, "n T"],
    chance: Float64[np.ndarray, " n"],
    length: Float64[np.ndarray, " n"],
) -> Bool[np.ndarray, "n T"]:
    """Begin a gap at each step with ``chance``, of geometric lengths with mean ``length``.

    Args:
        place: uniform in [0, 1). Where a gap begins, place / chance is uniform as well.
    """
    slot, step = np.nonzero(place < chance[:, None])
    quotient = np.maximum(place[slot, step] / chance[slot], 1e-12)
    end = np.zeros(place.shape, np.int32)
    end[slot, step] = step + np.ceil(1 - (length[slot] - 1) * np.log(quotient))
    return np.arange(place.shape[1]) < np.maximum.accumulate(end, axis=1)


def variate_dropout(block: Block, rng: np.random.Generator, *, probability: float) -> None:
    """Hide a slot altogether with ``probability``, but one target of each series never."""
    values, series_ids = block.values, block.series_ids
    key = rng.random(series_ids.shape)
    kept = block.is_target & (key == lowest(np.where(block.is_target, key, np.inf), series_ids))
    values[by_slot(rng, series_ids.shape, probability) & ~kept & (series_ids >= 0)] = np.nan


def _first_of_series(
    series_ids: Int64[np.ndarray, "B V"], hit: Bool[np.ndarray, "B V"]
) -> Int64[np.ndarray, " n"]:
    """Number the slots that are hit, and find the number of the first one of each one's series."""
    rows = np.arange(len(series_ids))[:, None] * series_ids.shape[1]
    _, first, which = np.unique((rows + series_ids)[hit], return_index=True, return_inverse=True)
    return first[which]
