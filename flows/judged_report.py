"""The page of ``toto judge``: the judgement alone, without how the forecasts came about."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from flows import paths
from toto_core.data.tables import shard_paths
from toto_core.report.fans import choose_fans, rows_of
from toto_core.report.page import Material, judged_page


def write_page(
    folder: Path,
    root: Path,
    *,
    losses: pl.DataFrame,
    plots: Mapping[str, pl.DataFrame],
) -> None:
    """Write index.html into ``folder``, where forecasts and verdict lie already.

    Args:
        losses: of the pairs that have a loss of every forecaster.
        plots: horizon, hours, calibration, coverage and pit.
    """
    fans = choose_fans(losses)
    forecasts, history = rows_of(
        fans,
        pl.scan_parquet(folder / "forecasts.parquet"),
        pl.scan_parquet(shard_paths(root / paths.VALID)),
    )
    material = Material(
        card={},
        verdict=_json(folder / "verdict.json"),
        metrics={"evaluate": _json(folder / "evaluate.json")},
        splits=_json(root / paths.SPLITS),
        params={},
        protocol={},
        attempts=(),
        losses=losses,
        plots=plots,
        fans=fans,
        forecasts=forecasts,
        history=history,
        bad_rows=pl.DataFrame(),
        bad_series=pl.DataFrame(),
    )
    (folder / "index.html").write_text(judged_page(material), encoding="utf-8")


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
