"""What it takes to write, to check and to open a corpus, and to read windows from a huge one.

python benchmarks/corpus.py --tiny-items 1000000

Seconds are processor time of one thread. The last table draws windows from sparse shards, which
take no room on the disk: memory is what the process maps and holds beyond what it held before.
"""

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from toto_core.data.corpus import (
    ARRAYS_FILE,
    NAMES_FILE,
    TARGET,
    Corpus,
    Entry,
    Mixture,
    shard_name,
    write_corpus,
)

_LONG_ITEMS, _LONG_STEPS = 64, 1_000_000
_SPARSE_STEPS, _SPARSE_IN_SHARD = 1_000_000, 268
_WINDOW, _NUM_WINDOWS = 512, 20_000


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny-items", type=int, default=1_000_000)
    parser.add_argument("--sparse-points", type=int, default=10**10)
    arguments = parser.parse_args()
    print("| corpus | points | write, s | SHA-256 of it, s | verify, s | open, s | index, B/item |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    print(whole_row("long items", _LONG_ITEMS, _LONG_STEPS))
    print(whole_row("tiny items", arguments.tiny_items, 3))
    print("\n| sparse corpus of points | open, s | memory of opening, MB |", end="")
    print(f" {_NUM_WINDOWS} windows of {_WINDOW} points, s | memory of them, MB |")
    print("|--:|--:|--:|--:|--:|")
    print(sparse_row(arguments.sparse_points // _SPARSE_STEPS))


def whole_row(name: str, num_items: int, num_steps: int) -> str:
    """Write a corpus of random values, then open it without and with its checksums."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "corpus"
        writing_s = timed(lambda: write(directory, items(num_items, num_steps)))
        opening_s = timed(lambda: Corpus.open(directory))
        verifying_s = timed(lambda: Corpus.open(directory, verify=True)) - opening_s
        index = (directory / ARRAYS_FILE).stat().st_size / num_items
        content = b"".join(path.read_bytes() for path in directory.glob("part-*.f32"))
        hashing_s = timed(lambda: hashlib.sha256(content).digest())
    return (
        f"| {name} | {num_items * num_steps:,} | {writing_s:.2f} | {hashing_s:.2f} | "
        f"{verifying_s:.2f} | {opening_s:.2f} | {index:.0f} |"
    )


def sparse_row(num_items: int) -> str:
    """Open a corpus of holes and copy windows from all over it."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "corpus"
        write_sparse(directory, num_items)
        before = held_mb()
        opening_s = timed(lambda: Corpus.open(directory))
        corpus = Corpus.open(directory)
        opened = held_mb()
        drawing_s = timed(lambda: copy_windows(corpus))
        drawn = held_mb()
    return (
        f"| {num_items * _SPARSE_STEPS:,} | {opening_s:.2f} | {opened - before:.0f} | "
        f"{drawing_s:.2f} | {drawn - opened:.0f} |"
    )


def copy_windows(corpus: Corpus) -> None:
    """Copy windows of random places, one by one."""
    rng = np.random.default_rng(0)
    item = rng.integers(0, corpus.num_items, _NUM_WINDOWS).tolist()
    start = rng.integers(0, _SPARSE_STEPS - _WINDOW, _NUM_WINDOWS).tolist()
    for n, first in zip(item, start, strict=True):
        corpus.block(n)[:, first : first + _WINDOW].copy()


def items(num_items: int, num_steps: int) -> Iterator[Entry]:
    """Yield items of one variate."""
    values = np.random.default_rng(0).standard_normal((1, num_steps)).astype(np.float32)
    for n in range(num_items):
        yield Entry(
            item_id=f"item-{n}",
            group=f"item-{n}",
            freq="1h",
            source="noise",
            values=values,
            roles=np.full(1, TARGET, np.int8),
            limits=np.array([num_steps]),
            validation_positions=np.zeros(0, np.int64),
            is_synthetic=False,
        )


def write(directory: Path, entries: Iterator[Entry]) -> None:
    """Write a corpus of real items."""
    write_corpus(
        directory,
        entries,
        cutoffs=["train"],
        num_validation_origins=0,
        mixture=Mixture(synthetic_share=0.0),
    )


def write_sparse(directory: Path, num_items: int) -> None:
    """Write a corpus of tiny items, then stretch its index and its shards to long ones."""
    write(directory, items(num_items, 1))
    shard, place = np.divmod(np.arange(num_items), _SPARSE_IN_SHARD)
    with np.load(directory / ARRAYS_FILE) as stored:
        arrays = dict(stored)
    steps = np.full(num_items, _SPARSE_STEPS)
    arrays |= {"shard": shard, "offset": place * _SPARSE_STEPS, "length": steps}
    arrays |= {"limits": steps[:, None]}
    np.savez(directory / ARRAYS_FILE, allow_pickle=False, **arrays)
    sizes = dict(enumerate((np.bincount(shard) * 4 * _SPARSE_STEPS).tolist()))
    names = json.loads((directory / NAMES_FILE).read_text())
    names["shards"] = [
        {"name": shard_name(n), "num_bytes": size, "sha256": ""} for n, size in sizes.items()
    ]
    (directory / NAMES_FILE).write_text(json.dumps(names))
    for n, size in sizes.items():
        with (directory / shard_name(n)).open("wb") as file:
            file.truncate(size)


def timed(work: Callable[[], object]) -> float:
    """Processor time of calling ``work`` once, seconds."""
    start_s = time.process_time()
    work()
    return time.process_time() - start_s


def held_mb() -> float:
    """Memory of this process, mapped files included (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
