"""Where the past ends, and what may be used and judged on either side.

Every split is a calendar time that holds for all items at once, because series of one time are
correlated: a window of one series tells about the others. T0 starts the validation period, T1 the
test period; an origin's targets lie at or after it, its context before it. ``data.origins`` chooses
the times, this module says what they mean.

Purging is strict: a training window may be used only if all of it ends at or before the cut-off.
The labels are not its last steps alone, since the loss is taken on the context as well.

All times inside are microseconds since 1970 in UTC. Shapes: T time steps, N origins or windows,
K validation origins or kept windows.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from toto_core.data.tables import TARGET, Item
from toto_core.errors import DataError

RULE = "strict"
PURGE = (
    "a training window is used only if its last point lies before the cut-off; "
    "validation targets lie in [validation_start, test_start), test targets from test_start on"
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_STRICT = ConfigDict(frozen=True, extra="forbid")


class Fold(BaseModel):
    """One rolling refit: it trains before ``cutoff`` and is judged at ``origins``.

    Attributes:
        fold: from 0 on, in time.
        cutoff: the first of ``origins``.
        origins: a consecutive segment of the test origins.
    """

    model_config = _STRICT

    fold: int
    cutoff: AwareDatetime
    origins: tuple[AwareDatetime, ...]

    @property
    def origins_us(self) -> Int64[np.ndarray, " N"]:
        """``origins`` in microseconds."""
        return _microseconds(self.origins)


class Splits(BaseModel):
    """What ``data/splits.json`` says.

    Attributes:
        stride: steps of ``freq`` from one origin to the next.
        overlap: how many neighbouring origins' targets overlap, itself included: the h of the
            Diebold-Mariano test, for the items whose horizon spans the longest time.
        freq: most common frequency of the items; it sets the spacing of the origins.
        step_us: its nominal interval, microseconds.
        validation_start: T0, the first validation origin; the candidate trains before it.
        test_start: T1, the first test origin.
        test_end: exclusive.
        min_context: observed steps an item needs before an origin to be judged there.
        held_out_groups: never trained on, sorted.
        copied_items: what they show from T1 on is, moved in time, in another item before T0.
        purge: the rule in words.
    """

    model_config = _STRICT

    prediction_length: int
    stride: int
    overlap: int
    freq: str
    step_us: int
    validation_start: AwareDatetime
    test_start: AwareDatetime
    test_end: AwareDatetime
    test_origins: tuple[AwareDatetime, ...]
    validation_origins: tuple[AwareDatetime, ...]
    min_context: int
    held_out_groups: tuple[str, ...]
    held_out_items: tuple[str, ...]
    train_items: tuple[str, ...]
    folds: tuple[Fold, ...]
    copied_items: tuple[str, ...] = ()
    rule: str = RULE
    purge: str = PURGE

    @property
    def test_origins_us(self) -> Int64[np.ndarray, " N"]:
        """``test_origins`` in microseconds."""
        return _microseconds(self.test_origins)

    @property
    def validation_origins_us(self) -> Int64[np.ndarray, " N"]:
        """``validation_origins`` in microseconds."""
        return _microseconds(self.validation_origins)

    @property
    def cutoffs_us(self) -> dict[str, int]:
        """Times before which training may see, by name, earliest first.

        ``train`` (T0) is the candidate's, ``validation`` (T1) ends the validation targets,
        ``fold-<n>`` are the refits'.
        """
        times = {"train": self.validation_start, "validation": self.test_start}
        times |= {f"fold-{fold.fold}": fold.cutoff for fold in self.folds}
        return {name: to_us(time) for name, time in times.items()}

    def to_json(self) -> dict[str, object]:
        """Return the content of ``data/splits.json``, times in ISO 8601."""
        return self.model_dump(mode="json")

    @classmethod
    def load(cls, path: Path) -> "Splits":
        """Read ``data/splits.json``.

        Raises:
            DataError: if it is missing or is not what ``to_json`` made.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            found = str(error.strerror).lower()
        except ValidationError as error:
            first = error.errors()[0]
            found = " ".join([*map(str, first["loc"]), first["msg"].lower()])
        raise DataError(f"{path}: {found}, the splits of the split stage are needed; run dvc repro")


def judged(
    timestamps: Int64[np.ndarray, " T"],
    origin_us: int,
    prediction_length: int,
    min_context: int,
    observed: Bool[np.ndarray, " T"],
) -> int | None:
    """Index of the first target step of an item at an origin, or None where it is not judged.

    This is the one rule of which pairs of item and origin are judged: the item's grid goes on for
    ``prediction_length`` steps from the origin, at least one of them is observed, and at least
    ``min_context`` steps before it are.

    Args:
        timestamps: the item's grid, microseconds.
        observed: where at least one target variate has a value (``observed_targets``).
    """
    position = int(np.searchsorted(timestamps, origin_us, side="left"))
    end = position + prediction_length
    if end > len(timestamps) or not observed[position:end].any():
        return None
    if np.count_nonzero(observed[:position]) < min_context:
        return None
    return position


def points_before(
    item: Item, splits: Splits, times_us: Int64[np.ndarray, " N"]
) -> Int64[np.ndarray, " N"]:
    """How many leading points of an item lie before each of ``times_us``.

    On the frequency of the origins the time stamp decides. At another one, a point counts once the
    next is due: the value of a day, stamped at its start, tells of the hours after a cut-off at
    noon.
    """
    stamps = item.timestamps
    if item.freq == splits.freq or len(stamps) < 2:
        return np.searchsorted(stamps, times_us, side="left")
    next_due = np.append(stamps[1:], 2 * stamps[-1] - stamps[-2])
    return np.searchsorted(next_due, times_us, side="right")


def observed_targets(item: Item) -> Bool[np.ndarray, " T"]:
    """Where at least one target variate of an item has a value."""
    observed = np.zeros(item.values.shape[1], np.bool_)
    for row, role in zip(item.values, item.roles, strict=True):  # a copy of all may not fit
        if role == TARGET:
            observed |= np.isfinite(row)
    return observed


def validation_positions(item: Item, splits: Splits) -> Int64[np.ndarray, " K"]:
    """First target step of an item at each validation origin; -1 where it is not judged.

    An item of a longer interval than ``splits.freq`` may reach beyond T1 from a late origin: it is
    not judged there either.
    """
    observed = observed_targets(item)
    limit = int(points_before(item, splits, np.array([to_us(splits.test_start)]))[0])
    positions = []
    for origin_us in splits.validation_origins_us.tolist():
        position = judged(
            item.timestamps, origin_us, splits.prediction_length, splits.min_context, observed
        )
        fits = position is not None and position + splits.prediction_length <= limit
        positions.append(position if fits else -1)
    return np.array(positions, np.int64)


def kept_windows(
    origins: Int64[np.ndarray, " N"],
    test_blocks: Sequence[tuple[int, int]],
    *,
    context_length: int,
    prediction_length: int,
    embargo: int = 0,
    rule: Literal["rolling", "strict", "label_only"] = "strict",
) -> Int64[np.ndarray, " K"]:
    """Return the indices of the training windows that survive purging.

    A window with origin o has its context in [o - C, o) and its targets in [o, o + H). It is kept
    if, for each test block [a, b), the union of the test targets in calendar time over all series,
    it lies before it (o + H <= a) or after it: by ``strict`` o - C >= b + embargo, by
    ``label_only`` o >= b + embargo (Lopez de Prado, Advances in Financial Machine Learning, ch. 7),
    by ``rolling`` never. The pipeline's cut-offs are ``rolling`` with the block [cut-off, end).
    Indices, times and lengths are in one unit; the result may be empty.
    """
    kept = np.ones(len(origins), np.bool_)
    for first, end in test_blocks:
        before = origins + prediction_length <= first
        reach = {"rolling": None, "strict": context_length, "label_only": 0}[rule]
        after = False if reach is None else origins - reach >= end + embargo
        kept &= before | after
    return np.flatnonzero(kept)


def to_us(time: datetime) -> int:
    """Microseconds since 1970 of an aware time."""
    return (time - _EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """Return the UTC time of microseconds since 1970."""
    return _EPOCH + us * _MICROSECOND


def _microseconds(times: Sequence[datetime]) -> np.ndarray:
    return np.array([to_us(time) for time in times], np.int64)
