"""Forecasts that stand in a Parquet file, whoever made them.

One row for each item, variate, origin and step, with the columns ``item_id``, ``variate`` (where
the items have several targets), ``origin``, ``step`` (from 1) and either ``q0.1`` .. ``q0.9`` or
``quantiles``, a list of nine; or one row for each level too, with the columns ``level`` and
``value``. A column ``target`` is compared with the truth that the project knows.

Shapes: V variates, N origins, H prediction length, Q quantile levels, R rows of one series.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32, Int64

from toto_core.data.tables import TARGET, Item
from toto_core.errors import DataError
from toto_core.evaluation.backtest import Judged
from toto_core.evaluation.faults import OTHER_ORIGINS, REVISED, UNKNOWN_SERIES, Faults
from toto_core.evaluation.metrics.keys import QUANTILE_LEVELS
from toto_core.files import whole_parquet

_KEYS = ("item_id", "origin", "step")
_COLUMNS = tuple(f"q{level:g}" for level in QUANTILE_LEVELS)
# Relative: targets went through other formats on their way, which round.
_SAME_TARGET = 1e-5


class Submitted:
    """A file of quantiles, and what is wrong with it.

    Raises:
        DataError: if the file has other columns or levels, or says anything twice.
    """

    def __init__(self, path: Path, *, prediction_length: int) -> None:
        self.faults = Faults()
        self._prediction_length = prediction_length
        rows = _read(path)
        self._one_variate = "variate" not in rows.columns
        keys = ["item_id"] if self._one_variate else ["item_id", "variate"]
        twice = rows.height - rows.select(pl.struct(*keys, "origin", "step").n_unique()).item()
        if twice:
            raise DataError(
                f"{path}: {twice} of {rows.height} rows stand twice, one for each item, variate, "
                "origin and step is needed; remove the others"
            )
        self._rows = {
            (str(name[0]), "" if self._one_variate else str(name[1])): part.drop(keys)
            for name, part in rows.partition_by(keys, as_dict=True).items()
        }

    def answer(self, chunk: Sequence[Judged]) -> list[np.ndarray]:
        """Return the quantiles [N, V, H, Q] of each item, NaN where the file has none."""
        return [self._of_item(work) for work in chunk]

    def end(self) -> None:
        """Note the series that nobody asked for; call it after the last answer."""
        for (item_id, variate), rows in self._rows.items():
            origins = rows["origin"].unique().to_physical().to_numpy()
            self.faults.note(UNKNOWN_SERIES, (item_id, variate), origins)

    def _of_item(self, work: Judged) -> Float32[np.ndarray, "N V H Q"]:
        item = work.item
        targets = [row for row, role in enumerate(item.roles) if role == TARGET]
        if self._one_variate and len(targets) > 1 and (item.item_id, "") in self._rows:
            raise DataError(
                f"submitted: variate = no such column, {item.item_id} has {len(targets)} targets "
                f"({', '.join(item.variates[row] for row in targets)}); add the column"
            )
        shape = (len(work.positions), len(item.variates), self._prediction_length)
        found = np.full((*shape, len(QUANTILE_LEVELS)), np.nan, dtype=np.float32)
        for row in targets:
            variate = item.variates[row]
            rows = self._rows.pop((item.item_id, "" if self._one_variate else variate), None)
            if rows is not None:
                found[:, row] = self._of_series(work, row, rows)
        return found

    def _of_series(
        self, work: Judged, row: int, rows: pl.DataFrame
    ) -> Float32[np.ndarray, "N H Q"]:
        item, length = work.item, self._prediction_length
        series = (item.item_id, item.variates[row])
        origin_R = rows["origin"].to_physical().to_numpy()
        step_R = rows["step"].to_numpy()
        place_R = np.searchsorted(work.origins_us, origin_R)
        judged_R = np.isin(origin_R, work.origins_us)
        self.faults.note(OTHER_ORIGINS, series, np.unique(origin_R[~judged_R]))
        kept_R = judged_R & (step_R >= 1) & (step_R <= length)
        found = np.full((len(work.positions), length, len(QUANTILE_LEVELS)), np.nan, np.float32)
        found[place_R[kept_R], step_R[kept_R] - 1] = rows["quantiles"].to_numpy()[kept_R]
        # An origin with some of its steps is no forecast of the horizon.
        found[np.asarray(np.isnan(found).all(axis=2)).any(axis=-1)] = np.nan
        if "target" in rows.columns:
            self._compare_targets(
                item,
                row,
                work,
                rows["target"].to_numpy()[kept_R],
                (
                    origin_R[kept_R],
                    work.positions[place_R[kept_R]] + step_R[kept_R] - 1,
                ),
            )
        return found

    def _compare_targets(
        self,
        item: Item,
        row: int,
        work: Judged,
        given_R: np.ndarray,
        where: tuple[Int64[np.ndarray, " R"], Int64[np.ndarray, " R"]],
    ) -> None:
        origin_R, index_R = where
        known_R = item.values[row, index_R].astype(np.float64)
        both = np.isfinite(known_R) & np.isfinite(given_R)
        apart = np.abs(known_R - given_R) > _SAME_TARGET * np.maximum(np.abs(known_R), 1.0)
        origins_us = np.unique(origin_R[both & apart])
        series = (item.item_id, item.variates[row])
        self.faults.note(REVISED, series, origins_us)
        self.faults.revised += [(*series, origin) for origin in origins_us.tolist()]


def _read(path: Path) -> pl.DataFrame:
    """Read the file in any of its forms; the columns are the keys, quantiles and perhaps target."""
    rows = pl.read_parquet(whole_parquet(path))
    missing = [name for name in _KEYS if name not in rows.columns]
    if missing:
        raise DataError(
            f"{path}: {', '.join(missing)} = no such column among {', '.join(rows.columns)}, "
            "item_id, origin and step are needed; rename or add it"
        )
    if {"level", "value"} <= set(rows.columns):
        rows = _widened(path, rows)
    rows = _as_arrays(path, rows)
    try:
        rows = rows.with_columns(
            pl.col("item_id").cast(pl.String),
            pl.col("step").cast(pl.Int64),
            _as_utc(rows["origin"]),
            *([pl.col("variate").cast(pl.String)] if "variate" in rows.columns else []),
            *([pl.col("target").cast(pl.Float64)] if "target" in rows.columns else []),
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path}: {' '.join(str(error).split())}, times in origin and whole numbers in step "
            "are needed; mend the column"
        ) from None
    kept = ["item_id", "variate", "origin", "step", "quantiles", "target"]
    return rows.select(name for name in kept if name in rows.columns)


def _as_utc(found: pl.Series) -> pl.Expr:
    origin, dtype = pl.col("origin"), found.dtype
    if dtype == pl.String:
        return origin.str.to_datetime("%+", time_zone="UTC", time_unit="us")
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        return origin.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    return origin.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _widened(path: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """Turn one row for each level into one column for each."""
    found = sorted(rows["level"].unique().to_list())
    _check_levels(path, [f"q{level:g}" for level in found])
    names = pl.col("level").map_elements(lambda level: f"q{level:g}", return_dtype=pl.String)
    keys = [
        key for key in ("item_id", "variate", "origin", "step", "target") if key in rows.columns
    ]
    counts = rows.group_by([*keys, "level"]).len()
    if (twice := counts.filter(pl.col("len") > 1).height) > 0:
        raise DataError(
            f"{path}: {twice} of {rows.height} rows stand twice, one for each level is needed; "
            "remove the others"
        )
    return rows.with_columns(level=names).pivot(on="level", index=keys, values="value")


def _as_arrays(path: Path, rows: pl.DataFrame) -> pl.DataFrame:
    width = len(QUANTILE_LEVELS)
    if "quantiles" not in rows.columns:
        _check_levels(path, [name for name in rows.columns if name.startswith("q")])
        columns = [pl.col(name).cast(pl.Float32).fill_null(float("nan")) for name in _COLUMNS]
        array = pl.concat_list(columns).list.to_array(width)
        return rows.with_columns(quantiles=array)
    dtype = rows["quantiles"].dtype
    as_list = rows["quantiles"].arr.to_list() if isinstance(dtype, pl.Array) else rows["quantiles"]
    lengths = as_list.list.len().unique().to_list() if as_list.dtype == pl.List else ["no list"]
    if lengths != [width]:
        raise DataError(
            f"{path}: quantiles = lists of {', '.join(map(str, lengths))}, lists of {width} at the "
            f"levels {QUANTILE_LEVELS[0]:g} to {QUANTILE_LEVELS[-1]:g} are needed; forecast those"
        )
    values = as_list.list.eval(pl.element().cast(pl.Float32).fill_null(float("nan")))
    return rows.with_columns(quantiles=values.list.to_array(width))


def _check_levels(path: Path, found: Sequence[str]) -> None:
    missing = [name for name in _COLUMNS if name not in found]
    if missing:
        raise DataError(
            f"{path}: {', '.join(missing)} = no such level among {', '.join(found) or 'none'}, "
            f"{QUANTILE_LEVELS[0]:g} to {QUANTILE_LEVELS[-1]:g} are judged; forecast these levels"
        )
