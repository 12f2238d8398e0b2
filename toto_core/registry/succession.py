"""Whether a candidate is worse than the champion that it would replace.

The question of the gate with another opponent: the loss per origin of the champion minus that of
the challenger, at origins that neither of them has seen, by the same test. A tie is enough, so the
challenger passes where the test shows that its loss is not higher by more than a tolerance.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np
import polars as pl
from jaxtyping import Float64
from scipy.stats import skew

from toto_core.evaluation.checks import MAX_EXCLUDED_SHARE
from toto_core.evaluation.comparison import PREFERRED_ORIGINS
from toto_core.evaluation.grouping import group_means
from toto_core.evaluation.metrics import skill
from toto_core.evaluation.significance import DMResult, ewc_dm_test
from toto_core.evaluation.verdict import FAIL, INCONCLUSIVE, PASS, p_value_text, percent

KEYS = ("item_id", "variate", "origin")
MIN_ORIGINS = 2  # to compute anything; the test itself needs 8 for each overlap


@dataclass(frozen=True)
class Rule:
    """What a successor is held to.

    Attributes:
        tolerance: share of the champion's loss that its own may be higher by.
        alpha: one-sided level of both tests.
        attempt: of the candidate on this test period; it divides the level of passing.
        overlap: neighbouring origins whose targets overlap, itself included.
    """

    tolerance: float
    alpha: float
    attempt: int
    overlap: int


@dataclass(frozen=True)
class Succession:
    """A challenger against the champion.

    Attributes:
        champion: its version.
        outcome: PASS: not worse by more than the tolerance; FAIL: worse; INCONCLUSIVE: neither
            is shown.
        skill: 1 - loss of the challenger / loss of the champion; NaN where nothing is compared.
        p_value: of the test that the loss is higher by the tolerance or more; ``level`` is what
            it may be at most.
        p_worse: of the test that the challenger is not worse.
        n: origins; ``h_eff`` the overlap used; ``df`` degrees of freedom.
    """

    champion: str
    outcome: str
    reason: str
    skill: float = math.nan
    p_value: float = math.nan
    p_worse: float = math.nan
    level: float = math.nan
    tolerance: float = math.nan
    n: int = 0
    h: int = 0
    h_eff: int = 0
    df: int = 0
    num_series: int = 0
    first_origin: str | None = None
    last_origin: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return plain values; what is not a number is null."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }


def origins_unseen(
    origins: Sequence[datetime], *, seen_until: Sequence[datetime | None]
) -> list[datetime]:
    """Return the origins that are at or after every time until which a model has seen data."""
    newest = max((time for time in seen_until if time is not None), default=None)
    return [origin for origin in origins if newest is None or origin >= newest]


def undecided(champion: str, reason: str) -> Succession:
    """Return the outcome where the champion cannot be compared with at all."""
    return Succession(champion, INCONCLUSIVE, reason)


def compare_with_champion(
    champion: pl.DataFrame,
    challenger: pl.DataFrame,
    *,
    version: str,
    origins: Sequence[datetime],
    rule: Rule,
) -> Succession:
    """Compare two models on the series that both were judged on.

    Args:
        champion: columns item_id, variate, origin and sql (scaled quantile loss), a row for each
            pair of series and origin; ``challenger`` the same.
        version: of the champion.
        origins: that neither model has seen; rows of other origins are left out.

    Returns:
        INCONCLUSIVE, by name, if an origin or more than 1 % of the pairs lack a finite loss of
        either model, or if the test refuses; otherwise as ``Succession.outcome`` says.
    """
    pairs = _pairs(champion, challenger, origins)
    panel = pairs.drop_nulls()
    missing = pairs.height - panel.height
    num_origins = panel["origin"].n_unique()
    if num_origins < MIN_ORIGINS:
        return undecided(
            version,
            f"{num_origins} origins that neither has seen, at least {MIN_ORIGINS} are needed",
        )
    if num_origins < len(origins) or missing > MAX_EXCLUDED_SHARE * pairs.height:
        gone = pairs.filter(pl.any_horizontal(pl.all().is_null()))
        names = gone.select(pl.format("{}/{}", "item_id", "variate")).to_series().unique().sort()
        return undecided(
            version,
            f"{missing:,} of {pairs.height:,} pairs of series and origin and "
            f"{len(origins) - num_origins} of {len(origins)} origins lack a loss of one of them"
            + (f" (first {', '.join(names.head(3))})" if len(names) else ""),
        )
    return _tested(panel, version, rule)


def _pairs(
    champion: pl.DataFrame, challenger: pl.DataFrame, origins: Sequence[datetime]
) -> pl.DataFrame:
    """Side by side, null where one of them has no finite loss."""
    parts = [
        table.filter(pl.col("origin").is_in(list(origins))).select(
            *KEYS, pl.col("sql").cast(pl.Float64).fill_nan(None).alias(name)
        )
        for name, table in (("champion", champion), ("challenger", challenger))
    ]
    return parts[0].join(parts[1], on=KEYS, how="full", coalesce=True).sort(KEYS)


def decide(
    champion: Float64[np.ndarray, " N"], challenger: Float64[np.ndarray, " N"], rule: Rule
) -> tuple[str, DMResult, DMResult, float]:
    """Test the losses per origin of two models.

    Returns:
        the outcome; the test that the challenger's loss is not higher by the tolerance; the test
        that it is higher at all; the level of the first.
    """
    d = champion - challenger
    varies = np.ptp(d) > 0
    halved = len(d) < PREFERRED_ORIGINS or (varies and abs(float(skew(d))) > 1)
    level = rule.alpha / rule.attempt / (2 if halved else 1)
    margin = (1 + rule.tolerance) * champion - challenger
    not_worse = ewc_dm_test(margin, h=rule.overlap, alternative="greater")
    worse = ewc_dm_test(d, h=rule.overlap, alternative="less")
    # Of equal losses nothing can be estimated, and they are no worse.
    refused = not_worse.outcome != "ok" or (varies and worse.outcome != "ok")
    if refused:
        outcome = INCONCLUSIVE
    elif worse.p_value <= rule.alpha:
        outcome = FAIL
    else:
        outcome = PASS if not_worse.p_value <= level else INCONCLUSIVE
    return outcome, not_worse, worse, level


def _tested(panel: pl.DataFrame, version: str, rule: Rule) -> Succession:
    means = group_means(panel, ["origin"], ["champion", "challenger"])
    base, new = means["champion"].to_numpy(), means["challenger"].to_numpy()
    outcome, not_worse, worse, level = decide(base, new, rule)
    figures = {
        "skill": skill(float(new.sum()), float(base.sum())),
        "p_value": not_worse.p_value,
        "p_worse": worse.p_value,
        "level": level,
        "tolerance": rule.tolerance,
        "n": not_worse.n,
        "h": not_worse.h,
        "h_eff": max(not_worse.h_eff, worse.h_eff),
        "df": min(not_worse.df, worse.df),
        "num_series": panel.select("item_id", "variate").n_unique(),
        "first_origin": means["origin"][0].isoformat(),
        "last_origin": means["origin"][-1].isoformat(),
    }
    refusal = not_worse.reason or (worse.reason if outcome == INCONCLUSIVE else "")
    return Succession(version, outcome, refusal or _reason(outcome, version, figures), **figures)


def _reason(outcome: str, version: str, found: dict[str, float]) -> str:
    change = -found["skill"]
    size = f"{percent(abs(change))} {'higher' if change > 0 else 'lower'}"
    error = f"its error is {size} than that of {version} at {found['n']} origins"
    more = f"a loss of more than {percent(found['tolerance'])}"
    shown = f"{_p_is(found['p_value'])}, at most {found['level']:.4f} is needed"
    if outcome == FAIL:
        return f"{error}, and that is more than chance ({_p_is(found['p_worse'])})"
    if outcome == PASS:
        return f"{error}, and {more} is ruled out ({shown})"
    return f"{error}, and {more} is not ruled out ({shown})"


def _p_is(p_value: float) -> str:
    text = p_value_text(p_value)
    return f"p {text}" if text[0] in "<>" else f"p = {text}"
