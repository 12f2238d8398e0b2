"""Metrics of quantile forecasts, from the single cell to leaderboards over many tasks.

Conventions, where libraries differ (docs/evaluation.md; the other one is an option):

- The quantile loss carries the factor 2, so that the loss of the median is the absolute error.
- The scale of a series is its mean absolute seasonal change over the whole history before the
  test period, not over the model's context; it is frozen there.
- A pooled figure is the average over observed cells.
- A series whose scale is zero or undefined (constant, or a history not longer than a season) has
  no scaled loss.
"""

from toto_core.evaluation.metrics.cells import CellLosses, cell_losses
from toto_core.evaluation.metrics.keys import MODEL, ORIGIN_KEYS, QUANTILE_LEVELS, SERIES_KEYS
from toto_core.evaluation.metrics.pooling import METRICS, pooled_scores, scores
from toto_core.evaluation.metrics.profile import Profile
from toto_core.evaluation.metrics.relative import skill, skills
from toto_core.evaluation.metrics.scales import seasonal_errors
from toto_core.evaluation.metrics.tally import Tally, origin_losses

__all__ = [
    "METRICS",
    "MODEL",
    "ORIGIN_KEYS",
    "QUANTILE_LEVELS",
    "SERIES_KEYS",
    "CellLosses",
    "Profile",
    "Tally",
    "cell_losses",
    "origin_losses",
    "pooled_scores",
    "scores",
    "seasonal_errors",
    "skill",
    "skills",
]
