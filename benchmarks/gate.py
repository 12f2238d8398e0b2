"""What the gate lets in: chances of a PASS by skill, and of the best of many useless candidates.

python benchmarks/gate.py                   every table, about two minutes of one core
python benchmarks/gate.py --panels 20       the last one shorter

The first two simulate the differentials of the origins alone, 20,000 and 4,000 times; the third
lets the gate itself judge panels of twelve series. Figures are percent.
"""

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64
from scipy.special import stdtr
from scipy.stats import skew

from flows import paths
from toto_core.config import load_params
from toto_core.evaluation.checks import Provenance
from toto_core.evaluation.comparison import NUM_FOLDS, PREFERRED_ORIGINS
from toto_core.evaluation.gate import holm_divisor, judge
from toto_core.evaluation.protocol import Frozen, protocol_hash
from toto_core.evaluation.significance import ewc_rows
from toto_core.evaluation.verdict import MANDATORY, MODEL, PASS

PARAMS = load_params(Path(__file__).parents[1] / paths.PARAMS).register_
REPLICATIONS, BATCHES = 20_000, 4_000

# Origins, overlap, standard deviation of d over the mean loss, true skill, and the shares of an
# independent simulation of the same rules: mean above zero, test, and 4 of 5 periods, and 5 of 5,
# and worst period and least skill.
CELLS: Sequence[tuple[int, int, float, float, tuple[float, ...]]] = (
    (60, 1, 0.15, 0.00, (49.9, 5.0, 4.7, 2.1, 4.6)),
    (60, 1, 0.15, 0.05, (99.5, 75.1, 73.5, 49.5, 72.9)),
    (60, 1, 0.15, 0.10, (100, 99.8, 99.8, 95.2, 99.7)),
    (120, 1, 0.15, 0.02, (92.6, 38.2, 36.0, 18.9, 36.0)),
    (120, 1, 0.50, 0.10, (98.7, 65.0, 62.8, 38.2, 54.8)),
    (60, 4, 0.15, 0.00, (49.8, 5.4, 5.1, 2.4, 4.8)),
    (120, 4, 0.15, 0.05, (96.6, 54.4, 52.1, 30.8, 49.8)),
    (250, 8, 0.15, 0.00, (49.8, 5.4, 4.9, 2.0, 4.6)),
    (250, 8, 0.15, 0.10, (100, 97.5, 96.6, 79.8, 95.1)),
)
ATTEMPTS = (1, 5, 20)
ALIKE = 0.5  # correlation of the candidates' differentials
SKILLS = (0.0, 0.02, 0.03, 0.05, 0.10)
NUM_SERIES = 12
START = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--panels", type=int, default=100, help="of each cell of the last table")
    panels = parser.parse_args().panels
    for table in (characteristics(), best_of_many(), whole_gate(panels)):
        started = time.process_time()
        print("\n" + "\n".join(table))
        print(f"\n{time.process_time() - started:.0f} s of processor time.")


def characteristics() -> Iterable[str]:
    """Chances of a PASS of each rule on one baseline, beside those of another simulation."""
    head = ("mean > 0", "test", "4 of 5", "5 of 5", "worst period", "with margin")
    yield "| n, h, cv, true skill | " + " | ".join(head) + " |"
    yield "|---|" + "--:|" * len(head)
    for number, (n, h, cv, true_skill, stored) in enumerate(CELLS):
        rng = np.random.default_rng([number, 0])
        d = true_skill + cv * moving_sums(rng, REPLICATIONS, n, h)
        shares = [100 * float(rule.mean()) for rule in rules(d, h)]
        cells = [f"{share:.1f} ({then:g})" for share, then in zip(shares, stored, strict=False)]
        yield f"| {n}, {h}, {cv:g}, {true_skill:.0%} | {' | '.join(cells)} | {shares[-1]:.1f} |"


def rules(d: Float64[np.ndarray, "R n"], h: int) -> list[Bool[np.ndarray, " R"]]:
    """Whether each series of differentials passes, rule by rule, against a loss of one."""
    tested = p_values(d, h) <= PARAMS.alpha
    periods = np.array([part.mean(axis=1) for part in np.array_split(d, NUM_FOLDS, axis=1)])
    wins = (periods > 0).sum(axis=0)
    spread = (wins >= PARAMS.min_fold_wins) & (periods.min(axis=0) >= -PARAMS.max_fold_loss)
    sized = spread & (d.mean(axis=1) >= PARAMS.margin)
    lopsided = np.abs(skew(d, axis=1)) > 1
    halved = 2 if d.shape[1] < PREFERRED_ORIGINS else np.where(lopsided, 2, 1)
    beyond = p_values(d - PARAMS.margin, h) <= PARAMS.alpha / halved
    return [
        d.mean(axis=1) > 0,
        tested,
        tested & (wins >= PARAMS.min_fold_wins),
        tested & (wins == NUM_FOLDS),
        tested & sized,
        beyond & tested & sized,
    ]


def best_of_many() -> Iterable[str]:
    """Chances that any of several useless candidates passes, judged one after the other."""
    head = ("alpha each", "alpha / k", "Holm over those so far", "Holm over all at the end")
    yield f"| useless candidates, n = 60, alike {ALIKE:g} | {' | '.join(head)} |"
    yield "|--:|" + "--:|" * len(head)
    rng = np.random.default_rng([0, 1])
    most, n = max(ATTEMPTS), PREFERRED_ORIGINS
    own = rng.standard_normal((BATCHES, most, n))
    shared = rng.standard_normal((BATCHES, 1, n))
    d = np.sqrt(1 - ALIKE) * own + np.sqrt(ALIKE) * shared
    p = p_values(d.reshape(-1, n), 1).reshape(BATCHES, most)
    place = np.arange(1, most + 1)
    divisors = np.array(
        [[holm_divisor(row[:k], PARAMS.alpha) for k in place - 1] for row in p.tolist()]
    )
    ways = (p <= PARAMS.alpha, p <= PARAMS.alpha / place, p <= PARAMS.alpha / divisors)
    for number in ATTEMPTS:
        shares = [100 * float(way[:, :number].any(axis=1).mean()) for way in ways]
        lowest = p[:, :number].min(axis=1)  # Holm proves any of them if and only if it proves this
        shares.append(100 * float((lowest <= PARAMS.alpha / number).mean()))
        yield f"| {number} | {' | '.join(f'{share:.1f}' for share in shares)} |"


def whole_gate(panels: int) -> Iterable[str]:
    """Shares of panels that the gate itself passes, by true skill on all series."""
    yield "| origins | " + " | ".join(f"{skill:.0%}" for skill in SKILLS) + " |"
    yield "|--:|" + "--:|" * len(SKILLS)
    for n in (60, 120, 250):
        shares = []
        for skill in SKILLS:
            outcomes = [outcome(seed, n, skill) for seed in range(panels)]
            shares.append(100 * outcomes.count(PASS) / panels)
        yield f"| {n} | {' | '.join(f'{share:.1f}' for share in shares)} |"


def outcome(seed: int, n: int, skill: float) -> str:
    """Judge a model with this skill on one panel; its coverage and provenance are in order."""
    table = losses(seed, n, skill)
    protocol: Mapping[str, Any] = {"seed": seed}
    return judge(
        table,
        splits={
            "overlap": 1,
            "step_us": 3_600_000_000,
            "validation_start": START.isoformat(),
            "test_start": START.isoformat(),
            "test_end": (START + timedelta(days=n)).isoformat(),
            "test_origins": table["origin"].unique().to_list(),
        },
        evaluation={
            "seasonality": {"1h": 24},
            "contamination": {"overlap": "none"},
            "coverage": {f"{level / 10}": level / 10 for level in range(1, 10)},
        },
        provenance=Provenance(START - timedelta(hours=1), "x", "x"),
        frozen=Frozen(protocol, protocol_hash(protocol), protocol, ()),
        params=PARAMS,
    ).outcome


def losses(seed: int, n: int, skill: float) -> pl.DataFrame:
    """Losses of twelve series whose differentials share half of their variance at an origin.

    Over the series their standard deviation is 0.15 of the mean loss at an origin, as in most
    cells of the first table.
    """
    rng = np.random.default_rng([seed, n, 2])
    level = rng.gamma(20, 1 / 20, (NUM_SERIES, n)) * rng.gamma(20, 1 / 20, n)
    own = rng.standard_normal((NUM_SERIES, n))
    noise = np.sqrt(0.5) * own + np.sqrt(0.5) * rng.standard_normal(n)
    cv = 0.15 / np.sqrt(0.5 + 0.5 / NUM_SERIES)
    model = level - skill * level.mean() - cv * noise
    series, origin = np.indices(level.shape).reshape(2, -1)
    shared = {
        "item_id": [f"item-{s}" for s in series],
        "group": [f"group-{s // 3}" for s in series],
        "variate": "value",
        "held_out": False,
        "origin": [START + timedelta(days=int(o)) for o in origin],
        "source": "candidate",
        "cov80": 0.8,
        "num_steps": 24,
        "scale": 1.0,
    }
    return pl.concat(
        pl.DataFrame(shared | {"forecaster": name, "sql": values.ravel(), "mase": values.ravel()})
        for name, values in ((MODEL, model), *((baseline, level) for baseline in MANDATORY))
    )


def moving_sums(
    rng: np.random.Generator, replications: int, n: int, h: int
) -> Float64[np.ndarray, "R n"]:
    """Sums of h neighbouring normal draws, with variance one: overlapping forecasts' errors."""
    draws = rng.standard_normal((replications, n + h - 1)).cumsum(axis=1)
    before = np.concatenate([np.zeros((replications, 1)), draws[:, :-h]], axis=1)
    return (draws[:, h - 1 :] - before) / np.sqrt(h)


def p_values(d: Float64[np.ndarray, "R n"], h: int) -> Float64[np.ndarray, " R"]:
    """One-sided p-values of the gate's test; one where it does not decide."""
    rows = ewc_rows(d, h=h)
    found = stdtr(rows.df, -rows.mean / rows.std_error)
    return np.where(rows.conclusive, found, 1.0)


if __name__ == "__main__":
    main()
