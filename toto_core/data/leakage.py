"""Two ways to find out that something behind a cut-off was used.

``find_leaks`` asks any computation by itself: it may change nothing if everything behind the
cut-off changes. ``check_purged`` asks the windows of training where they come from.

Shapes: V variates, T time steps, N items.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from toto_core.data.corpus import Corpus
from toto_core.data.splits import Splits, points_before
from toto_core.data.tables import Item
from toto_core.data.windows import TrainingWindows
from toto_core.errors import DataError

Compute = Callable[[Sequence[Item]], Mapping[str, np.ndarray]]


def find_leaks(compute: Compute, items: Sequence[Item], splits: Splits, time_us: int) -> list[str]:
    """Name the results that change if all values of all items from a time on change.

    Args:
        compute: anything that makes arrays from items, by name, and repeats.
        time_us: microseconds since 1970 in UTC; what is known before it says
            ``data.splits.points_before``.

    Returns:
        The names of results that differ by a bit or in their shape, sorted; none: nothing behind
        ``time_us`` was used, unless two changes cancelled out.
    """
    changed = []
    for item in items:
        limit = int(points_before(item, splits, np.array([time_us], np.int64))[0])
        changed.append(replace(item, values=_changed_from(item.values, limit)))
    before, after = compute(items), compute(changed)
    return sorted(
        name
        for name in before.keys() | after.keys()
        if name not in before or name not in after or not _same(before[name], after[name])
    )


def check_purged(
    windows: TrainingWindows, corpus: Corpus, cutoff: str, steps: Iterable[int]
) -> None:
    """Check that no batch of ``steps`` is made of a point at or behind a cut-off.

    A window that was mixed or resampled counts with all stretches that it was made of.

    Raises:
        DataError: if one is.
    """
    limits = corpus.limits_at(cutoff)
    for step in steps:
        found = windows.footprints(step)
        over = np.flatnonzero(found.end > limits[found.item])
        if len(over):
            item, end = int(found.item[over[0]]), int(found.end[over[0]])
            raise DataError(
                f"corpus: a window of {corpus.item_id(item)!r} in batch {step} ends behind point "
                f"{end}, at most {int(limits[item])} (its limit before the cut-off {cutoff}) is "
                f"allowed, as for {len(over)} of {len(found.item)} windows; nothing was trained, "
                "run dvc repro augment"
            )


def _changed_from(values: Float32[np.ndarray, "V T"], limit: int) -> Float32[np.ndarray, "V T"]:
    """Other values from ``limit`` on, those that are missing included."""
    changed = values.copy()
    changed[:, limit:] = 1000 - 7 * np.nan_to_num(values[:, limit:])
    return changed


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    is_number = np.issubdtype(one.dtype, np.floating)
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=is_number)
