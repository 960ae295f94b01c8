"""`rechunk`: the same rows in chunks of one size, whatever chunks they came in."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.tables import rechunk


def cut(chunk: list[int], start: int, stop: int) -> list[int]:
    return chunk[start:stop]


def join(parts: list[list[int]]) -> list[int]:
    return [row for part in parts for row in part]


@given(st.lists(st.integers(0, 9)), st.integers(1, 12), st.integers(0, 30))
def test_rows_keep_their_order_and_only_the_last_chunk_is_smaller(sizes: list[int], size: int, skip: int) -> None:
    rows = iter(range(sum(sizes)))
    chunks = [[next(rows) for _ in range(n)] for n in sizes]
    found = list(rechunk(chunks, size, count=len, cut=cut, join=join, skip=skip))
    left = list(range(skip, sum(sizes)))
    assert found == [left[i : i + size] for i in range(0, len(left), size)]


def test_a_chunk_is_cut_before_the_next_one_is_read() -> None:
    shared = [0, 0, 0]

    def overwritten() -> Iterator[list[int]]:
        for first in (0, 3, 6):
            shared[:] = range(first, first + 3)
            yield shared

    assert list(rechunk(overwritten(), 4, count=len, cut=cut, join=join)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
