"""Judge any forecaster on the test period of a project: what `evaluate` and `toto judge` share.

The validated series pass by once: they are forecast, and what scoring has to know of them is noted
down. The forecasts go to a file as they come, so that memory does not grow with their number.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from flows import paths
from toto_core.config import EvaluateParams
from toto_core.data.fingerprints import Fingerprints, Recorder
from toto_core.data.overlap import UNKNOWN, contamination
from toto_core.data.shards import ROW_GROUP_SIZE, join_tables, write_table
from toto_core.data.splits import Splits, to_us
from toto_core.data.tables import TARGET, Item, read_items
from toto_core.errors import DataError
from toto_core.evaluation.backtest import Answer, backtest_tables, forecasts_schema
from toto_core.evaluation.baselines import item_season, season_of, seasonal_error
from toto_core.evaluation.baselines.seasons import AUTO
from toto_core.evaluation.faults import Faults
from toto_core.evaluation.metrics import SERIES_KEYS
from toto_core.files import whole_parquet, writing

_TOO_EARLY = "no origin with enough past and an observed target"
_NO_SCALE = "no scale: constant, or not longer than a season, before the test period"

_FACTS = {
    "item_id": pl.String,
    "variate": pl.String,
    "group": pl.String,
    "held_out": pl.Boolean,
    "scale": pl.Float64,
    "freq": pl.String,
    "season": pl.Int64,
    "is_present": pl.Boolean,
}


@dataclass(frozen=True)
class Panel:
    """The series of a project, parted by whether they can be judged.

    Attributes:
        facts: item_id, variate, group, held_out and scale of each series that is judged.
        exclusions: item_id, variate, held_out and reason of each that cannot be.
        outside: those without a value in the test period.
        seasonality: steps of the season, for each frequency; where it is inferred, the most
            common one.
        inferred: items by their season where it is inferred, else empty.
        targets: fingerprints of what is judged; None if they were not asked for.
        fallbacks: fitted baselines that seasonal naive stands in for, by series.
    """

    facts: pl.DataFrame
    exclusions: list[dict[str, object]]
    outside: list[dict[str, object]]
    seasonality: dict[str, int]
    inferred: dict[int, list[str]]
    targets: Fingerprints | None
    fallbacks: list[dict[str, object]]


def forecast_panel(
    root: Path,
    answers: Mapping[str, Answer],
    params: EvaluateParams,
    target: Path,
    *,
    context_length: int,
    fingerprinted: bool,
    faults: Faults | None = None,
) -> Panel:
    """Forecast the test period of ``root`` into the file ``target``, and take note of its series.

    Args:
        answers: as in ``backtest_tables``; ``faults`` likewise.

    Raises:
        DataError: if no series can be judged, or the forecasts are no forecasts; nothing is
            written then.
    """
    splits = Splits.load(root / paths.SPLITS)
    survey = _Survey(splits, params, fingerprinted=fingerprinted)
    pieces = backtest_tables(
        survey.watch(read_items(root / paths.VALID)),
        splits.test_origins_us,
        splits,
        answers,
        context_length=context_length,
        params=params,
        faults=faults,
        fallbacks=survey.fallbacks,
    )
    forecasters = (*answers, *params.baselines)
    (root / paths.RUNS).mkdir(exist_ok=True)
    with writing(target) as temporary, TemporaryDirectory(dir=root / paths.RUNS) as scratch:
        _write_pieces(survey.count(pieces), temporary, Path(scratch), forecasters)
        return survey.panel()


def _write_pieces(
    pieces: Iterable[pl.DataFrame], target: Path, scratch: Path, forecasters: Iterable[str]
) -> None:
    """Write pieces of a table of forecasts to one file, one after the other."""
    parts = [scratch / "part-00000.parquet"]
    write_table(parts[0], pl.DataFrame(schema=forecasts_schema(forecasters)))
    for number, piece in enumerate(pieces, start=1):
        parts.append(scratch / f"part-{number:05d}.parquet")
        write_table(parts[-1], piece)
    join_tables(parts, target)


def refit_forecasts(root: Path, splits: Splits, forecasters: Iterable[str]) -> pl.DataFrame:
    """Forecasts of all origins of all folds, in one table.

    Raises:
        DataError: if those of a fold are missing.
    """
    columns = list(forecasts_schema(forecasters))
    parts = [pl.DataFrame(schema=forecasts_schema(forecasters))]
    for fold in splits.folds:
        path = root / paths.FORECASTS / f"fold-{fold.fold}.parquet"
        if not path.is_file():
            raise DataError(
                f"{path}: not found, the forecasts of each of {len(splits.folds)} folds are "
                "needed; run dvc repro crossval, and give split.num_folds and the crossval "
                "stage of dvc.yaml the same folds"
            )
        parts.append(pl.read_parquet(whole_parquet(path)).select(columns))
    return pl.concat(parts).sort("item_id", "variate", "origin", "step")


def tables_of(path: Path) -> Iterator[pl.DataFrame]:
    """Read a file of forecasts piece by piece."""
    rows = pl.scan_parquet(whole_parquet(path))
    for first in range(0, rows.select(pl.len()).collect().item(), ROW_GROUP_SIZE):
        yield rows.slice(first, ROW_GROUP_SIZE).collect()


def contamination_of(seen: Path, panel: Panel, splits: Splits, *, name: str) -> dict[str, Any]:
    """Look for the judged values in what a model was trained on.

    Args:
        seen: its fingerprints; a file that is not there makes the answer unknown.
        name: of the model.
    """
    if panel.targets is None or not seen.is_file():
        return {"overlap": UNKNOWN, "unknown": [name], "items": [], "examples": []}
    judged = frozenset(panel.facts["item_id"])
    return contamination(
        panel.targets, Fingerprints.load(seen), copied=judged.intersection(splits.copied_items)
    )


class _Survey:
    """Notes on the items that pass by on their way to be forecast."""

    def __init__(self, splits: Splits, params: EvaluateParams, *, fingerprinted: bool) -> None:
        self._splits, self._params = splits, params
        self._period = to_us(splits.test_start), to_us(splits.test_end)
        self._held_out = frozenset(splits.held_out_items)
        self._recorder = Recorder(all_windows=True) if fingerprinted else None
        self.fallbacks: list[dict[str, object]] = []
        self._rows: list[tuple[object, ...]] = []
        self._scaled: set[tuple[str, str]] = set()  # series that have a scale
        self._judged: list[pl.DataFrame] = []
        self._waiting: dict[str, np.ndarray] = {}  # targets of items that are being forecast

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items and note what is known of each."""
        for item in items:
            self._note(item)
            yield item

    def count(self, pieces: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield the forecasts and note which series they judge."""
        for piece in pieces:
            judged = piece.filter(pl.col("target").is_not_null()).select(SERIES_KEYS).unique()
            self._judged.append(judged)
            if self._recorder is not None:
                items = {series[0] for series in self._scaled.intersection(judged.rows())}
                for name, targets in self._waiting.items():
                    if name in items:
                        self._recorder.add(name, targets)
                self._waiting.clear()
            yield piece

    def panel(self) -> Panel:
        """Part the series.

        Raises:
            DataError: if none that training may have seen can be judged.
        """
        known = pl.DataFrame(self._rows, schema=_FACTS, orient="row").sort(SERIES_KEYS)
        judged = pl.concat([known.clear().select(SERIES_KEYS), *self._judged])
        judged = judged.with_columns(is_judged=pl.lit(value=True))
        marked = known.filter("is_present").join(
            judged, on=SERIES_KEYS, how="left", maintain_order="left"
        )
        marked = marked.with_columns(
            reason=pl.when(pl.col("is_judged").is_null())
            .then(pl.lit(_TOO_EARLY))
            .when(~(pl.col("scale") > 0).fill_null(value=False))
            .then(pl.lit(_NO_SCALE))
        )
        facts = marked.filter(pl.col("reason").is_null())
        left_out = marked.filter(pl.col("reason").is_not_null())
        if facts["held_out"].all():
            reasons = "; ".join(left_out["reason"].unique().sort()) or "all held out"
            raise DataError(
                f"evaluate: 0 of {known.height} series are neither held out nor left out, at least "
                f"1 that can be judged is needed ({reasons}); see split.num_test_origins and "
                "split.min_context"
            )
        seasonality, inferred = self._seasons(known)
        return Panel(
            facts=facts.select(*SERIES_KEYS, "group", "held_out", "scale"),
            exclusions=left_out.select(*SERIES_KEYS, "held_out", "reason").to_dicts(),
            outside=known.filter(~pl.col("is_present")).select(*SERIES_KEYS, "held_out").to_dicts(),
            seasonality=seasonality,
            inferred=inferred,
            targets=self._recorder.fingerprints() if self._recorder else None,
            fallbacks=self.fallbacks,
        )

    def _note(self, item: Item) -> None:
        asked, start_us = self._params.seasonality, to_us(self._splits.validation_start)
        season = item_season(item, asked, before_us=start_us)
        first, last = np.searchsorted(item.timestamps, self._period)
        targets = [row for row, role in enumerate(item.roles) if role == TARGET]
        for row in targets:
            values, series = item.values[row], (item.item_id, item.variates[row])
            scale = seasonal_error(values[:first], season)
            if scale is not None and scale > 0:
                self._scaled.add(series)
            self._rows.append(
                (
                    *series,
                    item.group,
                    item.item_id in self._held_out,
                    *(scale, item.freq, season),
                    bool(np.isfinite(values[first:last]).any()),
                )
            )
        if self._recorder is not None:
            self._waiting[item.item_id] = item.values[targets, first:last].copy()

    def _seasons(self, known: pl.DataFrame) -> tuple[dict[str, int], dict[int, list[str]]]:
        asked = self._params.seasonality
        freqs = known["freq"].unique().sort().to_list()
        if asked != AUTO:
            return {freq: season_of(freq, asked) for freq in freqs}, {}
        items = known.unique("item_id", maintain_order=True)
        usual = {}
        for freq in freqs:
            counts = Counter(items.filter(pl.col("freq") == freq)["season"].to_list())
            usual[freq] = max(sorted(counts), key=lambda season: counts[season])
        by_season = items.group_by("season").agg(pl.col("item_id").sort()).sort("season")
        return usual, dict(by_season.iter_rows())
