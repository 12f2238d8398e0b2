"""Tests of the loss differential per forecast origin, baseline minus model.

The unit of inference is the origin: average the loss over steps, then over series, and test the
one value that each origin leaves. ``h`` counts origins too: it is how many consecutive forecasts
overlap in time, ceil(prediction_length / stride), and not the prediction length.

``ewc_dm_test`` is the gate's; docs/significance.md says which question each of the others answers.
"""

from toto_core.evaluation.significance.conditional import giacomini_white_test
from toto_core.evaluation.significance.diebold_mariano import Variance, dm_test
from toto_core.evaluation.significance.encompassing import clark_west_test, encompassing_test
from toto_core.evaluation.significance.ewc import (
    MIN_ORIGINS_PER_OVERLAP,
    EWCRows,
    ewc_dm_test,
    ewc_rows,
)
from toto_core.evaluation.significance.fixed_smoothing import (
    FixedBResult,
    ewc_test,
    wce_test,
    wpe_test,
)
from toto_core.evaluation.significance.long_run import (
    Kernel,
    andrews_bandwidth,
    long_run_variance,
    newey_west_bandwidth,
)
from toto_core.evaluation.significance.model_set import (
    ConfidenceSet,
    SuperiorAbility,
    model_confidence_set,
    superior_ability,
)
from toto_core.evaluation.significance.multiplicity import Correction, adjusted_p_values
from toto_core.evaluation.significance.panel import (
    Estimand,
    PanelResult,
    clustered_variance,
    driscoll_kraay_variance,
    panel_newey_west_variance,
    panel_test,
)
from toto_core.evaluation.significance.result import Alternative, DMResult, StatisticResult

__all__ = [
    "MIN_ORIGINS_PER_OVERLAP",
    "Alternative",
    "ConfidenceSet",
    "Correction",
    "DMResult",
    "EWCRows",
    "Estimand",
    "FixedBResult",
    "Kernel",
    "PanelResult",
    "StatisticResult",
    "SuperiorAbility",
    "Variance",
    "adjusted_p_values",
    "andrews_bandwidth",
    "clark_west_test",
    "clustered_variance",
    "dm_test",
    "driscoll_kraay_variance",
    "encompassing_test",
    "ewc_dm_test",
    "ewc_rows",
    "ewc_test",
    "giacomini_white_test",
    "long_run_variance",
    "model_confidence_set",
    "newey_west_bandwidth",
    "panel_newey_west_variance",
    "panel_test",
    "superior_ability",
    "wce_test",
    "wpe_test",
]
