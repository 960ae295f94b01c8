"""`rechunk`: rows that come in chunks of any size, in chunks of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["rechunk"]

Whole = TypeVar("Whole")
Part = TypeVar("Part")
Joined = TypeVar("Joined")


def rechunk(
    chunks: Iterable[Whole],
    size: int,
    *,
    count: Callable[[Whole], int],
    cut: Callable[[Whole, int, int], Part],
    join: Callable[[list[Part]], Joined],
    skip: int = 0,
) -> Iterator[Joined]:
    """The same rows in the same order, `size` at a time; the last time what is left.

    >>> list(rechunk(["abc", "d", "efg"], 2, count=len, cut=lambda text, start, stop: text[start:stop], join="".join))
    ['ab', 'cd', 'ef', 'g']

    Args:
        chunks: each is given up before the next one is read; `count` says how many rows one has.
        cut: rows `start` to `stop` of a chunk, which must outlive it.
        join: one of several cuts, of at least one.
        skip: rows to leave out at the beginning.
    """
    parts: list[Part] = []
    held = 0
    for chunk in chunks:
        rows = count(chunk)
        at = min(skip, rows)
        skip -= at
        while at < rows:
            stop = min(at + size - held, rows)
            parts.append(cut(chunk, at, stop))
            held += stop - at
            at = stop
            if held == size:
                yield join(parts)
                parts = []
                held = 0
        del chunk
    if parts:
        yield join(parts)
