"""Errors of point forecasts that are no part of the verdict, for comparison with other software.

Shapes: N cells.
"""

import numpy as np
from jaxtyping import Float, Float64


def percentage_errors(
    target: Float[np.ndarray, " N"], forecast: Float[np.ndarray, " N"]
) -> Float64[np.ndarray, " N"]:
    """Return |y - z| / |y|, NaN where y is missing or zero; the mean of the others is the MAPE.

    fev and GluonTS leave zeros out too. It favours forecasts that are too low.
    """
    size = np.abs(target.astype(np.float64))
    return np.divide(
        np.abs(target - forecast), size, out=np.full(len(size), np.nan), where=size > 0
    )
