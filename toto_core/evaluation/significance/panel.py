"""The differentials of many series: whose mean is meant, and what its variance is.

The mean of a panel is one number with two meanings. About *these series* in future only the
origins are a sample: the series are averaged first, which is what Driscoll and Kraay 1998 do.
About *new series of this kind* the series are a sample too, and a model that is good on half of
them and bad on the other half has shown nothing, however many origins there are.

Shapes: N series, T origins.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from toto_core.evaluation.significance.ewc import ewc_dm_test
from toto_core.evaluation.significance.long_run import long_run_variance, weighted_autocovariances
from toto_core.evaluation.significance.result import Alternative, DMResult, t_p_value

Estimand = Literal["these series", "new series"]
ClusteredBy = Literal["series", "time", "both"]


@dataclass(frozen=True)
class PanelResult(DMResult):
    """The outcome of a test of equal accuracy over a panel.

    Attributes:
        estimand: what the mean is about.
        num_series: rows of the panel.
        num_clusters: independent groups of them.
    """

    estimand: Estimand
    num_series: int
    num_clusters: int


def panel_test(
    d_NT: Float[np.ndarray, "N T"],
    *,
    h: int,
    estimand: Estimand,
    alternative: Alternative = "greater",
    clusters_N: Int[np.ndarray, " N"] | None = None,
) -> PanelResult:
    """Test the mean differential of a panel: of each origin over its series, then over origins.

    ``these series``: ``ewc_dm_test`` of the mean over the series. ``new series``: the two-way
    variance time + series - both (Cameron, Gelbach and Miller 2011), with the cosine estimate for
    time and no smaller than the larger of time and series, against Student's t with the smaller
    of both degrees of freedom. It is conservative: without a difference between the series it
    rejects 0 to 6 % at a nominal 5 %.

    Args:
        d_NT: differentials; NaN where a series was not judged at an origin.
        h: overlap of consecutive forecasts, origins, at least 1.
        clusters_N: which series belong together (variates of an item, siblings of a group); only
            the clusters are taken as independent. None = each series alone.

    Raises:
        ValueError: for infinite values, an origin without a series, or a series without an origin.
    """
    clusters_N = np.arange(len(d_NT)) if clusters_N is None else clusters_N
    seen_NT = _checked_panel(d_NT, estimand, clusters_N)
    # The mean over the series that are there, then over the origins, as one weighted mean.
    weight_NT = seen_NT / seen_NT.sum(axis=0) / d_NT.shape[1]
    filled_NT = np.where(seen_NT, d_NT, 0.0)
    time = ewc_dm_test(
        (filled_NT * weight_NT).sum(axis=0) * d_NT.shape[1], h=h, alternative=alternative
    )
    num_clusters = len(np.unique(clusters_N))
    found = {"estimand": estimand, "num_series": len(d_NT), "num_clusters": num_clusters}
    if estimand == "these series" or time.outcome == "inconclusive":
        return PanelResult(**vars(time), **found)
    score_NT = weight_NT * (filled_NT - time.mean)
    new = _of_new_series(time, score_NT, clusters_N, num_clusters, alternative)
    return PanelResult(**(vars(time) | new), **found)


def _of_new_series(
    time: DMResult,
    score_NT: Float[np.ndarray, "N T"],
    clusters_N: Int[np.ndarray, " N"],
    num_clusters: int,
    alternative: Alternative,
) -> dict[str, object]:
    """Return what changes in the test over time where the series are a sample too."""
    if num_clusters < 2:
        few = f"{num_clusters} independent series, at least 2 are needed to speak of new ones"
        return {
            "outcome": "inconclusive",
            "reason": few,
            "statistic": math.nan,
            "p_value": math.nan,
            "std_error": math.nan,
        }
    std_error = math.sqrt(_two_way(score_NT, clusters_N, time.std_error**2))
    df, statistic = min(time.df, num_clusters - 1), time.mean / std_error
    return {
        "statistic": statistic,
        "p_value": t_p_value(statistic, df, alternative),
        "df": df,
        "std_error": std_error,
    }


def _two_way(
    score_NT: Float[np.ndarray, "N T"], clusters_N: Int[np.ndarray, " N"], of_time: float
) -> float:
    """Return the variance for new series; ``score_NT`` sums to the error of the mean."""
    index = np.unique(clusters_N, return_inverse=True)[1]
    grouped_GT = np.zeros((index.max() + 1, score_NT.shape[1]))
    np.add.at(grouped_GT, index, score_NT)
    num_clusters = len(grouped_GT)
    of_series = np.square(grouped_GT.sum(axis=1)).sum() * num_clusters / (num_clusters - 1)
    of_cells = np.square(grouped_GT).sum()
    return float(max(of_time + of_series - of_cells, of_time, of_series))


def driscoll_kraay_variance(d_NT: Float[np.ndarray, "N T"], *, bandwidth: float | int) -> float:
    """Return the variance of the panel's mean with Bartlett weights over the mean series.

    Driscoll and Kraay 1998: any correlation between the series, and over time below the
    bandwidth (in origins; ``long_run_variance``).
    """
    mean_T = d_NT.mean(axis=0)
    long_run = long_run_variance(mean_T, kernel="bartlett", bandwidth=bandwidth)
    return float(long_run) / d_NT.shape[1]


def panel_newey_west_variance(d_NT: Float[np.ndarray, "N T"], *, bandwidth: float | int) -> float:
    """Return the variance of the panel's mean with Bartlett weights within each series.

    It takes the series as independent, which those of one period are not: a common shock makes
    it far too small.
    """
    num_series, n = d_NT.shape
    long_run_N = weighted_autocovariances(
        d_NT - d_NT.mean(), kernel="bartlett", bandwidth=bandwidth
    )
    return float(long_run_N.sum()) / (n * num_series**2)


def clustered_variance(
    d_NT: Float[np.ndarray, "N T"], *, by: ClusteredBy, small_sample: bool = False
) -> float:
    """Return the variance of the panel's mean from sums within clusters.

    Args:
        by: ``series`` takes the series as independent and allows any dependence over time,
            ``time`` the reverse, ``both`` neither (Cameron, Gelbach and Miller 2011).
        small_sample: multiply by G / (G - 1) for G clusters; not for ``both``.

    Raises:
        ValueError: for another ``by``, or the correction with both ways of clustering.
    """
    x_NT = d_NT - d_NT.mean()
    of_series = np.square(x_NT.sum(axis=1)).sum() / d_NT.size**2
    of_time = np.square(x_NT.sum(axis=0)).sum() / d_NT.size**2
    if by == "both" and not small_sample:
        return float(of_series + of_time - np.square(x_NT).sum() / d_NT.size**2)
    if by not in ("series", "time"):
        allowed = "series or time" if small_sample else "series, time or both"
        raise ValueError(
            f"clustered_variance: by = {by!r}, {allowed} is needed with small_sample = "
            f"{small_sample}; choose one"
        )
    number, variance = d_NT.shape[0], of_series
    if by == "time":
        number, variance = d_NT.shape[1], of_time
    return float(variance * (number / (number - 1) if small_sample else 1.0))


def _checked_panel(
    d_NT: Float[np.ndarray, "N T"], estimand: str, clusters_N: Int[np.ndarray, " C"]
) -> Bool[np.ndarray, "N T"]:
    seen_NT = ~np.isnan(d_NT)
    faults = []
    if infinite := int(np.isinf(d_NT).sum()):
        faults.append(f"panel_test: d has {infinite} infinite values, none is allowed; see why")
    if empty := int((~seen_NT.any(axis=0)).sum()):
        faults.append(
            f"panel_test: {empty} of {d_NT.shape[1]} origins have no series, each needs one; "
            "leave them out for all"
        )
    if empty := int((~seen_NT.any(axis=1)).sum()):
        faults.append(
            f"panel_test: {empty} of {d_NT.shape[0]} series have no origin, each needs one; "
            "leave them out"
        )
    if estimand not in ("these series", "new series"):
        faults.append(
            f"panel_test: estimand = {estimand!r}, these series or new series is needed; choose one"
        )
    if len(clusters_N) != len(d_NT):
        faults.append(
            f"panel_test: clusters = {len(clusters_N)}, one for each of {len(d_NT)} series is "
            "needed; align them with the rows of d"
        )
    if faults:
        raise ValueError("\n".join(faults))
    return seen_NT
