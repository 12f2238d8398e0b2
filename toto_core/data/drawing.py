"""Which windows make up a training batch: all of them are drawn at once, nothing is read.

Rows are filled with items drawn by weight, one variate to a slot: whole items, and of the last one
as many variates as slots are left. A window ends anywhere from half a window to the item's limit.

Shapes: N items, B rows, V slots of a row, W windows, S = B * V slots of the batch, row by row.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from toto_core.data.corpus import TARGET, Corpus
from toto_core.errors import DataError


@dataclass(frozen=True)
class Windows:
    """The windows of a batch, row by row and each with its slots in order.

    Attributes:
        row: of the batch, rising.
        series: the window's place in its row, from 0 on.
        item: of the corpus.
        end: steps of the item before the end of the window, at most the item's limit.
        window: of each slot, rising.
        variate: of the item, in each slot.
    """

    row: Int64[np.ndarray, " W"]
    series: Int64[np.ndarray, " W"]
    item: Int64[np.ndarray, " W"]
    end: Int64[np.ndarray, " W"]
    window: Int64[np.ndarray, " S"]
    variate: Int64[np.ndarray, " S"]


class ItemDraw:
    """Items by weight: each row is either real or synthetic, as the weights share it out.

    Args:
        limits: leading steps of each item that may be used.

    Raises:
        DataError: if no item has both a weight and a step that may be used.
    """

    def __init__(self, corpus: Corpus, limits: Int64[np.ndarray, " N"], *, cutoff: str) -> None:
        weights = np.where(limits > 0, corpus.weight, 0.0)
        if not weights.sum() > 0:
            raise DataError(
                f"corpus: usable items before the cut-off {cutoff} = 0 of {corpus.num_items}, "
                "at least 1 is needed; give more history or move the cut-off"
            )
        parts = [~corpus.is_synthetic & (weights > 0), corpus.is_synthetic & (weights > 0)]
        self._items = [np.flatnonzero(part) for part in parts]
        self._cumulative = [np.cumsum(weights[part]) for part in parts]
        self._totals = [float(weights[part].sum()) for part in parts]

    def parts(self, rng: np.random.Generator, num_rows: int) -> Bool[np.ndarray, " B"]:
        """Draw for each row whether it is synthetic."""
        real, synthetic = self._totals
        return (rng.random(num_rows) * (real + synthetic) >= real) & (synthetic > 0)

    def items(
        self, places: Float64[np.ndarray, "*shape"], is_synthetic: Bool[np.ndarray, "*shape"]
    ) -> Int64[np.ndarray, "*shape"]:
        """Items for ``places`` uniform in [0, 1), each of the part that is asked for."""
        found = np.empty(places.shape, np.int64)
        for part, wanted in enumerate((~is_synthetic, is_synthetic)):
            if wanted.any():
                cumulative = self._cumulative[part]
                index = np.searchsorted(cumulative, places[wanted] * cumulative[-1], side="right")
                found[wanted] = self._items[part][np.minimum(index, len(cumulative) - 1)]
        return found


def draw_windows(
    corpus: Corpus,
    draw: ItemDraw,
    limits: Int64[np.ndarray, " N"],
    rng: np.random.Generator,
    *,
    shape: tuple[int, int, int],
) -> Windows:
    """Draw the windows of a batch of ``shape`` (rows, slots, steps)."""
    num_rows, num_slots, num_steps = shape
    is_synthetic = np.repeat(draw.parts(rng, num_rows)[:, None], num_slots, axis=1)
    items = draw.items(rng.random((num_rows, num_slots)), is_synthetic)
    places = rng.random((num_rows, num_slots))
    sizes = np.minimum(corpus.num_variates[items], num_slots)
    first = np.cumsum(sizes, axis=1) - sizes
    row, series = np.nonzero(first < num_slots)
    first, item, size = first[row, series], items[row, series], sizes[row, series]
    size = np.minimum(size, num_slots - first)
    limit = limits[item]
    shortest = np.minimum(limit, num_steps // 2)
    end = shortest + (places[row, series] * (limit - shortest + 1)).astype(np.int64)
    window, variate = _choose_variates(corpus, item, size, rng)
    return Windows(row, series, item, end, window, variate)


def _choose_variates(
    corpus: Corpus, item: np.ndarray, size: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Choose ``size`` random variates of each window, in order, with a target where there is one.

    Returns:
        The window and the variate of each slot.
    """
    counts = corpus.num_variates[item]
    window, variate = _numbered(counts)
    if (size == counts).all():
        return window, variate
    key = rng.random(len(window))
    is_target = corpus.roles[corpus.role_offset[item][window] + variate] == TARGET
    starts = np.cumsum(counts) - counts
    lead = np.lexsort((key, ~is_target, window))[starts]  # a target, if there is any
    key[lead] = -1
    order = np.lexsort((key, window))
    chosen = np.sort(order[variate < size[window]])  # ``variate`` counts within each window
    return window[chosen], variate[chosen]


def _numbered(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the members of groups of ``counts``: the group of each, its place in the group."""
    group = np.repeat(np.arange(len(counts)), counts)
    return group, np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
