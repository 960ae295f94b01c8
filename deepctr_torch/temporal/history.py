"""`add_history`: for each event the latest earlier items of its user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import pyarrow as pa

from .._checks import check_at_least
from .events import EventRows, Events, NewColumns, TextOptions, add_columns, label_numbers
from .groups import IntArray, Keys, before_all, grow_rows, run_ends, windows
from .times import NumberArray, Span, TimeNumber

__all__ = ["add_history"]

_SPARE = 1_000_000  # rows of forgotten items that are left lying before they are cleared away


def add_history(
    events: Events,
    user: str,
    item: str | Sequence[str],
    time: str,
    maxlen: int,
    label: str | None = None,
    *,
    delay: Span = 0,
    out: str | PathLike[str] | None = None,
    schema: Mapping[str, Any] | None = None,
    header: Sequence[str] | None = None,
    null: Sequence[str] = ("",),
) -> Any:
    """Add a list column `hist_<item>`: the items of the `maxlen` latest earlier events of the user, the latest last.

    Earlier means strictly: events of the same time never see each other. Among events of equal time the later row
    counts as the later one. Nothing of an event that is not earlier, its label included, changes its history.

    Events whose user is missing (null, NaN or the empty string) get an empty history and enter none. A missing item
    stays a missing value in the list, so that the lists of several items stay aligned.

    A million events take one to two seconds on a core (histories of up to 20 items), sorted or not. Files are read as a
    stream: they must be sorted by time, and memory grows with users x `maxlen` (8 bytes, and the items themselves) and
    the events of one `delay`, not with the events.

    Args:
        events: a pandas, polars or pyarrow table or a dict of arrays, in any order; or the path of a file, a folder, a
            glob, or a list of these, in the order of time; or an iterator of pyarrow tables, such as this function
            returns, in the order of time.
        user: column of users, numbers or strings.
        item: column of items, of any type, or several: one list column each, all of the same events.
        time: column of numbers, dates or timestamps.
        maxlen: the longest history.
        label: column of numbers; only events whose label is above 0 enter a history. A missing label is none.
        delay: an event enters only if it is earlier by more than this, for labels that are known later: a number in the
            unit of a numeric time column; for timestamps a `timedelta` or text such as "1d", "12h", "30min".
        out: for files and iterators: a Parquet file to write.
        schema, header, null: of text files, as `time_split` has them; but users and items are strings unless
            `schema` names their type, so that "007" is not 7.

    Returns:
        A table of the kind given, rows in the order given, with the new columns. For files and iterators an iterator of
        pyarrow tables, or the path of `out`.

    >>> clicks = {"user": [1, 1, 2, 1], "movie": [7, 8, 7, 9], "at": [10, 20, 20, 20], "liked": [1, 1, 1, 0]}
    >>> [past.tolist() for past in add_history(clicks, "user", "movie", "at", 5, "liked")["hist_movie"]]
    [[], [7], [], [7]]

    Raises:
        ValueError: a column is missing or there already, a time is missing, a stream is not sorted; names the row.
    """
    check_at_least("maxlen", maxlen, 1)
    items = [item] if isinstance(item, str) else list(item)
    if not items:
        raise ValueError("item must name at least one column, got none")
    return add_columns(
        events, _History(user, items, label, maxlen), time, delay, out, TextOptions(schema, header, null)
    )


class _History:
    """Per user the latest items that every later event sees, and those that only some see yet."""

    def __init__(self, user: str, items: list[str], label: str | None, maxlen: int) -> None:
        self.needed = [user, *items, *([] if label is None else [label])]
        self.ids = [user, *items]
        self.made = [f"hist_{name}" for name in items]
        self.items, self.label, self.maxlen = items, label, maxlen
        self.users = Keys([user])
        # [users, maxlen] rows of `kept` that happened before what any later event asks for, the latest last; how many
        self.seen: IntArray = np.zeros((0, maxlen), np.int64)
        self.size: IntArray = np.zeros(0, np.int64)
        # user, time and row in `kept` of events that are not known to all later ones yet
        self.pending: tuple[IntArray, NumberArray, IntArray] | None = None
        self.kept: pa.Table = None  # the items: grows with each chunk and is cleared up now and then
        self.limit = _SPARE

    def step(self, rows: EventRows, once: bool) -> NewColumns:
        user = self.users.codes(rows.table, once=once)
        enters = user >= 0
        if self.label is not None:
            enters &= label_numbers(rows, self.label, binary=False) > 0
        entries = np.flatnonzero(enters)
        first = 0 if self.kept is None else self.kept.num_rows
        self._keep(rows, entries)
        code, time, row = user[entries], rows.time[entries], first + np.arange(len(entries))
        if once:
            found = windows(code, time, user, rows.bound)
            return self._lists(row[found.order], found.start, found.stop)
        code, time, row, touched = self._with_state(code, time, row, user)
        bounds = np.append(rows.bound, np.full(len(touched), rows.bound[-1]))
        found = windows(code, time, np.append(user, touched), bounds)
        n, order = len(user), found.order
        made = self._lists(row[order], found.start[:n], found.stop[:n])
        self._settle(touched, row[order], found.start[n:], found.stop[n:])
        self._leave(code[order], time[order], row[order], rows.bound[-1])
        self._clear()
        return made

    def _keep(self, rows: EventRows, entries: IntArray) -> None:
        columns = [_large(rows.table.column(name).take(pa.array(entries))) for name in self.items]
        new = pa.table(columns, names=self.made)
        if self.kept is not None and new.schema.types != self.kept.schema.types:
            kinds = f"{', '.join(map(str, new.schema.types))} after {', '.join(map(str, self.kept.schema.types))}"
            raise ValueError(f"items in {', '.join(self.items)} must have one type, got {kinds} in {rows.where(0)}")
        self.kept = new if self.kept is None else pa.concat_tables([self.kept, new])

    def _lists(self, row: IntArray, start: IntArray, stop: IntArray) -> NewColumns:
        """Return histories as arrow lists: for each event the last `maxlen` of row[start:stop]."""
        size = np.minimum(stop - start, self.maxlen)
        offsets = np.append(0, np.cumsum(size))
        taken = pa.array(row[np.arange(offsets[-1]) + np.repeat(stop - offsets[1:], size)])
        ends = pa.array(offsets, pa.int64())
        values = {name: self.kept.column(name).take(taken).combine_chunks() for name in self.made}
        return {name: pa.LargeListArray.from_arrays(ends, one) for name, one in values.items()}

    def _with_state(
        self, code: IntArray, time: NumberArray, row: IntArray, user: IntArray
    ) -> tuple[IntArray, NumberArray, IntArray, IntArray]:
        """Put what is remembered of its users, and of those with pending events, before the chunk's entries.

        Returns code, time and row of all entries, and the users concerned.
        """
        pending = self.pending or (code[:0], time[:0], row[:0])
        touched = np.unique(np.append(user[user >= 0], pending[0]))
        self.seen, self.size = grow_rows(self.seen, len(self.users)), grow_rows(self.size, len(self.users))
        size = self.size[touched]
        seen = self.seen[touched][np.arange(self.maxlen) < size[:, None]]
        then = np.full(len(seen), before_all(time), time.dtype)
        return (
            np.concatenate([np.repeat(touched, size), pending[0], code]),
            np.concatenate([then, pending[1], time]),
            np.concatenate([seen, pending[2], row]),
            touched,
        )

    def _settle(self, user: IntArray, row: IntArray, start: IntArray, stop: IntArray) -> None:
        size = np.minimum(stop - start, self.maxlen)
        step = np.arange(self.maxlen)
        filled = step < size[:, None]
        table = np.zeros(filled.shape, np.int64)
        table[filled] = row[((stop - size)[:, None] + step)[filled]]
        self.seen[user], self.size[user] = table, size

    def _leave(self, code: IntArray, time: NumberArray, row: IntArray, bound: TimeNumber) -> None:
        """Remember the entries that are not settled: of each user and time the latest `maxlen`."""
        late = np.flatnonzero(time >= bound)
        code, time, row = code[late], time[late], row[late]
        ends = run_ends(code, time)
        end = np.repeat(ends, np.diff(ends, prepend=-1))
        latest = end - np.arange(len(code)) < self.maxlen
        self.pending = code[latest], time[latest], row[latest]

    def _clear(self) -> None:
        """Drop items that no history holds any more."""
        if self.kept.num_rows <= self.limit or self.pending is None:
            return
        filled = np.arange(self.maxlen) < self.size[:, None]
        live = np.append(self.seen[filled], self.pending[2])
        self.kept = self.kept.take(live).combine_chunks()
        self.seen[filled] = np.arange(len(live) - len(self.pending[2]))
        self.pending = (*self.pending[:2], np.arange(len(live) - len(self.pending[2]), len(live)))
        self.limit = 2 * len(live) + _SPARE


def _large(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text with 64-bit offsets: the items of all histories together may exceed 2 GiB."""
    kinds = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
    return column.cast(kinds[column.type]) if column.type in kinds else column
