"""Series by number: any part of the synthetic set can be made alone, in any number of processes.

Shapes: V variates, T time steps.
"""

import os
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from itertools import accumulate
from multiprocessing import get_context
from operator import itemgetter
from typing import Final

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.registry import FAMILIES, SHORTEST

_STREAM: Final = 4  # apart from the streams of data.windows and of training
_weights_in_order: Final = itemgetter(*FAMILIES)
CHUNK_POINTS: Final = 1 << 18  # of a task, rows counted once: long beside its start
_POINTS_OF_A_PROCESS: Final = 1 << 24

Made = tuple[str, Float32[np.ndarray, "V T"]]


def synthetic_series(seed: int, index: int, *, length: int, weights: Mapping[str, float]) -> Made:
    """Make series ``index`` of the set of ``seed``: the name of its family, and its values.

    Args:
        length: T, steps, at least 1.
        weights: how often each of ``FAMILIES`` is drawn, >= 0, not all zero.
    """
    rng = np.random.default_rng([seed, _STREAM, index])
    names, cumulative = _table(_weights_in_order(weights))
    place = bisect_right(cumulative, rng.random() * cumulative[-1])
    name = names[min(place, len(names) - 1)]
    return name, FAMILIES[name](rng, max(length, SHORTEST))[:, :length]


@lru_cache(maxsize=64)
def _table(weights: tuple[float, ...]) -> tuple[list[str], list[float]]:
    """The families that have a weight, and their cumulative weights."""
    chosen = [(name, weight) for name, weight in zip(FAMILIES, weights, strict=True) if weight > 0]
    return [name for name, _ in chosen], list(accumulate(weight for _, weight in chosen))


def generate(
    seed: int, count: int, *, length: int, weights: Mapping[str, float], processes: int = 1
) -> Iterator[Made]:
    """Yield the first ``count`` series of the set of ``seed`` in order, see ``synthetic_series``.

    Args:
        processes: how many make them, at least 1; the series do not depend on it.
    """
    size = max(1, CHUNK_POINTS // length)
    firsts = range(0, count, size)
    if min(processes, len(firsts)) < 2:
        for index in range(count):
            yield synthetic_series(seed, index, length=length, weights=weights)
        return
    # New processes, not forked ones: a fork of a process with threads may hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        ahead: deque[Future[list[Made]]] = deque()
        try:
            for first in firsts:
                ahead.append(
                    pool.submit(
                        _chunk, seed, first, min(first + size, count), length, dict(weights)
                    )
                )
                if len(ahead) > 2 * processes:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def worthwhile_processes(num_points: int) -> int:
    """How many processes should make ``num_points``, at most as many as this one has cores.

    A new process takes as long to start as a million points take to make.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, num_points // _POINTS_OF_A_PROCESS))


def _chunk(
    seed: int, first: int, end: int, length: int, weights: Mapping[str, float]
) -> list[Made]:
    return [
        synthetic_series(seed, index, length=length, weights=weights) for index in range(first, end)
    ]
