"""`add_rates`: for each event the rate of earlier events with the same key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._checks import check_fraction, check_non_negative
from .._typing import FloatArray
from .events import EventRows, Events, NewColumns, TextOptions, add_columns, label_numbers
from .groups import IntArray, Keys, before_all, grow_rows, run_ends, windows
from .times import NumberArray, Span

__all__ = ["add_rates"]


def add_rates(
    events: Events,
    keys: str | Sequence[str | tuple[str, ...]],
    label: str,
    time: str,
    prior: float | tuple[float, float],
    delay: Span = 0,
    *,
    out: str | PathLike[str] | None = None,
    schema: Mapping[str, Any] | None = None,
    header: Sequence[str] | None = None,
    null: Sequence[str] = ("",),
) -> Any:
    """Add `<key>_rate` and `<key>_count` of each key: smoothed rate and number of the earlier events with its value.

        rate = (sum of labels + strength * prior rate) / (count + strength)

    Earlier means strictly, and by more than `delay`: events of the same time never see each other. A missing label is
    one not known: its event counts nowhere, and gets the rates of its keys as any other. Events whose key is missing
    (null, NaN or the empty string) get the prior rate and a count of 0, and enter the global rate only.

    A million events take one to two seconds on a core for each key, sorted or not. Of files, memory grows with the
    distinct values of the keys and the events of one `delay`, not with the events.

    Args:
        events, time, out, schema, header, null: as `add_history` takes them; keys are strings in text files unless
            `schema` names their type.
        keys: a column, or a list of columns and of tuples of columns: ("user", "genre") makes `user_genre_rate`.
        label: column of labels in [0, 1].
        prior: (rate, strength): a fixed rate in [0, 1], worth so many events. Or the strength alone: the prior rate is
            that of all events known at the time, (sum of labels + 1) / (count + 2). With a strength of 0, a key without
            events has the prior rate.
        delay: how long after an event its label is known: a number in the unit of a numeric time column; for timestamps
            a `timedelta` or text such as "1d", "12h", "30min".

    Returns:
        As `add_history`, with a float64 and an int64 column for each key.

    >>> shown = {"ad": ["a", "a", "b", "a"], "at": [1, 2, 3, 4], "click": [1, 0, 0, 1]}
    >>> rated = add_rates(shown, "ad", "click", "at", prior=(0.5, 2))
    >>> rated["ad_rate"].tolist(), rated["ad_count"].tolist()
    ([0.5, 0.666..., 0.5, 0.5], [0, 1, 0, 2])

    Raises:
        ValueError: a column is missing or there already, a time is missing, a label is not in [0, 1], a stream is not
            sorted; names the row.
    """
    rates = _Rates(_named(keys), label, *_prior(prior))
    return add_columns(events, rates, time, delay, out, TextOptions(schema, header, null))


def _named(keys: str | Sequence[str | tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return name -> columns of each key."""
    groups = [keys] if isinstance(keys, str) else list(keys)
    columns = [(key,) if isinstance(key, str) else tuple(key) for key in groups]
    if not columns or not all(columns):
        raise ValueError(f"keys must name at least one column each, got {keys!r}")
    names = ["_".join(key) for key in columns]
    if len(set(names)) < len(names):
        raise ValueError(f"keys must have different names, got {', '.join(names)}")
    return dict(zip(names, columns, strict=True))


def _prior(prior: float | tuple[float, float]) -> tuple[float | None, float]:
    """Return the fixed rate, or None for the global rate, and the strength."""
    if isinstance(prior, (tuple, list)):
        if len(prior) != 2:
            raise ValueError(f"prior must be a strength or (rate, strength), got {prior!r}")
        rate, strength = prior
        if rate != 1:
            check_fraction("prior's rate", rate)
        check_non_negative("prior's strength", strength)
        return rate, strength
    check_non_negative("prior", prior)
    return None, prior


class _Rates:
    """Smoothed rates of several keys, and of all events where the prior is the global rate."""

    def __init__(self, keys: dict[str, tuple[str, ...]], label: str, rate: float | None, strength: float) -> None:
        columns = list(dict.fromkeys(column for key in keys.values() for column in key))
        self.needed, self.ids = [*columns, label], [column for column in columns if column != label]
        self.made = [f"{name}_{what}" for name in keys for what in ("rate", "count")]
        self.label, self.rate, self.strength = label, rate, strength
        self.keys = {name: _Totals(columns) for name, columns in keys.items()}
        self.all = _Totals(())

    def step(self, rows: EventRows, once: bool) -> NewColumns:
        labels = label_numbers(rows, self.label, binary=True)
        prior: float | FloatArray
        if self.rate is None:
            total, number = self.all.step(rows, labels, once)
            prior = (total + 1) / (number + 2)
        else:
            prior = self.rate
        made: NewColumns = {}
        for name, key in self.keys.items():
            total, number = key.step(rows, labels, once)
            weight = number + self.strength
            empty = np.array(np.broadcast_to(prior, weight.shape), np.float64)
            made[f"{name}_rate"] = np.divide(total + self.strength * prior, weight, out=empty, where=weight > 0)
            made[f"{name}_count"] = number
        return made


class _Totals:
    """The sum of labels and the number of events for each value of a key, as each later event knows them.

    Sums run from event to event in the order of time, so that neither chunks nor other keys change a bit of them.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.keys = Keys(columns)
        self.total, self.number = np.zeros(0), np.zeros(0, np.int64)  # of all events so far
        self.known: tuple[FloatArray, IntArray] = np.zeros(0), np.zeros(0, np.int64)  # of those all later ones know
        # code, time, sum and number after each time that is not known to all later events yet
        self.pending: tuple[IntArray, NumberArray, FloatArray, IntArray] | None = None

    def step(self, rows: EventRows, labels: FloatArray, once: bool) -> tuple[FloatArray, IntArray]:
        """Return the sum and the number that each of `rows` knows, [N] each."""
        key = self.keys.codes(rows.table, once=once)
        entries = np.flatnonzero((key >= 0) & ~np.isnan(labels))
        code, time = key[entries], rows.time[entries]
        self._grow(max(len(self.keys), int(key.max(initial=-1)) + 1))
        total, number = self._running(code, labels[entries])
        if once:
            found = windows(code, time, key, rows.bound)
            return _at(total, found.order, found.start, found.stop), found.stop - found.start
        code, time, total, number, touched = self._with_state(code, time, total, number, key)
        bounds = np.append(rows.bound, np.full(len(touched), rows.bound[-1]))
        found = windows(code, time, np.append(key, touched), bounds)
        n, order = len(key), found.order
        sums = _at(total, order, found.start, found.stop)
        numbers = _at(number, order, found.start, found.stop)
        self.known[0][touched], self.known[1][touched] = sums[n:], numbers[n:]
        code, time = code[order], time[order]
        ends = run_ends(code, time)
        left = ends[time[ends] >= rows.bound[-1]]
        self.pending = code[left], time[left], total[order[left]], number[order[left]]
        return sums[:n], numbers[:n]

    def _grow(self, size: int) -> None:
        self.total, self.number = grow_rows(self.total, size), grow_rows(self.number, size)
        self.known = grow_rows(self.known[0], size), grow_rows(self.known[1], size)

    def _running(self, code: IntArray, labels: FloatArray) -> tuple[FloatArray, IntArray]:
        """Return the sum and the number of each entry's code over all events so far, itself included."""
        import polars as pl

        values, first, last = _ends(code)
        labels, ones = labels.copy(), np.ones(len(code), np.int64)
        labels[first] += self.total[values]
        ones[first] += self.number[values]
        sums = pl.DataFrame({"code": code, "total": labels, "number": ones}).select(
            pl.col("total", "number").cum_sum().over("code")
        )
        total, number = sums["total"].to_numpy(), sums["number"].to_numpy()
        self.total[values], self.number[values] = total[last], number[last]
        return total, number

    def _with_state(
        self, code: IntArray, time: NumberArray, total: FloatArray, number: IntArray, key: IntArray
    ) -> tuple[IntArray, NumberArray, FloatArray, IntArray, IntArray]:
        """Put what is remembered of its keys, and of those with pending events, before the chunk's entries.

        Returns code, time, sum and number of all entries, and the keys concerned.
        """
        pending = self.pending or (code[:0], time[:0], total[:0], number[:0])
        touched = np.unique(np.append(key[key >= 0], pending[0]))
        known = touched[self.known[1][touched] > 0]
        then = np.full(len(known), before_all(time), time.dtype)
        return (
            np.concatenate([known, pending[0], code]),
            np.concatenate([then, pending[1], time]),
            np.concatenate([self.known[0][known], pending[2], total]),
            np.concatenate([self.known[1][known], pending[3], number]),
            touched,
        )


def _ends(code: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return the distinct codes, and the first and the last entry of each."""
    order = np.argsort(code, kind="stable")
    change = np.flatnonzero(np.append(True, code[order][1:] != code[order][:-1])[: len(code)])
    last = order[np.append(change[1:], len(code))[: len(change)] - 1]
    first = order[change]
    return code[first], first, last


def _at(values: NDArray[Any], order: IntArray, start: IntArray, stop: IntArray) -> NDArray[Any]:
    """Return the value of the last entry of each window; 0 for an empty one."""
    if len(order) == 0:
        return np.zeros(len(start), values.dtype)
    return np.where(stop > start, values[order[stop - 1]], 0).astype(values.dtype, copy=False)
