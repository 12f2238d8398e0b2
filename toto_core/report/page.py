"""The whole page: one HTML file without font, image or any other request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import polars as pl

from toto_core.report import record_part, verdict_part
from toto_core.report.before_part import before_section
from toto_core.report.calendar_part import calendar_section
from toto_core.report.data_part import data_section, quarantine_section
from toto_core.report.error_lines import hour_section, step_section
from toto_core.report.fans import Fan, fans_section
from toto_core.report.markup import Json, freq_text
from toto_core.report.quantiles_part import interval_by_step, quantiles_section
from toto_core.report.scores_part import scores_section
from toto_core.report.series_part import series_section, series_table
from toto_core.report.skill_part import baselines_of, hardest, skill_section
from toto_core.report.sorting import SCRIPT, policy
from toto_core.report.style import STYLE
from toto_core.report.training_part import training_section
from toto_core.report.words import words_section


@dataclass(frozen=True)
class Material:
    """Everything that the page shows, as the stages wrote it.

    Attributes:
        metrics: content of ``reports/metrics/<stage>.json`` by stage.
        splits: the copy of ``splits.json`` in the evidence.
        params: every value of ``params.yaml``.
        protocol: what was frozen before training; empty where nothing was.
        attempts: the ledger's records of this test period, oldest first.
        plots: tables of ``reports/plots`` by name: loss, augmentation, horizon, calibration,
            coverage, hours and pit; one without rows draws nothing.
        fans: which forecasts are drawn; ``forecasts`` and ``history`` hold at least their rows.
        bad_rows: ``data/quarantine/rows.parquet``, some of it; ``bad_series`` likewise.
    """

    card: Json
    verdict: Json
    metrics: Mapping[str, Json]
    splits: Json
    params: Json
    protocol: Json
    attempts: Sequence[Json]
    losses: pl.DataFrame
    plots: Mapping[str, pl.DataFrame]
    fans: Sequence[Fan]
    forecasts: pl.DataFrame
    history: pl.DataFrame
    bad_rows: pl.DataFrame
    bad_series: pl.DataFrame


def page(found: Material) -> str:
    """Return the page; the same material gives the same bytes."""
    return _document(found, [*_judgement(found), *_evidence(found)])


def judged_page(found: Material) -> str:
    """Return the page about forecasts alone: nothing is known of how their model came about."""
    return _document(found, _judgement(found))


def _document(found: Material, parts: Sequence[str]) -> str:
    outcome = str(found.verdict.get("outcome"))
    title = f"{outcome}: {found.verdict.get('headline')}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{_lines(parts)}\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _judgement(found: Material) -> list[str]:
    """The verdict and what it rests on."""
    evaluate, plots = found.metrics["evaluate"], found.plots
    series = series_table(found.losses)
    own = (evaluate.get("skill") or {}).get("candidate") or {}
    baselines, first = baselines_of(own), hardest(own)
    freq = freq_text(found.splits.get("freq"))
    return [
        verdict_part.opening(found.verdict, evaluate, found.losses),
        words_section(found.verdict, evaluate, series),
        skill_section(evaluate, found.losses, found.splits),
        verdict_part.checks_section(found.verdict),
        before_section(found.verdict, found.card, evaluate, found.protocol, found.attempts),
        calendar_section(found.losses, baselines, first=first),
        step_section(plots["horizon"], freq=freq),
        hour_section(plots["hours"], found.losses["origin"]),
        quantiles_section(
            evaluate, plots["calibration"], plots["pit"], interval_by_step(plots["coverage"])
        ),
        fans_section(found.fans, found.forecasts, found.history, found.splits),
        series_section(series, baselines, first=first),
        scores_section(evaluate),
    ]


def _evidence(found: Material) -> list[str]:
    """How the model and the data came about."""
    metrics, plots = found.metrics, found.plots
    return [
        training_section(plots["loss"], plots["augmentation"], metrics["train"]),
        quarantine_section(metrics["validate"], found.bad_rows, found.bad_series),
        data_section(metrics, found.splits, found.card),
        record_part.record_section(found.params, found.card),
        record_part.reproduce_section(),
        record_part.limits_section(found.card),
    ]


def _lines(parts: Sequence[str]) -> str:
    return "\n".join(part for part in parts if part)
