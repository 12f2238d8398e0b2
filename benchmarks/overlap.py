"""How fast series are fingerprinted, which copies are found, and how often strangers match.

python benchmarks/overlap.py                    all three tables
python benchmarks/overlap.py --fleet 10000      and the whole fleet: items x 10,000 points

Speed is processor time of one thread. Copies are those of the synthetic families: longer or
shorter, at another rate, with all values as they are or rounded to a hundredth of their standard
deviation; found means: the original, and nothing else, is named.
"""

import argparse
import resource
import time
from collections.abc import Callable, Iterator

import numpy as np

from toto_core.data.fingerprints import Recorder, record
from toto_core.data.overlap import find_overlaps, near_duplicates
from toto_core.data.synthetic import FAMILIES, generate

DAY = 24
RATES = (1, 2, 3, 4, 6, 12, 24)
COMMON_STEPS = (100, 200, 400, 800)
STRANGERS_STEPS = (500, 1500)

Make = Callable[[np.random.Generator], np.ndarray]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleet", type=int, default=0, help="items of 10,000 points")
    parser.add_argument("--originals", type=int, default=200)
    parser.add_argument("--strangers", type=int, default=1000)
    arguments = parser.parse_args()
    speed(500, 10_000)
    if arguments.fleet:
        speed(arguments.fleet, 10_000)
    copies(arguments.originals)
    strangers(arguments.strangers)


def walks(number: int, length: int) -> Iterator[tuple[str, np.ndarray]]:
    """Random walks, which have the most fingerprints of all."""
    for n in range(number):
        steps = np.random.default_rng([5, n]).standard_normal((1, length), np.float32)
        yield f"{n}", np.cumsum(steps, axis=1)


def speed(number: int, length: int) -> None:
    """Time recording and the search for near duplicates."""
    recorder, taken = Recorder(), 0.0
    for name, values in walks(number, length):
        start = time.process_time()
        recorder.add(name, values)
        taken += time.process_time() - start
    start = time.process_time()
    found = recorder.fingerprints()
    taken += time.process_time() - start
    start = time.process_time()
    pairs = near_duplicates(found)
    searched = time.process_time() - start
    points = number * length
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        "| items | points | fingerprints | record, s | points/s | pairs, s | matches | peak, MB |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    print(
        f"| {number:,} | {points:,} | {len(found):,} | {taken:.1f} | {points / taken:,.0f} | "
        f"{searched:.1f} | {len(pairs)} | {peak:,.0f} |\n",
        flush=True,
    )


def copies(number: int) -> None:
    """Count the copies that are found, by rate and by the steps of the coarser series."""
    longest = RATES[-1] * (COMMON_STEPS[-1] + 1)
    made = generate(11, number, length=longest, weights=dict.fromkeys(FAMILIES, 1.0))
    series = {f"{n}": values[:1] for n, (_, values) in enumerate(made)}
    columns = "".join(f" {n} steps |" for n in COMMON_STEPS)
    print(f"| rate | kind | values | windows stored |{columns} wrong |")
    print("|--:|---|---|---|" + "--:|" * (len(COMMON_STEPS) + 1))
    for rate in RATES:
        for kind in ("mean", "last") if rate > 1 else ("same",):
            for values, windows in (
                ("as they are", "all"),
                ("rounded", "all"),
                ("as they are", "a part"),
            ):
                found = [
                    pairs_found(series, rate, kind, steps, values == "rounded", windows == "all")
                    for steps in COMMON_STEPS
                ]
                right = " | ".join(f"{hits / number:.0%}" for hits, _ in found)
                wrong = sum(others for _, others in found)
                print(f"| {rate} | {kind} | {values} | {windows} | {right} | {wrong} |", flush=True)
    print()


def pairs_found(
    series: dict[str, np.ndarray], rate: int, kind: str, steps: int, rounds: bool, all_windows: bool
) -> tuple[int, int]:
    """Ask for coarser copies among the originals; return how many are met, and how many others."""
    stored = record(
        ((name, values[:, : rate * (steps + 1)]) for name, values in series.items()),
        all_windows=all_windows,
    )
    copied = (
        (name, coarser(x, rate, kind, steps, is_rounded=rounds)) for name, x in series.items()
    )
    pairs = find_overlaps(record(copied, all_windows=True), stored)
    hits = sum(pair.item == pair.other for pair in pairs)
    return hits, len(pairs) - hits


def coarser(
    values: np.ndarray, rate: int, kind: str, steps: int, *, is_rounded: bool
) -> np.ndarray:
    """Return a copy that begins half a coarse step later, in another unit."""
    part = values[0, rate // 2 :][: rate * steps].astype(np.float64).reshape(-1, rate)
    found = part.mean(axis=1) if kind == "mean" else part[:, -1]
    spread = found.std()
    if is_rounded and spread > 0:
        found = np.round(found / spread, 2)
    return (100 * found[None] + 7).astype(np.float32)


def strangers(number: int) -> None:
    """Count matches among independent series of one kind."""
    print("| kind | steps | pairs of series | matches |")
    print("|---|--:|--:|--:|")
    for length in STRANGERS_STEPS:
        for name, make in kinds(length).items():
            found = matches(make, number, length)
            print(f"| {name} | {length} | {num_pairs(number):,} | {found} |", flush=True)
        few = number // 4
        found = sum(matches(family(name, length), few, length) for name in FAMILIES)
        pairs = len(FAMILIES) * num_pairs(few)
        print(f"| within {len(FAMILIES)} synthetic families | {length} | {pairs:,} | {found} |")


def matches(make: Make, number: int, length: int) -> int:
    """Count the matches among ``number`` series."""
    rng = np.random.default_rng([3, length])
    found = record((f"{n}", make(rng).astype(np.float32)[None]) for n in range(number))
    return len(near_duplicates(found))


def num_pairs(number: int) -> int:
    """Pairs of ``number`` series."""
    return number * (number - 1) // 2


def family(name: str, length: int) -> Make:
    """Return what makes one series of a synthetic family: its first variate."""
    return lambda rng: FAMILIES[name](rng, length)[0]


def kinds(length: int) -> dict[str, Make]:
    """Return what makes one series of each kind."""
    t = np.arange(length)
    timetable = 5.0 * (t % (2 * DAY) < DAY) + (t % 7 == 0)

    def sine(rng: np.random.Generator, noise: float) -> np.ndarray:
        phase = 2 * np.pi * rng.random()
        return np.sin(2 * np.pi * t / DAY + phase) + noise * rng.standard_normal(length)

    def smooth(rng: np.random.Generator) -> np.ndarray:
        return np.convolve(rng.standard_normal(length + 29), np.hanning(30), "valid")

    return {
        "sine": lambda rng: sine(rng, 0.0),
        "sine, 1 % noise": lambda rng: sine(rng, 0.01),
        "sine, 10 % noise": lambda rng: sine(rng, 0.1),
        "timetable, noise 0.1": lambda rng: timetable + 0.1 * rng.standard_normal(length),
        "counts, mean 2": lambda rng: rng.poisson(2, length),
        "smooth": smooth,
    }


if __name__ == "__main__":
    main()
