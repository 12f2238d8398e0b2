"""How many points a second one core synthesises: each family, and the mixture of params.yaml.

python benchmarks/synthesis.py --length 4096 --lengths 1024 2048 8192 --processes 2

A family's row is processor time of one thread. The last rows are wall time of all processes, their
start left out.
"""

import argparse
import time
from itertools import islice
from pathlib import Path

from toto_core.config import load_params
from toto_core.data.synthetic import FAMILIES, generate, synthetic_series
from toto_core.data.synthetic.generation import CHUNK_POINTS

_WARM_UP = 10  # series, not timed


def main() -> None:
    """Print one row for each family and each mixture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=4096)
    parser.add_argument("--lengths", type=int, nargs="*", default=[1024, 2048, 8192])
    parser.add_argument("--series", type=int, default=200, help="of each family")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    mixture = load_params(Path("params.yaml")).augment.families.model_dump()
    print(f"| family, {arguments.length} points | weight | variates | points/s of one core |")
    print("|---|--:|--:|--:|")
    for name in FAMILIES:
        alone = {family: float(family == name) for family in FAMILIES}
        rate, variates = speed(alone, arguments.length, arguments.series)
        print(f"| {name} | {mixture[name]:g} | {variates:.1f} | {rate:,.0f} |", flush=True)
    for length in (arguments.length, *arguments.lengths):
        rate, variates = speed(mixture, length, 10 * arguments.series)
        print(f"| mixture, {length} points | | {variates:.1f} | {rate:,.0f} |", flush=True)
    rate = shared_speed(mixture, arguments.length, arguments.processes)
    print(f"| mixture, {arguments.processes} processes | | | {rate:,.0f} in all |")


def speed(weights: dict[str, float], length: int, count: int) -> tuple[float, float]:
    """Points a second of processor time, and variates a series."""
    for index in range(_WARM_UP):
        synthetic_series(1, index, length=length, weights=weights)
    start_s, rows = time.process_time(), 0
    for _, values in generate(0, count, length=length, weights=weights):
        rows += len(values)
    return rows * length / (time.process_time() - start_s), rows / count


def shared_speed(weights: dict[str, float], length: int, processes: int) -> float:
    """Points a second of wall time, counted from the first series on."""
    chunk = CHUNK_POINTS // length  # what comes at once
    series = generate(
        0, 160 * processes * chunk, length=length, weights=weights, processes=processes
    )
    next(islice(series, 8 * processes * chunk, None))
    start_s, points = time.perf_counter(), 0
    for _, values in series:
        points += values.size
    return points / (time.perf_counter() - start_s)


if __name__ == "__main__":
    main()
