"""Series of one synthetic family, and what is measured on them."""

import numpy as np

from toto_core.data.synthetic import FAMILIES, generate


def made(name, count=200, length=1024, seed=0):
    """``count`` series [V, T] of one family, as float64."""
    weights = {family: float(family == name) for family in FAMILIES}
    return [
        values.astype(np.float64)
        for _, values in generate(seed, count, length=length, weights=weights)
    ]


def rows(name, count=200, length=1024, seed=0):
    """The same of a family of one variate, as one array [N, T]."""
    return np.concatenate(made(name, count, length, seed))


def autocorrelation(values, lag):
    """Of one series at one lag; 0 for a constant one."""
    centred = values - values.mean()
    power = centred @ centred
    return float(centred[lag:] @ centred[:-lag] / power) if power > 0 else 0.0
