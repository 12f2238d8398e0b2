"""One pass over forecasts: the losses of each series and origin, and the profile of all cells.

Forecasts come in chunks, so that memory does not grow with their number: what is kept is one row
for each series, origin and forecaster, and some sums. Sums are float64 and run in the order of the
rows, so that they repeat to the last bit.
"""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from toto_core.errors import DataError
from toto_core.evaluation.metrics.cells import CellLosses, cell_losses
from toto_core.evaluation.metrics.chunks import CHUNK_CELLS, Chunk, chunk_of, whole_runs
from toto_core.evaluation.metrics.keys import ORIGIN_KEYS, QUANTILE_LEVELS, SERIES_KEYS
from toto_core.evaluation.metrics.profile import Profile

# Columns of the losses, each the mean over the steps of a loss of cells.
_MEANS = {
    "mae": "ae",
    "ql": "ql",
    "mse": "se",
    "cov80": "inside80",
    "smape": "sape",
    "width80": "width80",
    "winkler80": "winkler80",
}
_LOSSES = pl.Schema(
    {
        "item_id": pl.String(),
        "group": pl.String(),
        "variate": pl.String(),
        "held_out": pl.Boolean(),
        "origin": pl.Datetime("us", "UTC"),
        "forecaster": pl.String(),
        "source": pl.String(),
        **dict.fromkeys(("sql", "mase", "mae", "ql", "mse", "abs_target"), pl.Float64()),
        "num_steps": pl.Int32(),
        **dict.fromkeys(("scale", "cov80", "smape", "width80", "winkler80"), pl.Float64()),
    }
)
_FACTS = (*SERIES_KEYS, "group", "held_out", "scale")


class Tally:
    """Losses of some forecasters, from chunks of forecasts.

    Args:
        facts: columns item_id, variate, group, held_out and scale, one row for each series. Cells
            of other series are passed over. The profile is about the series not held out.
        source: goes into the column of that name.
        zero_scale: of a constant history. ``exclude`` gives no scaled loss, as fev and GluonTS;
            ``infinite`` divides by zero, as utilsforecast.
        doubled: as in ``cell_losses``.
    """

    def __init__(
        self,
        facts: pl.DataFrame,
        *,
        forecasters: Sequence[str],
        source: str,
        levels: Sequence[float] = QUANTILE_LEVELS,
        zero_scale: Literal["exclude", "infinite"] = "exclude",
        doubled: bool = True,
    ) -> None:
        typed = facts.select(_FACTS).cast({key: _LOSSES[key] for key in _FACTS})
        self._facts = typed.with_columns(pl.col("scale").fill_nan(None))
        self.forecasters = tuple(forecasters)
        self.profile = Profile(forecasters, levels)
        self._source, self._levels, self._doubled = source, tuple(levels), doubled
        scale = pl.col("scale")
        is_usable = scale >= 0 if zero_scale == "infinite" else scale > 0
        self._scale = pl.when(is_usable).then(scale)
        self._tables: list[pl.DataFrame] = []

    def add_all(self, tables: Iterable[pl.DataFrame]) -> "Tally":
        """Add tables that follow one another in the order of keys and step, however cut."""
        parts = (part for table in tables for part in table.iter_slices(CHUNK_CELLS))
        for part in whole_runs(parts):
            self.add(part)
        return self

    def add(self, forecasts: pl.DataFrame) -> None:
        """Add a table with ``ORIGIN_KEYS``, step, timestamp, target and the forecasters' quantiles.

        Args:
            forecasts: in the order of keys and step, each series and origin whole.

        Raises:
            DataError: if quantiles of a forecaster are not finite or cross where a target is.
        """
        chunk = chunk_of(forecasts, self._facts)
        if chunk is None:
            return
        target = chunk.target

        def losses_of(name: str) -> CellLosses:
            quantiles = chunk.cells[name].to_numpy()
            found = cell_losses(target, quantiles, levels=self._levels, doubled=self._doubled)
            _check(found, quantiles, chunk, name)
            return found

        # NumPy lets go of the interpreter, so that forecasters are worked on side by side.
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            losses = dict(zip(self.forecasters, pool.map(losses_of, self.forecasters), strict=True))
        self.profile.add(chunk, losses)
        self._tables.append(self._table(chunk, losses))

    def losses(self) -> pl.DataFrame:
        """Return one row for each item, variate, origin and forecaster, in this order.

        Returns:
            the columns of ``facts`` and: sql, mase (scaled quantile loss and absolute error; null
            without a usable scale), ql, mae, mse (the same, unscaled; squared error), smape, cov80
            (share of targets in the central 80 % interval), width80 and winkler80 (its width and
            interval score), abs_target (mean |y|), all means over the observed steps, whose number
            is num_steps. Origins without any observed step are left out.

        Raises:
            ValueError: if a series and origin came in several pieces.
        """
        table = pl.concat([pl.DataFrame(schema=_LOSSES), *self._tables])
        num_runs = table.height // max(1, len(self.forecasters))
        pieces = num_runs - table.select(pl.struct(ORIGIN_KEYS).n_unique()).item()
        if pieces:
            raise ValueError(
                f"tally: {pieces} of {num_runs} pairs of series and origin came in several pieces, "
                "each must come whole and once; sort the forecasts by keys and step"
            )
        return table

    def _table(self, chunk: Chunk, losses: dict[str, CellLosses]) -> pl.DataFrame:
        """Form the losses of a chunk: for each run a row of each forecaster, sorted by name."""
        names = sorted(self.forecasters)
        row_of = np.repeat(np.arange(chunk.runs.height), len(names))
        table = chunk.runs[row_of].with_columns(
            forecaster=pl.Series(names * chunk.runs.height, dtype=pl.String),
            source=pl.lit(self._source),
            abs_target=pl.Series((chunk.sums(np.abs(chunk.target)) / chunk.counts)[row_of]),
            num_steps=pl.Series(chunk.counts.astype(np.int32)[row_of]),
            **{
                column: np.stack(
                    [chunk.sums(getattr(losses[name], loss)) / chunk.counts for name in names],
                    axis=1,
                ).ravel()
                for column, loss in _MEANS.items()
            },
        )
        table = table.with_columns(sql=pl.col("ql") / self._scale, mase=pl.col("mae") / self._scale)
        return table.select(_LOSSES.names())


def origin_losses(
    forecasts: pl.DataFrame,
    facts: pl.DataFrame,
    *,
    forecasters: Sequence[str],
    source: str,
    levels: Sequence[float] = QUANTILE_LEVELS,
) -> pl.DataFrame:
    """Return ``Tally.losses`` of one table of forecasts."""
    tally = Tally(facts, forecasters=forecasters, source=source, levels=levels)
    return tally.add_all([forecasts]).losses()


def _check(
    losses: CellLosses, quantiles: Float[np.ndarray, "N Q"], chunk: Chunk, name: str
) -> None:
    """Refuse quantiles that no forecast can have: they are never mended or left out."""
    if not losses.num_crossing and np.isfinite(losses.ql).all():
        return
    for fault, is_bad in (
        ("not finite", ~np.isfinite(quantiles).all(axis=1)),
        ("crossing", (quantiles[:, 1:] < quantiles[:, :-1]).any(axis=1)),
    ):
        if is_bad.any():
            first = chunk.cells.row(int(np.argmax(is_bad)), named=True)
            raise DataError(
                f"evaluate: the quantiles of {name} are {fault} in {np.count_nonzero(is_bad)} of "
                f"{len(quantiles)} cells, first of {first['item_id']}/{first['variate']} at "
                f"{first['origin']} step {first['step']}, finite and rising ones are needed; "
                "a forecaster that answers so cannot be judged"
            )
