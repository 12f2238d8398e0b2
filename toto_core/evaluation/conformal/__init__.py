"""Quantiles corrected by how the same model has done on the validation period.

``correction`` applies, ``learning`` finds, ``levels`` and ``tails`` give the levels between and
beyond the known ones. What is imported here needs neither torch nor Polars, so that a forecast
stays light.
"""

from toto_core.evaluation.conformal.correction import Calibration
from toto_core.evaluation.conformal.levels import between

__all__ = ["Calibration", "between"]
