"""Tests of the loss differential per forecast origin, baseline minus model.

The unit of inference is the origin: average the loss over steps, then over series, and test the
one value that each origin leaves. ``h`` counts origins too: it is how many consecutive forecasts
overlap in time, ceil(prediction_length / stride), and not the prediction length.

``ewc_dm_test`` is the gate's; docs/evaluation.md says when the others answer a question.
"""

from toto_core.evaluation.significance.diebold_mariano import Variance, dm_test
from toto_core.evaluation.significance.ewc import (
    MIN_ORIGINS_PER_OVERLAP,
    EWCRows,
    ewc_dm_test,
    ewc_rows,
)
from toto_core.evaluation.significance.result import Alternative, DMResult

__all__ = [
    "MIN_ORIGINS_PER_OVERLAP",
    "Alternative",
    "DMResult",
    "EWCRows",
    "Variance",
    "dm_test",
    "ewc_dm_test",
    "ewc_rows",
]
