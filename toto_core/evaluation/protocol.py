"""The protocol: on which data, how and by which thresholds a candidate will be judged.

It is frozen before training and travels with the candidate. What is different when the verdict is
given was changed after training, perhaps because of the result; the verdict says so by name.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from toto_core.config import CalibrateParams, EvaluateParams, RegisterParams
from toto_core.data.tables import TARGET, Item
from toto_core.evaluation.verdict import FAIL, INCONCLUSIVE, PASS, Check

PRIMARY, SECONDARY = "sql", "mase"
TARGETS_SCHEMA = {"item_id": pl.String, "sha256": pl.String}
NUM_NAMED = 5

_OF_SPLITS = (
    *("freq", "prediction_length", "stride", "overlap", "min_context"),
    *("validation_start", "test_start", "test_end", "test_origins", "held_out_groups"),
)
_LONGEST = 3  # of a list that stands in the protocol as it is

Json = Mapping[str, object]


@dataclass(frozen=True)
class Frozen:
    """What was frozen before training, beside what the verdict was given by.

    Attributes:
        recorded: the protocol that the candidate carries; None if it carries none.
        stated: its hash as training wrote it down in ``run.json``.
        current: the protocol now.
        revised: items whose targets of the test period are not those of then; None: unknown.
    """

    recorded: Json | None
    stated: str | None
    current: Json
    revised: tuple[str, ...] | None

    def checks(self) -> tuple[Check, Check]:
        """Ask whether protocol and truth are those of before training."""
        first = protocol_check(self.recorded, self.current, stated=self.stated)
        return first, targets_check(self.revised)


def freeze(
    *,
    data: Json,
    splits: Json,
    seasonality: Json,
    baselines: Sequence[str],
    levels: Sequence[float],
    calibrate: CalibrateParams,
    evaluate: EvaluateParams,
    register: RegisterParams,
) -> dict[str, object]:
    """Return the protocol as plain values, nested by what they are about.

    Args:
        data: hashes of the validated data and of the targets.
        splits: the content of ``data/splits.json``.
        seasonality: steps of the season, for each frequency.
        levels: of the quantiles that are judged.
    """
    return {
        "data": dict(data),
        "splits": {key: _short(splits.get(key)) for key in _OF_SPLITS},
        "metrics": {"primary": PRIMARY, "secondary": SECONDARY, "levels": list(levels)},
        # Read off the past of each item, it follows from the data, whose hash is here.
        "seasonality": "auto" if evaluate.seasonality == "auto" else dict(seasonality),
        "baselines": sorted(baselines),
        "calibrate": calibrate.model_dump(mode="json"),
        "evaluate": evaluate.model_dump(mode="json", exclude={"batch_size", "baselines"}),
        "gate": register.model_dump(mode="json", exclude={"licences"}),
    }


def protocol_hash(protocol: Json) -> str:
    """Return the SHA-256 of a protocol, which is that of its file as ``write_json`` writes it."""
    text = json.dumps(protocol, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return hashlib.sha256(text.encode()).hexdigest()


def differences(recorded: Json, current: Json) -> list[str]:
    """Name each value that is not as it was frozen: ``gate.margin = 0.0, 0.01 was frozen``."""
    then, now = dict(_flat(recorded)), dict(_flat(current))
    return [
        f"{name} = {_text(now, name)}, {_text(then, name)} was frozen"
        for name in sorted(then.keys() | now.keys())
        if _text(then, name) != _text(now, name)
    ]


def protocol_check(recorded: Json | None, current: Json, *, stated: str | None) -> Check:
    """Ask whether the verdict is given by the protocol of before training."""
    name, allowed = "frozen protocol", "as it was before training"
    if recorded is None or stated is None:
        reason = "The candidate carries no protocol; train it anew, so that one is frozen before."
        return Check(name, INCONCLUSIVE, "unknown", allowed, reason)
    if protocol_hash(recorded) != stated:
        found = f"protocol.json = {protocol_hash(recorded)[:12]}, run.json says {stated[:12]}"
        reason = "What the candidate carries was edited after training; train it anew."
        return Check(name, FAIL, found, allowed, reason)
    changed = differences(recorded, current)
    if changed:
        return Check(
            name,
            FAIL,
            _some(changed, "; "),
            allowed,
            "Changed after training, so perhaps chosen by its result: train anew under what is "
            "wanted now.",
        )
    found = f"unchanged, {protocol_hash(current)[:12]}"
    return Check(name, PASS, found, allowed, "Nothing was chosen after the model was known.")


def targets_check(revised: Sequence[str] | None) -> Check:
    """Ask whether the truth that is judged by is the one that lay there before training."""
    name, allowed = "revised targets", "none since training"
    if revised is None:
        reason = "The candidate carries no hashes of the targets; train it anew."
        return Check(name, INCONCLUSIVE, "unknown", allowed, reason)
    if revised:
        found = f"{len(revised)} items: {_some(revised, ', ')}"
        reason = "Targets of the test period were revised after training; train on them anew."
        return Check(name, FAIL, found, allowed, reason)
    return Check(name, PASS, "none", allowed, "The truth is the one of before training.")


def target_hashes(items: Iterable[Item], period_us: tuple[int, int]) -> pl.DataFrame:
    """Hash each item's targets in a period.

    Args:
        period_us: first time and end, microseconds since 1970 in UTC.

    Returns:
        Columns item_id and sha256 (its first 16 digits), sorted; an item without a point in the
        period has no row.
    """
    rows = []
    for item in items:
        first, last = np.searchsorted(item.timestamps, period_us)
        if first == last:
            continue
        digest = hashlib.sha256(np.ascontiguousarray(item.timestamps[first:last]).tobytes())
        for variate, role, values in zip(item.variates, item.roles, item.values, strict=True):
            if role == TARGET:
                seen = values[first:last]
                # One NaN for all: they differ in bits that mean nothing.
                seen = np.where(np.isnan(seen), np.float32(np.nan), seen).astype(np.float32)
                digest.update(variate.encode() + b"\0" + seen.tobytes())
        rows.append((item.item_id, digest.hexdigest()[:16]))
    return pl.DataFrame(sorted(rows), schema=TARGETS_SCHEMA, orient="row")


def revised_items(recorded: pl.DataFrame, current: pl.DataFrame) -> tuple[str, ...]:
    """Return the items whose targets changed, came or went between two ``target_hashes``."""
    both = recorded.join(current, on="item_id", how="full", suffix="_now", coalesce=True)
    changed = both.filter(~pl.col("sha256").eq_missing(pl.col("sha256_now")))
    return tuple(changed["item_id"].sort())


def _flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _text(values: Json, name: str) -> str:
    return json.dumps(values[name]) if name in values else "nothing"


def _short(value: object) -> object:
    """Replace a long list by its length, ends and hash."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) <= _LONGEST:
        return value
    digest = hashlib.sha256(json.dumps(list(value)).encode()).hexdigest()
    return {"number": len(value), "first": value[0], "last": value[-1], "sha256": digest}


def _some(parts: Sequence[str], between: str) -> str:
    more = f"{between}{len(parts) - NUM_NAMED} more" if len(parts) > NUM_NAMED else ""
    return between.join(parts[:NUM_NAMED]) + more
