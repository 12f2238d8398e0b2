"""Blocks of windows for the tests of augmentations."""

import numpy as np

from toto_core.data.augmentation import Block
from toto_core.data.corpus import TARGET


def block_of(values, *, series_ids=None, roles=None):
    values = np.array(values, np.float32)
    num_rows, num_slots, _ = values.shape
    if series_ids is None:
        series_ids = np.tile(np.arange(num_slots), (num_rows, 1))
    if roles is None:
        roles = np.full((num_rows, num_slots), TARGET)
    return Block(values, np.asarray(series_ids, np.int64), np.asarray(roles, np.int8))


def walks(num_rows=100, num_slots=4, num_steps=128, seed=0):
    """Random walks around 50, all observed."""
    steps = np.random.default_rng(seed).standard_normal((num_rows, num_slots, num_steps))
    return (50 + steps.cumsum(axis=-1)).astype(np.float32)


def changed(augmentation, block, *, probability=1.0, seed=0):
    """Values after the augmentation; the block keeps its own."""
    copy = Block(block.values.copy(), block.series_ids, block.roles)
    augmentation(copy, np.random.default_rng(seed), probability=probability)
    return copy.values
