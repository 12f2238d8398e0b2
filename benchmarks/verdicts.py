"""The outcome of finished runs as the tables of docs/results.md.

python benchmarks/verdicts.py . ../another-checkout
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows import paths

BLOCKS = {
    "candidate": "seen series",
    "held_out": "held-out series",
    "crossval": "rolling refits",
}


def main() -> None:
    """Print the verdict and the skill of each project named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("projects", nargs="+", type=Path)
    for project in parser.parse_args().projects:
        evaluation = read(project / paths.METRICS / "evaluate.json")
        verdict = read(project / paths.REGISTRY / "verdict.json")
        print(f"\n**{verdict['outcome']}**: {verdict['headline']}\n")
        for check in verdict["checks"]:
            if check["outcome"] != "PASS":
                print(f"- {check['outcome']}: {check['name']}: {check['found']}")
        print("\n| judged on | against | skill | two-sided 95 % | p (one-sided) | origins |")
        print("|---|---|--:|---|--:|--:|")
        for block, title in BLOCKS.items():
            for baseline, found in evaluation["skill"][block].items():
                print(row(title, baseline, found))
        for variate, baselines in evaluation["skill_by_variate"].items():
            print(row(f"seen series, {variate}", "naive", baselines["naive"]))
        model = evaluation["pooled"]["model"]
        print(
            f"\nSQL {model['sql']:.3f}, MASE {model['mase']:.3f}, WQL {model['wql']:.3f}; the 80 % "
            f"interval holds {model['coverage80']:.1%} of the truth; {evaluation['num_series']} "
            f"series judged, {len(evaluation['outside_test_period'])} are outside the test period."
        )


def row(title: str, baseline: str, found: Mapping[str, Any]) -> str:
    """Return one comparison as a row of the table."""
    name = {"naive": "no change", "seasonal_naive": "seasonal naive"}.get(baseline, baseline)
    numbers = [found[key] for key in ("skill", "lower", "upper", "p_value")]
    skill, lower, upper, p = (float("nan") if x is None else x for x in numbers)
    return (
        f"| {title} | {name} | {100 * skill:.1f} % | {100 * lower:.1f} to {100 * upper:.1f} % "
        f"| {p:.2g} | {found['n']} |"
    )


def read(path: Path) -> dict[str, Any]:
    """Read a JSON file of a finished run."""
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
