"""Events for the tests of `deepctr_torch.temporal`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
from hypothesis import strategies as st


class Event(NamedTuple):
    user: int | None
    item: str | None
    time: int
    label: float | None


rows_of_events = st.lists(
    st.builds(
        Event,
        user=st.sampled_from([None, 1, 2, 3]),
        item=st.sampled_from([None, "a", "b", "c"]),
        time=st.integers(0, 6),  # few, so that many are equal
        label=st.sampled_from([None, 0.0, 1.0, 0.1, 0.7]),  # sums of tenths depend on their order
    ),
    min_size=1,
    max_size=40,
)


def table(rows: list[Event]) -> pa.Table:
    kinds = {"user": pa.int64(), "item": pa.string(), "time": pa.int64(), "label": pa.float64()}
    return pa.table({name: pa.array([getattr(r, name) for r in rows], kind) for name, kind in kinds.items()})


def in_chunks(whole: pa.Table, rows: int) -> Iterator[pa.Table]:
    return (whole.slice(start, rows) for start in range(0, whole.num_rows, rows))


KEYS: list[str | tuple[str, ...]] = ["user", "item", ("user", "item")]


ROWS = [Event(2, "b", 3, 1), Event(1, "a", 1, 1), Event(1, "b", 2, 0), Event(1, None, 3, 1), Event(1, "a", 4, None)]


def one(tables: Any) -> pa.Table:
    return pa.concat_tables(tables)
