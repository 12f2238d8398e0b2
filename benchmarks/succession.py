"""What becomes of a successor: how often it passes, fails or stays undecided, by its true error.

python benchmarks/succession.py [--replications 1000]

The champion's loss per origin is drawn once for each replication; the challenger's differs from it
by the true change and by noise, given as the standard error of the skill over all origins.
"""

import argparse
import time

import numpy as np

from toto_core.evaluation.verdict import FAIL, INCONCLUSIVE, PASS
from toto_core.registry.succession import Rule, decide

CHANGES = (-0.05, -0.02, 0.0, 0.005, 0.01, 0.02, 0.05)
STANDARD_ERRORS = (0.002, 0.005, 0.01)
NUM_ORIGINS = 60
RULE = Rule(tolerance=0.01, alpha=0.05, attempt=1, overlap=1)


def shares(change: float, standard_error: float, replications: int) -> dict[str, float]:
    """Return how often each outcome comes about."""
    seed = [round(1e4 * (1 + change)), round(1e4 * standard_error)]
    rng = np.random.default_rng(seed)
    counts: dict[str, int] = {PASS: 0, FAIL: 0, INCONCLUSIVE: 0}
    for _ in range(replications):
        champion = rng.gamma(25.0, 1 / 25, NUM_ORIGINS)
        noise = rng.normal(0, standard_error * np.sqrt(NUM_ORIGINS), NUM_ORIGINS)
        outcome, *_ = decide(champion, champion * (1 + change) + noise, RULE)
        counts[outcome] += 1
    return {name: count / replications for name, count in counts.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--replications", type=int, default=1000)
    replications = parser.parse_args().replications
    began = time.process_time()
    head = " | ".join(f"s = {error:.1%}" for error in STANDARD_ERRORS)
    print(f"PASS / FAIL / INCONCLUSIVE in %, {NUM_ORIGINS} origins, tolerance {RULE.tolerance:.0%}")
    print(f"| true change of the error | {head} |")
    print("|---" * (1 + len(STANDARD_ERRORS)) + "|")
    for change in CHANGES:
        cells = [
            " / ".join(
                f"{100 * share:.0f}" for share in shares(change, error, replications).values()
            )
            for error in STANDARD_ERRORS
        ]
        print(f"| {change:+.1%} | {' | '.join(cells)} |")
    print(f"{time.process_time() - began:.0f} s of processor time, {replications} replications")


if __name__ == "__main__":
    main()
