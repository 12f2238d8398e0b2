"""Families with seasons: trend and season products.

Shape: T time steps.
"""

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.draws import chance, log_uniform, standardised
from toto_core.data.synthetic.noise import curve, white
from toto_core.data.synthetic.seasons import seasons
from toto_core.data.synthetic.sensor import measured
from toto_core.data.synthetic.trends import trend


def trend_season(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Trend, one or two calendar seasons and noise, added up or multiplied (ForecastPFN)."""
    made = seasons(rng, length)
    if chance(rng, 0.3):  # TiRex: amplitude modulation
        made *= 1 + 0.5 * curve(rng, length)
    signal = made + trend(rng, length)
    noise = white(rng, length) * log_uniform(rng, 0.02, 1.0)
    if chance(rng, 0.4):
        # Multiplicative: swings and noise grow with the level.
        strength = log_uniform(rng, 0.1, 1.0)
        return measured(rng, np.exp(strength * (standardised(signal) + 0.3 * noise)))
    return measured(rng, signal + noise)
