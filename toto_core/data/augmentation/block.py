"""What an augmentation changes: the windows of a batch.

Shapes: B rows, V slots, T time steps.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int8, Int64

from toto_core.data.corpus import KNOWN_COVARIATE, TARGET


@dataclass(frozen=True)
class Block:
    """The windows of a batch; augmentations change ``values`` in place.

    Attributes:
        values: missing = NaN.
        series_ids: equal within a row for the variates of one window, from 0 on and below V;
            negative = unused.
        roles: of each slot, as in ``data.corpus``.
    """

    values: Float32[np.ndarray, "B V T"]
    series_ids: Int64[np.ndarray, "B V"]
    roles: Int8[np.ndarray, "B V"]

    @property
    def known(self) -> Bool[np.ndarray, "B V"]:
        """Covariates that are known ahead."""
        return self.roles == KNOWN_COVARIATE

    @property
    def is_target(self) -> Bool[np.ndarray, "B V"]:
        """What is to be forecast."""
        return self.roles == TARGET
