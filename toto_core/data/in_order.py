"""Work done side by side, its results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

# Shards that are worked on at once: Polars leaves much of one core idle by itself.
NUM_AT_ONCE: Final = 2

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_order(work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """Yield ``work(task)`` of each task, of which ``NUM_AT_ONCE`` are under way at a time.

    A result is held by nobody but the caller once the next one is asked for.
    """
    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        under_way: deque[Future[Result]] = deque()
        for task in tasks:
            under_way.append(pool.submit(work, task))
            if len(under_way) == NUM_AT_ONCE:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
