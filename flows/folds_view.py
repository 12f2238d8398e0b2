"""``toto data folds``: what purged folds of the validated series would train on and judge."""

from pathlib import Path

import numpy as np

from flows import paths
from toto_core.config import load_params
from toto_core.data.folds import (
    CombinatorialFolds,
    WindowSets,
    combinatorial_purged_kfold,
    even_cuts,
    window_origins,
)
from toto_core.data.origins import Survey, most_common_freq, survey
from toto_core.data.tables import read_items
from toto_core.errors import ConfigError, DataError

# A fit on less of the windows than this says little of a fit on all of them.
MIN_KEPT = 0.5


def folds_text(root: Path, *, num_folds: int, num_test_folds: int, embargo: int) -> str:
    """List the splits: what is judged, how many windows are kept to train on, and which to refuse.

    Windows have the context of ``model.context_length`` and the horizon and stride of ``split``;
    items of the most common frequency count.

    Raises:
        ConfigError: if so many folds cannot be made.
        DataError: if no item has a whole window.
    """
    params = load_params(root / paths.PARAMS)
    found = survey(read_items(root / paths.VALID))
    context, horizon = params.model.context_length, params.split.prediction_length
    origins = [
        window_origins(first, length, context=context, horizon=horizon, stride=params.split.stride)
        for first, length in _places(found)
    ]
    if not any(map(len, origins)):
        raise DataError(
            f"folds: whole windows = 0 of {len(origins)} items, at least 1 of model.context_length "
            f"+ split.prediction_length = {context + horizon} steps is needed; lower these or give "
            "more history"
        )
    try:
        made = combinatorial_purged_kfold(
            origins,
            even_cuts(origins, num_folds),
            num_test_folds=num_test_folds,
            context_length=context,
            prediction_length=horizon,
            embargo=embargo,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return _text(made, sum(map(len, origins)))


def _places(found: Survey) -> list[tuple[int, int]]:
    """First step and length of each item on the grid of the most common frequency."""
    freq = most_common_freq(found.items)
    base = [item for item in found.items if item.freq == freq.canonical]
    if freq.is_calendar:
        periods = found.periods[freq.canonical]
        ends = [
            np.searchsorted(periods, [item.first_us, item.last_us], side="right") - 1
            for item in base
        ]
    else:
        start_us = min(item.first_us for item in base)
        ends = [
            (np.array([item.first_us, item.last_us]) - start_us) // freq.interval_us
            for item in base
        ]
    return [(int(first), int(last - first + 1)) for first, last in ends]


def _text(made: CombinatorialFolds, num_windows: int) -> str:
    rows = [("folds judged", "windows judged", "trained on", "purged", "share", "")]
    rows += [_row(sets, num_windows) for sets in made.splits]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    refused = sum(row[-1] != "" for row in rows[1:])
    return "\n".join(
        [
            *lines,
            "",
            f"{num_windows} windows, {len(made.splits)} fits, {len(made.paths)} paths, {refused} "
            "fits to refuse",
            "a diagnostic: the pipeline trains and judges by the rolling origin alone",
        ]
    )


def _row(sets: WindowSets, num_windows: int) -> tuple[str, ...]:
    share = sets.num_train / num_windows
    fault = "" if share >= MIN_KEPT else f"refuse: less than {MIN_KEPT:.0%}"
    return (
        " ".join(map(str, sets.groups)),
        str(sets.num_test),
        str(sets.num_train),
        str(num_windows - sets.num_test - sets.num_train),
        f"{share:.0%}",
        fault if sets.num_train else "refuse: nothing to train on",
    )
