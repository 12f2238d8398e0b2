"""Which windows make up a training batch: all of them are drawn at once, nothing is read.

Rows are filled with items drawn by weight, one variate to a slot: whole items, and of the last one
as many variates as slots are left. A window ends anywhere from half a window to the item's limit.

Shapes: N items, B rows, V slots of a row, W windows, S = B * V slots of the batch, row by row, E
windows that are mixed into slots.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from toto_core.data.augmentation import AugmentSettings, Stream, generator
from toto_core.data.augmentation.mixing import MAX_SOURCES
from toto_core.data.augmentation.resampling import FACTORS, STRETCHES
from toto_core.data.corpus import TARGET, Corpus
from toto_core.errors import DataError

_WINDOW_STREAM = 1


@dataclass(frozen=True)
class Windows:
    """The windows of a batch, row by row and each with its slots in order.

    Attributes:
        row: of the batch, rising.
        series: the window's place in its row, from 0 on.
        item: of the corpus.
        end: steps of the item before the end of the window, at most the item's limit.
        every: how many steps of the item become one step of the window.
        way: uniform in [0, 1), how they become one.
        stretch: how many steps of the window one step of the item becomes.
        window: of each slot, rising.
        variate: of the item, in each slot.
        mixed: windows of single variates that are mixed into slots.
    """

    row: Int64[np.ndarray, " W"]
    series: Int64[np.ndarray, " W"]
    item: Int64[np.ndarray, " W"]
    end: Int64[np.ndarray, " W"]
    every: Int64[np.ndarray, " W"]
    way: Float64[np.ndarray, " W"]
    stretch: Int64[np.ndarray, " W"]
    window: Int64[np.ndarray, " S"]
    variate: Int64[np.ndarray, " S"]
    mixed: "Mixed"


@dataclass(frozen=True)
class Mixed:
    """Windows that are mixed into slots.

    Attributes:
        slot: that takes the window, rising.
        item: of the corpus, with a full window before its limit.
        variate: of the item.
        end: as in ``Windows``.
    """

    slot: Int64[np.ndarray, " E"]
    item: Int64[np.ndarray, " E"]
    variate: Int64[np.ndarray, " E"]
    end: Int64[np.ndarray, " E"]


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


class WindowDraw:
    """Draws the windows of batches of ``shape`` (rows, slots, steps).

    Args:
        limits: leading steps of each item that may be used.
        augment: how often windows are resampled, mixed and their variates shuffled.

    Raises:
        DataError: see ``ItemDraw``.
    """

    def __init__(
        self,
        corpus: Corpus,
        limits: Int64[np.ndarray, " N"],
        *,
        cutoff: str,
        shape: tuple[int, int, int],
        augment: AugmentSettings,
    ) -> None:
        self._corpus = corpus
        self._limits = limits
        self._items = ItemDraw(corpus, limits, cutoff=cutoff)
        self._shape = shape
        self._augment = augment

    def windows(self, seed: int, step: int) -> Windows:
        """Draw the windows of the batch of ``step``."""
        rng = np.random.default_rng([seed, _WINDOW_STREAM, step])
        num_rows, num_slots, num_steps = self._shape
        is_synthetic = np.repeat(self._items.parts(rng, num_rows)[:, None], num_slots, axis=1)
        items = self._items.items(rng.random((num_rows, num_slots)), is_synthetic)
        places = rng.random((num_rows, num_slots))
        sizes = np.minimum(self._corpus.num_variates[items], num_slots)
        first = np.cumsum(sizes, axis=1) - sizes
        row, series = np.nonzero(first < num_slots)
        item = items[row, series]
        size = np.minimum(sizes[row, series], num_slots - first[row, series])
        limit = self._limits[item]
        every, way, stretch = self._resampled(limit, seed, step)
        shortest = np.minimum(limit, every * num_steps // 2)
        end = shortest + (places[row, series] * (limit - shortest + 1)).astype(np.int64)
        window, variate = _choose_variates(self._corpus, item, size, rng)
        if self._augment.variate_shuffle > 0:
            hit = generator(seed, step, Stream.VARIATE_SHUFFLE).random((2, len(window)))
            turned = hit[0][window] < self._augment.variate_shuffle
            variate = variate[np.lexsort((np.where(turned, hit[1], variate), window))]
        mixed = self._mixed(item[window], window, variate, seed, step)
        return Windows(row, series, item, end, every, way, stretch, window, variate, mixed)

    def _resampled(
        self, limit: np.ndarray, seed: int, step: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw ``every``, ``way`` and ``stretch``: half are aggregated, half are stretched.

        A window is aggregated only by factors that leave half of it before the item's limit.
        """
        probability = self._augment.resample
        if probability == 0:
            one = np.ones(len(limit), np.int64)
            return one, np.zeros(len(limit)), one
        hit, place, way = generator(seed, step, Stream.RESAMPLE).random((3, len(limit)))
        factors, stretches = np.array(FACTORS), np.array(STRETCHES)
        longest = 2 * limit // self._shape[2]
        allowed = np.searchsorted(factors, longest, side="right")
        fewer, more = hit < probability / 2, (hit >= probability / 2) & (hit < probability)
        every = factors[(place * allowed).astype(np.int64)]
        stretch = stretches[(place * len(stretches)).astype(np.int64)]
        return np.where(fewer & (allowed > 0), every, 1), way, np.where(more, stretch, 1)

    def _mixed(
        self, item: np.ndarray, window: np.ndarray, variate: np.ndarray, seed: int, step: int
    ) -> Mixed:
        """Draw what is mixed into the targets of some windows, from the same part of the corpus.

        Items without a full window before their limit are left out.
        """
        probability, corpus = self._augment.mixup, self._corpus
        if probability == 0:
            none = np.zeros(0, np.int64)
            return Mixed(none, none, none, none)
        rng = generator(seed, step, Stream.MIXUP)
        hit, place = rng.random((2, len(window)))[:, window]
        number = 1 + (place * (MAX_SOURCES - 1)).astype(np.int64)
        is_target = corpus.roles[corpus.role_offset[item] + variate] == TARGET
        slot = np.repeat(
            np.arange(len(window)), np.where((hit < probability) & is_target, number, 0)
        )
        drawn = rng.random((3, len(slot)))
        other = self._items.items(drawn[0], corpus.is_synthetic[item[slot]])
        which = (drawn[1] * corpus.num_variates[other]).astype(np.int64)
        spare = self._limits[other] - self._shape[2]
        end = self._shape[2] + (drawn[2] * (spare + 1)).astype(np.int64)
        full = spare >= 0
        return Mixed(slot[full], other[full], which[full], end[full])


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
