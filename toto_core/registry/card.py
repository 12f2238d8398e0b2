"""The model card: what a registered candidate is, what it was made from and how it was judged.

``card.json`` is canonical; ``card.md`` is the same for readers.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from toto_core.evaluation.contamination import overlap_text
from toto_core.evaluation.gate import CELL, side_by_side, skill
from toto_core.evaluation.grouping import group_means
from toto_core.evaluation.verdict import MODEL, TITLES, Verdict, in_order, p_value_text, percent
from toto_core.registry.fingerprint import combined

NUM_WORST = 10
SKILL_HEAD = ("skill", "95 % interval", "p", "origins")
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


def model_card(verdict: Verdict, evidence: Evidence, losses: pl.DataFrame) -> dict[str, Any]:
    """Return the card as plain values, the same for the same inputs."""
    return {
        "name": "toto",
        "outcome": verdict.outcome,
        "headline": verdict.headline,
        "attempt": verdict.attempt,
        "candidate_hash": combined(evidence.candidate_files),
        "candidate_files": dict(evidence.candidate_files),
        "verdict_hash": _json_hash(verdict.to_json()),
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
                *("coverage", "exclusions", "seasonality"),
            )
        },
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


def card_markdown(card: Json, verdict: Verdict) -> str:
    """Return the card for readers."""
    data, splits = card["data"], card["splits"]
    blocks = [
        f"# {card['name']}: {card['outcome']}",
        str(card["headline"]),
        f"{card['affiliation']}",
        "## What it is",
        _table(
            ("property", "value"),
            [
                *((key, value) for key, value in sorted(card["model"].items())),
                ("candidate", f"`{card['candidate_hash']}`"),
                *(("fine-tuned from", _named(base)) for base in bases(card["run"])),
                ("attempt on this test period", card["attempt"]),
            ],
        ),
        "## Verdict",
        _table(
            ("check", "outcome", "found", "allowed"),
            [(c.name, c.outcome, c.found, c.allowed) for c in verdict.checks],
        ),
        "Reported beside the verdict, deciding nothing:",
        _table(
            ("claim", "outcome", "found", "needed"),
            [(c.name, c.outcome, c.found, c.allowed) for c in verdict.claims],
        ),
        "## Skill",
        "1 - loss of the model / loss of the baseline, with two-sided 95 % intervals over the "
        "origins; p is one-sided.",
        *_skill_tables(card["scores"].get("skill") or {}),
        *_variate_tables(card["scores"].get("skill_by_variate") or {}),
        "## Data",
        f"{data['series']} series of {data['items']} items, {data['rows']} rows, "
        f"{data['first_timestamp']} to {data['last_timestamp']}.",
        _table(
            ("source", "rows", "licence"),
            [(s["source"], s["rows"], s["licence"]) for s in data["sources"]],
        ),
        f"Trained before {splits['validation_start']}, stopped by the time until "
        f"{splits['test_start']}, judged until {splits['test_end']} at "
        f"{splits['num_test_origins']} origins, {splits['prediction_length']} steps ahead.",
        "Overlap of the judged values with the training data: "
        f"{overlap_text(card['contamination'])}.",
        "## Weakest series",
        _table(
            ("series", "skill against no change", "held out"),
            [
                (f"{w['item_id']} / {w['variate']}", percent(w["skill"]), w["held_out"])
                for w in card["worst_series"]
            ],
        ),
        "## Limits",
        "\n".join(f"- {limit}" for limit in card["limits"]),
        "## Hashes (SHA-256)",
        _table(
            ("what", "hash"),
            [
                *((name, f"`{value}`") for name, value in card["candidate_files"].items()),
                *((name, f"`{value}`") for name, value in sorted(card["hashes"].items())),
                *(
                    (f"{base['init']}/{name}", f"`{value}`")
                    for base in bases(card["run"])
                    for name, value in sorted(base["sha256"].items())
                ),
                ("test period", f"`{card['snapshot']}`"),
                ("verdict", f"`{card['verdict_hash']}`"),
            ],
        ),
    ]
    return "\n\n".join(blocks) + "\n"


def _named(base: Json) -> str:
    return f"{base['init']}, commit {base['revision']}" if base["revision"] else base["init"]


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


def _skill_tables(skills: Json) -> list[str]:
    titles = {"candidate": "Seen series", "held_out": "New series", "crossval": "Rolling refits"}
    blocks = []
    for key, title in titles.items():
        rows = _skill_rows(skills.get(key) or {})
        if rows:
            blocks.append(_table((title, *SKILL_HEAD), rows))
    return blocks


def _variate_tables(by_variate: Json) -> list[str]:
    """One table, the variate with the lowest skill against no change first."""
    if len(by_variate) < 2:
        return []
    order = sorted(by_variate, key=lambda name: (_skill_of(by_variate[name]), name))
    rows = [(name, *row) for name in order for row in _skill_rows(by_variate[name])]
    return ["## By variate", _table(("Seen series", "against", *SKILL_HEAD), rows)]


def _skill_of(table: Json) -> float:
    found = _number((table.get("naive") or {}).get("skill"))
    return -math.inf if math.isnan(found) else found


def _skill_rows(table: Json) -> list[tuple[object, ...]]:
    return [
        (
            TITLES[baseline],
            percent(_number(row.get("skill"))),
            f"{percent(_number(row.get('lower')))} to {percent(_number(row.get('upper')))}",
            p_value_text(_number(row.get("p_value"))),
            row.get("n"),
        )
        for baseline, row in ((b, table[b]) for b in in_order(table))
    ]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _table(head: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: object) -> str:
    text = str(value).replace("&", "&amp;").replace("<", "&lt;")
    return text.replace("|", "\\|").replace("\n", " ")


def _json_hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
