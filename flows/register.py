"""DVC stage ``register``: losses and metrics -> models/registry (card, verdict, evidence).

A FAIL is a finished pipeline with a verdict: the stage succeeds whatever the outcome is. It also
notes the candidate in ``registry/attempts.jsonl``, once for each candidate, protocol and test
period.

python -m flows.register
"""

import json
from pathlib import Path
from typing import Any

import polars as pl

from flows import paths
from flows.stage import Summary, run_stage
from toto_core.config import Params
from toto_core.errors import RegistryError
from toto_core.evaluation.checks import Provenance
from toto_core.evaluation.gate import judge
from toto_core.evaluation.protocol import Frozen, freeze, protocol_hash, revised_items
from toto_core.evaluation.verdict import FAIL, INCONCLUSIVE, PASS, Verdict, baselines_of
from toto_core.files import whole_parquet, write_json, writing
from toto_core.registry.archive import keep_card
from toto_core.registry.card import Evidence, model_card
from toto_core.registry.card_page import card_markdown
from toto_core.registry.fingerprint import (
    combined,
    evaluation_snapshot,
    file_sha256,
    folder_files,
    series_sketch,
)
from toto_core.registry.ledger import Attempt, earlier_attempts, open_log, p_values

EVIDENCE = (
    paths.SPLITS,
    paths.PROTOCOL,
    paths.METRICS / "ingest.json",
    paths.METRICS / "validate.json",
    paths.METRICS / "evaluate.json",
)


def run(params: Params, root: Path) -> Summary:
    """Judge the candidate and write its card, its verdict and copies of the evidence."""
    losses = pl.read_parquet(whole_parquet(root / paths.LOSSES))
    evidence = _evidence(params, root, losses)
    frozen = _frozen(params, root, evidence)
    attempt = _attempt(evidence, losses, frozen)
    with open_log(root / paths.ATTEMPTS) as log:
        earlier, is_known = earlier_attempts(log.records, attempt)
        verdict = judge(
            losses,
            splits=evidence.splits,
            evaluation=dict(evidence.evaluation) | {"refits": _refits(root, evidence)},
            provenance=Provenance.of_run(evidence.run, judged_on=evidence.hashes["splits"]),
            frozen=frozen,
            earlier_p_values=p_values(earlier),
            params=params.register_,
        )
        if not is_known:  # before the verdict can be seen anywhere
            log.append(attempt.record(verdict.p_value))
    card = model_card(verdict, evidence, losses)
    with writing(root / paths.REGISTRY) as folder:
        folder.mkdir()
        write_json(folder / "card.json", card)
        (folder / "card.md").write_text(card_markdown(card), encoding="utf-8")
        write_json(folder / "verdict.json", verdict.to_json())
        (folder / "evidence").mkdir()
        for path in EVIDENCE:
            (folder / "evidence" / path.name).write_bytes((root / path).read_bytes())
        attempts = [*earlier, attempt.record(verdict.p_value)]
        write_json(folder / "evidence" / "attempts.json", {"attempts": attempts})
    keep_card(root / paths.REGISTRY, root / paths.LEDGER)
    metrics = _metrics(verdict)
    write_json(root / paths.METRICS / "register.json", {"outcome": verdict.outcome, **metrics})
    return Summary(
        text=f"{verdict.outcome}. {verdict.headline}",
        metrics=metrics,
        tables={"checks": [vars(check) for check in (*verdict.checks, *verdict.claims)]},
        markdown={"verdict": card_markdown(card)},
    )


def _evidence(params: Params, root: Path, losses: pl.DataFrame) -> Evidence:
    splits = _json(root / paths.SPLITS)
    return Evidence(
        config=_json(root / paths.CANDIDATE / "config.json"),
        run=_json(root / paths.CANDIDATE / "run.json"),
        candidate_files=folder_files(root / paths.CANDIDATE),
        ingest=_json(root / paths.METRICS / "ingest.json"),
        validate=_json(root / paths.METRICS / "validate.json"),
        splits=splits,
        evaluation=_json(root / paths.METRICS / "evaluate.json"),
        hashes={
            "splits": file_sha256(root / paths.SPLITS),
            "losses": file_sha256(root / paths.LOSSES),
            "evaluation": file_sha256(root / paths.METRICS / "evaluate.json"),
            "protocol": file_sha256(root / paths.PROTOCOL),
            "calibration": file_sha256(root / paths.CALIBRATION),
        },
        snapshot=evaluation_snapshot(losses, splits),
        licences=params.register_.licences,
        thresholds=params.register_.model_dump(mode="json", exclude={"licences"}),
    )


def _refits(root: Path, evidence: Evidence) -> list[object]:
    """What each refit says of its training data and the targets that it forecast."""
    paths_of = (
        root / paths.METRICS / f"crossval-{fold['fold']}.json"
        for fold in evidence.splits.get("folds") or ()
    )
    return [_json(path).get("contamination") for path in paths_of if path.is_file()]


def _frozen(params: Params, root: Path, evidence: Evidence) -> Frozen:
    """What the candidate was trained under, beside what it is judged by."""
    evaluation = evidence.evaluation
    current = freeze(
        data=_json(root / paths.PROTOCOL)["data"],
        splits=evidence.splits,
        seasonality=evaluation.get("seasonality") or {},
        baselines=baselines_of(evaluation),
        levels=[float(level) for level in evaluation.get("coverage") or ()],
        calibrate=params.calibrate,
        evaluate=params.evaluate,
        register=params.register_,
    )
    recorded, revised = None, None
    if (root / paths.FROZEN_PROTOCOL).is_file():
        recorded = _json(root / paths.FROZEN_PROTOCOL)
    if (root / paths.FROZEN_TARGETS).is_file():
        then, now = (
            pl.read_parquet(whole_parquet(root / path))
            for path in (paths.FROZEN_TARGETS, paths.TARGETS)
        )
        revised = revised_items(then, now)
    return Frozen(recorded, evidence.run.get("protocol_sha256"), current, revised)


def _attempt(evidence: Evidence, losses: pl.DataFrame, frozen: Frozen) -> Attempt:
    return Attempt(
        snapshot=evidence.snapshot,
        candidate=combined(evidence.candidate_files),
        calibration=evidence.hashes["calibration"],
        protocol=protocol_hash(frozen.current),
        test_end=str(evidence.splits["test_end"]),
        series=series_sketch(losses),
    )


def _metrics(verdict: Verdict) -> dict[str, float]:
    outcomes = [check.outcome for check in verdict.checks]
    counts = {name.lower(): float(outcomes.count(name)) for name in (PASS, FAIL, INCONCLUSIVE)}
    skills = {f"skill_{name}": test["skill"] for name, test in verdict.tests.items()}
    return {"attempt": float(verdict.attempt), **counts, **skills}


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RegistryError(
            f"register: {path} = unreadable ({type(error).__name__}), a JSON file is needed; "
            "run dvc repro so that the stages before it write it"
        ) from None
    if not isinstance(value, dict):
        raise RegistryError(
            f"register: {path} = {type(value).__name__}, a JSON object is needed; run dvc repro"
        )
    return value


if __name__ == "__main__":
    run_stage("register", run)
