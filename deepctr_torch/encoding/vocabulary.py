"""Vocabularies: the distinct values of a column, their counts, and the table row of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from .._typing import Array
from ..hashing import hash_values
from .arrow_columns import Factorized, as_integers, factorize, hash_arrow, one_array

__all__ = [
    "FIRST",
    "MISSING",
    "UNSEEN",
    "Counter",
    "HashIndex",
    "HashedVocabulary",
    "Vocabulary",
    "hash_keys",
    "pretrained_table",
]


MISSING, UNSEEN, FIRST = 0, 1, 2  # rows of a table: padding or missing, unseen or rare, the first value
_PENDING = 1 << 18  # values that wait to be merged, at least


class Counter:
    """Counts of values. They are summed, so that neither order nor chunks matter."""

    def __init__(self) -> None:
        self._merged: dict[str, pa.Table] = {}
        self._waiting: dict[str, list[pa.Table]] = {}
        self._pending = 0

    @staticmethod
    def summarize(column: Factorized) -> tuple[str, pa.Table]:
        """Count the values of one chunk: their dtype, and a table of value and count."""
        counts = column.counts
        table = pa.table({"value": column.values, "count": pa.array(counts, pa.int64())})
        there = (counts > 0) & column.values.is_valid().to_numpy(zero_copy_only=False)
        return column.dtype, table if there.all() else table.filter(pa.array(there))

    def update(self, summary: tuple[str, pa.Table]) -> None:
        """Add what `summarize` counted."""
        dtype, table = summary
        self._waiting.setdefault(dtype, []).append(table)
        self._pending += table.num_rows
        if self._pending > max(_PENDING, sum(t.num_rows for t in self._merged.values())):
            self._merge()

    def _merge(self) -> None:
        for dtype, waiting in self._waiting.items():
            every = [*([self._merged[dtype]] if dtype in self._merged else []), *waiting]
            self._merged[dtype] = _summed(every) if len(every) > 1 else every[0]
        self._waiting, self._pending = {}, 0

    def compute(self) -> dict[str, pa.Table]:
        """Return, by dtype, a table of value and count with each value once."""
        self._merge()
        return {dtype: table for dtype, table in self._merged.items() if table.num_rows}


def _summed(tables: Iterable[pa.Table]) -> pa.Table:
    """Join tables of value and count into one, with each value once."""
    whole = pa.concat_tables(tables)
    encoded = one_array(whole["value"]).dictionary_encode()
    counts = np.zeros(len(encoded.dictionary), np.int64)
    np.add.at(counts, encoded.indices.to_numpy(), whole["count"].to_numpy())
    return pa.table({"value": encoded.dictionary, "count": counts})


def _settled(tables: Mapping[str, pa.Table]) -> tuple[str, pa.Table]:
    """Settle the dtype of all values, "int" or "string", and return it with one table of value and count.

    Integers, and text that stands for integers throughout, are integers; anything else makes all values strings.
    """
    columns = {dtype: table["value"].combine_chunks() for dtype, table in tables.items()}
    if "text" in tables and "string" not in tables:
        integers = as_integers(columns["text"])
        if not integers.null_count:
            columns["text"] = integers
    only = all(pa.types.is_int64(c.type) for c in columns.values())
    kind = pa.int64() if only else pa.large_string()
    parts = [pa.table({"value": columns[dtype].cast(kind), "count": tables[dtype]["count"]}) for dtype in tables]
    parts = parts or [pa.table({"value": pa.array([], kind), "count": pa.array([], pa.int64())})]
    return "int" if only else "string", _summed(parts) if len(parts) > 1 or "text" in tables else parts[0]


def _cast(values: pa.Array, dtype: str, to: str) -> pa.Array:
    """Cast the values of a column to the dtype of a vocabulary; null for those that cannot be cast."""
    if to == "int":
        return values if dtype == "int" else as_integers(values)
    return values.cast(pa.large_string())


class Vocabulary:
    """Values with table rows of their own, by frequency and then by value, and the rare ones behind them.

    Args:
        dtype: "int" or "string".
        table: value and count of all values ever counted; the first `size` have rows.
        size: the number of values that have rows.

    Row 0 is for padding and missing values, row 1 for values that are unseen or rare, row 2 + i for value i.
    """

    def __init__(self, dtype: str, table: pa.Table, size: int) -> None:
        self.dtype, self.table, self.size = dtype, table, size
        self._index: HashIndex | None = None

    @classmethod
    def learn(cls, counters: Iterable[Counter], min_count: int, max_vocabulary: int | None) -> Vocabulary:
        """Learn the vocabulary of the values that one or more features counted."""
        dtype, table = _settled(_together(counters))
        ordered = _by_frequency(table)
        return cls(dtype, ordered, _frequent(ordered, min_count, max_vocabulary))

    @property
    def rows(self) -> int:
        """The number of rows of the table."""
        return FIRST + self.size

    @property
    def values(self) -> pa.Array:
        """The values that have rows; value i has row 2 + i."""
        return self.table["value"].combine_chunks()[: self.size]

    @property
    def counts(self) -> Array:
        """The number of times that each of `values` occurred in training, int64 [size]."""
        return np.asarray(self.table["count"].to_numpy()[: self.size], np.int64)

    def copy(self) -> Vocabulary:
        """Return a vocabulary of the same values; `update` of one leaves the other alone."""
        return Vocabulary(self.dtype, self.table, self.size)

    def update(self, counters: Iterable[Counter], min_count: int, max_vocabulary: int | None) -> str | None:
        """Add counts; values that are frequent enough now get new rows behind the others, which keep theirs.

        Returns one of the values that a vocabulary of integers cannot take, None if there is none. As long as no value
        was ever counted, the dtype is not settled.
        """
        added = _together(counters)
        if not self.table.num_rows:
            self.dtype, table = _settled(added)
            self.table = table.slice(0, 0)
        parts, left_out = [], None
        for dtype, table in added.items():
            given = table["value"].combine_chunks()
            values = _cast(given, dtype, self.dtype)
            if values.null_count:
                left_out = given.filter(values.is_null())[0].as_py()
            part = pa.table({"value": values, "count": table["count"]})
            parts.append(part.filter(values.is_valid()))
        old, new = self.table.slice(0, self.size), _summed([self.table, *parts])
        at = pc.index_in(old["value"], new["value"].combine_chunks()).combine_chunks()
        fresh = np.ones(new.num_rows, bool)
        fresh[at.to_numpy()] = False
        kept = new.take(at)
        rest = _by_frequency(new.filter(pa.array(fresh)))
        room = None if max_vocabulary is None else max(max_vocabulary - self.size, 0)
        self.table = pa.concat_tables([kept, rest]).combine_chunks()
        self.size += _frequent(rest, min_count, room)
        self._index = None
        return left_out

    def prepare(self) -> HashIndex:
        """Build the index of `lookup`, once, before threads ask."""
        if self._index is None:
            self._index = HashIndex(self.values)
        return self._index

    def lookup(self, column: Factorized) -> Array:
        """Return the row of each distinct value and, at the end, of missing ones: int64 [len(column.values) + 1]."""
        out = np.full(len(column.values) + 1, UNSEEN, np.int64)
        out[-1] = MISSING
        out[:-1][column.values.is_null().to_numpy(zero_copy_only=False)] = MISSING
        needles = _cast(column.values, column.dtype, self.dtype)
        there = np.flatnonzero(needles.is_valid().to_numpy(zero_copy_only=False))
        if self.size and len(there):
            needles = needles.drop_null() if needles.null_count else needles
            out[there] = self.prepare().find(needles) + FIRST
        return out

    def rows_of(self, values: list[Any], keys: Array) -> list[int]:
        """Return the row of each of a few values.

        Args:
            values: of the vocabulary's type, strings or integers of Python.
            keys: their `hash_keys`.
        """
        return [at + FIRST for at in self.prepare().find_few(values, keys)]

    def save(self, path: Path) -> None:
        """Write values and counts as an Arrow file."""
        with ipc.new_file(str(path), self.table.schema) as file:
            file.write_table(self.table)

    @classmethod
    def load(cls, path: Path, dtype: str, size: int) -> Vocabulary:
        """Read the file that `save` wrote."""
        try:
            with pa.OSFile(str(path)) as source:
                table = ipc.open_file(source).read_all().combine_chunks()
            table.validate(full=True)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} must be the Arrow file of a vocabulary, got: {error}") from error
        expected = {"int": pa.int64(), "string": pa.large_string()}.get(dtype)
        if table.schema.names != ["value", "count"] or table.schema.types != [expected, pa.int64()]:
            raise ValueError(f"{path} must hold value ({expected}) and count (int64), got {table.schema.types}")
        if not 0 <= size <= table.num_rows:
            raise ValueError(f"{path} must hold at least the {size} values of the vocabulary, got {table.num_rows}")
        return cls(dtype, table, size)


def _together(counters: Iterable[Counter]) -> dict[str, pa.Table]:
    """Join the counts of several counters: by dtype, a table of value and count with each value once."""
    found: dict[str, list[pa.Table]] = {}
    for counter in counters:
        for dtype, table in counter.compute().items():
            found.setdefault(dtype, []).append(table)
    return {dtype: _summed(tables) if len(tables) > 1 else tables[0] for dtype, tables in found.items()}


def _by_frequency(table: pa.Table) -> pa.Table:
    """Sort by count, the most frequent first, and then by value."""
    return table.sort_by([("count", "descending"), ("value", "ascending")]).combine_chunks()


def _frequent(ordered: pa.Table, min_count: int, at_most: int | None) -> int:
    """Count the rows of a table sorted by frequency that are frequent enough."""
    counts = ordered["count"].to_numpy()
    size = int(np.searchsorted(-counts, -min_count, side="right"))
    return size if at_most is None else min(size, at_most)


class HashIndex:
    """Positions of distinct values (int64 or large_string), found for many needles at a time, by their sorted hashes.

    A table of offsets says where the hashes begin that start with the same bits. Built once for a vocabulary, where
    arrow's `index_in` hashes all values again at every call: see "Decisions" in the design notes for the figures.
    """

    def __init__(self, values: pa.Array) -> None:
        self.values = values
        keys = hash_keys(values)
        self.order = np.argsort(keys, kind="stable")
        self.keys = keys[self.order]
        bits = max(1, len(keys).bit_length() + 1)  # two to four times as many offsets as keys
        self.shift = np.uint64(64 - bits)
        counts = np.bincount((self.keys >> self.shift).astype(np.int64), minlength=1 << bits)
        self.offsets = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=self.offsets[1:])

    def find(self, needles: pa.Array) -> Array:
        """Return the position of each needle, of the values' type and not null; -1 for one that is not there."""
        keys = hash_keys(needles)
        found = self._find_keys(keys)
        if pa.types.is_int64(self.values.type):  # integers have different hashes
            return found
        hit = np.flatnonzero(found >= 0)
        same = pc.equal(self.values.take(pa.array(found[hit])), needles.take(pa.array(hit)))
        wrong = hit[~same.to_numpy(zero_copy_only=False)]
        if len(wrong):  # two strings of one hash
            exact = pc.index_in(needles.take(pa.array(wrong)), self.values)
            found[wrong] = pc.fill_null(exact, -1).to_numpy()
        return found

    def find_few(self, values: list[Any], keys: Array) -> list[int]:
        """`find` of a few Python values, whose `hash_keys` are known: no call for a column, but some for each value."""
        found, size = [], len(self.keys)
        for value, key, at in zip(values, keys.tolist(), self.keys.searchsorted(keys).tolist(), strict=True):
            position = -1
            while position < 0 and at < size and self.keys[at] == key:
                candidate = int(self.order[at])
                position = candidate if self.values[candidate].as_py() == value else -1
                at += 1
            found.append(position)
        return found

    def _find_keys(self, keys: Array) -> Array:
        """Return the position of the first value with each key; -1 where there is none."""
        if not len(self.keys):
            return np.full(len(keys), -1, np.int64)
        start = (keys >> self.shift).astype(np.int64)
        at, stop = self.offsets[start], self.offsets[start + 1]
        last = len(self.keys) - 1
        going = np.flatnonzero(at < stop)
        while len(going):
            going = going[self.keys[at[going]] < keys[going]]
            at[going] += 1
            going = going[at[going] < stop[going]]
        at = np.minimum(at, last)
        return np.where(self.keys[at] == keys, self.order[at], -1)


def hash_keys(values: pa.Array) -> Array:
    """Hash values, equal ones alike within a process; strings not by the hashing module, which costs more."""
    if pa.types.is_int64(values.type):
        return hash_values(values.to_numpy())
    import polars as pl  # for strings alone

    keys: Array = pl.DataFrame([pl.from_arrow(values)]).hash_rows().to_numpy()  # Series.hash asks the query engine
    return keys


class HashedVocabulary:
    """Rows by hash: it only learns the dtype of the values, since 5 and "5" have different hashes."""

    def __init__(self, buckets: int, dtype: str | None = None) -> None:
        self.buckets, self.dtype = buckets, dtype

    @property
    def rows(self) -> int:
        return FIRST + self.buckets

    def copy(self) -> HashedVocabulary:
        return self

    def prepare(self) -> None:
        """Do nothing: there is no index to build."""

    def lookup(self, column: Factorized) -> Array:
        """Return rows as `Vocabulary.lookup` does, int64 [len(column.values) + 1]."""
        values = column.values
        out = np.full(len(values) + 1, MISSING, np.int64)
        there = values.is_valid().to_numpy(zero_copy_only=False)
        valid = values.drop_null() if values.null_count else values
        if self.dtype == "string" or column.dtype == "int":
            out[:-1][there] = self._rows(_cast(valid, column.dtype, "string") if self.dtype == "string" else valid)
            return out
        integers, rows = as_integers(valid), self._rows(valid)
        rows[integers.is_valid().to_numpy(zero_copy_only=False)] = self._rows(integers.drop_null())
        out[:-1][there] = rows
        return out

    def _rows(self, values: pa.Array) -> Array:
        is_int = pa.types.is_int64(values.type)
        hashes = hash_values(values.to_numpy()) if is_int else hash_arrow(values)
        rows: Array = (hashes % np.uint64(self.buckets)).astype(np.int64) + FIRST
        return rows


def pretrained_table(
    vocabulary: Vocabulary, feature: str, vectors: Mapping[Any, npt.ArrayLike]
) -> npt.NDArray[np.float32]:
    """Lay vectors by value out as a table [rows, E]; rows without a vector get the mean, row 0 is zero."""
    if not vectors:
        raise ValueError(f"vectors of {feature!r} must be of at least one value, got none")
    rows_given = [np.asarray(v, np.float32).reshape(-1) for v in vectors.values()]
    lengths = {len(v) for v in rows_given}
    if len(lengths) > 1 or not all(np.isfinite(v).all() for v in rows_given):
        raise ValueError(f"vectors of {feature!r} must be finite and of one length, got lengths {sorted(lengths)}")
    matrix = np.stack(rows_given)
    column = factorize(pa.array([str(v) for v in vectors], pa.large_string()), feature, text=True)
    rows = vocabulary.lookup(column)[column.codes]
    known = rows > UNSEEN
    if not known.any():
        raise ValueError(
            f"vectors of {feature!r} must be of values it knows, got none, but such as {next(iter(vectors))!r}"
        )
    out = np.tile(matrix[known].mean(axis=0, dtype=np.float64).astype(np.float32), (vocabulary.rows, 1))
    out[MISSING] = 0
    out[rows[known]] = matrix[known]
    return out
