"""One item on its way into the corpus.

Shapes: V variates, T time steps, C cut-offs, K validation origins.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int8, Int64

# The order of toto_core.data.tables.ROLES; that module is not imported, because it needs Polars.
TARGET, PAST_COVARIATE, KNOWN_COVARIATE = 0, 1, 2


@dataclass(frozen=True)
class Entry:
    """One item on its way into the corpus.

    Attributes:
        group: what is held out together with it; the family of a synthetic series.
        values: missing = NaN.
        roles: ``TARGET``, ``PAST_COVARIATE`` or ``KNOWN_COVARIATE`` for each variate.
        limits: leading time steps that may be used before each cut-off, in the order of the
            cut-offs' names.
        validation_positions: index of the first step of each validation origin's horizon, or -1
            where this item is not judged at that origin.
    """

    item_id: str
    group: str
    freq: str
    source: str
    values: Float32[np.ndarray, "V T"]
    roles: Int8[np.ndarray, " V"]
    limits: Int64[np.ndarray, " C"]
    validation_positions: Int64[np.ndarray, " K"]
    is_synthetic: bool
