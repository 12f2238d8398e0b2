"""Forecasts of a model and of the baselines at the same origins, in one table.

The forecaster is a function from contexts to quantiles, so that anything can be judged: a
network, a spreadsheet, somebody else's model. It is given points before the origin alone, and the
future of the variates that are known ahead.

Shapes: V variates, T context steps, N origins, H prediction length, Q quantile levels.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float32, Int64

from toto_core.config import EvaluateParams
from toto_core.data.splits import Splits, judged, observed_targets, to_us
from toto_core.data.tables import KNOWN_COVARIATE, TARGET, Item
from toto_core.errors import DataError
from toto_core.evaluation.baselines import (
    Fallback,
    Series,
    item_season,
    panel_quantiles,
)
from toto_core.evaluation.extras import check_installed
from toto_core.evaluation.faults import Faults
from toto_core.evaluation.metrics.keys import MODEL, QUANTILE_LEVELS

NUM_LEVELS = len(QUANTILE_LEVELS)
_QUANTILES = pl.Array(pl.Float32, NUM_LEVELS)
_COLUMNS = {
    "item_id": pl.String(),
    "variate": pl.String(),
    "origin": pl.Datetime("us", "UTC"),
    "step": pl.Int32(),
    "timestamp": pl.Datetime("us", "UTC"),
    "target": pl.Float32(),
}
FORECAST_KEYS = ("item_id", "variate", "origin", "step")

# Contexts handed to the forecaster at once: bounds memory, and fixes the batches of a run.
MAX_CONTEXTS = 1024

Predict = Callable[..., list[np.ndarray]]


@dataclass(frozen=True)
class Judged:
    """An item, and where it is forecast: first target step and time of each origin."""

    item: Item
    positions: Int64[np.ndarray, " N"]
    origins_us: Int64[np.ndarray, " N"]


@dataclass(frozen=True)
class _Target:
    """One variate that is judged, and the quantiles [N, H, Q] of each forecaster asked."""

    item: Item
    row: int
    origins_us: Int64[np.ndarray, " N"]
    quantiles: Mapping[str, np.ndarray]
    series: Series


# Quantiles [N, V, H, Q] for each of some judged items.
Answer = Callable[[Sequence[Judged]], list[np.ndarray]]


def forecasts_schema(forecasters: Iterable[str]) -> dict[str, Any]:
    """Return the columns of a table of forecasts: its keys, the truth, quantiles of each."""
    return _COLUMNS | dict.fromkeys(forecasters, _QUANTILES)


def backtest(
    items: Iterable[Item],
    origins_us: Int64[np.ndarray, " N"],
    splits: Splits,
    predict: Predict,
    *,
    context_length: int,
    params: EvaluateParams,
) -> pl.DataFrame:
    """Forecast every judged pair of item and origin with a model and with each baseline.

    Which pairs are judged says ``splits.judged``. A target variate without any observed value
    before an origin is left out there.

    Args:
        origins_us: microseconds since 1970 in UTC.
        splits: prediction length and least context are taken from it.
        predict: ``predict(contexts)`` gets a list of float32 arrays [V, T], missing = NaN, T at
            most ``context_length``, and returns as many arrays [V, Q, H] of quantiles at
            ``QUANTILE_LEVELS``. Where an item has variates that are known ahead it is called as
            ``predict(contexts, known_future=futures)`` with a list of arrays [V, H] that hold NaN
            for all other variates.
        context_length: newest points before the origin that the model and the drift see.
        params: which baselines there are, their season and windows.

    Returns:
        The columns of ``forecasts_schema``, sorted by ``FORECAST_KEYS``; step counts from 1, a
        missing target is null.

    Raises:
        DataError: if the model's quantiles have the wrong shape, are not finite or cross.
    """
    answers = {MODEL: asked(predict, splits.prediction_length, context_length)}
    tables = list(
        backtest_tables(
            items, origins_us, splits, answers, context_length=context_length, params=params
        )
    )
    if not tables:
        return pl.DataFrame(schema=forecasts_schema((MODEL, *params.baselines)))
    return pl.concat(tables).sort(FORECAST_KEYS)


def backtest_tables(
    items: Iterable[Item],
    origins_us: Int64[np.ndarray, " N"],
    splits: Splits,
    answers: Mapping[str, Answer],
    *,
    context_length: int,
    params: EvaluateParams,
    faults: Faults | None = None,
    fallbacks: list[dict[str, object]] | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield the table of ``backtest`` in pieces, each with whole items and sorted.

    Memory holds one piece: the items of ``MAX_CONTEXTS`` origins, or one item with more.

    Args:
        answers: what gives the quantiles of each forecaster, by the name of its column; they are
            checked, and stand before the baselines.
        faults: takes note of what is no forecast, which is NaN then; without it the first one
            raises a DataError.
        fallbacks: takes note of the fitted baselines that seasonal naive stands in for: baseline,
            item_id, variate, reason and num_origins.

    Raises:
        ConfigError: if a baseline needs what is not installed.
    """
    check_installed(params.baselines)
    before_us = to_us(splits.validation_start)
    for chunk in _chunks(_judged(items, origins_us, splits)):
        outputs = {name: answer(chunk) for name, answer in answers.items()}
        targets = [
            target
            for n, work in enumerate(chunk)
            for target in _targets(
                work,
                {name: found[n] for name, found in outputs.items()},
                item_season(work.item, params.seasonality, before_us=before_us),
                faults,
            )
        ]
        quantiles, replaced = panel_quantiles(
            [target.series for target in targets],
            prediction_length=splits.prediction_length,
            context_length=context_length,
            params=params,
        )
        if fallbacks is not None:
            fallbacks += [_of_series(targets[fallback.series], fallback) for fallback in replaced]
        if targets:
            tables = map(_table, targets, quantiles)
            yield pl.concat(tables).sort(FORECAST_KEYS)


def _of_series(target: _Target, fallback: Fallback) -> dict[str, object]:
    return {
        "baseline": fallback.baseline,
        "item_id": target.item.item_id,
        "variate": target.item.variates[target.row],
        "reason": fallback.reason,
        "num_origins": fallback.num_origins,
    }


def _judged(
    items: Iterable[Item], origins_us: Int64[np.ndarray, " N"], splits: Splits
) -> Iterator[Judged]:
    for item in items:
        observed = observed_targets(item)
        found = [
            judged(item.timestamps, us, splits.prediction_length, splits.min_context, observed)
            for us in origins_us.tolist()
        ]
        kept = [n for n, position in enumerate(found) if position is not None]
        if kept:
            positions = np.array([found[n] for n in kept], dtype=np.int64)
            yield Judged(item, positions, origins_us[kept])


def _chunks(work: Iterable[Judged]) -> Iterator[list[Judged]]:
    chunk, num_contexts = [], 0
    for part in work:
        chunk.append(part)
        num_contexts += len(part.positions)
        if num_contexts >= MAX_CONTEXTS:
            yield chunk
            chunk, num_contexts = [], 0
    if chunk:
        yield chunk


def asked(predict: Predict, prediction_length: int, context_length: int) -> Answer:
    """Return the answers of ``predict``, which is asked for a whole chunk at once.

    Raises:
        DataError: from the answer, if their number or shape is wrong.
    """

    def answer(chunk: Sequence[Judged]) -> list[np.ndarray]:
        return _predict(chunk, predict, prediction_length, context_length)

    return answer


def _predict(
    chunk: Sequence[Judged], predict: Predict, prediction_length: int, context_length: int
) -> list[Float32[np.ndarray, "N V H Q"]]:
    """Ask the model for a whole chunk at once; one array for each item comes back."""
    contexts, futures = [], []
    for work in chunk:
        known = np.array([role == KNOWN_COVARIATE for role in work.item.roles])
        for position in work.positions.tolist():
            contexts.append(work.item.values[:, max(0, position - context_length) : position])
            future = work.item.values[:, position : position + prediction_length]
            futures.append(np.where(known[:, None], future, np.float32(np.nan)))
    if any(KNOWN_COVARIATE in work.item.roles for work in chunk):
        answers = predict(contexts, known_future=futures)
    else:
        answers = predict(contexts)
    if len(answers) != len(contexts):
        raise DataError(
            f"backtest: the model gave {len(answers)} forecasts for {len(contexts)} contexts, "
            "one for each is needed; mend the forecaster"
        )
    outputs, first = [], 0
    for work in chunk:
        last = first + len(work.positions)
        expected = (len(work.item.variates), NUM_LEVELS, prediction_length)
        for answer in answers[first:last]:
            if np.shape(answer) != expected:
                raise DataError(
                    f"backtest: the model's quantiles of {work.item.item_id} have shape "
                    f"{np.shape(answer)}, {expected} (variates, levels, steps) is needed; "
                    "mend the forecaster"
                )
        outputs.append(np.moveaxis(np.stack(answers[first:last]).astype(np.float32), 2, 3))
        first = last
    return outputs


def _targets(
    work: Judged,
    outputs: Mapping[str, np.ndarray],
    season: int,
    faults: Faults | None,
) -> Iterator[_Target]:
    """Yield the target variates of an item with what was forecast for them, checked."""
    item = work.item
    for row, (variate, role) in enumerate(zip(item.variates, item.roles, strict=True)):
        observed = np.flatnonzero(np.isfinite(item.values[row]))
        has_past = work.positions > observed[0] if len(observed) else np.zeros(0, dtype=np.bool_)
        if role != TARGET or not has_past.any():
            continue
        positions, origins_us = work.positions[has_past], work.origins_us[has_past]
        own = {name: found_NVHQ[has_past, row] for name, found_NVHQ in outputs.items()}
        for name, quantiles_NHQ in own.items():
            if faults is None:
                _check(quantiles_NHQ, name, f"{item.item_id}/{variate}", origins_us)
            else:
                own[name] = faults.sift(quantiles_NHQ, (item.item_id, variate), origins_us)
        yield _Target(item, row, origins_us, own, Series(item.values[row], positions, season))


def _table(target: _Target, of_baselines: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """One row for each origin and step of a series."""
    item, row, positions = target.item, target.row, target.series.positions
    forecasts = {**target.quantiles, **of_baselines}
    length = next(iter(forecasts.values())).shape[1]
    index = (positions[:, None] + np.arange(length)).ravel()
    columns = {
        "item_id": pl.repeat(item.item_id, len(index), eager=True),
        "variate": pl.repeat(item.variates[row], len(index), eager=True),
        "origin": np.repeat(target.origins_us, length),
        "step": np.tile(np.arange(1, length + 1), len(positions)),
        "timestamp": item.timestamps[index],
        "target": item.values[row, index],
        **{
            name: np.ascontiguousarray(quantiles.reshape(len(index), NUM_LEVELS))
            for name, quantiles in forecasts.items()
        },
    }
    table = pl.DataFrame(columns).cast({key: _COLUMNS[key] for key in _CAST})
    return table.with_columns(pl.col("target").fill_nan(None))


_CAST = ("origin", "step", "timestamp")


def _check(
    quantiles_NHQ: Float32[np.ndarray, "N H Q"],
    forecaster: str,
    name: str,
    origins_us: Int64[np.ndarray, " N"],
) -> None:
    """Refuse quantiles that no forecast can have: they are never mended or left out."""
    for bad_NHQ, fault in (
        (~np.isfinite(quantiles_NHQ), "not finite"),
        (np.diff(quantiles_NHQ, axis=-1) < 0, "crossing"),
    ):
        bad_N = np.asarray(bad_NHQ.any(axis=(1, 2)))
        if bad_N.any():
            first = np.datetime64(int(origins_us[np.argmax(bad_N)]), "us").astype("datetime64[s]")
            raise DataError(
                f"backtest: the {forecaster}'s quantiles of {name} are {fault} at "
                f"{np.count_nonzero(bad_N)} of {len(bad_N)} origins, first at {first}, finite and "
                "rising ones are needed; a model that answers so cannot be judged"
            )
