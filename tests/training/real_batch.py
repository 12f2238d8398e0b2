"""Batches of random walks in the shape that the real network takes, for the tests."""

import numpy as np
from tiny_model import TinyBatch


def real_batch(*, rows=4, num_variates=3, num_patches=4, seed=0, patch_size=32):
    rng = np.random.default_rng(seed)
    shape = (rows, num_variates, num_patches * patch_size)
    target_mask = rng.random(shape) > 0.05
    target = rng.standard_normal(shape).cumsum(-1)
    return TinyBatch(
        target=np.where(target_mask, target, 0).astype(np.float32),
        target_mask=target_mask,
        series_ids=np.zeros(shape[:2], np.int64),
        known=np.zeros(shape[:2], np.bool_),
        horizon=0,
        items=tuple((f"item-{row}",) for row in range(rows)),
    )
