"""Work in threads: the order of results, few items at a time, errors at their place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deepctr_torch._parallel import ordered_map


def numbers(made: list[int], stop: int = 100) -> Iterator[int]:
    for i in range(stop):
        made.append(i)
        yield i


@pytest.mark.parametrize("threads", [0, 1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    assert list(ordered_map(lambda i: i * i, range(50), threads)) == [i * i for i in range(50)]


@pytest.mark.parametrize("threads", [1, 3])
def test_few_items_are_in_work_at_a_time(threads: int) -> None:
    made: list[int] = []
    results = ordered_map(lambda i: i, numbers(made), threads)
    for wanted in range(10):
        assert next(results) == wanted
        assert len(made) <= wanted + threads + 2


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_comes_at_its_place(threads: int) -> None:
    results = ordered_map(lambda i: 10 // (3 - i), range(9), threads)
    assert [next(results) for _ in range(3)] == [3, 5, 10]
    with pytest.raises(ZeroDivisionError):
        next(results)
