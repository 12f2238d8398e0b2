"""Windows of the corpus as batches: random ones to train on, fixed ones to validate on.

A row has a fixed number of slots, one variate each. Training fills the slots with items drawn by
weight, so that a row may hold several items; ``series_ids`` says which slots belong together.
Only numpy is needed.

Shapes: B rows, V slots, T time steps, N items, K validation origins.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Int64

from toto_core.data.augment import multiplicative_noise, time_mask
from toto_core.data.corpus import KNOWN_COVARIATE, PAST_COVARIATE, TARGET, VALIDATION, Corpus
from toto_core.errors import DataError

# Horizons are whole patches of the network.
PATCH_SIZE = 32

UNUSED = -1
_WINDOW_STREAM, _NOISE_STREAM = 1, 2

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


class TrainingWindows:
    """An endless source of training batches, none of which sees a point at or behind ``cutoff``.

    A batch is a pure function of (``seed``, step), so a run can go on from any step. Each row is
    either real or synthetic, as the weights of the corpus share it out; its slots are filled with
    items drawn by weight (a whole item, or a random part of its variates with at least one target
    where the slots do not suffice). A window ends anywhere from half a window to the item's limit;
    what is missing before the item's start is unobserved.

    Args:
        cutoff: name of a cut-off of the corpus.
        context_length: T, steps.
        num_variates: V, slots of a row.
        noise_std: of the multiplicative noise, see ``data.augment``.
        time_mask_probability: of an item to lose a stretch, 0 to 1.

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
        noise_std: float,
        time_mask_probability: float,
    ) -> None:
        limits = corpus.limits_at(cutoff)
        weights = np.where(limits > 0, corpus.weight, 0.0)
        if not weights.sum() > 0:
            raise DataError(
                f"corpus: usable items before the cut-off {cutoff} = 0 of {corpus.num_items}, "
                "at least 1 is needed; give more history or move the cut-off"
            )
        self._corpus = corpus
        self._limits = limits
        self._parts = [
            _Part(np.flatnonzero(part), weights[part])
            for part in (~corpus.is_synthetic, corpus.is_synthetic)
            if weights[part].sum() > 0
        ]
        self._shape = (batch_size, num_variates, context_length)
        self._seed = seed
        self._noise_std = noise_std
        self._time_mask_probability = time_mask_probability

    def batch(self, step: int) -> Batch:
        """Draw the batch of optimiser (micro-)step ``step``, from 0 on."""
        rows = _Rows(self._shape)
        rng = np.random.default_rng([self._seed, _WINDOW_STREAM, step])
        for row in range(self._shape[0]):
            self._fill(rows, row, rng)
        noise = np.random.default_rng([self._seed, _NOISE_STREAM, step])
        multiplicative_noise(rows.values, noise, noise_std=self._noise_std)
        time_mask(rows.values, rows.series_ids, noise, probability=self._time_mask_probability)
        return rows.batch(horizon=0)

    def _fill(self, rows: "_Rows", row: int, rng: np.random.Generator) -> None:
        _, num_slots, num_steps = self._shape
        part = self._part(rng.random())
        items = part.draw(rng.random(num_slots))
        places = rng.random(num_slots)
        for n, place in zip(items, places, strict=True):
            free = rows.free(row)
            if not free:
                break
            limit = int(self._limits[n])
            shortest = min(limit, num_steps // 2)
            end = shortest + int(place * (limit - shortest + 1))
            variates = _choose(self._corpus.roles_of(n), free, rng)
            rows.add(self._corpus, row, n, variates, start=end - num_steps, end=end)

    def _part(self, place: float) -> "_Part":
        """Real or synthetic, with ``place`` uniform in [0, 1)."""
        first = self._parts[0]
        total = sum(part.total for part in self._parts)
        return first if place * total < first.total else self._parts[-1]


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


class _Part:
    """Items of one part of the mixture, drawn by weight."""

    def __init__(self, items: np.ndarray, weights: np.ndarray) -> None:
        self._items = items[weights > 0]
        self._cumulative = np.cumsum(weights[weights > 0])
        self.total = float(self._cumulative[-1])

    def draw(self, places: np.ndarray) -> list[int]:
        """Items for ``places`` uniform in [0, 1)."""
        indices = np.searchsorted(self._cumulative, places * self.total, side="right")
        return self._items[np.minimum(indices, len(self._items) - 1)].tolist()


class _Rows:
    """Rows that are being filled."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.values = np.full(shape, np.nan, np.float32)
        self.series_ids = np.full(shape[:2], UNUSED, np.int64)
        self._known = np.zeros(shape[:2], np.bool_)
        self._items: list[list[str]] = [[] for _ in range(shape[0])]
        self._used = [0] * shape[0]

    def free(self, row: int) -> int:
        return self.values.shape[1] - self._used[row]

    def add(
        self,
        corpus: Corpus,
        row: int,
        n: int,
        variates: np.ndarray,
        *,
        start: int,
        end: int,
        hidden_from: int | None = None,
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
        if hidden_from is not None:
            window[roles == PAST_COVARIATE, hidden_from - begin :] = np.nan
        self.series_ids[row, slots] = len(self._items[row])
        self._known[row, slots] = roles == KNOWN_COVARIATE
        self._items[row].append(corpus.item_id(n))
        self._used[row] += len(variates)

    def batch(self, *, horizon: int) -> Batch:
        mask = np.isfinite(self.values)
        self.values[~mask] = 0
        return Batch(
            target=self.values,
            target_mask=mask,
            series_ids=self.series_ids,
            known=self._known,
            horizon=horizon,
            items=tuple(tuple(names) for names in self._items),
        )


def _choose(roles: np.ndarray, free: int, rng: np.random.Generator) -> np.ndarray:
    """Return all variates, or ``free`` random ones with at least one target where there is any."""
    if len(roles) <= free:
        return np.arange(len(roles))
    order = rng.permutation(len(roles))
    targets = np.flatnonzero(roles[order] == TARGET)
    if len(targets):
        lead = targets[0]
        order = np.concatenate([order[lead : lead + 1], order[:lead], order[lead + 1 :]])
    return np.sort(order[:free])


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
