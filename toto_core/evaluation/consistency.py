"""Whether the gain is spread over time, series, groups and variates, or sits in a few of them."""

from collections.abc import Mapping, Sequence

from toto_core.config import RegisterParams
from toto_core.evaluation.comparison import Comparison
from toto_core.evaluation.verdict import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    Check,
    p_value_text,
    percent,
    title,
)


def spread(compared: Mapping[str, Comparison], params: RegisterParams) -> list[Check]:
    """Ask whether the gain is spread over time, series and groups; the worst baseline counts."""
    if not compared:
        reason = "There are too few origins to cut into periods."
        return [Check("consistency", INCONCLUSIVE, "too few origins", "five periods", reason)]
    return [
        _fold_wins(compared, params),
        _worst_fold(compared, params),
        _series_wins(compared, params),
        _worst_group(compared, params),
    ]


def _fold_wins(compared: Mapping[str, Comparison], params: RegisterParams) -> Check:
    wins = {b: sum(skill > 0 for skill in c.fold_skills) for b, c in compared.items()}
    baseline = min(wins, key=lambda b: wins[b])
    fine = wins[baseline] >= params.min_fold_wins
    total = len(compared[baseline].fold_skills)
    return Check(
        "consistency over time",
        PASS if fine else FAIL,
        f"ahead of {title(baseline)} in {wins[baseline]} of {total} periods",
        f"at least {params.min_fold_wins}",
        "The gain is spread over the test period."
        if fine
        else "The gain is missing in too much of the test period.",
    )


def _worst_fold(compared: Mapping[str, Comparison], params: RegisterParams) -> Check:
    lowest = {b: min(c.fold_skills) for b, c in compared.items()}
    baseline = min(lowest, key=lambda b: lowest[b])
    fine = lowest[baseline] >= -params.max_fold_loss
    return Check(
        "worst period",
        PASS if fine else FAIL,
        f"skill {percent(lowest[baseline])} against {title(baseline)}",
        f"at least {percent(-params.max_fold_loss)}",
        "No period is lost badly." if fine else "One period is lost badly.",
    )


def _series_wins(compared: Mapping[str, Comparison], params: RegisterParams) -> Check:
    shares = {b: c.series_wins / c.num_series for b, c in compared.items()}
    baseline = min(shares, key=lambda b: shares[b])
    fine = shares[baseline] >= params.min_item_wins
    return Check(
        "series that gain",
        PASS if fine else FAIL,
        f"{percent(shares[baseline])} of {compared[baseline].num_series:,} series "
        f"against {title(baseline)}",
        f"at least {percent(params.min_item_wins)}",
        "Most series gain, not only a few." if fine else "Too few of the series gain.",
    )


def _worst_group(compared: Mapping[str, Comparison], params: RegisterParams) -> Check:
    name, allowed = "worst group", f"skill at least {percent(-params.max_group_loss)}"
    groups = [(c.worst_group[1], c.worst_group[0], b) for b, c in compared.items() if c.worst_group]
    if not groups:
        reason = "Each item is a group of its own; the check of the series covers them."
        return Check(name, PASS, "no groups of several items", allowed, reason)
    skill, group, baseline = min(groups)
    fine = skill >= -params.max_group_loss
    return Check(
        name,
        PASS if fine else FAIL,
        f"skill {percent(skill)} in {group} against {title(baseline)}",
        allowed,
        "No group is left behind." if fine else "One group is much worse off.",
    )


def variates(
    compared: Mapping[str, Comparison], unjudged: Sequence[str], params: RegisterParams
) -> Check:
    """Ask whether any variate is worse off than with a baseline; the others cannot make up for it.

    Two ways to fail, because a gain over all variates together says nothing of the one that a
    reader cares for:

    - the skill against any baseline is below -``max_variate_loss``, shown or not: as in every
      other check the model has to answer for the doubt. The tolerance is what lets a tie pass.
      Where the best forecast *is* no change, as for prices, an honest model ties with it, and its
      measured skill falls below zero in half of all test periods. With a standard error of s, the
      rule fails a tie with probability Phi(-tolerance / s): at 2 %, 2 % of the time for s = 1 %
      and 16 % for s = 2 %; and no loss larger than tolerance + 1.64 s passes more often than 5 %.
    - a smaller loss that is more than chance: p at most ``alpha`` divided by the number of pairs
      of variate and baseline (Bonferroni), so that many variates alone do not fail a model.

    A variate without any judged series is inconclusive: a PASS would not speak of it.
    """
    name = "worst variate"
    pairs = [(of.skill, of.name, b, of) for b, c in compared.items() for of in c.variates]
    level = params.alpha / max(len(pairs), 1)
    allowed = (
        f"skill at least {percent(-params.max_variate_loss)}, no loss with p at most {level:.2g}"
    )
    if not pairs:
        reason = "There are too few origins to judge variates by."
        return Check(name, INCONCLUSIVE, "too few origins", allowed, reason)
    failed = [p for p in pairs if p[0] < -params.max_variate_loss or p[3].p_worse <= level]
    skill, variate, baseline, of = min(failed or pairs, key=lambda pair: pair[:2])
    found = f"skill {percent(skill)} on {variate} against {title(baseline)}"
    names = sorted({variate for _, variate, _, _ in failed})
    if failed:
        if of.p_worse <= level:
            found = f"{found}, p {p_value_text(of.p_worse)}"
        better = title(baseline) if len(names) == 1 else "a baseline"
        reason = f"{better.capitalize()} would serve {_some(names)} better."
        return Check(name, FAIL, found, allowed, reason)
    if unjudged:
        reason = f"Nothing is known of {_some(unjudged)}: no series of it could be judged."
        return Check(name, INCONCLUSIVE, found, allowed, reason)
    reason = "On every variate the model is ahead of every baseline."
    if round(skill, 3) < 0:
        reason = f"What {variate} loses is within the tolerance and within chance."
    return Check(name, PASS, found, allowed, reason)


def _some(names: Sequence[str]) -> str:
    shown = list(names[:3]) + ([f"{len(names) - 3} more"] if len(names) > 3 else [])
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]
