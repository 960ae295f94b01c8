"""Reading ahead: the order of items, errors at their place, a bounded lead, an end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from deepctr_torch.data.prefetch import read_ahead


def numbers(made: list[int], stop: int = 100) -> Iterator[int]:
    for i in range(stop):
        made.append(i)
        yield i


def test_reading_ahead_is_bounded_by_rows() -> None:
    made: list[int] = []
    items = read_ahead(numbers(made), lambda item: 10, 30)
    for wanted in range(20):
        assert next(items) == wanted
        assert len(made) <= wanted + 5  # three wait, and one is on its way
    items.close()  # type: ignore[attr-defined]
    assert len(made) < 30
    assert list(read_ahead(numbers([]), lambda item: 10, 30)) == list(range(100))


def test_an_error_in_the_thread_is_raised_after_what_came_before() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("no third")

    items = read_ahead(failing(), lambda item: 1, 10)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="no third"):
        next(items)
    with pytest.raises(StopIteration):
        next(items)


def test_the_end_closes_what_the_thread_reads() -> None:
    closed: list[str] = []

    def reading() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.append(threading.current_thread().name)

    items = read_ahead(reading(), lambda item: 1, 3)
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert closed == ["deepctr_torch-reader"]
    assert not any(t.name == "deepctr_torch-reader" for t in threading.enumerate())
