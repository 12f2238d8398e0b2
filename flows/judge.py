"""The command ``toto judge``: any forecaster on the splits of this project, by the gate's tests.

It writes to reports/judged/<name>/ alone: nothing of the candidate or of DVC is touched, and the
ledger of attempts only where it is asked for.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from flows import paths
from flows.judged_report import write_page
from flows.judging import Panel, contamination_of, forecast_panel, tables_of
from flows.subjects import Subject, of_callable, of_file, of_model, plain
from flows.terminal import say
from toto_core.config import Params, load_params
from toto_core.data.shards import write_table
from toto_core.data.splits import Splits
from toto_core.errors import ConfigError
from toto_core.evaluation.checks import Provenance
from toto_core.evaluation.conformal.effect import coverage_by_step
from toto_core.evaluation.faults import lines
from toto_core.evaluation.gaps import answered, answered_forecasts, losses_with_gaps
from toto_core.evaluation.gate import judge
from toto_core.evaluation.metrics import MODEL, Profile
from toto_core.evaluation.protocol import Frozen, protocol_hash
from toto_core.evaluation.scores import CANDIDATE, evaluation_report, item_scores
from toto_core.evaluation.verdict import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    TITLES,
    Verdict,
    p_value_text,
    percent,
    worst,
)
from toto_core.files import write_json, writing
from toto_core.registry.fingerprint import evaluation_snapshot, file_sha256, series_sketch
from toto_core.registry.ledger import Attempt, earlier_attempts, open_log, p_values

# A verdict is no breakdown: 1 to 3 stay what they are for every command.
EXIT_CODES = {PASS: 0, FAIL: 4, INCONCLUSIVE: 5}
# What is asked of training, where somebody else's may have no answer.
OF_TRAINING = ("provenance", "unseen targets", "frozen protocol", "revised targets")
MOST_NAMED = 5


@dataclass(frozen=True)
class Judgement:
    """What was found, and the folder it was written to."""

    verdict: Verdict
    evaluation: dict[str, Any]
    folder: Path


def judge_subject(
    root: Path, params: Params, subject: Subject, *, name: str, is_recorded: bool = False
) -> Judgement:
    """Judge ``subject`` on the test period of ``root`` and write reports/judged/<name>.

    Args:
        is_recorded: whether it counts as an attempt on this test period from now on. The earlier
            ones lower its level in any case.

    Raises:
        DataError: if nothing can be judged.
    """
    splits = Splits.load(root / paths.SPLITS)
    folder = root / paths.JUDGED / name
    with writing(folder) as temporary:
        temporary.mkdir()
        forecasts = temporary / "forecasts.parquet"
        panel = forecast_panel(
            root,
            {MODEL: subject.answer},
            params.evaluate,
            forecasts,
            context_length=params.model.context_length,
            fingerprinted=_seen(subject).is_file(),
            faults=subject.faults,
        )
        subject.end()
        losses, profile = losses_with_gaps(
            tables_of(forecasts),
            panel.facts,
            baselines=params.evaluate.baselines,
            source=CANDIDATE,
            faults=subject.faults,
        )
        evaluation = _evaluation(losses, profile, panel, splits, subject)
        candidate = file_sha256(forecasts)
        verdict = _verdict(root, losses, evaluation, subject, params, candidate, is_recorded)
        plots = _write(temporary, losses, profile, evaluation, verdict)
        plots["coverage"] = coverage_by_step(
            answered_forecasts(tables_of(forecasts)),
            panel.facts,
            forecasters=(MODEL, *params.evaluate.baselines),
            prediction_length=splits.prediction_length,
        )
        write_page(temporary, root, losses=answered(losses), plots=plots)
    return Judgement(verdict, evaluation, folder)


def judge_command(
    root: Path,
    *,
    forecaster: str | None,
    quantiles: Path | None,
    model: str | None,
    name: str | None,
    is_recorded: bool,
) -> int:
    """Judge what is named, print what was found and return the exit code of the outcome.

    Raises:
        ConfigError: if not exactly one forecaster is named, or it is not there.
        DataError: if a file of quantiles has other columns or levels.
    """
    params = load_params(root / paths.PARAMS)
    if sum(given is not None for given in (forecaster, quantiles, model)) != 1:
        given = [forecaster, quantiles, model]
        raise ConfigError(
            "judge: --forecaster, --quantiles, --model = "
            f"{', '.join(str(value) for value in given if value is not None) or 'none'}, exactly "
            "one of them is needed; name what is to be judged"
        )
    if forecaster is not None:
        subject = of_callable(forecaster, root, params)
    elif quantiles is not None:
        subject = of_file(quantiles, params)
    else:
        subject = of_model(str(model), root, params)
    called = plain(name) if name else subject.name
    found = judge_subject(root, params, subject, name=called, is_recorded=is_recorded)
    say(words(found))
    return EXIT_CODES[found.verdict.outcome]


def words(found: Judgement) -> str:
    """Say what was found: the headline, skill and test against each baseline, checks, faults."""
    rows = [
        f"  against {TITLES.get(name, name):24} skill {percent(float(row['skill'])):>8}, "
        f"p {p_value_text(float(row['p_value']))}, {row['outcome']}"
        for name, row in found.evaluation["skill"]["candidate"].items()
    ]
    stopped = [check for check in found.verdict.checks if check.outcome != PASS]
    checks = [f"  {c.outcome:12} {c.name}: {c.found} (allowed: {c.allowed})" for c in stopped]
    faults = [f"  {line}" for line in found.evaluation["fault_lines"]]
    return "\n".join(
        [
            f"{found.verdict.outcome}. {found.verdict.headline}",
            *rows,
            *(
                [f"{len(stopped)} of {len(found.verdict.checks)} checks did not pass:"]
                if stopped
                else []
            ),
            *checks,
            *(["forecasts that could not be judged as they are:"] if faults else []),
            *faults,
            f"written: {found.folder}",
        ]
    )


def _evaluation(
    losses: pl.DataFrame, profile: Profile, panel: Panel, splits: Splits, subject: Subject
) -> dict[str, Any]:
    report = evaluation_report(
        answered(losses),
        profile,
        overlap=splits.overlap,
        exclusions=panel.exclusions,
        outside=panel.outside,
        seasonality=panel.seasonality,
    )
    faults = subject.faults.in_order()
    return report | {
        "judged": True,
        "faults": [fault.to_json() for fault in faults],
        "fault_lines": lines(faults, most=MOST_NAMED),
        "items_by_inferred_season": panel.inferred,
        "fallbacks": panel.fallbacks,
        "contamination": contamination_of(_seen(subject), panel, splits, name=subject.name),
    }


def _verdict(
    root: Path,
    losses: pl.DataFrame,
    evaluation: dict[str, Any],
    subject: Subject,
    params: Params,
    candidate: str,
    is_recorded: bool,
) -> Verdict:
    splits = json.loads((root / paths.SPLITS).read_text(encoding="utf-8"))
    attempt = Attempt(
        snapshot=evaluation_snapshot(losses, splits),
        candidate=candidate,
        calibration="",  # the forecasts that are hashed are corrected already
        protocol=protocol_hash(
            {
                "evaluate": params.evaluate.model_dump(mode="json"),
                "gate": params.register_.model_dump(mode="json"),
            }
        ),
        test_end=str(splits["test_end"]),
        series=series_sketch(losses),
    )
    with open_log(root / paths.ATTEMPTS) as log:
        earlier, is_known = earlier_attempts(log.records, attempt)
        verdict = judge(
            losses,
            splits=splits,
            evaluation=evaluation,
            provenance=_provenance(root, subject),
            frozen=Frozen(None, None, {}, None),
            earlier_p_values=p_values(earlier),
            params=params.register_,
        )
        if is_recorded and not is_known:
            log.append(attempt.record(verdict.p_value))
    return _of_forecasts(verdict)


def _of_forecasts(verdict: Verdict) -> Verdict:
    """Decide by the forecasts; what nobody knows of somebody else's training stands beside.

    What is known to be wrong with it still decides.
    """
    unknown = [c for c in verdict.checks if c.name in OF_TRAINING and c.outcome == INCONCLUSIVE]
    checks = tuple(check for check in verdict.checks if check not in unknown)
    outcome = worst(check.outcome for check in checks)
    return replace(verdict, outcome=outcome, checks=checks, claims=(*verdict.claims, *unknown))


def _provenance(root: Path, subject: Subject) -> Provenance:
    run: dict[str, Any] = {}
    if subject.directory and (subject.directory / "run.json").is_file():
        run = json.loads((subject.directory / "run.json").read_text(encoding="utf-8"))
    return Provenance.of_run(run, judged_on=file_sha256(root / paths.SPLITS))


def _seen(subject: Subject) -> Path:
    """Where the fingerprints of what it was trained on would lie."""
    return (subject.directory or Path("nowhere")) / paths.SEEN.name


def _write(
    folder: Path,
    losses: pl.DataFrame,
    profile: Profile,
    evaluation: dict[str, Any],
    verdict: Verdict,
) -> dict[str, pl.DataFrame]:
    """Write the figures; return the plots, by name."""
    write_table(folder / "losses.parquet", losses)
    write_json(folder / "evaluate.json", evaluation)
    write_json(folder / "verdict.json", verdict.to_json())
    plots = {
        "horizon": profile.by_step(),
        "hours": profile.by_hour(),
        "calibration": profile.coverage(),
        "pit": profile.pit(),
        "items": item_scores(answered(losses)),
    }
    for name, table in plots.items():
        table.write_csv(folder / f"{name}.csv", float_precision=6)
    return plots
