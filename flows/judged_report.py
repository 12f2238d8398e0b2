"""The page of ``toto judge``: the judgement alone, without how the forecasts came about."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from flows import paths
from toto_core.data.tables import shard_paths
from toto_core.report.fans import choose_fans
from toto_core.report.page import Material, judged_page

KEYS = ("item_id", "variate", "origin")


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
    rows = [(fan.item_id, fan.variate, fan.origin) for fan in fans]
    schema = {"item_id": pl.String, "variate": pl.String, "origin": losses.schema["origin"]}
    keys = pl.LazyFrame(rows, schema=schema, orient="row").unique()
    forecasts = pl.scan_parquet(folder / "forecasts.parquet").join(keys, on=KEYS, how="semi")
    history = pl.scan_parquet(shard_paths(root / paths.VALID))
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
        forecasts=forecasts.collect(),
        history=history.join(keys, on=KEYS[:2], how="semi").collect(),
        bad_rows=pl.DataFrame(),
        bad_series=pl.DataFrame(),
    )
    (folder / "index.html").write_text(judged_page(material), encoding="utf-8")


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
