"""Work on chunks in several threads, with results in the order of the chunks."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from .._checks import check_at_least

__all__ = ["in_order"]

T = TypeVar("T")


def in_order(work: Callable[[Any], T], items: Iterable[Any], threads: int | None) -> Iterator[tuple[Any, T]]:
    """Each item with `work(item)`, in the order of the items; no more than two items a thread are ahead.

    Args:
        work: called in a thread; changes nothing.
        items: read one after the other.
        threads: how many; None for the processors there are, at most 8; 1 for none beside the caller's.
    """
    if threads is not None:
        check_at_least("threads", threads, 1)
    count = threads or min(8, os.cpu_count() or 1)
    if count == 1:
        for item in items:
            yield item, work(item)
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    waiting: deque[tuple[Any, Future[T]]] = deque()
    with ThreadPoolExecutor(count) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) > count + 1:
                    first, done = waiting.popleft()
                    yield first, done.result()
            while waiting:
                first, done = waiting.popleft()
                yield first, done.result()
        finally:
            for _, left in waiting:
                left.cancel()
