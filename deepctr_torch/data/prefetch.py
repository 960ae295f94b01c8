"""Reading ahead of the loop: a thread that changes when work is done, never what comes out or in which order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

__all__ = ["read_ahead"]

T = TypeVar("T")


class _Queue(Iterator[T]):
    """Items that a thread puts in, as long as fewer than `limit` rows wait; what it raises is raised at its place."""

    def __init__(self, items: Iterator[T], rows: Callable[[T], int], limit: int) -> None:
        self.items, self.rows, self.limit = items, rows, limit
        self.waiting: deque[T] = deque()
        self.count = 0  # of rows that wait
        self.over = self.stopped = False
        self.error: BaseException | None = None
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._fill, name="deepctr_torch-reader", daemon=True)
        self.thread.start()

    def _fill(self) -> None:
        try:
            for item in self.items:
                if not self._put(item):
                    break
        except BaseException as error:  # handed to the thread that reads
            self.error = error
        finally:
            if isinstance(self.items, Generator):
                self.items.close()  # here, where it ran: what it holds open is closed
            with self.changed:
                self.over = True
                self.changed.notify_all()

    def _put(self, item: T) -> bool:
        with self.changed:
            self.changed.wait_for(lambda: self.stopped or self.count < self.limit)
            if not self.stopped:
                self.waiting.append(item)
                self.count += self.rows(item)
                self.changed.notify_all()
            return not self.stopped

    def __next__(self) -> T:
        with self.changed:
            self.changed.wait_for(lambda: self.over or bool(self.waiting))
            if self.waiting:
                item = self.waiting.popleft()
                self.count -= self.rows(item)
                self.changed.notify_all()
                return item
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        raise StopIteration

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.waiting.clear()
            self.changed.notify_all()
        self.thread.join()


def read_ahead(items: Iterator[T], rows: Callable[[T], int], limit: int) -> Generator[T, None, None]:
    """The same items, made by a thread that waits while `limit` rows are ready and ends when this iterator does.

    >>> list(read_ahead(iter(["a", "bc"]), rows=len, limit=100))
    ['a', 'bc']
    """
    queue = _Queue(items, rows, limit)
    try:
        yield from queue
    finally:
        queue.stop()
