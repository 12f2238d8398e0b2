"""The classical Diebold-Mariano test with the correction of Harvey, Leybourne and Newbold."""

import math
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from toto_core.evaluation.significance.long_run import Kernel, long_run_variance
from toto_core.evaluation.significance.result import (
    Alternative,
    DMResult,
    against_t,
    checked,
    refuse_constant,
)

Variance = Literal["acf", "bartlett"]
KERNELS: dict[Variance, Kernel] = {"acf": "rectangular", "bartlett": "bartlett"}


def dm_test(
    d: Float[np.ndarray, " n"],
    *,
    h: int,
    alternative: Alternative = "greater",
    variance: Variance = "acf",
) -> DMResult:
    """Test equal accuracy as R's ``forecast::dm.test`` 8.20 does: DM with the HLN correction.

    It is a figure to compare with others, not this project's gate: its rectangular variance
    rejects up to twice too often once forecasts overlap (``ewc_dm_test`` is the gate's). With
    ``alternative="greater"`` a small p-value says that the model is better. Where the
    rectangular variance is not positive, R goes on with h = 1, and so does this; ``reason``
    and ``h_eff`` say so.

    Args:
        h: overlap of consecutive forecasts, origins, at least 1.
        variance: ``acf`` = autocovariances to lag h - 1 with equal weights (Diebold and
            Mariano 1995), ``bartlett`` = with weights 1 - k/h.

    Raises:
        ValueError: if d has missing values, no variance, or h is outside 1..n.
    """
    values = checked("dm_test", d, h=h, most_h=len(d), alternative=alternative)
    if variance not in KERNELS:
        raise ValueError(f"dm_test: variance = {variance!r}, acf or bartlett is needed; choose one")
    refuse_constant("dm_test", values)
    n, kernel = values.size, KERNELS[variance]
    long_run = float(long_run_variance(values, kernel=kernel, bandwidth=h))
    h_used, reason = h, ""
    if long_run <= 0:
        h_used = 1
        reason = (
            f"the long-run variance = {long_run:.4g} is not positive at h = {h}; h = 1 was used, "
            "as R does, which rejects too often"
        )
        long_run = float(long_run_variance(values, kernel=kernel, bandwidth=1))
    found = against_t(
        values, long_run, n - 1, alternative, h=h, reason=reason, factor=hln_factor(n, h_used)
    )
    return replace(found, h_eff=h_used)


def hln_factor(n: int, h: int) -> float:
    """Return the small-sample factor of Harvey, Leybourne and Newbold 1997, equation 9."""
    return math.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
