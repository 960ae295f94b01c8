"""Work on chunks in several threads, with results in the order of the chunks."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from .._checks import check_at_least
from ..tables import Chunk
from .feature import Context
from .values import RowError

__all__ = ["checked", "in_order", "is_text", "located"]

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


def checked(chunk: Any, columns: list[str]) -> Chunk:
    """A chunk of `read_chunks`, or a pyarrow table as one, that has the columns."""
    whole = chunk if isinstance(chunk, Chunk) else Chunk(chunk, "", 0, 0)
    there = getattr(whole.table, "column_names", None)
    if there is None:
        raise TypeError(f"a chunk must be a Chunk or a pyarrow table, got {type(chunk).__name__}: use transform")
    missing = [name for name in columns if name not in there]
    if missing:
        raise ValueError(f"the chunk lacks {missing}; it has {there}")
    return whole


def is_text(chunk: Chunk) -> bool:
    """Whether the rows are of a text file, where integers and strings look alike."""
    return bool(chunk.file) and not chunk.file.lower().endswith(".parquet")


def located(work: Callable[[Any, Context], T], chunk: Chunk, context: Context) -> T:
    """`work` on a chunk; errors say where in the data."""
    try:
        return work(chunk.table, context)
    except RowError as error:
        raise ValueError(f"{error.message} in {chunk.where(error.row)}") from error
    except ValueError as error:
        if not chunk.file:
            raise
        raise ValueError(f"{error} in {chunk.file}") from error
