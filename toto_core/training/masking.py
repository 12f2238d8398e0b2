"""Contiguous patch masking: which patches the network may not see while it trains.

arXiv 2605.20119 section 2.2 hides spans of c ~ U{1..max_span} patches with probability
p ~ U(0, max_rate); the sampler itself is not published. This one follows TiRex (arXiv 2505.23719):
one draw of p and c, a Bernoulli(p) mask on a coarse grid, each entry repeated for c patches.
Neighbouring entries can merge, and the expected masked share is max_rate / 2.

Open in the published recipe and chosen here: the draw is shared by the variates of an item (at
inference all their horizons are hidden together), the first patch with an observation and all
before it stay visible (a forecast always has a past), and known covariates are never hidden.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64


def visible_patches(
    series_ids_BV: Int64[np.ndarray, "B V"],
    known_BV: Bool[np.ndarray, "B V"],
    observed_BVP: Bool[np.ndarray, "B V P"],
    *,
    max_span: int,
    max_rate: float,
    seed: Sequence[int],
) -> Bool[np.ndarray, "B V P"]:
    """Draw which patches stay visible (True), a pure function of its arguments.

    Args:
        series_ids_BV: variates of one item carry equal ids within a row.
        observed_BVP: True where a patch has at least one observation.
        max_span: longest span, patches.
        max_rate: largest masked share, 0 to 1; 0 masks nothing.
    """
    rng = np.random.default_rng(seed)
    num_patches = observed_BVP.shape[2]
    rate_BV = rng.uniform(0, max_rate, known_BV.shape)
    span_BV = rng.integers(1, max_span, known_BV.shape, endpoint=True)
    draw_BVP = rng.random(observed_BVP.shape)

    owner_BV = (series_ids_BV[:, :, None] == series_ids_BV[:, None, :]).argmax(2)
    row_B1 = np.arange(len(owner_BV))[:, None]
    cell_BVP = np.arange(num_patches) // span_BV[row_B1, owner_BV][..., None]
    drawn_BVP = np.take_along_axis(draw_BVP[row_B1, owner_BV], cell_BVP, axis=2)
    masked_BVP = drawn_BVP < rate_BV[row_B1, owner_BV][..., None]

    has_past_BVP = np.logical_or.accumulate(observed_BVP, axis=2)[..., :-1]
    masked_BVP[..., 1:] &= has_past_BVP
    masked_BVP[..., 0] = False
    return ~(masked_BVP & ~known_BV[..., None])
