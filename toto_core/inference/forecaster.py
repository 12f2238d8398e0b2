"""Forecasts of plain NumPy series: ragged lengths, missing values, any number of variates.

Shapes: V variates, T time steps of one context, H prediction length, Q quantile levels; in a
batch B contexts, U targets and E known covariates of each, C steps of the padded context.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float32

from toto_core.evaluation.conformal import Calibration, between
from toto_core.model import PATCH_SIZE, Toto2
from toto_core.model.compiler import missing_compiler
from toto_core.model.forecast import KnownFuture
from toto_core.model.sizes import native_context

# The settings of all published scores (DataDog/toto at 46bd92a, Toto2GluonTSModelConfig).
MIN_OBSERVED = 8
MAX_DEVIATION = 1e4


@dataclass(frozen=True)
class _Series:
    """One context, cut to what the model sees, and what is known of its future."""

    position: int  # among the contexts
    is_flat: bool  # was given without an axis of variates
    values: Float32[np.ndarray, "V T"]
    future: Float32[np.ndarray, "V H"]
    known: Bool[np.ndarray, " V"]

    @property
    def num_patches(self) -> int:
        return max(-(-self.values.shape[1] // PATCH_SIZE), 1)


class Forecaster:
    """A network with everything around it that a forecast needs.

    A forecast depends on its own context alone: batches hold contexts of the same number of
    patches and variates only, so that neighbours change nothing but the last digits. A compiled
    network gets all contexts at the full length, shorter ones behind unobserved steps, so that one
    program serves them all.

    Args:
        model: the network; its ``compute_dtype`` and device are used.
        context_length: newest steps that are read; None: what the model was configured for.
        calibration: corrects the quantiles of every forecast; None: they are the network's own.
    """

    def __init__(
        self,
        model: Toto2,
        *,
        context_length: int | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        if context_length is not None and context_length < 1:
            raise ValueError(
                f"forecaster: context_length = {context_length}, at least 1 is allowed; raise it"
            )
        self.model = model.eval()
        self.context_length = context_length or native_context(model.config)
        self.calibration = calibration

    @classmethod
    def load(
        cls,
        directory: str | Path,
        *,
        device: str | torch.device | None = None,
        compute_dtype: torch.dtype = torch.float32,
        context_length: int | None = None,
        compiled: bool = False,
        calibration: str | Path | None = None,
    ) -> "Forecaster":
        """A forecaster from a model directory.

        Args:
            directory: ``config.json`` and weights, written here or released by Datadog.
            device: None: the GPU if there is one.
            compute_dtype: of the activations; bfloat16 is faster where the processor has it.
            context_length: see the class.
            compiled: whether to forecast with programs that ``torch.compile`` makes, one for each
                prediction length and number of variates; each takes about a minute and pays after
                ten thousand calls or more (docs/performance.md).
            calibration: the file that the stage ``calibrate`` wrote for this model.

        Raises:
            CheckpointError: if the directory does not hold a whole model, or ``calibration``
                belongs to another one.
            DataError: if ``calibration`` is missing or torn.
            ValueError: if there is no C++ compiler for ``compiled``.
        """
        compiler = missing_compiler()
        if compiled and compiler:
            raise ValueError(
                f"forecaster: compiled = True and no C++ compiler {compiler}, one is needed; "
                "install it, name another one in CXX, or leave compiled out"
            )
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        model = Toto2.from_pretrained(directory).to(device)
        model.to_compute(compute_dtype, compiled=compiled)
        correction = None
        if calibration is not None:
            # It brings Polars, which a forecast does without.
            from toto_core.registry.fingerprint import model_sha256  # noqa: PLC0415

            correction = Calibration.load(
                Path(calibration), candidate=model_sha256(Path(directory))
            )
        return cls(model, context_length=context_length, calibration=correction)

    def predict(
        self,
        contexts: Sequence[np.ndarray],
        prediction_length: int,
        quantile_levels: Sequence[float] | None = None,
        known_future: Sequence[np.ndarray | None] | None = None,
        batch_size: int = 256,
    ) -> list[np.ndarray]:
        """Quantiles of the steps that follow each context.

        The variates of a context inform each other; contexts do not. A context without a single
        observed value gets a finite forecast at zero.

        Args:
            contexts: arrays [T] or [V, T], oldest step first, NaN = missing, any lengths.
            prediction_length: steps, at least 1.
            quantile_levels: rising; None: those that the model knows, else any between the lowest
                and the highest of them (``conformal.levels``). With a calibration also those
                beyond that its ``range`` names.
            known_future: for each context None or an array [H] or [V, H]: values of covariates
                over the horizon, and NaN in the rows of all other variates. A known covariate's
                own "forecast" is its known value, its gaps filled with the value before.
            batch_size: contexts of one pass.

        Returns:
            For each context a float32 array [Q, H] or [V, Q, H]; quantiles never cross.

        Raises:
            ValueError: one line for each argument or context that is not allowed.
        """
        known_levels = self.model.config.quantile_levels
        levels = known_levels if quantile_levels is None else tuple(quantile_levels)
        futures = [None] * len(contexts) if known_future is None else list(known_future)
        faults = _argument_faults(prediction_length, levels, batch_size)
        faults += self._level_faults(levels)
        faults += _context_faults(contexts, futures, prediction_length)
        if faults:
            raise ValueError("\n".join(faults))
        whole = -(-self.context_length // PATCH_SIZE)
        groups: Mapping[tuple[int, int, int], list[_Series]] = defaultdict(list)
        for position, (context, future) in enumerate(zip(contexts, futures, strict=True)):
            series = _series(position, context, future, self.context_length, prediction_length)
            num_patches = whole if self.model.compiled_forecasts else series.num_patches
            key = (num_patches, len(series.known), int(series.known.sum()))
            groups[key].append(series)
        results: list[np.ndarray] = [np.empty(0)] * len(contexts)
        for (num_patches, _, _), members in sorted(groups.items()):
            for first in range(0, len(members), batch_size):
                batch = members[first : first + batch_size]
                quantiles = self._predict_batch(batch, num_patches, prediction_length)
                at_levels = self._at_levels(quantiles, levels)
                for series, values in zip(batch, at_levels, strict=True):
                    results[series.position] = values[0] if series.is_flat else values
        return results

    def _predict_batch(
        self, batch: Sequence[_Series], num_patches: int, prediction_length: int
    ) -> Float32[np.ndarray, "B V Q H"]:
        """Forecasts of series with equal numbers of variates and known covariates."""
        padded = np.stack([_left_padded(series.values, num_patches) for series in batch])
        known = np.stack([series.known for series in batch])
        num_known = int(known[0].sum())
        # Targets first: the network takes known covariates apart. The order changes nothing else.
        order = np.argsort(known, axis=1, kind="stable")
        rows = np.arange(len(batch))[:, None]
        observed = ~np.isnan(padded)
        series_ids = np.where(observed.any(-1), 0, 1 + np.arange(padded.shape[1]))
        targets, covariates = np.split(order, [order.shape[1] - num_known], axis=1)
        future = np.stack([series.future for series in batch])[rows, covariates]
        values = np.concatenate([padded[rows, covariates], future], -1)
        num_levels = len(self.model.config.quantile_levels)
        result = np.empty((*known.shape, num_levels, prediction_length), np.float32)
        if targets.shape[1]:
            forecast = self.model.forecast(
                self._tensor(_filled(padded[rows, targets])),
                self._tensor(observed[rows, targets]),
                self._tensor(series_ids[rows, targets]),
                prediction_length,
                known=self._known(values) if num_known else None,
                min_observed=MIN_OBSERVED,
                max_deviation=MAX_DEVIATION,
            )
            result[rows, targets] = np.moveaxis(forecast.cpu().numpy(), 0, 2)
        result[rows, covariates] = _filled(values)[:, :, None, -prediction_length:]
        return result

    def _at_levels(
        self, quantiles: Float32[np.ndarray, "B V known H"], levels: tuple[float, ...]
    ) -> Float32[np.ndarray, "B V Q H"]:
        """The quantiles at ``levels``, corrected where there is a calibration."""
        known, found = self.model.config.quantile_levels, np.moveaxis(quantiles, 2, 3)
        if self.calibration is None:
            return np.moveaxis(between(found, known, levels), 3, 2)
        found = between(found, known, self.calibration.levels)
        found = self.calibration.corrected(found, np.arange(1, quantiles.shape[3] + 1))
        return np.moveaxis(self.calibration.at_levels(found, levels), 3, 2)

    def _level_faults(self, levels: tuple[float, ...]) -> list[str]:
        if self.calibration is not None and levels:
            return self.calibration.level_faults(levels)
        known = self.model.config.quantile_levels
        if levels and all(known[0] <= level <= known[-1] for level in levels):
            return []
        return [
            f"predict: quantile_levels = {list(levels)}, numbers from {known[0]} to {known[-1]} "
            "are allowed; choose among them"
        ]

    def _known(self, values: Float32[np.ndarray, "B E CH"]) -> KnownFuture:
        missing = np.isnan(values)
        return KnownFuture(
            self._tensor(np.where(missing, np.float32(0), values)),
            self._tensor(~missing),
            self._tensor(np.zeros(values.shape[:2], dtype=np.int64)),
        )

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.model.device)


def _series(
    position: int,
    context: np.ndarray,
    future: np.ndarray | None,
    context_length: int,
    prediction_length: int,
) -> _Series:
    values = np.atleast_2d(np.asarray(context, dtype=np.float32))
    shape = (len(values), prediction_length)
    ahead = np.full(shape, np.nan, dtype=np.float32)
    if future is not None:
        ahead = np.atleast_2d(np.asarray(future, dtype=np.float32))
    known = np.asarray(np.isfinite(ahead).any(axis=-1))
    return _Series(position, np.ndim(context) == 1, values[:, -context_length:], ahead, known)


def _left_padded(values: Float32[np.ndarray, "V T"], num_patches: int) -> np.ndarray:
    padded = np.full((len(values), num_patches * PATCH_SIZE), np.nan, np.float32)
    padded[:, padded.shape[1] - values.shape[1] :] = values
    return padded


def _filled(values: Float32[np.ndarray, "*rows T"]) -> Float32[np.ndarray, "*rows T"]:
    """Each gap with the value before it, the leading one with the first value; 0 without values.

    The network takes its last patch for observed, also where a short series begins within it.
    """
    missing = np.isnan(values)
    first = missing.argmin(axis=-1, keepdims=True)
    last = np.where(missing, first, np.arange(values.shape[-1]))
    last = np.maximum.accumulate(last, axis=-1)
    return np.nan_to_num(np.take_along_axis(values, last, axis=-1), nan=0.0)


def _argument_faults(
    prediction_length: int,
    levels: tuple[float, ...],
    batch_size: int,
) -> list[str]:
    faults = [
        f"predict: {name} = {value}, at least 1 is allowed; raise it"
        for name, value in (("prediction_length", prediction_length), ("batch_size", batch_size))
        if value < 1
    ]
    if list(levels) != sorted(levels):
        faults.append(
            f"predict: quantile_levels = {list(levels)}, rising numbers are allowed; sort them"
        )
    return faults


def _context_faults(
    contexts: Sequence[np.ndarray],
    futures: Sequence[np.ndarray | None],
    prediction_length: int,
) -> list[str]:
    if len(futures) != len(contexts):
        return [
            f"predict: known_future has {len(futures)} entries, one for each of the "
            f"{len(contexts)} contexts is needed; use None where nothing is known"
        ]
    faults = []
    for index, (context, future) in enumerate(zip(contexts, futures, strict=True)):
        shape = np.shape(context)
        if len(shape) not in (1, 2) or (shape[0] == 0 and len(shape) == 2):
            faults.append(f"predict: contexts[{index}] has shape {shape}, [T] or [V, T] with at "
                          "least one variate is allowed; reshape it")  # fmt: skip
            continue
        faults += _infinite(f"contexts[{index}]", context)
        if future is None:
            continue
        wanted = (*shape[:-1], prediction_length)
        if np.shape(future) != wanted:
            faults.append(f"predict: known_future[{index}] has shape {np.shape(future)}, {wanted} "
                          "is needed; give one row for each variate")  # fmt: skip
            continue
        faults += _infinite(f"known_future[{index}]", future)
    return faults


def _infinite(name: str, values: np.ndarray) -> list[str]:
    with np.errstate(over="ignore"):
        num = int(np.isinf(np.asarray(values, dtype=np.float32)).sum())
    if not num:
        return []
    return [
        f"predict: {name} has {num} infinite values in float32, finite numbers and NaN (missing) "
        "are allowed; replace them"
    ]
