"""Families of sharp shapes: shifts and spikes.

Shape: T time steps.
"""

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.draws import chance, log_uniform, pick
from toto_core.data.synthetic.noise import white
from toto_core.data.synthetic.seasons import repeated, seasons
from toto_core.data.synthetic.sensor import measured
from toto_core.data.synthetic.trends import level_shifts, spikes


def shifts_spikes(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """A quiet base with level shifts, decaying spikes, saw-teeth or changes of its noise."""
    base = white(rng, length) * np.float32(log_uniform(rng, 0.02, 0.5))
    if chance(rng, 0.5):
        base += np.float32(log_uniform(rng, 0.1, 1.0)) * seasons(rng, length)
    if chance(rng, 0.6):
        base += level_shifts(rng, length)
    if chance(rng, 0.6):
        base += spikes(rng, length)
    if chance(rng, 0.2):
        period = int(log_uniform(rng, 8, max(9, length / 4)))
        ramp = np.arange(period, dtype=np.float32) / np.float32(period)
        base += pick(rng, (-2, 2)) * repeated(rng, ramp, length)
    return measured(rng, base)
