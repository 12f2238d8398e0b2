"""The whole page: one HTML file without script, font, image or any other request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import polars as pl

from toto_core.report import evidence, verdict_part
from toto_core.report.fans import Fan
from toto_core.report.markup import Json
from toto_core.report.style import STYLE


@dataclass(frozen=True)
class Material:
    """Everything that the page shows, as the stages wrote it.

    Attributes:
        metrics: content of ``reports/metrics/<stage>.json`` by stage.
        splits: the copy of ``splits.json`` in the evidence.
        params: every value of ``params.yaml``.
        loss: ``reports/plots/loss.csv``; ``augmentation`` and ``horizon`` likewise.
        fans: which forecasts are drawn; ``forecasts`` and ``history`` hold at least their rows.
        bad_rows: ``data/quarantine/rows.parquet``, some of it; ``bad_series`` likewise.
    """

    card: Json
    verdict: Json
    metrics: Mapping[str, Json]
    splits: Json
    params: Json
    losses: pl.DataFrame
    loss: pl.DataFrame
    augmentation: pl.DataFrame
    horizon: pl.DataFrame
    fans: Sequence[Fan]
    forecasts: pl.DataFrame
    history: pl.DataFrame
    bad_rows: pl.DataFrame
    bad_series: pl.DataFrame


def page(found: Material) -> str:
    """Return the page; the same material gives the same bytes."""
    evaluate = found.metrics["evaluate"]
    parts = [
        verdict_part.opening(found.verdict, evaluate, found.losses),
        verdict_part.skill_section(evaluate),
        verdict_part.checks_section(found.verdict),
        evidence.training_section(found.loss, found.augmentation, found.metrics["train"]),
        evidence.fans_section(found.fans, found.forecasts, found.history, found.splits),
        evidence.calibration_section(evaluate),
        evidence.horizon_section(found.horizon, found.splits),
        evidence.series_section(found.losses),
        evidence.quarantine_section(found.metrics["validate"], found.bad_rows, found.bad_series),
        evidence.data_section(found.metrics, found.splits, found.card),
        evidence.record_section(found.params, found.card),
        evidence.reproduce_section(),
        evidence.limits_section(found.card),
    ]
    outcome = str(found.verdict.get("outcome"))
    title = f"{outcome}: {found.verdict.get('headline')}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{_lines(parts)}\n</main>\n</body>\n</html>\n"
    )


def _lines(parts: Sequence[str]) -> str:
    return "\n".join(part for part in parts if part)
