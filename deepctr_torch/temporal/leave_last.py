"""Positives with sampled negatives, and the last event of each user to validate on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from .._checks import check_at_least
from .._typing import IntArray
from ..tables import ColumnLike, TableLike, library_of
from ..tables.memory import memory_columns
from .events import in_memory
from .history import add_history
from .times import time_numbers

__all__ = ["leave_last_out"]

_ROUNDS = 32  # of draws, before a negative is given up


def leave_last_out(
    events: TableLike,
    user: str,
    item: str,
    time: str,
    *,
    history: int = 20,
    negatives: int = 4,
    validation_negatives: int = 99,
    label: str = "label",
    seed: int = 0,
) -> tuple[Any, Any]:
    """Make tables to train and to validate on of what users chose, with negatives (He et al. 2017, section 4.1).

    The last event of each user that has an earlier one is validated on; all others are trained on. Each event is a row
    with label 1, and is followed by rows of the same user, time and history with label 0, whose items are those of
    events of the training part drawn at random, and so as frequent as they were.

    No row knows more than its time: histories hold strictly earlier events; negatives are items of strictly earlier
    events, and none that the user had chosen by then. What the user chose later is drawn as any other item: if it were
    spared, a model would see it. The first events have fewer negatives, or none.

    Training rows of one user may be later than the validation row of another; where the model must not know that
    either, split by time (`time_split`).

    Args:
        events: a pandas, polars or pyarrow table or a dict of arrays, in any order: a row for each choice.
        user, item, time: its columns, none missing; others are left out, as those of an item are not those of another.
        history: length of `hist_<item>`; see `add_history`.
        negatives, validation_negatives: rows with label 0 for each event.
        label: name of the column of the labels.
        seed: of the draws.

    Returns:
        (training, validation): tables of the kind given, with the columns user, item, time, `hist_<item>` and label.

    >>> views = {"user": [1, 2, 1, 2, 1], "movie": [7, 8, 9, 7, 8], "at": [1, 1, 2, 3, 4]}
    >>> train, valid = leave_last_out(views, "user", "movie", "at", negatives=1, validation_negatives=1)
    >>> [(int(u), int(m), int(y)) for u, m, y in zip(train["user"], train["movie"], train["label"])]
    [(1, 7, 1), (2, 8, 1), (1, 9, 1), (1, 8, 0)]
    >>> valid["movie"].tolist(), valid["label"].tolist()
    ([7, 9, 8], [1, 0, 1])

    Raises:
        ValueError: a column is missing or there already, or a user, item or time is missing; names the row.
    """
    check_at_least("negatives", negatives, 0)
    check_at_least("validation_negatives", validation_negatives, 0)
    if label in (user, item, time, f"hist_{item}"):
        raise ValueError(f"label must be a name of its own, got {label!r}")
    slim = _selected(events, [user, item, time])
    chunk = in_memory(slim, [user, item, time])
    users, items = (_codes(chunk.table.column(name), name) for name in (user, item))
    times, _ = time_numbers(chunk.table.column(time), time, chunk.where)
    table = add_history(slim, user, item, time, history)
    last = _last_of_each(users, times)
    draw = _Draw(users, items, times, np.flatnonzero(~last), np.random.default_rng(seed))

    def part(rows: IntArray, each: int) -> Any:
        return _with_negatives(table, slim, item, label, rows, draw(rows, each))

    return part(np.flatnonzero(~last), negatives), part(np.flatnonzero(last), validation_negatives)


def _codes(column: pa.ChunkedArray, name: str) -> IntArray:
    codes = column.combine_chunks().dictionary_encode().indices
    if codes.null_count:
        raise ValueError(f"{name!r} must not be missing, got none in row {codes.is_null().index(True).as_py()}")
    out: IntArray = codes.to_numpy().astype(np.int64)
    return out


def _last_of_each(users: IntArray, times: Any) -> Any:
    """[N] which event is the last of a user that has several; of equal times the later row."""
    order = np.lexsort((np.arange(len(users)), times, users))
    end = np.append(users[order][1:] != users[order][:-1], True)
    last = np.zeros(len(users), bool)
    last[order[end]] = True
    return last & (np.bincount(users)[users] > 1)


class _Draw:
    """Draws items that had been chosen before an event, by others than its user."""

    def __init__(self, users: IntArray, items: IntArray, times: Any, pool: IntArray, generator: np.random.Generator):
        self.users, self.items, self.times, self.generator = users, items, times, generator
        self.pool = pool[np.argsort(times[pool], kind="stable")]
        self.width = int(items.max(initial=0)) + 1
        order = np.lexsort((times, items, users))
        self.pairs, first = np.unique((users * self.width + items)[order], return_index=True)
        self.first = times[order][first]  # when a user first chose an item

    def __call__(self, rows: IntArray, each: int) -> IntArray:
        """[len(rows), each]: an event with the item of each negative; -1 where none was found."""
        known = np.searchsorted(self.times[self.pool], self.times[rows])  # events of the pool that are earlier
        out = np.full(len(rows) * each, -1)
        event, left = np.repeat(rows, each), np.repeat(known, each)
        open_ = np.flatnonzero(left > 0)
        for _ in range(_ROUNDS):
            if not len(open_):
                break
            drawn = self.pool[self.generator.integers(0, left[open_])]
            fits = ~self._chosen(event[open_], self.items[drawn])
            out[open_[fits]] = drawn[fits]
            open_ = open_[~fits]
        return out.reshape(len(rows), each)

    def _chosen(self, event: IntArray, item: IntArray) -> Any:
        """Tell whether the user of an event had chosen an item by then."""
        pair = self.users[event] * self.width + item
        at = np.searchsorted(self.pairs, pair).clip(max=len(self.pairs) - 1)
        return (self.pairs[at] == pair) & (self.first[at] <= self.times[event])


def _with_negatives(table: Any, slim: Any, item: str, label: str, rows: IntArray, drawn: IntArray) -> Any:
    """The events of `rows`, each followed by its negatives."""
    events = np.concatenate([rows[:, None], drawn], axis=1)  # [R, 1 + K] whose item a row has
    found = events >= 0
    base = np.repeat(rows, found.sum(axis=1))
    first = np.zeros(events.shape, np.int64)
    first[:, 0] = 1
    out = _taken(table, base)
    return _put(_put(out, item, _taken(slim, events[found])[item]), label, first[found])


def _selected(events: TableLike, names: list[str]) -> Any:
    there = memory_columns(events)
    missing = [name for name in names if name not in there]
    if missing:
        raise ValueError(f"events must have the column {missing[0]!r}, got only {', '.join(there)}")
    if library_of(events) == "pandas":
        return events[names].reset_index(drop=True)
    return events.select(names) if library_of(events) else {name: np.asarray(events[name]) for name in names}


def _taken(table: Any, rows: IntArray) -> Any:
    library = library_of(table)
    if library == "pandas":
        return table.iloc[rows].reset_index(drop=True)
    if library:
        return table[rows] if library == "polars" else table.take(rows)
    return {name: values[rows] for name, values in table.items()}


def _put(table: Any, name: str, values: ColumnLike) -> Any:
    library = library_of(table)
    if library == "pandas":
        return table.assign(**{name: values})
    if library == "polars":
        import polars as pl

        return table.with_columns(pl.Series(name, values))
    if library:
        there = table.column_names
        column = values if isinstance(values, pa.ChunkedArray) else pa.array(values)
        return table.set_column(there.index(name), name, column) if name in there else table.append_column(name, column)
    return {**table, name: values}
