"""Tests over panels whose series share shocks: what each variance takes for granted.

python benchmarks/panel_significance.py [--replications 2000]

Rejections in percent, two-sided 5 %, of panels whose true mean is zero. In brackets the value of
``tests/golden/size_power.json``, simulated with other code, other random numbers and loadings of
another spread; columns that do not depend on the loadings agree within both errors.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from scipy.special import ndtri, stdtrit
from significance import STORED
from significance_variants import moving_sum

from toto_core.evaluation.significance import (
    Estimand,
    clustered_variance,
    dm_test,
    driscoll_kraay_variance,
    ewc_test,
    panel_test,
)

LEVEL = 0.975
# The spread of the series' own means in the second table, and of the loadings on the shock.
EFFECT = 0.5
LOADINGS = (0.6, 1.4)
KINDS = ((3, 0.0), (5, 0.0), (10, 0.0), (100, 0.0), (10, 0.2), (100, 0.2), (1000, 0.2))
ORIGINS = 60

Panel = np.ndarray  # N series, T origins


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=2000)
    replications = parser.parse_args().replications
    started = time.process_time()
    shared_shocks(replications)
    new_series(replications)
    print(f"\n{replications:,} replications, {time.process_time() - started:.0f} s.")


def panel(
    rng: np.random.Generator, num_series: int, n: int, h: int, *, rho: float, effect: float = 0.0
) -> Panel:
    """Return moving sums over h origins with mean correlation ``rho`` between the series.

    Args:
        effect: standard deviation of the series' own means, in units of one value's.
    """
    loading_N = math.sqrt(rho) * rng.uniform(*LOADINGS, num_series)
    shock_T = moving_sum(rng, 1, n, h)[0]
    own_NT = moving_sum(rng, num_series, n, h)
    values = loading_N[:, None] * shock_T + np.sqrt(1 - loading_N**2)[:, None] * own_NT
    return values + effect * math.sqrt(h) * rng.standard_normal(num_series)[:, None]


def exceeds(d_NT: Panel, variance: float, critical: float) -> bool:
    """Return whether the mean of the panel is further from zero than the critical value."""
    return abs(float(d_NT.mean())) > critical * math.sqrt(variance)


def textbook_driscoll_kraay(d_NT: Panel, h: int) -> bool:
    """Reject with the lags of the textbooks and normal critical values."""
    lags = math.floor(4 * (d_NT.shape[1] / 100) ** (2 / 9))
    return exceeds(d_NT, driscoll_kraay_variance(d_NT, bandwidth=lags + 1), float(ndtri(LEVEL)))


def clustered(d_NT: Panel, *, by: Literal["series", "time"]) -> bool:
    """Reject with sums within clusters and Student's t."""
    number = d_NT.shape[0 if by == "series" else 1]
    variance = clustered_variance(d_NT, by=by, small_sample=True)
    return exceeds(d_NT, variance, float(stdtrit(number - 1, LEVEL)))


TESTS: Mapping[str, Callable[[Panel, int], bool]] = {
    "pooled cells": lambda d, h: exceeds(d, float(d.var()) / d.size, float(ndtri(LEVEL))),
    "clustered by series": lambda d, h: clustered(d, by="series"),
    "clustered by time": lambda d, h: clustered(d, by="time"),
    "Driscoll-Kraay, normal": textbook_driscoll_kraay,
    "HLN of the mean series": lambda d, h: (
        dm_test(d.mean(axis=0), h=h, alternative="two-sided").p_value < 0.05
    ),
    "EWC of the mean series": lambda d, h: (
        ewc_test(d.mean(axis=0), h=h, alternative="two-sided").p_value < 0.05
    ),
}


def shared_shocks(replications: int) -> None:
    """Print what a small correlation between the series does to each test."""
    print("\n### Panels with shared shocks, two-sided 5 %\n")
    print("| N series, T origins, h, correlation | " + " | ".join(TESTS) + " |")
    print("|---|" + "--:|" * len(TESTS))
    for case in json.loads(STORED.read_text(encoding="utf-8"))["panel"]["percent"]:
        num_series, n, h, rho = (case[key] for key in ("N", "T", "h", "rho"))
        rng = np.random.default_rng([num_series, n, h, round(100 * rho)])
        counts = dict.fromkeys(TESTS, 0)
        for _ in range(replications):
            d_NT = panel(rng, num_series, n, h, rho=rho)
            for name, test in TESTS.items():
                counts[name] += test(d_NT, h)
        cells = (
            f"{100 * count / replications:.1f} ({case[name]:.1f})" for name, count in counts.items()
        )
        print(f"| {num_series}, {n}, {h}, {rho:g} | " + " | ".join(cells) + " |", flush=True)


def new_series(replications: int) -> None:
    """Print how often each estimand's test finds a mean over series that there is not."""
    print(f"\n### Series with means of their own (standard deviation {EFFECT:g}), two-sided 5 %\n")
    print("| N series, correlation, h | these series | new series | new, without own means |")
    print("|---|--:|--:|--:|")
    for num_series, rho in KINDS:
        for h in (1, 4):
            rng = np.random.default_rng([num_series, round(100 * rho), h])
            these = new = without = 0
            for _ in range(replications):
                d_NT = panel(rng, num_series, ORIGINS, h, rho=rho, effect=EFFECT)
                these += rejects(d_NT, h, "these series")
                new += rejects(d_NT, h, "new series")
                without += rejects(panel(rng, num_series, ORIGINS, h, rho=rho), h, "new series")
            cells = (f"{100 * count / replications:.1f}" for count in (these, new, without))
            print(f"| {num_series}, {rho:g}, {h} | " + " | ".join(cells) + " |", flush=True)


def rejects(d_NT: Panel, h: int, estimand: Estimand) -> bool:
    """Return whether the panel's test rejects; where it refuses, it does not."""
    found = panel_test(d_NT, h=h, estimand=estimand, alternative="two-sided")
    return found.p_value < 0.05


if __name__ == "__main__":
    main()
