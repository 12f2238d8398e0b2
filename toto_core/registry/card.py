"""The model card: what a candidate is, what it was made from and how it was judged.

``card.json`` is canonical and holds all that the verdict rests on; ``card_page`` makes ``card.md``
of it, the same for readers. A card is written for every outcome.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from toto_core.evaluation.grouping import group_means
from toto_core.evaluation.metrics import skill
from toto_core.evaluation.paired import CELL, side_by_side
from toto_core.evaluation.verdict import MODEL, Verdict
from toto_core.registry.fingerprint import combined

NUM_WORST = 10
NOT_STATED = "not stated"
AFFILIATION = (
    "An independent implementation of the published Toto 2.0 architecture. "
    "This project is not affiliated with Datadog."
)
LIMITS = (
    "The verdict holds for these series and this test period; other series need a verdict of "
    "their own.",
    "Nine quantiles from 0.1 to 0.9 are judged: nothing is known of the tails beyond them.",
    "Rare events, outages and anything that the past does not show are not foreseen.",
    "Thresholds of the gate (margin, periods, series, coverage) are judgement, not theory.",
)

OF_A_BASE = (
    "Fine-tuned from {init}, of whose training data nothing is known here: the judged period, or "
    "what happened in it elsewhere, may have been part of it, and the skill is then too high. "
    "Points later than that model's release cannot have been."
)

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """What a card is made from: the content of the files that the stages wrote.

    Attributes:
        config: ``config.json`` of the candidate; ``run`` its ``run.json``.
        candidate_files: SHA-256 of each file of the candidate.
        hashes: SHA-256 of splits, evaluation and losses, by name.
        licences: licence of each source, from ``register.licences``.
        thresholds: the rest of ``register``: what the gate asked for, and asks of a successor.
    """

    config: Json
    run: Json
    candidate_files: Mapping[str, str]
    ingest: Json
    validate: Json
    splits: Json
    evaluation: Json
    hashes: Mapping[str, str]
    snapshot: str
    licences: Mapping[str, str]
    thresholds: Json


def model_card(verdict: Verdict, evidence: Evidence, losses: pl.DataFrame) -> dict[str, Any]:
    """Return the card as plain values, the same for the same inputs."""
    verdict_json = verdict.to_json()
    return {
        "name": "toto",
        "outcome": verdict.outcome,
        "headline": verdict.headline,
        "attempt": verdict.attempt,
        **{key: verdict_json[key] for key in ("checks", "claims", "tests")},
        "candidate_hash": combined(evidence.candidate_files),
        "candidate_files": dict(evidence.candidate_files),
        "verdict_hash": _json_hash(verdict_json),
        "snapshot": evidence.snapshot,
        "hashes": dict(evidence.hashes),
        "model": dict(evidence.config),
        "run": dict(evidence.run),
        "data": _data(evidence),
        "splits": {
            key: evidence.splits.get(key)
            for key in (
                *("freq", "prediction_length", "stride", "min_context"),
                *("validation_start", "test_start", "test_end", "held_out_groups"),
            )
        }
        | {"num_test_origins": len(evidence.splits.get("test_origins") or ())},
        "scores": {
            key: evidence.evaluation.get(key)
            for key in (
                *("pooled", "skill", "skill_by_variate", "by_variate"),
                *("coverage", "exclusions", "seasonality", "calibration", "calibrate"),
            )
        },
        "thresholds": dict(evidence.thresholds),
        "contamination": dict(evidence.evaluation.get("contamination") or {}),
        "worst_series": worst_series(losses),
        "limits": [*LIMITS, *_limits_of_bases(evidence.run)],
        "affiliation": AFFILIATION,
    }


def bases(run: Json) -> list[Json]:
    """Return what ``run.json`` says of the model that was fine-tuned, of that one's base, ..."""
    found, base = [], run.get("base")
    while base:
        found.append(base)
        base = base.get("base")
    return found


def _limits_of_bases(run: Json) -> list[str]:
    unknown = [base["init"] for base in bases(run) if not base.get("last_training_time")]
    return [OF_A_BASE.format(init=init) for init in unknown]


def worst_series(losses: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the series with the lowest skill against no change, the lowest first."""
    rows = losses.filter(pl.col("source") == "candidate")
    panel = group_means(
        side_by_side(rows, index=(*CELL, "held_out"), forecasters=(MODEL, "naive")),
        ["item_id", "variate", "held_out"],
        [MODEL, "naive"],
    )
    rows = [
        {
            "item_id": row["item_id"],
            "variate": row["variate"],
            "held_out": row["held_out"],
            "num_origins": row["num_rows"],
            "sql": row[MODEL],
            "skill": skill(row[MODEL], row["naive"]),
        }
        for row in panel.drop_nulls().sort("item_id", "variate").to_dicts()
    ]
    return sorted(rows, key=lambda row: row["skill"])[:NUM_WORST]


def licence_of(source: str, licences: Mapping[str, str]) -> str:
    """Return the licence that is stated for a source: of the file itself or of a folder above it.

    A name stands for the source of that name (``demo``), for a path from the project
    (``data/raw/stocks``) or for the end of one (``cloudwatch``, ``cloudwatch/x.csv``). The name
    that ends the deepest in the path counts, of equally deep ones the longest.
    """
    path, depths = f"/{source}/", {}
    for name in licences:
        wanted = f"/{name.strip('/')}/"
        if wanted in path:
            depths[name] = (path.rindex(wanted) + len(wanted), len(wanted))
    return licences[max(depths, key=lambda name: depths[name])] if depths else NOT_STATED


def _data(evidence: Evidence) -> dict[str, Any]:
    ingest, validate = evidence.ingest, evidence.validate
    sources = [
        {
            "source": str(source.get("source", source.get("name"))),
            "rows": source.get("rows"),
            "licence": licence_of(str(source.get("source", source.get("name"))), evidence.licences),
        }
        for source in ingest.get("sources") or ()
    ]
    return {
        "items": ingest.get("items"),
        "series": ingest.get("series"),
        "rows": ingest.get("rows"),
        "first_timestamp": ingest.get("first_timestamp"),
        "last_timestamp": ingest.get("last_timestamp"),
        "series_valid": validate.get("series_valid"),
        "rows_quarantined": validate.get("rows_quarantined"),
        "sources": sources,
    }


def _json_hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
