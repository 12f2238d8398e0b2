"""What lies beyond the outermost quantile: a generalised Pareto distribution of the excesses.

Excesses over a high threshold follow this distribution approximately, whatever the series are
distributed like (Pickands 1975). Its two parameters come from probability-weighted moments,
which need no search and are steadier than likelihood in samples of this size (Hosking and Wallis,
Technometrics 29, 1987, section 4).

Shapes: N excesses, L levels.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

MIN_EXCESSES = 30
# The moments exist below a shape of 1; a bounded tail shorter than a triangle's is a small sample.
SHAPES = (-0.5, 0.9)
_PLOTTING_OFFSET = 0.35  # of the empirical distribution function, Hosking and Wallis 1987


class Tail(BaseModel):
    """The excesses over one outermost quantile, in units of the predicted spread.

    Attributes:
        share: probability of an excess, that is 1 - level of an upper quantile.
        limit: the smallest probability of being exceeded that is answered.
        scale: of the generalised Pareto distribution.
        shape: 0 is the exponential distribution; above, tails are heavier.
        num_excesses: that the two come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    share: PositiveFloat
    limit: PositiveFloat
    scale: PositiveFloat
    shape: float
    num_excesses: PositiveInt

    def excess(self, probabilities: Sequence[float]) -> Float64[np.ndarray, " L"]:
        """Return what is exceeded with each of ``probabilities``, all at most ``share``."""
        within = np.asarray(probabilities, dtype=np.float64) / self.share
        if abs(self.shape) < 1e-9:  # the limit of the formula below
            return -self.scale * np.log(within)
        return self.scale * np.expm1(-self.shape * np.log(within)) / self.shape


def fit_tail(
    excesses: Float64[np.ndarray, " N"], *, share: float, num_forecasts: int
) -> Tail | None:
    """Fit a tail to positive excesses; None if there are fewer than ``MIN_EXCESSES``.

    Args:
        share: as in ``Tail``.
        num_forecasts: pairs of series and origin behind the scores. Of n exchangeable scores the
            largest is exceeded with probability 1 / (n + 1), which is as far as is answered; the
            steps of one forecast count as one score, since they share its shocks.
    """
    num = len(excesses)
    limit = 1 / (num_forecasts + 1)
    if num < MIN_EXCESSES or limit >= share:
        return None
    ranks = np.arange(1, num + 1)
    mean = float(excesses.mean())
    weights = 1 - (ranks - _PLOTTING_OFFSET) / num
    moment = float((weights * np.sort(excesses)).mean())
    shape = float(np.clip(2 - mean / (mean - 2 * moment), *SHAPES)) if mean > 2 * moment else 0.0
    return Tail(share=share, limit=limit, scale=mean * (1 - shape), shape=shape, num_excesses=num)
