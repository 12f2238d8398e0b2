"""The gain of the median alone, which no spread can lend.

The gate's loss counts nine quantiles, so a model whose median is no better than a baseline's may
still beat it by intervals that fit better. That is worth something, but it is not what a reader
of "better than no change" believes.
"""

import math
from collections.abc import Mapping, Sequence

import polars as pl

from toto_core.config import RegisterParams
from toto_core.evaluation.paired import CELL, Gain, all_finite, by_origin, gain, side_by_side
from toto_core.evaluation.protocol import SECONDARY
from toto_core.evaluation.verdict import FAIL, INCONCLUSIVE, MODEL, PASS, Check, percent, title


def median_gains(
    rows: pl.DataFrame, panel: pl.DataFrame, baselines: Sequence[str], *, overlap: int
) -> dict[str, Gain]:
    """Compare the scaled absolute error (MASE) on the pairs that the gate judges.

    Args:
        rows: the losses, with a column ``mase``.
        panel: one row for each judged pair of series and origin.
    """
    names = (MODEL, *baselines)
    wide = side_by_side(rows, index=CELL, forecasters=names, loss=SECONDARY)
    wide = wide.join(panel.select(CELL), on=CELL, how="semi", maintain_order="left")
    wide = wide.filter(all_finite(names))
    if not wide.height:
        return {}
    model = by_origin(wide, MODEL)
    return {name: gain(model, by_origin(wide, name), overlap=overlap) for name in baselines}


def median_check(gains: Mapping[str, Gain], params: RegisterParams) -> Check:
    """Ask whether the median alone is better than each baseline's; the worst one counts."""
    name = "median alone"
    allowed = f"skill at least {percent(params.min_median_skill)}, its lower bound above 0 %"
    if not gains:
        return Check(name, INCONCLUSIVE, "unknown", allowed, "No error of the median is stated.")
    lost = [b for b in gains if gains[b].skill < params.min_median_skill]
    doubtful = [b for b in gains if not gains[b].is_shown]
    baseline = min(lost or doubtful or gains, key=lambda b: gains[b].skill)
    found = gains[baseline]
    measured = (
        f"skill {percent(found.skill)} against {title(baseline)}, "
        f"lower bound {percent(found.lower)}"
    )
    if lost:
        reason = "Without its spread the model would lose: its median is the worse forecast."
        return Check(name, FAIL, measured, allowed, reason)
    if doubtful:
        unknown = math.isnan(found.lower)
        reason = "The gain may be spread alone: that of the median " + (
            "cannot be tested." if unknown else "is not more than chance explains."
        )
        return Check(name, INCONCLUSIVE, measured, allowed, reason)
    return Check(name, PASS, measured, allowed, "The median alone is the better forecast.")
