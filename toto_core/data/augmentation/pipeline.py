"""The order of the augmentations, and the generator of each one.

Shapes: B rows, V slots, T time steps.
"""

from enum import IntEnum

import numpy as np
from jaxtyping import Float32, Int8, Int64

from toto_core.data.augmentation.missing import gaps, time_mask, variate_dropout
from toto_core.data.augmentation.size import (
    amplitude_modulation,
    censoring,
    noise,
    sign_flip,
    spikes,
)
from toto_core.data.augmentation.timing import time_flip, time_warp
from toto_core.data.corpus import KNOWN_COVARIATE, TARGET
from toto_core.training.settings import AugmentSettings

_AUGMENT_STREAM = 2  # apart from the other streams of a batch


class Stream(IntEnum):
    """Part of the seed of each augmentation; never renumber, or all runs change."""

    NOISE = 0
    TIME_MASK = 1
    RESAMPLE = 2
    MIXUP = 3
    MIXUP_SHARES = 4
    VARIATE_SHUFFLE = 5
    TIME_WARP = 6
    TIME_FLIP = 7
    AMPLITUDE_MODULATION = 8
    CENSORING = 9
    SPIKES = 10
    SIGN_FLIP = 11
    GAPS = 12
    VARIATE_DROPOUT = 13


def generator(seed: int, step: int, stream: Stream) -> np.random.Generator:
    """Make the generator of one augmentation of the batch of ``step``."""
    return np.random.default_rng([seed, _AUGMENT_STREAM, step, int(stream)])


def augment(  # noqa: C901
    values: Float32[np.ndarray, "B V T"],
    series_ids: Int64[np.ndarray, "B V"],
    roles: Int8[np.ndarray, "B V"],
    settings: AugmentSettings,
    *,
    seed: int,
    step: int,
) -> None:
    """Change a batch as ``settings`` says, in place, the same for the same seed and step.

    Resampling, mixing and the shuffle of variates decide what is read; ``data.windows`` does them
    before. First time is changed, then the size of the values, at last what is missing.
    """
    known = roles == KNOWN_COVARIATE

    def rng(stream: Stream) -> np.random.Generator:
        return generator(seed, step, stream)

    if p := settings.time_warp:
        time_warp(values, series_ids, rng(Stream.TIME_WARP), probability=p)
    if p := settings.time_flip:
        time_flip(values, series_ids, known, rng(Stream.TIME_FLIP), probability=p)
    if p := settings.amplitude_modulation:
        amplitude_modulation(
            values, series_ids, known, rng(Stream.AMPLITUDE_MODULATION), probability=p
        )
    if p := settings.censoring:
        censoring(values, known, rng(Stream.CENSORING), probability=p)
    if p := settings.spikes:
        spikes(values, known, rng(Stream.SPIKES), probability=p)
    if p := settings.sign_flip:
        sign_flip(values, rng(Stream.SIGN_FLIP), probability=p)
    if p := settings.noise:
        noise(values, rng(Stream.NOISE), probability=p, std=settings.noise_std)
    if p := settings.gaps:
        gaps(values, series_ids, rng(Stream.GAPS), probability=p)
    if p := settings.time_mask:
        time_mask(values, series_ids, rng(Stream.TIME_MASK), probability=p)
    if p := settings.variate_dropout:
        variate_dropout(
            values, series_ids, roles == TARGET, rng(Stream.VARIATE_DROPOUT), probability=p
        )
