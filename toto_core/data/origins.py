"""Choosing the cut-offs, the forecast origins, the held-out groups and the folds.

Test origins are counted back from the end of the data in strides, validation origins from T1, on a
grid of the most common frequency. What the times mean is in ``data.splits``.

All times inside are microseconds since 1970 in UTC. Shapes: T time steps, N test origins,
K validation origins.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from jaxtyping import Int64

from toto_core.config import SplitParams
from toto_core.data.folds import gift_eval_windows
from toto_core.data.frequency import Frequency, parse_freq
from toto_core.data.grid import period_of, period_start
from toto_core.data.splits import (
    Fold,
    Splits,
    from_us,
    judged,
    observed_targets,
    points_before,
    to_us,
    validation_positions,
)
from toto_core.data.tables import Item
from toto_core.errors import DataError

# With fewer groups than this, none held out is an honest answer to a small share.
MIN_GROUPS_TO_FORCE = 5


@dataclass(frozen=True)
class ItemSpan:
    """What splitting needs to know of an item: first and last time stamp in microseconds."""

    item_id: str
    group: str
    freq: str
    first_us: int
    last_us: int


@dataclass(frozen=True)
class Survey:
    """All items at a glance.

    Attributes:
        periods: for each calendar frequency, the sorted periods (days, months, quarters, years) in
            which any of its items has a time stamp, as their first microsecond.
    """

    items: tuple[ItemSpan, ...]
    periods: dict[str, Int64[np.ndarray, " T"]]


@dataclass(frozen=True)
class Cells:
    """How many items are in each cell of the split, and how many each origin judges.

    Attributes:
        seen_train: items that the candidate trains on.
        seen_test: of the items that are not held out, those judged at a test origin at least.
        held_out_train: held-out items with a past before T0; nothing uses it.
        held_out_test: held-out items judged at a test origin at least.
        judged_per_test_origin: items at each test origin, both kinds.
        judged_per_validation_origin: items at each validation origin, held-out ones left out.
    """

    seen_train: int
    seen_test: int
    held_out_train: int
    held_out_test: int
    judged_per_test_origin: Int64[np.ndarray, " N"]
    judged_per_validation_origin: Int64[np.ndarray, " K"]


def survey(items: Iterable[Item]) -> Survey:
    """Look at each item once: its ends and, for calendar frequencies, the periods in use."""
    spans = []
    periods: dict[str, np.ndarray] = {}
    for item in items:
        first, last = int(item.timestamps[0]), int(item.timestamps[-1])
        spans.append(ItemSpan(item.item_id, item.group, item.freq, first, last))
        freq = parse_freq(item.freq)
        if freq.is_calendar:
            seen = periods.get(item.freq, np.zeros(0, np.int64))
            periods[item.freq] = np.union1d(seen, _period_starts(item.timestamps, freq))
    return Survey(tuple(spans), periods)


def make_splits(
    found: Survey, params: SplitParams, linked: Mapping[str, str] | None = None
) -> Splits:
    """Set the cut-offs and the origins, and hold groups out.

    The most common frequency sets the grid of origins: back from ``test_end`` in equal steps, or,
    where steps differ (business days, months), over the periods in which any of its items has a
    time stamp. The last test origin's targets end at ``test_end``, the last validation origin's at
    T1.

    Args:
        linked: one name for all groups that near duplicates tie together (``data.overlap``): they
            are held out together or not at all.

    Raises:
        DataError: if the history is too short for the origins asked for, if ``test_end`` lies
            outside of the data, or if there are more folds than test origins: all at once.
    """
    if not found.items:
        raise DataError("split: items = 0, at least 1 is needed; see data/quarantine")
    freq = most_common_freq(found.items)
    params = _by_scheme(found, freq, params)
    base = [item for item in found.items if item.freq == freq.canonical]
    start_us = min(item.first_us for item in base)
    data_end_us = max(item.last_us for item in base) + freq.interval_us
    end_us = data_end_us if params.test_end is None else to_us(params.test_end)
    faults = []
    if params.num_folds > params.num_test_origins:
        faults.append(
            f"split: num_folds = {params.num_folds}, at most num_test_origins = "
            f"{params.num_test_origins}; lower split.num_folds"
        )
    if not start_us < end_us <= data_end_us:
        faults.append(
            f"split: test_end = {_iso(end_us)}, later than the start of the data "
            f"{_iso(start_us)} and at most their end {_iso(data_end_us)}; "
            "change split.test_end, or set it to null"
        )
    else:
        faults += _too_short(_grid_length(found, freq, start_us, end_us), freq, params)
    if faults:
        raise DataError("\n".join(faults))
    validation_us, test_us = _origins(found, freq, end_us, params)
    groups = {item.group for item in found.items}
    held_out = held_out_groups(groups, params.held_out_share, linked)
    return _splits(found, freq, params, validation_us, test_us, end_us, held_out)


def most_common_freq(items: Sequence[ItemSpan]) -> Frequency:
    """Return the frequency of most items; of equally common ones, the shortest."""
    counts = Counter(item.freq for item in items)
    return min(
        (parse_freq(name) for name in counts),
        key=lambda freq: (-counts[freq.canonical], freq.interval_us),
    )


def held_out_groups(
    groups: Iterable[str], share: float, linked: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Choose the groups that are never trained on, by the SHA-256 of their names.

    A group's fate does not depend on the other groups, so it stays the same when data are added;
    with two exceptions: at least one group is trained on (the one with the largest hash), and with
    at least ``MIN_GROUPS_TO_FORCE`` groups and a positive share at least one is held out (the one
    with the smallest hash).

    Args:
        share: 0 to 1; a group is held out if its hash, as a fraction, is below it.
        linked: the name that stands for a group; groups of one name share its fate.
    """
    names: dict[str, list[str]] = {}
    for group in set(groups):
        names.setdefault((linked or {}).get(group, group), []).append(group)
    order = sorted((_fraction(name), name) for name in names)
    chosen = [name for fraction, name in order if fraction < share]
    if not chosen and share > 0 and len(order) >= MIN_GROUPS_TO_FORCE:
        chosen = [order[0][1]]
    return tuple(sorted(group for name in chosen[: len(order) - 1] for group in names[name]))


def count_cells(items: Iterable[Item], splits: Splits) -> Cells:
    """Count the items of each cell and at each origin.

    Raises:
        DataError: if nothing can be trained, validated or tested on: all at once.
    """
    held_out = frozenset(splits.held_out_items)
    trained, tested = Counter(), Counter()
    per_test = np.zeros(len(splits.test_origins), np.int64)
    per_validation = np.zeros(len(splits.validation_origins), np.int64)
    for item in items:
        is_held_out = item.item_id in held_out
        observed = observed_targets(item)
        limit = points_before(item, splits, np.array([to_us(splits.validation_start)]))[0]
        trained[is_held_out] += bool(observed[:limit].any())
        at_origin = np.array(
            [
                judged(item.timestamps, us, splits.prediction_length, splits.min_context, observed)
                is not None
                for us in splits.test_origins_us.tolist()
            ]
        )
        tested[is_held_out] += bool(at_origin.any())
        per_test += at_origin
        if not is_held_out:
            per_validation += validation_positions(item, splits) >= 0
    cells = Cells(
        seen_train=trained[False],
        seen_test=tested[False],
        held_out_train=trained[True],
        held_out_test=tested[True],
        judged_per_test_origin=per_test,
        judged_per_validation_origin=per_validation,
    )
    _refuse_empty(cells, splits)
    return cells


def _splits(
    found: Survey,
    freq: Frequency,
    params: SplitParams,
    validation_us: np.ndarray,
    test_us: np.ndarray,
    end_us: int,
    held_out: tuple[str, ...],
) -> Splits:
    test_origins, validation_origins = _from_us_all(test_us), _from_us_all(validation_us)
    folds = tuple(
        Fold(fold=n, cutoff=from_us(int(part[0])), origins=_from_us_all(part))
        for n, part in enumerate(np.array_split(test_us, params.num_folds))
    )
    by_name = sorted(found.items, key=lambda item: item.item_id)
    longest_us = max(_mean_step_us(parse_freq(name)) for name in {item.freq for item in by_name})
    overlap = math.ceil(
        params.prediction_length * longest_us / (params.stride * _mean_step_us(freq))
    )
    return Splits(
        prediction_length=params.prediction_length,
        stride=params.stride,
        overlap=overlap,
        freq=freq.canonical,
        step_us=freq.interval_us,
        validation_start=validation_origins[0],
        test_start=test_origins[0],
        test_end=from_us(end_us),
        test_origins=test_origins,
        validation_origins=validation_origins,
        min_context=params.min_context,
        held_out_groups=held_out,
        held_out_items=tuple(item.item_id for item in by_name if item.group in held_out),
        train_items=tuple(item.item_id for item in by_name if item.group not in held_out),
        folds=folds,
    )


def _mean_step_us(freq: Frequency) -> int:
    """Five business days take a week."""
    return freq.interval_us * 7 // 5 if freq.unit == "B" else freq.interval_us


def _period_starts(timestamps: np.ndarray, freq: Frequency) -> np.ndarray:
    """First microsecond of each period in use, so that items of another phase add none."""
    name = freq.canonical
    periods = period_of(timestamps, name) // freq.count * freq.count
    return period_start(np.unique(periods), name)


def _periods_before(found: Survey, freq: Frequency, end_us: int) -> np.ndarray:
    periods = found.periods[freq.canonical]
    return periods[: np.searchsorted(periods, end_us, side="left")]


def _grid_length(found: Survey, freq: Frequency, start_us: int, end_us: int) -> int:
    """Steps of the calendar from ``start_us``, which begins one or lies in one, to ``end_us``."""
    if freq.is_calendar:
        periods = _periods_before(found, freq, end_us)
        return int(len(periods) - max(np.searchsorted(periods, start_us, side="right") - 1, 0))
    return (end_us - start_us) // freq.interval_us


def _by_scheme(found: Survey, freq: Frequency, params: SplitParams) -> SplitParams:
    """GIFT-Eval's number of origins, one horizon apart, and one horizon before them to validate."""
    if params.scheme == "rolling":
        return params
    base = [item for item in found.items if item.freq == freq.canonical]
    step_us = 1 if freq.is_calendar else freq.interval_us
    shortest = min(_grid_length(found, freq, i.first_us, i.last_us + step_us) for i in base)
    return params.model_copy(
        update={
            "num_test_origins": gift_eval_windows(shortest, params.prediction_length),
            "num_validation_origins": 1,
            "stride": params.prediction_length,
        }
    )


def _too_short(num_steps: int, freq: Frequency, params: SplitParams) -> list[str]:
    def spare(num_origins: int) -> int:
        """Steps left for the other period's further origins."""
        fixed = params.min_context + 2 * params.prediction_length
        return num_steps - fixed - (num_origins - 1) * params.stride

    def fit(num_others: int) -> int:
        return max(0, spare(num_others) // params.stride + 1)

    missing = (params.num_test_origins - 1) * params.stride - spare(params.num_validation_origins)
    if missing <= 0:
        return []
    return [
        f"split: history = {num_steps} steps of {freq.canonical}, at least {num_steps + missing} "
        f"are needed for num_test_origins = {params.num_test_origins}, num_validation_origins = "
        f"{params.num_validation_origins}, stride = {params.stride}, prediction_length = "
        f"{params.prediction_length} and min_context = {params.min_context}; "
        f"{fit(params.num_validation_origins)} test origins fit beside "
        f"{params.num_validation_origins} validation origins, {fit(1)} beside 1: "
        "lower these, or give more history"
    ]


def _origins(
    found: Survey, freq: Frequency, end_us: int, params: SplitParams
) -> tuple[np.ndarray, np.ndarray]:
    """Validation and test origins, ascending."""
    test_steps = _steps_back(params.num_test_origins, params)
    validation_steps = test_steps[0] + _steps_back(params.num_validation_origins, params)
    if freq.is_calendar:
        periods = _periods_before(found, freq, end_us)
        return periods[-validation_steps], periods[-test_steps]
    return end_us - validation_steps * freq.interval_us, end_us - test_steps * freq.interval_us


def _steps_back(num_origins: int, params: SplitParams) -> np.ndarray:
    """Steps from each origin to the end of its period, first origin first."""
    return params.prediction_length + params.stride * np.arange(num_origins - 1, -1, -1)


def _refuse_empty(cells: Cells, splits: Splits) -> None:
    faults = []
    start, end = splits.validation_start.isoformat(), splits.test_start.isoformat()
    total = len(splits.train_items)
    if not cells.seen_train:
        faults.append(
            f"split: items to train on before {start} = 0 of {total}, at least 1 is needed; "
            "lower split.num_test_origins, split.num_validation_origins or split.stride"
        )
    if not cells.judged_per_validation_origin.any():
        faults.append(
            f"split: items judged in the validation period [{start}, {end}) = 0 of {total}, at "
            f"least 1 is needed; lower split.min_context = {splits.min_context}, or set "
            "split.test_end to a time that more items reach"
        )
    if not cells.judged_per_test_origin.any():
        total += len(splits.held_out_items)
        faults.append(
            f"split: items judged in the test period from {end} on = 0 of {total}, at least 1 is "
            f"needed; lower split.min_context = {splits.min_context}, or set split.test_end to a "
            "time that more items reach"
        )
    if faults:
        raise DataError("\n".join(faults))


def _fraction(group: str) -> float:
    digest = hashlib.sha256(group.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _from_us_all(times_us: np.ndarray) -> tuple[datetime, ...]:
    return tuple(from_us(us) for us in times_us.tolist())


def _iso(us: int) -> str:
    return from_us(us).isoformat()
