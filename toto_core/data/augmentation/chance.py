"""Which slots of a batch an augmentation hits, and what the slots of a series have in common.

Shapes: B rows, V slots.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int64


def by_slot(
    rng: np.random.Generator, shape: tuple[int, int], probability: float
) -> Bool[np.ndarray, "B V"]:
    """Hit each slot by itself with ``probability``, 0 to 1."""
    return rng.random(shape) < probability


def by_series(
    rng: np.random.Generator, series_ids: Int64[np.ndarray, "B V"], probability: float
) -> Bool[np.ndarray, "B V"]:
    """Hit all slots of a series or none, each series with ``probability``; unused slots never."""
    return (shared(rng, series_ids, 1)[0] < probability) & (series_ids >= 0)


def shared(
    rng: np.random.Generator, series_ids: Int64[np.ndarray, "B V"], count: int
) -> Float64[np.ndarray, "count B V"]:
    """Draw ``count`` numbers uniform in [0, 1) for each series, the same in all of its slots."""
    rows = np.arange(len(series_ids))[:, None]
    return rng.random((count, *series_ids.shape))[:, rows, series_ids]


def lowest(
    numbers: Float64[np.ndarray, "B V"], series_ids: Int64[np.ndarray, "B V"]
) -> Float64[np.ndarray, "B V"]:
    """Find the lowest number among the slots of each series, the same in all of its slots.

    Unused slots have none; what is returned for them means nothing.
    """
    num_rows, num_slots = series_ids.shape
    place = np.arange(num_rows)[:, None] * num_slots + np.maximum(series_ids, 0)
    found = np.full(num_rows * num_slots, np.inf)
    np.minimum.at(found, place, np.where(series_ids >= 0, numbers, np.inf))
    return found[place]
