"""A correction of quantiles that was learnt on validation origins, and the levels it can answer.

The quantile at level q of step h moves by ``shift[h, q]`` times the forecast's own spread, the
distance between its outermost quantiles: one correction then serves series of any size, calm and
restless ones alike (conformalised quantile regression, Romano, Patterson and Candes 2019, per
level instead of per interval). What lies beyond the outermost quantile is measured in the same
unit.

Shapes: H steps, S given steps, Q levels, L asked levels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from toto_core.errors import CheckpointError, DataError
from toto_core.evaluation.conformal.levels import between
from toto_core.evaluation.conformal.tails import Tail
from toto_core.files import write_json

VERSION = 1
Method = Literal["none", "pooled", "per_step"]


class Calibration(BaseModel):
    """What ``models/calibration.json`` says.

    Attributes:
        version: of this form.
        method: that was asked for.
        reason: why nothing is corrected; empty where something is.
        levels: that are corrected, rising.
        shifts: for each step (or one row for all of them) the shift at each level, in units of
            the predicted spread; no row: nothing is corrected.
        weights: what is left of the shift that all steps share, and of each step's own part,
            after shrinkage; 0 to 1.
        lower: below the lowest level, ``upper`` above the highest; None: not answered.
        num_scores: cells behind the correction, of ``num_forecasts`` pairs of series and origin,
            at ``num_origins`` origins.
        candidate: SHA-256 of the model it was learnt for (``fingerprint.model_sha256``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: Literal[1] = VERSION
    method: Method
    reason: str
    levels: tuple[float, ...]
    shifts: tuple[tuple[float, ...], ...]
    weights: tuple[float, float]
    lower: Tail | None
    upper: Tail | None
    num_scores: NonNegativeInt
    num_forecasts: NonNegativeInt
    num_origins: NonNegativeInt
    candidate: str

    @property
    def is_on(self) -> bool:
        """Whether any quantile is corrected."""
        return bool(self.shifts)

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest level that can be answered."""
        lowest = self.lower.limit if self.lower else self.levels[0]
        highest = 1 - self.upper.limit if self.upper else self.levels[-1]
        return lowest, highest

    def corrected(
        self, quantiles: Float32[np.ndarray, "*cells S Q"], steps: Int[np.ndarray, " S"]
    ) -> Float32[np.ndarray, "*cells S Q"]:
        """Return the corrected quantiles, in rising order.

        Quantiles that a correction has made to cross are put in order, which brings them nearer
        to the true ones (Chernozhukov, Fernandez-Val and Galichon 2010).

        Args:
            quantiles: at ``levels``.
            steps: of each forecast, from 1 on; a step later than any that was learnt is
                corrected like the last one.

        Raises:
            DataError: if the given quantiles cross: a correction must not hide that.
        """
        crossing = (quantiles[..., 1:] < quantiles[..., :-1]).any(axis=-1)
        if crossing.any():
            raise DataError(
                f"calibration: {np.count_nonzero(crossing)} of {crossing.size} forecasts have "
                "crossing quantiles, rising ones are needed; a model that answers so cannot be "
                "corrected"
            )
        if not self.is_on:
            return quantiles
        shifts = np.array(self.shifts, dtype=np.float32)[np.minimum(steps, len(self.shifts)) - 1]
        moved = quantiles + shifts * (quantiles[..., -1:] - quantiles[..., :1])
        if (moved[..., 1:] < moved[..., :-1]).any():
            moved.sort(axis=-1)
        return moved

    def at_levels(
        self, quantiles: Float32[np.ndarray, "*cells Q"], levels: Sequence[float]
    ) -> Float32[np.ndarray, "*cells L"]:
        """Return any quantiles, from those that ``corrected`` has returned.

        Args:
            levels: rising; within ``range``.

        Raises:
            ValueError: if a level lies outside.
        """
        faults = self.level_faults(levels)
        if faults:
            raise ValueError("\n".join(faults))
        below = [level for level in levels if level < self.levels[0]]
        above = [1 - level for level in levels if level > self.levels[-1]]
        inner = levels[len(below) : len(levels) - len(above)]
        spread = quantiles[..., -1:] - quantiles[..., :1]
        parts = [between(quantiles, self.levels, inner)] if len(inner) else []
        if below and self.lower:
            parts.insert(0, quantiles[..., :1] - spread * self.lower.excess(below).astype("f4"))
        if above and self.upper:
            parts.append(quantiles[..., -1:] + spread * self.upper.excess(above).astype("f4"))
        return np.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]

    def level_faults(self, levels: Sequence[float]) -> list[str]:
        """Return a line if a level cannot be answered."""
        lowest, highest = self.range
        if all(lowest <= level <= highest for level in levels):
            return []
        return [
            f"calibration: quantile_levels = {list(levels)}, numbers from {lowest:.4g} to "
            f"{highest:.4g} are allowed, as {self.num_forecasts} validation forecasts show; choose "
            "among them, or raise split.num_validation_origins"
        ]

    def save(self, path: Path) -> None:
        """Write the file."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path, *, candidate: str) -> "Calibration":
        """Read the correction of one model.

        Args:
            candidate: SHA-256 of the model that it is for.

        Raises:
            DataError: if the file is missing or is not what ``save`` wrote.
            CheckpointError: if it was learnt for another model.
        """
        try:
            found = cls.model_validate_json(path.read_bytes())
        except OSError as error:
            fault = str(error.strerror).lower()
        except ValidationError as error:
            first = error.errors()[0]
            fault = " ".join([*map(str, first["loc"]), first["msg"].lower()])
        else:
            if found.candidate != candidate:
                raise CheckpointError(
                    f"{path}: candidate = {found.candidate[:12]}, the correction of model "
                    f"{candidate[:12]} is needed; run dvc repro calibrate, or name its own file"
                )
            return found
        raise DataError(
            f"{path}: {fault}, a correction of version {VERSION} is needed; run dvc repro calibrate"
        )
