"""Index sets of cross-validation: which windows are judged in a fold, and which may train for it.

A window with origin o has its context in [o - C, o) and its targets in [o, o + H). The folds are
stretches of calendar time that hold for all series at once; ``data.splits.kept_windows`` is the
rule by which training windows are purged around them.

The pipeline itself trains by the rolling origin alone: purged folds train on the future of what
they judge, and their refits share nearly all of their data, so they serve to diagnose, not to
decide (Lopez de Prado, Advances in Financial Machine Learning, 2018, ch. 7 and 12).

Times and lengths are in one unit, of steps or of microseconds. Shapes: K folds, and as many windows
of each series as it has.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Int64

from toto_core.data.splits import kept_windows
from toto_core.errors import DataError

# GIFT-Eval: the last tenth of the shortest series, at most so many windows.
GIFT_EVAL_SHARE = 0.1
GIFT_EVAL_MOST = 20

Origins = Sequence[Int64[np.ndarray, " _"]]


@dataclass(frozen=True)
class WindowSets:
    """One split of the windows of all series.

    Attributes:
        groups: the folds that are judged together.
        covers: for each of them, [first, end) of its test targets over all series.
        test: indices of the judged windows of each series.
        train: indices of the windows that may be trained on, of each series.
    """

    groups: tuple[int, ...]
    covers: tuple[tuple[int, int], ...]
    test: tuple[Int64[np.ndarray, " _"], ...]
    train: tuple[Int64[np.ndarray, " _"], ...]

    @property
    def num_train(self) -> int:
        """Training windows of all series."""
        return sum(len(indices) for indices in self.train)

    @property
    def num_test(self) -> int:
        """Judged windows of all series."""
        return sum(len(indices) for indices in self.test)

    def training(self) -> tuple[Int64[np.ndarray, " _"], ...]:
        """Return ``train``, to be trained on.

        Raises:
            DataError: if it is empty.
        """
        if not self.num_train:
            covers = ", ".join(f"[{first}, {end})" for first, end in self.covers)
            raise DataError(
                f"folds: training windows of the groups {list(self.groups)} = 0, at least 1 that "
                f"ends before or begins behind {covers} is needed; give more history, shorten "
                "context or embargo, or judge fewer groups at once"
            )
        return self.train


@dataclass(frozen=True)
class CombinatorialFolds:
    """All ways to judge ``k`` of ``K`` folds at once.

    Attributes:
        splits: one for each choice of folds, in lexicographic order.
        paths: each one a way through all folds: the index of the split whose forecasts stand for
            fold 0, 1, ...; every split stands once for each fold that it judges.
    """

    splits: tuple[WindowSets, ...]
    paths: tuple[tuple[int, ...], ...]


def window_origins(
    start: int, length: int, *, context: int, horizon: int, stride: int
) -> np.ndarray:
    """Origins of all whole windows of a series that covers [start, start + length)."""
    return np.arange(start + context, start + length - horizon + 1, stride)


def even_cuts(origins: Origins, num_folds: int) -> Int64[np.ndarray, " cuts"]:
    """First times of ``num_folds`` folds with equally many origins, and the end of the last one.

    Raises:
        ValueError: if there are fewer different origins than folds, or less than two folds.
    """
    times = np.unique(np.concatenate(origins))
    if not 2 <= num_folds <= len(times):
        raise ValueError(
            f"folds: num_folds = {num_folds}, 2 to {len(times)} (the different origins) are "
            "allowed; change it or give more windows"
        )
    firsts = [int(part[0]) for part in np.array_split(times, num_folds)]
    return np.array([*firsts, times[-1] + 1], np.int64)


def purged_kfold(
    origins: Origins,
    cuts: Int64[np.ndarray, " cuts"],
    *,
    context_length: int,
    prediction_length: int,
    embargo: int = 0,
) -> tuple[WindowSets, ...]:
    """Judge the windows between each two cuts, and train on what is clear of them on both sides.

    Args:
        origins: of the windows of each series, rising.
        cuts: of the folds in time: fold f judges origins in [cuts[f], cuts[f + 1]).
        embargo: a training window behind a test block begins at least so much later.
    """
    return tuple(
        _window_sets(origins, cuts, (fold,), context_length, prediction_length, embargo)
        for fold in range(len(cuts) - 1)
    )


def combinatorial_purged_kfold(
    origins: Origins,
    cuts: Int64[np.ndarray, " cuts"],
    *,
    num_test_folds: int,
    context_length: int,
    prediction_length: int,
    embargo: int = 0,
) -> CombinatorialFolds:
    """Judge every choice of ``num_test_folds`` folds at once (ibid., ch. 12).

    N folds with k of them judged make C(N, k) splits and k / N * C(N, k) paths.

    Raises:
        ValueError: if ``num_test_folds`` is not from 1 to the number of folds less one.
    """
    num_folds = len(cuts) - 1
    if not 1 <= num_test_folds < num_folds:
        raise ValueError(
            f"folds: num_test_folds = {num_test_folds}, 1 to {num_folds - 1} of {num_folds} folds "
            "are allowed; change it"
        )
    chosen = list(combinations(range(num_folds), num_test_folds))
    judging = [
        [n for n, groups in enumerate(chosen) if fold in groups] for fold in range(num_folds)
    ]
    return CombinatorialFolds(
        splits=tuple(
            _window_sets(origins, cuts, groups, context_length, prediction_length, embargo)
            for groups in chosen
        ),
        paths=tuple(zip(*judging, strict=True)),
    )


def rolling_origin(
    origins: Origins,
    cutoffs: Int64[np.ndarray, " K"],
    *,
    context_length: int,
    prediction_length: int,
) -> tuple[WindowSets, ...]:
    """Judge the windows whose origin is a cut-off, and train on all that ends before it."""
    return tuple(
        WindowSets(
            groups=(fold,),
            covers=((cutoff, cutoff + prediction_length),),
            test=tuple(np.flatnonzero(series == cutoff) for series in origins),
            train=tuple(
                kept_windows(
                    series,
                    [(cutoff, cutoff + prediction_length)],
                    context_length=context_length,
                    prediction_length=prediction_length,
                    rule="rolling",
                )
                for series in origins
            ),
        )
        for fold, cutoff in enumerate(cutoffs.tolist())
    )


def gift_eval_windows(shortest: int, prediction_length: int, *, is_m4: bool = False) -> int:
    """How many test windows GIFT-Eval takes from the end of each series.

    They follow each other without overlap; the window before them is its validation set, and its
    training data end before that one (arXiv 2410.10393 and the code of the benchmark).

    Args:
        shortest: length of the shortest series of the data set, steps.
        is_m4: whether the data set is one of M4's, which has one window.
    """
    if is_m4:
        return 1
    wanted = math.ceil(GIFT_EVAL_SHARE * shortest / prediction_length)
    return min(max(1, wanted), GIFT_EVAL_MOST)


def fev_cutoffs(
    prediction_length: int,
    *,
    num_windows: int,
    step: int | None = None,
    initial_cutoff: int | None = None,
) -> tuple[int, ...]:
    """Cut-offs of a fev task, counted from the end of each series (negative).

    Args:
        step: from one window to the next; None: the horizon, so that targets do not overlap.
        initial_cutoff: of the first window; None: as late as all windows allow.
    """
    step = prediction_length if step is None else step
    if initial_cutoff is None:
        initial_cutoff = -prediction_length - (num_windows - 1) * step
    return tuple(initial_cutoff + n * step for n in range(num_windows))


def _window_sets(
    origins: Origins,
    cuts: Int64[np.ndarray, " cuts"],
    groups: tuple[int, ...],
    context_length: int,
    prediction_length: int,
    embargo: int,
) -> WindowSets:
    inside = [
        [(series >= cuts[fold]) & (series < cuts[fold + 1]) for series in origins]
        for fold in groups
    ]
    covers = []
    for masks in inside:
        judged = np.concatenate([series[mask] for series, mask in zip(origins, masks, strict=True)])
        if len(judged):
            covers.append((int(judged.min()), int(judged.max()) + prediction_length))
    return WindowSets(
        groups=groups,
        covers=tuple(covers),
        test=tuple(np.flatnonzero(np.any(masks, axis=0)) for masks in zip(*inside, strict=True)),
        train=tuple(
            kept_windows(
                series,
                covers,
                context_length=context_length,
                prediction_length=prediction_length,
                embargo=embargo,
            )
            for series in origins
        ),
    )
