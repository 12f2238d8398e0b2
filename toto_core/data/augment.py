"""Augmentations made on the fly, while a batch is drawn.

Both act on a window by itself, after it was cut: neither can bring in a value from outside the
window, and so none from behind a cut-off. All randomness comes from the generator handed in.

Shapes: B batch, V variates, T time steps.
"""

import numpy as np
from jaxtyping import Float32, Int64

# The longest stretch that a time mask hides, as a share of the window: long enough to be an
# outage, short enough that most of the context stays.
MAX_MASKED_SHARE = 0.25


def multiplicative_noise(
    values: Float32[np.ndarray, "B V T"], rng: np.random.Generator, *, noise_std: float
) -> None:
    """Multiply each point by 1 + ``noise_std`` * z with z standard normal, in place.

    Missing points (NaN) stay missing, zeros stay zero. A value that leaves the range of float32
    becomes infinite; the caller treats it as missing.
    """
    if noise_std == 0:
        return
    factor = rng.standard_normal(values.shape, dtype=np.float32)
    factor *= np.float32(noise_std)
    factor += np.float32(1)
    with np.errstate(over="ignore"):
        values *= factor


def time_mask(
    values: Float32[np.ndarray, "B V T"],
    series_ids: Int64[np.ndarray, "B V"],
    rng: np.random.Generator,
    *,
    probability: float,
) -> None:
    """Hide one random stretch of an item with ``probability``, in place (hidden = NaN).

    The draw is made for each item of each row, and hides the same steps in all of its variates,
    as an outage of its collector would. The stretch has 1 to T * ``MAX_MASKED_SHARE`` steps,
    uniformly, and lies anywhere in the window.

    Args:
        series_ids: equal within a row for the variates of one item, below V; negative = unused.
    """
    if probability == 0:
        return
    num_rows, num_slots, num_steps = values.shape
    hit, size, place = rng.random((3, num_rows, num_slots))
    longest = max(1, int(num_steps * MAX_MASKED_SHARE))
    length = 1 + (size * longest).astype(np.int64)
    start = (place * (num_steps - length + 1)).astype(np.int64)
    for row, slot in np.argwhere(series_ids >= 0):
        item = series_ids[row, slot]
        if hit[row, item] < probability:
            first = start[row, item]
            values[row, slot, first : first + length[row, item]] = np.nan
