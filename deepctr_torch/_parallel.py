"""Work in several threads, with results in the order of the work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """`work` of each item, in the order of the items.

    >>> list(ordered_map(abs, [-1, 2, -3], threads=2))
    [1, 2, 3]

    Args:
        work: called in one of the threads; what it raises is raised at the place of its result.
        items: read one after the other, by the caller's thread, no more than `threads + 1` ahead of what was taken.
        threads: how many; below 2 the caller's thread does the work.
    """
    if threads < 2:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[Result]] = deque()
        try:
            for item in items:
                running.append(pool.submit(work, item))
                if len(running) > threads + 1:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for each in running:
                each.cancel()
