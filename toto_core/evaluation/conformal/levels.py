"""Quantiles at levels between the known ones.

The interpolation is linear in the normal score of the level, so that it is exact for a normal
distribution of any mean and spread. It rises where its ends do, changes nothing at a known level,
and is one weighted sum of two columns.

Shapes: K known levels, L asked levels.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from scipy.special import ndtri


def between(
    quantiles: Float32[np.ndarray, "*cells K"], known: Sequence[float], levels: Sequence[float]
) -> Float32[np.ndarray, "*cells L"]:
    """Return the quantiles at ``levels``, each between the two known levels beside it.

    Args:
        known: levels of the last axis, rising, at least two, between 0 and 1.
        levels: from the lowest to the highest of ``known``.

    Raises:
        ValueError: if a level lies outside.
    """
    if tuple(levels) == tuple(known):
        return quantiles
    outside = [level for level in levels if not known[0] <= level <= known[-1]]
    if outside:
        raise ValueError(
            f"quantiles: levels = {outside}, {known[0]:g} to {known[-1]:g} are allowed; "
            "choose among them"
        )
    place = np.interp(ndtri(levels), ndtri(known), np.arange(len(known)))
    below = np.minimum(place.astype(np.int64), len(known) - 2)
    share = (place - below).astype(np.float32)
    lower, upper = quantiles[..., below], quantiles[..., below + 1]
    return np.where(share == 1, upper, lower + (upper - lower) * share)
