"""Windows of the corpus as batches: random ones to train on, fixed ones to validate on.

A row has a fixed number of slots, one variate each. Training fills the slots with items drawn by
weight, so that a row may hold several items; ``series_ids`` says which slots belong together.
Only numpy is needed.

Shapes: B rows, V slots, T time steps, N items, K validation origins, F stretches of items.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Int64

from toto_core.data.augmentation import AugmentSettings, Block, Stream, augment, generator
from toto_core.data.corpus import KNOWN_COVARIATE, PAST_COVARIATE, TARGET, VALIDATION, Corpus
from toto_core.data.drawing import WindowDraw
from toto_core.data.reading import WindowReader
from toto_core.errors import DataError

# Horizons are whole patches of the network.
PATCH_SIZE = 32

UNUSED = -1

Chosen = TypeVar("Chosen")


@dataclass(frozen=True)
class Batch:
    """Rows for the network.

    Attributes:
        target: values, 0 where missing.
        target_mask: True where a value was observed.
        series_ids: equal within a row for the variates of one window of one item, which may
            attend to each other; the number is the window's place in ``items``, and ``UNUSED``
            for an empty slot (never observed).
        known: True for known covariates: also their horizon may be seen.
        horizon: how many of the last steps are to be forecast, whole patches; 0 in training.
        items: the item ids of each row, in the order of ``series_ids``.
    """

    target: Float32[np.ndarray, "B V T"]
    target_mask: Bool[np.ndarray, "B V T"]
    series_ids: Int64[np.ndarray, "B V"]
    known: Bool[np.ndarray, "B V"]
    horizon: int
    items: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Footprints:
    """Which steps of which items a batch was made of; a series may have several entries.

    Attributes:
        row: of the batch.
        series: of the row, as in ``Batch.series_ids``.
        item: of the corpus.
        start: first step of the item that was read.
        end: step behind the last one, never behind the item's limit.
    """

    row: Int64[np.ndarray, " F"]
    series: Int64[np.ndarray, " F"]
    item: Int64[np.ndarray, " F"]
    start: Int64[np.ndarray, " F"]
    end: Int64[np.ndarray, " F"]


class TrainingWindows:
    """An endless source of training batches, none of which sees a point at or behind ``cutoff``.

    A batch is a pure function of (``seed``, step), so a run can go on from any step. How windows
    are chosen stands in ``data.drawing``; what is missing before an item's start is unobserved.

    Args:
        cutoff: name of a cut-off of the corpus.
        context_length: T, steps.
        num_variates: V, slots of a row.
        augment: what is changed on the fly, see ``data.augmentation``.

    Raises:
        DataError: if no item has both a weight and a time step before the cut-off.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        cutoff: str,
        context_length: int,
        batch_size: int,
        num_variates: int,
        seed: int,
        augment: AugmentSettings,
    ) -> None:
        self._corpus = corpus
        self._reader = WindowReader(corpus)
        self._shape = (batch_size, num_variates, context_length)
        self._draw = WindowDraw(
            corpus, corpus.limits_at(cutoff), cutoff=cutoff, shape=self._shape, augment=augment
        )
        self._seed = seed
        self._augment = augment

    def batch(self, step: int) -> Batch:
        """Draw the batch of optimiser (micro-)step ``step``, from 0 on."""
        drawn = self._draw.windows(self._seed, step)
        shares = generator(self._seed, step, Stream.MIXUP_SHARES)
        values = self._reader.windows(drawn, self._shape[2], shares).reshape(self._shape)
        series_ids = drawn.series[drawn.window].reshape(self._shape[:2])
        first = self._corpus.role_offset[drawn.item]
        roles = self._corpus.roles[first[drawn.window] + drawn.variate].reshape(series_ids.shape)
        block = Block(values, series_ids, roles)
        augment(block, self._augment, seed=self._seed, step=step)
        names = [self._corpus.item_id(n) for n in drawn.item.tolist()]
        ends = np.searchsorted(drawn.row, np.arange(1, self._shape[0] + 1)).tolist()
        items = tuple(tuple(names[a:b]) for a, b in itertools.pairwise([0, *ends]))
        return _batch(values, series_ids, known=block.known, horizon=0, items=items)

    def footprints(self, step: int) -> Footprints:
        """Say what the batch of ``step`` is made of, without reading it."""
        drawn, num_steps = self._draw.windows(self._seed, step), self._shape[2]
        taker = drawn.window[drawn.mixed.slot]
        end = np.concatenate([drawn.end, drawn.mixed.end])
        length = np.concatenate([drawn.every * num_steps, np.full(len(taker), num_steps)])
        return Footprints(
            row=np.concatenate([drawn.row, drawn.row[taker]]),
            series=np.concatenate([drawn.series, drawn.series[taker]]),
            item=np.concatenate([drawn.item, drawn.mixed.item]),
            start=np.maximum(end - length, 0),
            end=end,
        )


def validation_batches(
    corpus: Corpus,
    *,
    prediction_length: int,
    context_length: int,
    batch_size: int,
    num_variates: int,
    max_windows: int,
) -> list[Batch]:
    """Make the fixed batches of the validation period, at the validation origins of the split.

    Each row has ``context_length`` steps of context and then the horizon: ``prediction_length``
    rounded up to whole patches. In the horizon, targets are observed in the first
    ``prediction_length`` steps, known covariates too, past covariates never. An item with more
    variates than slots takes several rows; rows without a target are left out. Nothing is
    augmented.

    Args:
        max_windows: most rows; where there are more, an even random choice (always the same).

    Raises:
        DataError: if no item is judged at any validation origin.
    """
    # Each row takes at least one window and at most num_variates, so this many are enough.
    pairs = _even_choice(_validation_windows(corpus, prediction_length), max_windows * num_variates)
    windows = [
        (n, position, variates)
        for n, position in pairs
        for variates in _chunks(corpus.roles_of(n), num_variates)
    ]
    if not windows:
        raise DataError(
            "corpus: windows at the validation origins = 0, at least 1 is needed; "
            "give more history, or lower split.min_context"
        )
    packed = _even_choice(
        _pack([len(variates) for _, _, variates in windows], num_variates), max_windows
    )
    horizon = -(-prediction_length // PATCH_SIZE) * PATCH_SIZE
    batches = []
    for first in range(0, len(packed), batch_size):
        members = packed[first : first + batch_size]
        rows = _Rows((len(members), num_variates, context_length + horizon))
        for row, indices in enumerate(members):
            for index in indices:
                n, position, variates = windows[index]
                rows.add(
                    corpus,
                    row,
                    n,
                    variates,
                    start=position - context_length,
                    end=position + prediction_length,
                    hidden_from=position,
                )
        batches.append(rows.batch(horizon=horizon))
    return batches


class _Rows:
    """Rows that are being filled."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.values = np.full(shape, np.nan, np.float32)
        self.series_ids = np.full(shape[:2], UNUSED, np.int64)
        self._known = np.zeros(shape[:2], np.bool_)
        self._items: list[list[str]] = [[] for _ in range(shape[0])]
        self._used = [0] * shape[0]

    def add(
        self,
        corpus: Corpus,
        row: int,
        n: int,
        variates: np.ndarray,
        *,
        start: int,
        end: int,
        hidden_from: int,
    ) -> None:
        """Put steps [start, end) of item ``n`` into the next slots; a negative start is padded.

        Past covariates are left unobserved from ``hidden_from`` on.
        """
        first = self._used[row]
        slots = slice(first, first + len(variates))
        begin = max(start, 0)
        window = self.values[row, slots, begin - start : end - start]
        window[...] = corpus.block(n)[variates, begin:end]
        roles = corpus.roles_of(n)[variates]
        window[roles == PAST_COVARIATE, hidden_from - begin :] = np.nan
        self.series_ids[row, slots] = len(self._items[row])
        self._known[row, slots] = roles == KNOWN_COVARIATE
        self._items[row].append(corpus.item_id(n))
        self._used[row] += len(variates)

    def batch(self, *, horizon: int) -> Batch:
        items = tuple(tuple(names) for names in self._items)
        return _batch(self.values, self.series_ids, known=self._known, horizon=horizon, items=items)


def _batch(
    values: np.ndarray,
    series_ids: np.ndarray,
    *,
    known: np.ndarray,
    horizon: int,
    items: tuple[tuple[str, ...], ...],
) -> Batch:
    """Make a batch of ``values``, which become its own, NaN and infinities = missing."""
    mask = np.isfinite(values)
    np.copyto(values, 0, where=~mask)
    return Batch(values, mask, series_ids, known, horizon, items)


def _validation_windows(corpus: Corpus, prediction_length: int) -> list[tuple[int, int]]:
    """Item and first horizon step of each judged validation origin, by item, then by origin."""
    ends = corpus.limits_at(VALIDATION)
    positions = corpus.validation_positions
    fits = (positions >= 0) & (positions + prediction_length <= ends[:, None])
    return [(int(n), int(positions[n, origin])) for n, origin in np.argwhere(fits)]


def _even_choice(members: list[Chosen], most: int) -> list[Chosen]:
    """At most ``most`` members in their order, always the same ones.

    A fixed stride could meet the same origin of every item; a fixed shuffle does not.
    """
    if len(members) <= most:
        return members
    chosen = np.random.default_rng(0).permutation(len(members))[:most]
    return [members[index] for index in np.sort(chosen)]


def _chunks(roles: np.ndarray, num_slots: int) -> Iterator[np.ndarray]:
    """Yield the variates of an item in runs of ``num_slots``, targets first, each with a target."""
    order = np.argsort(roles, kind="stable")
    for first in range(0, len(order), num_slots):
        variates = order[first : first + num_slots]
        if (roles[variates] == TARGET).any():
            yield variates


def _pack(sizes: list[int], num_slots: int) -> list[list[int]]:
    """Put windows of ``sizes`` slots into rows, in order, each row as full as the next one lets."""
    rows: list[list[int]] = []
    used = num_slots
    for index, size in enumerate(sizes):
        if used + size > num_slots:
            rows.append([])
            used = 0
        rows[-1].append(index)
        used += size
    return rows
