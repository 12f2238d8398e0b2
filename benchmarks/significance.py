"""Size and power of the tests of significance, beside an independent simulation of the same.

python benchmarks/significance.py                          every table, about a minute each
python benchmarks/significance.py size --replications 2000 one of them, shorter

Rejections in percent. In brackets the value of ``tests/golden/size_power.json``, which was
simulated with other code and other random numbers; a cell is origins / overlap. Each table ends
with the distance of the two in standard errors of their difference. For panels see
benchmarks/panel_significance.py.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit
from scipy.stats import skew
from significance_variants import (
    GATE,
    VARIANTS,
    Process,
    Rows,
    autoregression,
    decaying,
    moving_sum,
    skewed,
    sum_of_autoregression,
)

from toto_core.evaluation.comparison import PREFERRED_ORIGINS
from toto_core.evaluation.significance import ewc_rows

STORED = Path(__file__).parents[1] / "tests" / "golden" / "size_power.json"
CHUNK = 4000  # rows at a time
ROUNDING = 0.1 / math.sqrt(12)  # standard deviation of a stored value's rounding, points
HLN, COSINES = "HLN as R's acf", "EWC, at most n/(2h)"
OUT_OF_SELECTION: Mapping[str, Process] = {
    "decaying moving average": decaying,
    "AR(0.3)": autoregression(0.3),
    "moving sum of AR(0.5)": sum_of_autoregression,
    "AR(0.8)": autoregression(0.8),
}
# What the gate does with persistence that the overlap does not explain.
PERSISTENT: Mapping[str, Process] = {
    "moving sum": moving_sum,
    "AR(0.5)": autoregression(0.5),
    "AR(0.8)": autoregression(0.8),
    "AR(0.9)": autoregression(0.9),
}

Shares = dict[str, float]
Row = tuple[str, Sequence[tuple[float, float | None]]]  # title; simulated, stored


def main() -> None:
    """Print the tables that are asked for, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="table", help=", ".join(TABLES))
    parser.add_argument("--replications", type=int, default=20_000)
    arguments = parser.parse_args()
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    for name in arguments.tables or TABLES:
        started = time.process_time()
        title, head, rows, their_replications = TABLES[name](stored, arguments.replications)
        print(f"\n### {title}\n")
        print_table(head, rows)
        used = time.process_time() - started
        print(f"\n{agreement(rows, arguments.replications, their_replications)} {used:.0f} s.")


def rejections(
    process: Process,
    cell: str,
    names: Iterable[str],
    *,
    replications: int,
    size: float = 0.05,
    two_sided: bool = True,
    shift: float = 0.0,
) -> Shares:
    """Return the share of rejections of each variant, in percent.

    Args:
        cell: ``n/h``.
        size: nominal, of both tails together or of the upper one alone.
        shift: added to the rows, in standard errors of the mean of a moving sum.
    """
    n, h = sizes(cell)
    names = list(names)
    level = 1 - size / 2 if two_sided else 1 - size
    found = np.zeros(len(names))
    for d in batches(process, n, h, replications):
        moved = d + shift * standard_error(n, h)
        for index, name in enumerate(names):
            statistic, critical = VARIANTS[name](moved, h, level)
            tail = np.abs(statistic) if two_sided else statistic
            found[index] += np.count_nonzero(tail > critical)
    return dict(zip(names, (100 * found / replications).tolist(), strict=True))


def batches(process: Process, n: int, h: int, replications: int) -> Iterator[Rows]:
    """Yield the rows of one cell; its numbers depend on n, h and their count alone."""
    rng = np.random.default_rng([n, h, replications])
    for first in range(0, replications, CHUNK):
        yield process(rng, min(CHUNK, replications - first), n, h)


def standard_error(n: int, h: int) -> float:
    """Return the true standard error of the mean of n moving sums over h values."""
    lags = np.arange(1, min(h, n))
    return math.sqrt((n * h + 2 * np.sum((n - lags) * (h - lags))) / n**2)


def sizes(cell: str) -> tuple[int, int]:
    """Return origins and overlap of a cell."""
    n, h = cell.split("/")
    return int(n), int(h)


Table = tuple[str, Sequence[str], list[Row], int]


def grid(
    key: str, title: str, process: Process, *, two_sided: bool = True
) -> Callable[[Mapping[str, Any], int], Table]:
    """Return the table of every variant over the cells that are stored under ``key``."""

    def table(stored: Mapping[str, Any], replications: int) -> Table:
        cells, theirs = stored[key]["cells"], stored[key]["percent"]
        found = [
            rejections(process, cell, VARIANTS, replications=replications, two_sided=two_sided)
            for cell in cells
        ]
        rows: list[Row] = [
            (
                name,
                [
                    (shares[name], theirs[name][column] if name in theirs else None)
                    for column, shares in enumerate(found)
                ],
            )
            for name in VARIANTS
        ]
        return title, cells, rows, stored["replications"][key]

    return table


def out_of_selection(stored: Mapping[str, Any], replications: int) -> Table:
    """Dependence that the rule of the cosines was not chosen on."""
    cells, theirs = (stored["out_of_selection"][key] for key in ("cells", "percent"))
    rows: list[Row] = []
    for dependence, process in OUT_OF_SELECTION.items():
        shares = [
            rejections(process, cell, (HLN, COSINES, GATE), replications=replications)
            for cell in cells
        ]
        for name in (HLN, COSINES, GATE):
            values = theirs[dependence].get(name, [None] * len(cells))
            pairs = [(share[name], value) for share, value in zip(shares, values, strict=True)]
            rows.append((f"{dependence}: {name}", pairs))
    title = "Dependence that the rule was not chosen on, two-sided 5 %"
    return title, cells, rows, stored["replications"]["out_of_selection"]


def persistence(stored: Mapping[str, Any], replications: int) -> Table:
    """What the gate does where the differential is persistent: rejects, or refuses."""
    theirs, cells = stored["effective_overlap"], ("60/1", "120/1", "250/1", "250/8", "500/16")
    rows: list[Row] = []
    for name, process in PERSISTENT.items():
        rejected, refused = [], []
        for cell in cells:
            n, h = sizes(cell)
            conclusive = sum(
                np.count_nonzero(ewc_rows(d, h=h).conclusive)
                for d in batches(process, n, h, replications)
            )
            share = rejections(process, cell, (GATE,), replications=replications)[GATE]
            rejected.append((share, theirs["percent"].get(name, {}).get(cell)))
            refused.append(
                (100 - 100 * conclusive / replications, theirs["refused"].get(name, {}).get(cell))
            )
        rows += [(f"{name}: rejected and not refused", rejected), (f"{name}: refused", refused)]
    return "The gate's test under persistence, two-sided 5 %", cells, rows, theirs["replications"]


def halved(stored: Mapping[str, Any], replications: int) -> Table:
    """What half the level does for lopsided differentials, and where the gate takes it."""
    cells, theirs = tuple(stored["halved_level"]), stored["halved_level"]
    found = [
        rejections(
            skewed, cell, (COSINES, GATE), replications=replications, size=0.025, two_sided=False
        )
        for cell in cells
    ]
    rows: list[Row] = [
        (
            f"{COSINES}: at 2.5 %",
            [(f[COSINES], theirs[c]) for f, c in zip(found, cells, strict=True)],
        ),
        (f"{GATE}: at 2.5 %", [(f[GATE], None) for f in found]),
    ]
    for name, process in (("lopsided", skewed), ("even", moving_sum)):
        shares = [(by_the_gates_rule(process, cell, replications), None) for cell in cells]
        rows.append((f"{GATE}: {name}, halved by its rule", shares))
    title = "Half the level, one-sided: lopsided differentials, and the gate's rule"
    return title, cells, rows, stored["replications"]["skewed"]


def by_the_gates_rule(process: Process, cell: str, replications: int) -> float:
    """Return the share that the gate rejects at 5 %, halved for few or lopsided origins."""
    n, h = sizes(cell)
    count = 0
    for d in batches(process, n, h, replications):
        is_halved = (n < PREFERRED_ORIGINS) | (np.abs(skew(d, axis=1)) > 1)
        rows = ewc_rows(d, h=h)
        critical = stdtrit(rows.df, np.where(is_halved, 0.975, 0.95))
        count += np.count_nonzero((rows.mean > critical * rows.std_error) & rows.conclusive)
    return 100 * count / replications


def power(stored: Mapping[str, Any], replications: int) -> Table:
    """Power against a true mean of so many standard errors."""
    shifts = stored["power"]["noncentrality"]
    rows: list[Row] = []
    for cell, theirs in stored["power"]["percent"].items():
        found = [
            rejections(
                moving_sum,
                cell,
                (HLN, COSINES, GATE),
                replications=replications,
                two_sided=False,
                shift=shift,
            )
            for shift in shifts
        ]
        for name in (HLN, COSINES, GATE):
            values = theirs.get(name, [None] * len(shifts))
            pairs = [(share[name], value) for share, value in zip(found, values, strict=True)]
            rows.append((f"{cell}: {name}", pairs))
    head = [f"mean = {shift:g} s.e." for shift in shifts]
    return "Power, moving sums, one-sided 5 %", head, rows, stored["replications"]["power"]


def print_table(head: Sequence[str], rows: Sequence[Row]) -> None:
    """Print the rows as Markdown, the stored value in brackets."""
    print("| test | " + " | ".join(head) + " |")
    print("|---|" + "--:|" * len(head))
    for title, pairs in rows:
        cells = (
            f"{ours:.1f}" + (f" ({theirs:.1f})" if theirs is not None else "")
            for ours, theirs in pairs
        )
        print(f"| {title} | " + " | ".join(cells) + " |", flush=True)


def distances(rows: Sequence[Row], ours: int, theirs: int) -> np.ndarray:
    """Return (simulated - stored) / standard error of the difference, of all pairs."""
    pairs = np.array(
        [pair for _, cells in rows for pair in cells if pair[1] is not None], dtype=float
    )
    share = np.clip(pairs.mean(axis=1) / 100, 1 / ours, 1 - 1 / ours)
    variance = 1e4 * share * (1 - share) * (1 / ours + 1 / theirs) + ROUNDING**2
    return (pairs[:, 0] - pairs[:, 1]) / np.sqrt(variance)


def agreement(rows: Sequence[Row], ours: int, theirs: int) -> str:
    """Return in words how far the simulations lie apart."""
    z = distances(rows, ours, theirs)
    error = 100 * math.sqrt(0.05 * 0.95 / ours)
    return (
        f"{ours:,} replications, standard error {error:.2f} points at 5 %. {len(z)} values have a "
        f"stored one: root mean square distance {np.sqrt(np.mean(z**2)):.2f} standard errors, "
        f"largest {np.abs(z).max():.1f}, {np.count_nonzero(np.abs(z) > 3)} beyond 3."
    )


TABLES: Mapping[str, Callable[[Mapping[str, Any], int], Table]] = {
    "size": grid("moving_sum", "Size, moving sums over h origins, two-sided 5 %", moving_sum),
    "persistent": grid("persistent", "Size, AR(0.5), two-sided 5 %", autoregression(0.5)),
    "skewed": grid(
        "skewed", "Size, lopsided differentials, one-sided 5 %", skewed, two_sided=False
    ),
    "fresh": out_of_selection,
    "persistence": persistence,
    "halved": halved,
    "power": power,
}


if __name__ == "__main__":
    main()
