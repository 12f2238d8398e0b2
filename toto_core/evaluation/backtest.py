"""Forecasts of a model and of the baselines at the same origins, in one table.

The forecaster is a function from contexts to quantiles, so that anything can be judged: a
network, a spreadsheet, somebody else's model. It is given points before the origin alone, and the
future of the variates that are known ahead.

Shapes: V variates, T context steps, N origins, H prediction length, Q quantile levels.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float32, Int64

from toto_core.data.frequency import default_seasonality, parse_freq
from toto_core.data.splits import Splits, judged, observed_targets
from toto_core.data.tables import KNOWN_COVARIATE, TARGET, Item
from toto_core.errors import DataError
from toto_core.evaluation.baselines import BASELINES, baseline_quantiles
from toto_core.evaluation.metrics import MODEL, QUANTILE_LEVELS

NUM_LEVELS = len(QUANTILE_LEVELS)
FORECASTERS = (MODEL, *BASELINES)
_QUANTILES = pl.Array(pl.Float32, NUM_LEVELS)
FORECASTS_SCHEMA = pl.Schema(
    {
        "item_id": pl.String(),
        "variate": pl.String(),
        "origin": pl.Datetime("us", "UTC"),
        "step": pl.Int32(),
        "timestamp": pl.Datetime("us", "UTC"),
        "target": pl.Float32(),
        **dict.fromkeys(FORECASTERS, _QUANTILES),
    }
)
FORECAST_KEYS = ("item_id", "variate", "origin", "step")

# Contexts handed to the forecaster at once: bounds memory, and fixes the batches of a run.
MAX_CONTEXTS = 1024

Predict = Callable[..., list[np.ndarray]]


@dataclass(frozen=True)
class _Judged:
    """An item, and where it is forecast: first target step and time of each origin."""

    item: Item
    positions: Int64[np.ndarray, " N"]
    origins_us: Int64[np.ndarray, " N"]


def backtest(
    items: Iterable[Item],
    origins_us: Int64[np.ndarray, " N"],
    splits: Splits,
    predict: Predict,
    *,
    context_length: int,
    naive_window: int,
    seasonality: int | None,
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
        naive_window: past changes behind the quantiles of the baselines.
        seasonality: steps; None takes each item's from its frequency.

    Returns:
        The columns of ``FORECASTS_SCHEMA``, sorted by ``FORECAST_KEYS``; step counts from 1, a
        missing target is null.

    Raises:
        DataError: if the model's quantiles have the wrong shape, are not finite or cross.
    """
    tables = []
    for chunk in _chunks(_judged(items, origins_us, splits)):
        outputs = _predict(chunk, predict, splits.prediction_length, context_length)
        for work, quantiles_NVHQ in zip(chunk, outputs, strict=True):
            tables += _tables(
                work,
                quantiles_NVHQ,
                prediction_length=splits.prediction_length,
                context_length=context_length,
                naive_window=naive_window,
                seasonality=season_of(work.item.freq, seasonality),
            )
    if not tables:
        return pl.DataFrame(schema=FORECASTS_SCHEMA)
    return pl.concat(tables).sort(FORECAST_KEYS)


def season_of(freq: str, seasonality: int | None) -> int:
    """Steps of the season: the one asked for, or the usual one of a canonical frequency."""
    return default_seasonality(parse_freq(freq)) if seasonality is None else seasonality


def _judged(
    items: Iterable[Item], origins_us: Int64[np.ndarray, " N"], splits: Splits
) -> Iterator[_Judged]:
    for item in items:
        observed = observed_targets(item)
        found = [
            judged(item.timestamps, us, splits.prediction_length, splits.min_context, observed)
            for us in origins_us.tolist()
        ]
        kept = [n for n, position in enumerate(found) if position is not None]
        if kept:
            positions = np.array([found[n] for n in kept], dtype=np.int64)
            yield _Judged(item, positions, origins_us[kept])


def _chunks(work: Iterable[_Judged]) -> Iterator[list[_Judged]]:
    chunk, num_contexts = [], 0
    for part in work:
        chunk.append(part)
        num_contexts += len(part.positions)
        if num_contexts >= MAX_CONTEXTS:
            yield chunk
            chunk, num_contexts = [], 0
    if chunk:
        yield chunk


def _predict(
    chunk: Sequence[_Judged], predict: Predict, prediction_length: int, context_length: int
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


def _tables(
    work: _Judged,
    quantiles_NVHQ: Float32[np.ndarray, "N V H Q"],
    *,
    prediction_length: int,
    context_length: int,
    naive_window: int,
    seasonality: int,
) -> list[pl.DataFrame]:
    """One table for each target variate of an item."""
    item, tables = work.item, []
    for row, (variate, role) in enumerate(zip(item.variates, item.roles, strict=True)):
        observed = np.flatnonzero(np.isfinite(item.values[row]))
        has_past = work.positions > observed[0] if len(observed) else np.zeros(0, dtype=np.bool_)
        if role != TARGET or not has_past.any():
            continue
        positions, origins_us = work.positions[has_past], work.origins_us[has_past]
        quantiles_NHQ = quantiles_NVHQ[has_past, row]
        _check(quantiles_NHQ, f"{item.item_id}/{variate}", origins_us)
        forecasts = baseline_quantiles(
            item.values[row],
            positions,
            prediction_length=prediction_length,
            context_length=context_length,
            naive_window=naive_window,
            seasonality=seasonality,
        )
        forecasts = {MODEL: quantiles_NHQ, **forecasts}
        index = (positions[:, None] + np.arange(prediction_length)).ravel()
        columns = {
            "item_id": pl.repeat(item.item_id, len(index), eager=True),
            "variate": pl.repeat(variate, len(index), eager=True),
            "origin": np.repeat(origins_us, prediction_length),
            "step": np.tile(np.arange(1, prediction_length + 1), len(positions)),
            "timestamp": item.timestamps[index],
            "target": item.values[row, index],
            **{
                name: np.ascontiguousarray(values.reshape(len(index), NUM_LEVELS))
                for name, values in forecasts.items()
            },
        }
        table = pl.DataFrame(columns).cast({k: FORECASTS_SCHEMA[k] for k in _CAST})
        tables.append(table.with_columns(pl.col("target").fill_nan(None)))
    return tables


_CAST = ("origin", "step", "timestamp")


def _check(
    quantiles_NHQ: Float32[np.ndarray, "N H Q"], name: str, origins_us: Int64[np.ndarray, " N"]
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
                f"backtest: the model's quantiles of {name} are {fault} at "
                f"{np.count_nonzero(bad_N)} of {len(bad_N)} origins, first at {first}, finite and "
                "rising ones are needed; a model that answers so cannot be judged"
            )
