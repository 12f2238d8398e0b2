"""Stage ``split``: data/valid -> data/splits.json, cut-offs, origins, held-out groups and folds.

The series are read twice: once for the calendar and for near duplicates, once to count what each
origin judges.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from flows import paths
from flows.stage import Summary, run_stage
from toto_core.config import Params
from toto_core.data.fingerprints import FEW_POINTS, Recorder
from toto_core.data.origins import Cells, count_cells, make_splits, survey
from toto_core.data.overlap import Overlap, copied_ahead, linked_groups, near_duplicates
from toto_core.data.splits import Splits, points_before
from toto_core.data.tables import TARGET, Item, num_values, read_items
from toto_core.files import write_json

MOST_LISTED = 20  # pairs of near duplicates


def run(params: Params, root: Path) -> Summary:
    """Split the series of ``root``/data/valid."""
    recorder = Recorder(all_windows=num_values(root / paths.VALID) <= FEW_POINTS)
    found = survey(_recorded(read_items(root / paths.VALID), recorder))
    pairs = near_duplicates(recorder.fingerprints())
    group_of = {item.item_id: item.group for item in found.items}
    splits = make_splits(found, params.split, linked_groups(pairs, group_of))
    limits: dict[str, tuple[int, int]] = {}
    cells = count_cells(_limited(read_items(root / paths.VALID), splits, limits), splits)
    copied = tuple(sorted(copied_ahead(pairs, limits)))
    splits = splits.model_copy(update={"copied_items": copied})
    metrics = _metrics(splits, cells)
    apart = sum(group_of[pair.item] != group_of[pair.other] for pair in pairs)
    duplicates = {
        "near_duplicates": len(pairs),
        "near_duplicates_across_groups": apart,
        "copied_items": len(copied),
    }
    strongest = sorted(pairs, key=lambda pair: (-pair.common, pair.item, pair.other))[:MOST_LISTED]
    examples = [pair.to_json() for pair in strongest]
    write_json(root / paths.SPLITS, splits.to_json())
    write_json(
        root / paths.METRICS / "split.json",
        metrics | duplicates | {"near_duplicate_examples": examples},
    )
    numbers = {name: value for name, value in metrics.items() if not isinstance(value, str)}
    return Summary(
        text=_sentence(splits, cells, pairs),
        metrics=numbers | duplicates,
        tables={
            "split-cells": [
                {"items": "seen", "train": cells.seen_train, "test": cells.seen_test},
                {"items": "held out", "train": 0, "test": cells.held_out_test},
            ],
            **({"near-duplicates": examples} if examples else {}),
        },
    )


def _recorded(items: Iterable[Item], recorder: Recorder) -> Iterator[Item]:
    """Pass items on, their targets fingerprinted."""
    for item in items:
        targets = [role == TARGET for role in item.roles]
        # Choosing rows copies them, which a long item has no room for.
        recorder.add(item.item_id, item.values if all(targets) else item.values[targets])
        yield item


def _limited(
    items: Iterable[Item], splits: Splits, limits: dict[str, tuple[int, int]]
) -> Iterator[Item]:
    """Pass items on, and note their steps before T0, if they are trained on, and before T1."""
    held_out = frozenset(splits.held_out_items)
    times_us = np.array([splits.cutoffs_us[name] for name in ("train", "validation")])
    for item in items:
        trained, tested = points_before(item, splits, times_us).tolist()
        limits[item.item_id] = (0 if item.item_id in held_out else trained, tested)
        yield item


def _metrics(splits: Splits, cells: Cells) -> dict[str, float | str]:
    per_test, per_validation = cells.judged_per_test_origin, cells.judged_per_validation_origin
    return {
        "validation_start": splits.validation_start.isoformat(),
        "test_start": splits.test_start.isoformat(),
        "test_end": splits.test_end.isoformat(),
        "test_origins": len(splits.test_origins),
        "validation_origins": len(splits.validation_origins),
        "folds": len(splits.folds),
        "overlap": splits.overlap,
        "held_out_groups": len(splits.held_out_groups),
        "seen_train_items": cells.seen_train,
        "seen_test_items": cells.seen_test,
        "held_out_train_items": cells.held_out_train,
        "held_out_test_items": cells.held_out_test,
        "judged_per_test_origin_min": int(per_test.min()),
        "judged_per_test_origin_median": float(np.median(per_test)),
        "judged_per_validation_origin_min": int(per_validation.min()),
        "judged_per_validation_origin_median": float(np.median(per_validation)),
    }


def _sentence(splits: Splits, cells: Cells, pairs: Sequence[Overlap]) -> str:
    num_items = len(splits.train_items) + len(splits.held_out_items)
    median = np.median(cells.judged_per_test_origin)
    text = (
        f"train before {splits.validation_start.isoformat()} on {cells.seen_train} items, "
        f"test from {splits.test_start.isoformat()} at {len(splits.test_origins)} origins; "
        f"the median origin judges {median:g} of {num_items} items, "
        f"{cells.held_out_test} items are held out and judged apart"
    )
    if 2 * median < num_items:
        text += "; to judge more, set split.test_end to a time that more items reach"
    if pairs:
        text += (
            f"; {len(pairs)} pairs of items show the same series, as {pairs[0].item} and "
            f"{pairs[0].other} do: their groups are held out together or not at all"
        )
    if splits.copied_items:
        text += (
            f"; what {splits.copied_items[0]} shows in the test period is, moved in time, in "
            "another item before T0: take one of them out"
        )
    return text


if __name__ == "__main__":
    run_stage("split", run)
