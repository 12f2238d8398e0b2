"""Sums over cells by step, by hour of the day and by level, of several forecasters.

Shapes: N cells, K bins = Q + 1 levels.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

from toto_core.evaluation.metrics.cells import CellLosses
from toto_core.evaluation.metrics.chunks import Chunk
from toto_core.evaluation.metrics.pit import pit_counts, pit_histogram

HOUR_US, DAY_HOURS = 3_600_000_000, 24
_SCALED = {"mase": "ae", "sql": "ql"}


class Profile:
    """What is known of the cells of seen series, apart from their origin."""

    def __init__(self, forecasters: Sequence[str], levels: Sequence[float]) -> None:
        self._levels = tuple(levels)
        size = len(levels) + 1
        self._pit = {name: np.zeros((size, size), dtype=np.int64) for name in forecasters}
        self._step, self._hour = _Bins(forecasters), _Bins(forecasters)

    def add(self, chunk: Chunk, losses: dict[str, CellLosses]) -> None:
        """Add the cells of a chunk, whose losses are given for each forecaster."""
        scale = chunk.runs["scale"].fill_null(0.0).to_numpy()
        is_seen = ~chunk.runs["held_out"].to_numpy()
        usable = is_seen & (scale > 0) & np.isfinite(scale)
        weight = chunk.of_cells(np.divide(1.0, scale, out=np.zeros_like(scale), where=usable))
        step = chunk.cells["step"].to_numpy().astype(np.intp)
        time_us = chunk.cells["timestamp"].to_physical().to_numpy()
        hour = time_us // HOUR_US % DAY_HOURS
        for bins, codes in ((self._step, step), (self._hour, hour)):
            bins.add(codes, weight, losses)
        seen = chunk.of_cells(is_seen)
        for name, found in losses.items():
            self._pit[name] += pit_counts(
                found.num_below, found.num_to, seen, num_levels=len(self._levels)
            )

    def by_step(self) -> pl.DataFrame:
        """Return the columns step, forecaster, mase, sql and num_cells."""
        return self._step.table("step")

    def by_hour(self) -> pl.DataFrame:
        """Return the columns hour (of the target, in UTC), forecaster, mase, sql and num_cells."""
        return self._hour.table("hour")

    def coverage(self) -> pl.DataFrame:
        """Return the columns forecaster, level and coverage: share of targets at or below it."""
        return pl.concat(
            pl.DataFrame(
                {
                    "forecaster": [name] * len(self._levels),
                    "level": list(self._levels),
                    "coverage": _shares(counts.sum(axis=1).cumsum()[:-1], int(counts.sum())),
                }
            )
            for name, counts in self._pit.items()
        )

    def pit(self) -> pl.DataFrame:
        """Return the columns forecaster, bin (its upper end) and share (``pit_histogram``)."""
        return pl.concat(
            pl.DataFrame(
                {
                    "forecaster": [name] * len(counts),
                    "bin": [*self._levels, 1.0],
                    "share": pit_histogram(counts, levels=self._levels),
                }
            )
            for name, counts in self._pit.items()
        )


class _Bins:
    """Weighted sums of the losses of cells by a whole number from 0."""

    def __init__(self, forecasters: Sequence[str]) -> None:
        self._counts = np.zeros(0)
        self._sums = {(name, loss): np.zeros(0) for name in forecasters for loss in _SCALED}

    def add(
        self,
        codes: Int64[np.ndarray, " N"],
        weight: Float64[np.ndarray, " N"],
        losses: dict[str, CellLosses],
    ) -> None:
        self._counts = _plus(self._counts, np.bincount(codes, weights=weight > 0))
        for (name, loss), total in self._sums.items():
            scaled = getattr(losses[name], _SCALED[loss]) * weight
            self._sums[name, loss] = _plus(total, np.bincount(codes, weights=scaled))

    def table(self, code: str) -> pl.DataFrame:
        found = np.flatnonzero(self._counts)
        counts = self._counts[found]
        return pl.concat(
            pl.DataFrame(
                {
                    code: found.astype(np.int32),
                    "forecaster": [name] * len(found),
                    **{loss: self._sums[name, loss][found] / counts for loss in _SCALED},
                    "num_cells": counts.astype(np.int64),
                }
            )
            for name in dict.fromkeys(name for name, _ in self._sums)
        )


def _plus(
    total: Float64[np.ndarray, " A"], part: Float64[np.ndarray, " B"]
) -> Float64[np.ndarray, " C"]:
    size = max(len(total), len(part))
    return np.pad(total, (0, size - len(total))) + np.pad(part, (0, size - len(part)))


def _shares(counts: Int64[np.ndarray, " Q"], total: int) -> Float64[np.ndarray, " Q"]:
    return counts / total if total else np.full(len(counts), np.nan)
