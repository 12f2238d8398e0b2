"""Where runs of equal neighbours start.

Shapes: N rows, K runs.
"""

import numpy as np
import polars as pl
from jaxtyping import Int64, Integer


def starts_of(numbers: Integer[np.ndarray, " N"]) -> Int64[np.ndarray, " K"]:
    """Where each run of equal numbers starts."""
    is_start = np.ones(len(numbers), np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=is_start[1:])
    return np.flatnonzero(is_start)


def starts_of_names(names: pl.Series) -> Int64[np.ndarray, " K"]:
    """Where each run of equal names starts."""
    lengths = names.rle().struct.field("len").to_numpy().astype(np.int64)
    return np.cumsum(lengths) - lengths
