"""The model against one baseline: the numbers, and whether it is better and by how much."""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import skew

from toto_core.config import RegisterParams
from toto_core.evaluation.grouping import group_means
from toto_core.evaluation.paired import by_origin, gain, skill
from toto_core.evaluation.significance import DMResult, ewc_dm_test
from toto_core.evaluation.verdict import (
    FAIL,
    INCONCLUSIVE,
    MODEL,
    PASS,
    Check,
    p_value_text,
    percent,
    sentence,
    title,
)

NUM_FOLDS = 5
PREFERRED_ORIGINS = 60  # below it, or with |skewness| above one, the level is halved


@dataclass(frozen=True)
class OfVariate:
    """The model against one baseline on one variate.

    Attributes:
        skill: 1 - loss of the model / loss of the baseline.
        p_worse: one-sided p-value of the model being worse; NaN where that is not decided.
    """

    name: str
    skill: float
    p_worse: float


@dataclass(frozen=True)
class Comparison:
    """The model against one baseline.

    Attributes:
        margin_test: of (1 - margin) times the baseline's loss minus the model's, per origin.
        level: what its p-value may be at most.
        is_halved: whether the level was halved, for few origins or skewed differentials.
        skewness: of the differentials.
        skill: 1 - loss of the model / loss of the baseline; ``lower`` its one-sided 95 % bound.
        fold_skills: the same in consecutive segments of the origins.
        series_wins: of the ``num_series`` series, those with a lower mean loss.
        worst_group: name and skill, None where no group has several items.
        variates: the same comparison on each variate alone.
    """

    margin_test: DMResult
    level: float
    is_halved: bool
    skewness: float
    skill: float
    lower: float
    fold_skills: tuple[float, ...]
    num_series: int
    series_wins: int
    worst_group: tuple[str, float] | None
    variates: tuple[OfVariate, ...]

    def numbers(self) -> dict[str, float]:
        """Return the figures for the evidence, flat."""
        test = self.margin_test
        return {
            "skill": self.skill,
            "lower_bound": self.lower,
            "p_value": test.p_value,
            "statistic": test.statistic,
            "df": test.df,
            "level": self.level,
            "is_halved": float(self.is_halved),
            "n": test.n,
            "h": test.h,
            "h_eff": test.h_eff,
            "skewness": self.skewness,
        }


def compare(
    panel: pl.DataFrame, baseline: str, *, overlap: int, divisor: int, params: RegisterParams
) -> Comparison:
    """Compare the model with one baseline over the origins, the series and the groups."""
    model, base = by_origin(panel, MODEL), by_origin(panel, baseline)
    d = base - model
    skewness = float(skew(d)) if np.ptp(d) > 0 else 0.0
    halved = len(d) < PREFERRED_ORIGINS or abs(skewness) > 1
    margin_test = ewc_dm_test((1 - params.margin) * base - model, h=overlap, alternative="greater")
    found = gain(model, base, overlap=overlap)
    segments = np.array_split(np.arange(len(d)), NUM_FOLDS)
    series = group_means(panel, ["item_id", "variate"], [MODEL, baseline])
    return Comparison(
        margin_test=margin_test,
        level=params.alpha / divisor / (2 if halved else 1),
        is_halved=halved,
        skewness=skewness,
        skill=found.skill,
        lower=found.lower,
        fold_skills=tuple(skill(float(model[s].sum()), float(base[s].sum())) for s in segments),
        num_series=series.height,
        series_wins=series.filter(pl.col(MODEL) < pl.col(baseline)).height,
        worst_group=_worst_group(panel, baseline),
        variates=tuple(
            _of_variate(str(name), rows, baseline, overlap)
            for (name,), rows in panel.sort("variate", maintain_order=True).group_by(
                "variate", maintain_order=True
            )
        ),
    )


def superiority(baseline: str, comparison: Comparison | None, params: RegisterParams) -> Check:
    """Ask whether the gain beyond the margin is more than chance."""
    name, over = f"better than {title(baseline)}", title(baseline)
    allowed = f"skill above {percent(params.margin)} with p at most "
    if comparison is None:
        return Check(name, INCONCLUSIVE, "too few", f"{allowed}{params.alpha:g}", "Not judged.")
    test, found = comparison.margin_test, f"skill {percent(comparison.skill)}"
    why = ", halved for few or lopsided origins" if comparison.is_halved else ""
    allowed = f"{allowed}{comparison.level:.3g}{why}"
    if test.outcome != "ok":
        reason = sentence([test.reason])
        return Check(name, INCONCLUSIVE, f"{found}, no p-value", allowed, reason)
    proven = test.p_value <= comparison.level
    return Check(
        name,
        PASS if proven else FAIL,
        f"{found}, p {p_value_text(test.p_value)}",
        allowed,
        f"The gain over {over} is larger than chance explains."
        if proven
        else f"A gain over {over} beyond the margin is not shown.",
    )


def effect(baseline: str, comparison: Comparison | None, params: RegisterParams) -> Check:
    """Ask how large the gain is, and whether the cautious end of it is still a gain."""
    name, over = f"size of the gain over {title(baseline)}", title(baseline)
    allowed = f"skill at least {percent(params.margin)}, its one-sided 95 % lower bound above 0 %"
    if comparison is None:
        return Check(name, INCONCLUSIVE, "too few origins", allowed, "Not judged.")
    found = f"skill {percent(comparison.skill)}, lower bound {percent(comparison.lower)}"
    if comparison.skill < params.margin:
        word = "worse than" if comparison.skill < 0 else "about as good as"
        return Check(name, FAIL, found, allowed, f"The model is {word} {over}.")
    if math.isnan(comparison.lower):
        return Check(name, INCONCLUSIVE, found, allowed, "The bound is not defined here.")
    if comparison.lower <= 0:
        return Check(name, FAIL, found, allowed, "The gain may be nothing.")
    return Check(name, PASS, found, allowed, "Even the cautious end of the gain is a gain.")


def _of_variate(name: str, panel: pl.DataFrame, baseline: str, overlap: int) -> OfVariate:
    model, base = by_origin(panel, MODEL), by_origin(panel, baseline)
    p_worse = math.nan
    if len(base) > 1:
        p_worse = ewc_dm_test(base - model, h=overlap, alternative="less").p_value
    return OfVariate(name, skill(float(model.sum()), float(base.sum())), p_worse)


def _worst_group(panel: pl.DataFrame, baseline: str) -> tuple[str, float] | None:
    sizes = panel.group_by("group").agg(num_items=pl.col("item_id").n_unique())
    means = group_means(panel, ["group"], [MODEL, baseline]).join(sizes, on="group")
    skills = [
        (skill(row[MODEL], row[baseline]), row["group"])
        for row in means.filter(pl.col("num_items") > 1).to_dicts()
    ]
    if not skills:
        return None
    lowest, group = min(skills)
    return group, lowest
