"""Windows read from the shards of a corpus, many at once.

Shapes: S windows, T time steps.
"""

import numpy as np
from jaxtyping import Float32, Int64
from numpy.lib.stride_tricks import sliding_window_view

from toto_core.data.augmentation.mixing import mix_in
from toto_core.data.augmentation.resampling import aggregate
from toto_core.data.augmentation.timing import stretch
from toto_core.data.corpus import Corpus
from toto_core.data.drawing import Windows


class WindowReader:
    """Reads windows of single variates, whose values lie one after the other."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus

    def windows(
        self, drawn: Windows, num_steps: int, rng: np.random.Generator
    ) -> Float32[np.ndarray, "S T"]:
        """Read the windows of a batch, slot by slot, resampled and mixed.

        Args:
            rng: draws the shares of what is mixed.
        """
        item, end, every = (part[drawn.window] for part in (drawn.item, drawn.end, drawn.every))
        if (every == 1).all():
            values = self.read(item, drawn.variate, end, num_steps)
        else:
            values = np.empty((len(item), num_steps), np.float32)
            for factor in np.unique(every).tolist():
                rows = np.flatnonzero(every == factor)
                part = self.read(item[rows], drawn.variate[rows], end[rows], factor * num_steps)
                way = drawn.way[drawn.window[rows]]
                values[rows] = part if factor == 1 else aggregate(part, factor, way)
        if (drawn.stretch > 1).any():
            stretch(values, drawn.stretch[drawn.window])
        mixed = drawn.mixed
        if len(mixed.slot):
            others = self.read(mixed.item, mixed.variate, mixed.end, num_steps)
            mix_in(values, mixed.slot, others, rng)
        return values

    def read(
        self,
        item: Int64[np.ndarray, " S"],
        variate: Int64[np.ndarray, " S"],
        end: Int64[np.ndarray, " S"],
        num_steps: int,
    ) -> Float32[np.ndarray, "S T"]:
        """Copy the steps [end - ``num_steps``, end) of each variate; NaN before its first step."""
        corpus = self._corpus
        start = corpus.offset[item] + variate * corpus.length[item] + end - num_steps
        shard = corpus.shard[item]
        if (shard == shard[0]).all():
            values = _gather(corpus.shards[shard[0]], start, num_steps)
        else:
            values = np.empty((len(item), num_steps), np.float32)
            for number in np.unique(shard):
                rows = np.flatnonzero(shard == number)
                values[rows] = _gather(corpus.shards[number], start[rows], num_steps)
        short = np.flatnonzero(end < num_steps)
        if len(short):  # what was read there is another variate or another item
            part = values[short]
            part[np.arange(num_steps) < (num_steps - end[short])[:, None]] = np.nan
            values[short] = part
        return values


def _gather(shard: np.ndarray, start: np.ndarray, num_steps: int) -> np.ndarray:
    """Copy a run of values from each ``start`` on; in place of what lies before the shard, any."""
    if len(shard) >= num_steps and start.min(initial=0) >= 0:
        return sliding_window_view(shard, num_steps)[start]
    values = np.empty((len(start), num_steps), np.float32)
    whole = start >= 0
    if whole.any():
        values[whole] = sliding_window_view(shard, num_steps)[start[whole]]
    places = start[~whole, None] + np.arange(num_steps)
    values[~whole] = shard[np.maximum(places, 0)]
    return values
