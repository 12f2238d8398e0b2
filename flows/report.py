"""DVC stage ``report``: metrics, losses, forecasts and the verdict -> reports/index.html.

python -m flows.report
"""

import json
from pathlib import Path
from typing import Any

import polars as pl

from flows import paths
from flows.stage import Summary, run_stage
from toto_core.config import Params
from toto_core.data.tables import shard_paths
from toto_core.errors import DataError
from toto_core.files import whole_parquet, writing
from toto_core.report.fans import choose_fans, rows_of
from toto_core.report.page import Material, page

STAGES = ("ingest", "validate", "split", "augment", "train", "evaluate")
PLOTS = ("loss", "augmentation", "horizon", "calibration", "coverage", "hours", "pit")
FLOATS = {
    "before": pl.Float64,
    "after": pl.Float64,
}  # of augmentation.csv, where all may be missing
MAX_BAD_ROWS = 100_000  # read for the examples; the counts come from the metrics


def run(params: Params, root: Path) -> Summary:
    """Write the report; it reads outputs of other stages only."""
    losses = pl.read_parquet(whole_parquet(root / paths.LOSSES))
    fans = choose_fans(losses)
    forecasts, history = rows_of(
        fans,
        pl.scan_parquet(whole_parquet(root / paths.FORECASTS / "candidate.parquet")),
        pl.scan_parquet(shard_paths(root / paths.VALID)),
    )
    registry, quarantine = root / paths.REGISTRY, root / paths.QUARANTINE
    bad_rows = pl.scan_parquet(whole_parquet(quarantine / "rows.parquet"))
    text = page(
        Material(
            card=_json(registry / "card.json"),
            verdict=_json(registry / "verdict.json"),
            metrics={name: _json(root / paths.METRICS / f"{name}.json") for name in STAGES},
            splits=_json(registry / "evidence" / "splits.json"),
            params=params.model_dump(mode="json", by_alias=True),
            protocol=_json(registry / "evidence" / "protocol.json"),
            attempts=_json(registry / "evidence" / "attempts.json")["attempts"],
            losses=losses,
            plots={name: _plot(root, name) for name in PLOTS},
            fans=fans,
            forecasts=forecasts,
            history=history,
            bad_rows=bad_rows.head(MAX_BAD_ROWS).collect(),
            bad_series=pl.read_parquet(whole_parquet(quarantine / "series.parquet")),
        )
    )
    with writing(root / paths.REPORT) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Summary(text=f"{paths.REPORT} ({len(text.encode()) / 1024:.0f} KiB)")


def _plot(root: Path, name: str) -> pl.DataFrame:
    return pl.read_csv(root / paths.PLOTS / f"{name}.csv", schema_overrides=FLOATS)


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"report: {path} = unreadable ({type(error).__name__}), a JSON file is needed; "
            "run dvc repro so that the stages before it write it"
        ) from None


if __name__ == "__main__":
    run_stage("report", run)
