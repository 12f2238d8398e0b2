"""Forecasts in pieces that fit into memory, each with what is known of its series.

Shapes: N cells (item, variate, origin, step), R runs (item, variate, origin) of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

from toto_core.evaluation.metrics.keys import ORIGIN_KEYS, SERIES_KEYS

# Cells worked on at once.
CHUNK_CELLS = 130_000


@dataclass(frozen=True)
class Chunk:
    """Cells with an observed target, in runs of one series and origin.

    Attributes:
        cells: rows of the forecasts.
        starts: first row of each run.
        runs: the keys and facts of each run.
    """

    cells: pl.DataFrame
    starts: Int64[np.ndarray, " R"]
    runs: pl.DataFrame

    @cached_property
    def counts(self) -> Int64[np.ndarray, " R"]:
        """Number of cells of each run."""
        return np.diff(self.starts, append=self.cells.height)

    @cached_property
    def target(self) -> Float64[np.ndarray, " N"]:
        """The truth, of each cell."""
        return self.cells["target"].cast(pl.Float64).to_numpy()

    def sums(self, values: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, " R"]:
        """Add up the cells of each run."""
        return np.add.reduceat(values, self.starts)

    def of_cells(self, of_runs: np.ndarray) -> np.ndarray:
        """Give each cell the value of its run."""
        return np.repeat(of_runs, self.counts)


def chunk_of(forecasts: pl.DataFrame, facts: pl.DataFrame) -> Chunk | None:
    """Return the cells that can be judged, or None where there are none.

    Args:
        forecasts: in the order of the keys and of step.
        facts: one row for each series; cells of other series are passed over.
    """
    is_observed = pl.col("target").is_not_null() & pl.col("target").is_not_nan()
    cells = forecasts if _holds(forecasts, is_observed) else forecasts.filter(is_observed)
    starts = run_starts(cells)
    known = pl.lit(value=True).alias("known")
    runs = (
        cells[starts]
        .select(ORIGIN_KEYS)
        .join(facts.with_columns(known), on=SERIES_KEYS, how="left", maintain_order="left")
    )
    is_known = runs["known"].is_not_null().to_numpy()
    if not is_known.all():
        counts = np.diff(starts, append=cells.height)
        cells = cells.filter(np.repeat(is_known, counts))
        starts, runs = run_starts(cells), runs.filter(is_known)
    return Chunk(cells, starts, runs) if cells.height else None


def run_starts(forecasts: pl.DataFrame) -> Int64[np.ndarray, " R"]:
    """Return the first row of each run of one series and origin."""
    changes = (pl.col(key) != pl.col(key).shift() for key in ORIGIN_KEYS)
    is_start = forecasts.select(pl.any_horizontal(changes).fill_null(value=True)).to_series()
    return np.flatnonzero(is_start.to_numpy())


def whole_runs(tables: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Cut tables anew so that no series and origin is parted: for ``Tally.add``.

    Args:
        tables: one after the other in the order of the keys and of step, such as
            ``frame.iter_slices`` or ``scan.collect_batches(maintain_order=True)`` give.
    """
    rest = None
    for table in tables:
        joined = table if rest is None else pl.concat([rest, table])
        starts = run_starts(joined)
        if len(starts) > 1:
            yield joined[: int(starts[-1])]
            joined = joined[int(starts[-1]) :]
        rest = joined
    if rest is not None and rest.height:
        yield rest


def _holds(table: pl.DataFrame, condition: pl.Expr) -> bool:
    return bool(table.select(condition.all()).item())
