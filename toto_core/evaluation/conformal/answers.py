"""A forecaster's answers before and after their correction, asked for once."""

from collections.abc import Sequence

import numpy as np

from toto_core.evaluation.backtest import Answer, Judged
from toto_core.evaluation.conformal.correction import Calibration


def before_and_after(answer: Answer, calibration: Calibration) -> tuple[Answer, Answer]:
    """Return the answers of ``answer`` and the corrected ones.

    Crossing quantiles come out of both as they are, for ``backtest`` to refuse them by name.
    """
    before = _Once(answer)

    def after(chunk: Sequence[Judged]) -> list[np.ndarray]:
        found = []
        for quantiles_NVHQ in before(chunk):
            is_crossing = (quantiles_NVHQ[..., 1:] < quantiles_NVHQ[..., :-1]).any()
            steps = np.arange(1, quantiles_NVHQ.shape[2] + 1)
            found.append(
                quantiles_NVHQ if is_crossing else calibration.corrected(quantiles_NVHQ, steps)
            )
        return found

    return before, after


class _Once:
    """Ask for each chunk once, whoever wants to know first."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._chunk: Sequence[Judged] | None = None
        self._found: list[np.ndarray] = []

    def __call__(self, chunk: Sequence[Judged]) -> list[np.ndarray]:
        if chunk is not self._chunk:
            self._chunk, self._found = chunk, self._answer(chunk)
        return self._found
