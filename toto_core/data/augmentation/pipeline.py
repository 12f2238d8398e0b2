"""The order of the augmentations, and the generator of each one."""

from collections.abc import Callable
from enum import IntEnum
from functools import partial

import numpy as np

from toto_core.data.augmentation.block import Block
from toto_core.data.augmentation.missing import gaps, time_mask, variate_dropout
from toto_core.data.augmentation.size import (
    amplitude_modulation,
    censoring,
    noise,
    sign_flip,
    spikes,
)
from toto_core.data.augmentation.timing import time_flip, time_warp
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


def augment(block: Block, settings: AugmentSettings, *, seed: int, step: int) -> None:
    """Change a batch as ``settings`` says, in place, the same for the same seed and step.

    Resampling, mixing and the shuffle of variates decide what is read; ``data.windows`` does them
    before. First time is changed, then the size of the values, at last what is missing.
    """
    changes: tuple[tuple[Stream, float, Callable[..., None]], ...] = (
        (Stream.TIME_WARP, settings.time_warp, time_warp),
        (Stream.TIME_FLIP, settings.time_flip, time_flip),
        (Stream.AMPLITUDE_MODULATION, settings.amplitude_modulation, amplitude_modulation),
        (Stream.CENSORING, settings.censoring, censoring),
        (Stream.SPIKES, settings.spikes, spikes),
        (Stream.SIGN_FLIP, settings.sign_flip, sign_flip),
        (Stream.NOISE, settings.noise, partial(noise, std=settings.noise_std)),
        (Stream.GAPS, settings.gaps, gaps),
        (Stream.TIME_MASK, settings.time_mask, time_mask),
        (Stream.VARIATE_DROPOUT, settings.variate_dropout, variate_dropout),
    )
    for stream, probability, change in changes:
        if probability > 0:
            change(block, generator(seed, step, stream), probability=probability)
