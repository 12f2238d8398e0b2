"""Stage ``augment``: data/valid and synthetic series -> data/corpus and its fingerprints.

Held-out items are not written, and of the others nothing behind the last fold's cut-off: what
nothing may train on is not in the corpus at all.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from flows import paths
from flows.stage import Summary, run_stage
from toto_core.config import AugmentParams, Params
from toto_core.data.corpus import (
    TARGET,
    TRAIN,
    Corpus,
    Entry,
    Mixture,
    Part,
    realised,
    source_weights,
    write_corpus,
)
from toto_core.data.fingerprints import FEW_POINTS, Recorder
from toto_core.data.splits import Splits, points_before, validation_positions
from toto_core.data.synthetic import generate, worthwhile_processes
from toto_core.data.tables import ROLES, Item, num_values, read_items, read_items_table
from toto_core.errors import ConfigError
from toto_core.files import write_json

SYNTHETIC = "synthetic"
MOST_LISTED = 64  # sources, frequencies or families, by their share

_MOST_SAID = 3  # of them in the line of the stage


def run(params: Params, root: Path) -> Summary:
    """Pack the series that may be trained on, and the synthetic part, into ``root``/data/corpus."""
    _check(params.augment)
    mixture = _mixture(params.augment, root)
    splits = Splits.load(root / paths.SPLITS)
    first = list(splits.cutoffs_us).index(TRAIN)

    seen = Recorder(all_windows=num_values(root / paths.VALID) <= FEW_POINTS)

    def entries() -> Iterator[Entry]:
        for entry in _real(read_items(root / paths.VALID), splits):
            seen.add(entry.item_id, entry.values[:, : entry.limits[first]])
            yield entry
        if params.augment.synthetic_share > 0:
            yield from _synthetic(params, splits)

    counts = write_corpus(
        root / paths.CORPUS,
        entries(),
        cutoffs=tuple(splits.cutoffs_us),
        num_validation_origins=len(splits.validation_origins),
        mixture=mixture,
    )
    fingerprints = seen.fingerprints()
    fingerprints.save(root / paths.FINGERPRINTS)
    drawn = _drawn(Corpus.open(root / paths.CORPUS))
    metrics = {
        **counts,
        "fingerprints": len(fingerprints),
        "synthetic_share": params.augment.synthetic_share,
        "mixture": {name: listed(parts) for name, parts in drawn.items()},
    }
    write_json(root / paths.METRICS / "augment.json", metrics)
    return Summary(
        text=(
            f"{counts['real_items']} real items with {counts['real_points_before_validation']} "
            f"points before T0, {counts['synthetic_items']} synthetic series with "
            f"{counts['synthetic_points']} points for a share of "
            f"{params.augment.synthetic_share:g}; draws: {_sentence(drawn['sources'])}"
        ),
    )


def _check(params: AugmentParams) -> None:
    faults = []
    if params.synthetic_share > 0:
        if params.num_synthetic == 0:
            faults.append(
                "params.yaml: augment.num_synthetic = 0, at least 1 where augment.synthetic_share "
                f"= {params.synthetic_share:g}; raise it, or set the share to 0"
            )
        if not any(params.families.model_dump().values()):
            faults.append(
                "params.yaml: augment.families = all 0, at least one weight above 0 where "
                f"augment.synthetic_share = {params.synthetic_share:g}; raise one, or set the "
                "share to 0"
            )
    if faults:
        raise ConfigError("\n".join(faults))


def _mixture(params: AugmentParams, root: Path) -> Mixture:
    asked = params.mixture
    known = read_items_table(root / paths.VALID)["source"].unique().to_list()
    return Mixture(
        synthetic_share=params.synthetic_share,
        size_exponent=asked.size_exponent,
        temperature=asked.temperature,
        frequency_balance=asked.frequency_balance,
        sources=source_weights(asked.sources, known),
    )


def _drawn(corpus: Corpus) -> dict[str, list[Part]]:
    """Sum up what is drawn how often: by source, and by frequency or family where they matter."""
    points = corpus.num_variates * corpus.limits_at(TRAIN)
    real, made = ~corpus.is_synthetic, corpus.is_synthetic
    return {
        name: realised(labels, members=members, points=points, weight=corpus.weight)
        for name, labels, members in (
            ("sources", corpus.sources, real | made),
            ("frequencies", corpus.freqs, real),
            ("families", corpus.groups, made),
        )
    }


def listed(parts: Sequence[Part]) -> dict[str, dict[str, float]]:
    """List the first of ``parts`` by name, and the sum of the others."""
    shown, others = parts[:MOST_LISTED], parts[MOST_LISTED:]
    if others:
        items, points = sum(part.items for part in others), sum(part.points for part in others)
        share = sum(part.share for part in others)
        shown = [*shown, Part(f"{len(others)} others", items, points, share)]
    return {
        part.name: {"items": part.items, "points": part.points, "share": round(part.share, 6)}
        for part in shown
    }


def _sentence(parts: Sequence[Part]) -> str:
    said = [f"{part.share:.0%} {part.name}" for part in parts[:_MOST_SAID]]
    others = parts[_MOST_SAID:]
    if others:
        said.append(f"{sum(part.share for part in others):.0%} {len(others)} others")
    return ", ".join(said)


def _real(items: Iterator[Item], splits: Splits) -> Iterator[Entry]:
    held_out = frozenset(splits.held_out_items)
    cutoffs = np.array(list(splits.cutoffs_us.values()), np.int64)
    for item in items:
        limits = points_before(item, splits, cutoffs)
        if item.item_id in held_out or not limits.any():
            continue
        yield Entry(
            item_id=item.item_id,
            group=item.group,
            freq=item.freq,
            source=item.source,
            values=item.values[:, : limits.max()],
            roles=np.array([ROLES.index(role) for role in item.roles], np.int8),
            limits=limits,
            validation_positions=validation_positions(item, splits),
            is_synthetic=False,
        )


def _synthetic(params: Params, splits: Splits) -> Iterator[Entry]:
    length = params.augment.synthetic_length
    series = generate(
        params.seed,
        params.augment.num_synthetic,
        length=length,
        weights=params.augment.families.model_dump(),
        processes=worthwhile_processes(params.augment.num_synthetic * length),
    )
    for index, (family, values) in enumerate(series):
        yield Entry(
            item_id=f"{SYNTHETIC}/{index}",
            group=family,
            freq="",
            source=SYNTHETIC,
            values=values,
            roles=np.full(len(values), TARGET, np.int8),
            limits=np.full(len(splits.cutoffs_us), length, np.int64),
            validation_positions=np.full(len(splits.validation_origins), -1, np.int64),
            is_synthetic=True,
        )


if __name__ == "__main__":
    run_stage("augment", run)
