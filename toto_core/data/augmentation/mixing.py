"""TSMixup: windows of other items are mixed in, each at the size of the window that takes it.

As in Chronos (Ansari et al. 2024, arXiv:2403.07815, algorithm 1), which divides each of up to four
series by its mean absolute value and adds them with weights from a Dirichlet law of 1.5.

Shapes: S windows that may take others, T time steps, E windows that are mixed in.
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64

from toto_core.data.augmentation.size import mean_size

# Chronos' values: most windows in a mixture, itself included, and the law of their weights.
MAX_SOURCES = 4
CONCENTRATION = 1.5
# A window with fewer points than this share of its steps is not mixed in: it would hide the rest.
MIN_OBSERVED = 0.9


def shares(
    rng: np.random.Generator, taker: Int64[np.ndarray, " E"], num_takers: int
) -> tuple[Float64[np.ndarray, " takers"], Float64[np.ndarray, " E"]]:
    """Draw the weights of each taker's own values and of all that is mixed into it.

    Args:
        taker: of each window that is mixed in.
    """
    own = rng.standard_gamma(CONCENTRATION, num_takers)
    other = rng.standard_gamma(CONCENTRATION, len(taker))
    total = own + np.bincount(taker, other, minlength=num_takers)
    return own / total, other / total[taker]


def mix_in(
    values: Float32[np.ndarray, "S T"],
    slot: Int64[np.ndarray, " E"],
    others: Float32[np.ndarray, "E T"],
    rng: np.random.Generator,
) -> None:
    """Mix ``others`` into the slots that take them, in place.

    A slot keeps its size: its own mean absolute value takes the place of the others'. What is
    missing in one of them is missing in the mixture; what misses more than ``MIN_OBSERVED``
    allows is left out.

    Args:
        slot: of ``values``, for each of ``others``, rising.
    """
    full = np.isfinite(others).mean(axis=1) >= MIN_OBSERVED
    slot, others = slot[full], others[full]
    slots, taker = np.unique(slot, return_inverse=True)
    own, other = shares(rng, taker, len(slots))
    part = values[slots]
    size, other_size = mean_size(part)[taker], mean_size(others)
    usable = (size > 0) & (other_size > 0)
    factor = np.where(usable, other * size / np.where(usable, other_size, 1.0), other)
    with np.errstate(over="ignore", invalid="ignore"):
        part *= own[:, None].astype(np.float32)
        number = np.arange(len(slot)) - np.searchsorted(slot, slot)
        for turn in range(number.max(initial=-1) + 1):  # at most MAX_SOURCES - 1: all takers' first
            now = number == turn
            part[taker[now]] += others[now] * factor[now, None].astype(np.float32)
    values[slots] = part
