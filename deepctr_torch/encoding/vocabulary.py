"""Which values there are, how often each came, and which row of the table each has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..hashing import hash_values
from .arrow_columns import Factorized, as_integers, factorize, hash_arrow, one_array, to_strings
from .index import Index

__all__ = ["FIRST", "MISSING", "UNSEEN", "Counter", "Hashed", "Vocabulary", "by_value"]


MISSING, UNSEEN, FIRST = 0, 1, 2  # rows of a table: padding or missing, unseen or rare, the first value
_PENDING = 1 << 18  # values that wait to be merged, at least

Array = npt.NDArray[Any]


class Counter:
    """How often each value occurs. Counts are summed, so that neither order nor chunks matter."""

    def __init__(self) -> None:
        self._merged: dict[str, Any] = {}
        self._parts: dict[str, list[Any]] = {}
        self._pending = 0

    @staticmethod
    def partial(column: Factorized) -> tuple[str, Any]:
        """The values of one chunk, counted: kind, and a table of value and count."""
        import pyarrow as pa

        counts = column.counts
        table = pa.table({"value": column.values, "count": pa.array(counts, pa.int64())})
        there = (counts > 0) & column.values.is_valid().to_numpy(zero_copy_only=False)
        return column.kind, table if there.all() else table.filter(pa.array(there))

    def add(self, partial: tuple[str, Any]) -> None:
        """Take in what `partial` counted."""
        kind, table = partial
        self._parts.setdefault(kind, []).append(table)
        self._pending += table.num_rows
        if self._pending > max(_PENDING, sum(t.num_rows for t in self._merged.values())):
            self._merge()

    def _merge(self) -> None:
        for kind, parts in self._parts.items():
            every = [*([self._merged[kind]] if kind in self._merged else []), *parts]
            self._merged[kind] = _summed(every) if len(every) > 1 else every[0]
        self._parts, self._pending = {}, 0

    def tables(self) -> dict[str, Any]:
        """Kind -> table of value and count, each value once."""
        self._merge()
        return {kind: table for kind, table in self._merged.items() if table.num_rows}


def _summed(tables: Iterable[Any]) -> Any:
    """Tables of value and count as one, with each value once."""
    import pyarrow as pa

    whole = pa.concat_tables(tables)
    encoded = one_array(whole["value"]).dictionary_encode()
    counts = np.zeros(len(encoded.dictionary), np.int64)
    np.add.at(counts, encoded.indices.to_numpy(), whole["count"].to_numpy())
    return pa.table({"value": encoded.dictionary, "count": counts})


def _settled(tables: dict[str, Any]) -> tuple[str, Any]:
    """ "int" or "string", and one table of value and count.

    Integers, and text that stands for integers throughout, are integers; anything else makes all values strings.
    """
    import pyarrow as pa

    columns = {kind: table["value"].combine_chunks() for kind, table in tables.items()}
    counts = {kind: table["count"].combine_chunks() for kind, table in tables.items()}
    if "text" in tables and "string" not in tables:
        integers = as_integers(columns["text"])
        if not integers.null_count:
            columns["text"] = integers
    only = all(pa.types.is_int64(c.type) for c in columns.values())
    parts = [
        pa.table({"value": c if only else to_strings(c), "count": counts[kind]}) for kind, c in columns.items()
    ] or [pa.table({"value": pa.array([], pa.int64()), "count": pa.array([], pa.int64())})]
    return "int" if only else "string", _summed(parts) if len(parts) > 1 or "text" in tables else parts[0]


def _cast(values: Any, kind: str, to: str) -> Any:
    """Values of a column in the type of a vocabulary; null for those that cannot be."""
    if to == "int":
        return values if kind == "int" else as_integers(values)
    return to_strings(values)


class Vocabulary:
    """Values with rows of their own, by frequency and then by value, and the rare ones after them.

    Args:
        kind: "int" or "string".
        table: value and count of all values ever counted; the first `size` have rows.
        size: how many do.

    Row 0 is of padding and of what is missing, row 1 of values that are unseen or rare, row 2 + i of value i.
    """

    def __init__(self, kind: str, table: Any, size: int) -> None:
        self.kind, self.table, self.size = kind, table, size
        self._index: Index | None = None

    @classmethod
    def learn(cls, counters: Iterable[Counter], min_count: int, max_vocabulary: int | None) -> Vocabulary:
        """The vocabulary of what several features counted."""
        kind, table = _settled(_together(counters))
        ordered = _by_frequency(table)
        return cls(kind, ordered, _frequent(ordered, min_count, max_vocabulary))

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return FIRST + self.size

    @property
    def values(self) -> Any:
        """The values that have rows, an arrow array; value i has row 2 + i."""
        return self.table["value"].combine_chunks()[: self.size]

    @property
    def counts(self) -> Array:
        """How often each of `values` came in training."""
        return np.asarray(self.table["count"].to_numpy()[: self.size], np.int64)

    def copy(self) -> Vocabulary:
        """The same vocabulary, which `update` changes apart."""
        return Vocabulary(self.kind, self.table, self.size)

    def update(self, counters: Iterable[Counter], min_count: int, max_vocabulary: int | None) -> str | None:
        """Add counts; values that are frequent enough now get new rows behind the others, which keep theirs.

        Returns:
            One of the values that a vocabulary of integers cannot take, None if there is none. As long as no value was
            ever counted, the type is not settled.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        added = _together(counters)
        if not self.table.num_rows:
            self.kind, table = _settled(added)
            self.table = table.slice(0, 0)
        parts, left_out = [], None
        for kind, table in added.items():
            given = table["value"].combine_chunks()
            values = _cast(given, kind, self.kind)
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
        self.table = _one_chunk(pa.concat_tables([kept, rest]))
        self.size += _frequent(rest, min_count, room)
        self._index = None
        return left_out

    def prepare(self) -> Index:
        """The index of `lookup`, built once, before threads ask."""
        if self._index is None:
            self._index = Index(self.values)
        return self._index

    def lookup(self, column: Factorized) -> Array:
        """int64 [len(column.values) + 1]: the row of each distinct value, and at the end that of what is missing."""
        out = np.full(len(column.values) + 1, UNSEEN, np.int64)
        out[-1] = MISSING
        out[:-1][column.values.is_null().to_numpy(zero_copy_only=False)] = MISSING
        needles = _cast(column.values, column.kind, self.kind)
        there = np.flatnonzero(needles.is_valid().to_numpy(zero_copy_only=False))
        if self.size and len(there):
            needles = needles.drop_null() if needles.null_count else needles
            out[there] = self.prepare().find(needles) + FIRST
        return out

    def save(self, path: Path) -> None:
        """Write values and counts as an Arrow file."""
        from pyarrow import ipc

        with ipc.new_file(str(path), self.table.schema) as file:
            file.write_table(self.table)

    @classmethod
    def load(cls, path: Path, kind: str, size: int) -> Vocabulary:
        """The inverse of `save`.

        Raises:
            ValueError: the file is not what was saved.
        """
        import pyarrow as pa
        from pyarrow import ipc

        try:
            with pa.OSFile(str(path)) as source:
                table = _one_chunk(ipc.open_file(source).read_all())
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(f"{path} must be the Arrow file of a vocabulary, got: {error}") from error
        expected = {"int": pa.int64(), "string": pa.large_string()}.get(kind)
        if table.schema.names != ["value", "count"] or table.schema.types != [expected, pa.int64()]:
            raise ValueError(f"{path} must hold value ({expected}) and count (int64), got {table.schema.types}")
        if not 0 <= size <= table.num_rows:
            raise ValueError(f"{path} must hold at least the {size} values of the vocabulary, got {table.num_rows}")
        return cls(kind, table, size)


def _one_chunk(table: Any) -> Any:
    import pyarrow as pa

    arrays = [c.combine_chunks() if c.num_chunks else pa.array([], c.type) for c in table.columns]
    return pa.table(dict(zip(table.column_names, arrays, strict=True)))


def _together(counters: Iterable[Counter]) -> dict[str, Any]:
    """Kind -> table of value and count, each value once, of several counters."""
    parts: dict[str, list[Any]] = {}
    for counter in counters:
        for kind, table in counter.tables().items():
            parts.setdefault(kind, []).append(table)
    return {kind: _summed(tables) if len(tables) > 1 else tables[0] for kind, tables in parts.items()}


def _by_frequency(table: Any) -> Any:
    """The most frequent first, equally frequent ones by value."""
    return _one_chunk(table.sort_by([("count", "descending"), ("value", "ascending")]))


def _frequent(ordered: Any, min_count: int, at_most: int | None) -> int:
    """How many rows of a table sorted by frequency are frequent enough."""
    counts = ordered["count"].to_numpy()
    size = int(np.searchsorted(-counts, -min_count, side="right"))
    return size if at_most is None else min(size, at_most)


class Hashed:
    """Rows by hash: nothing is learned but whether values are integers, since 5 and "5" have different hashes."""

    def __init__(self, buckets: int, kind: str | None = None) -> None:
        self.buckets, self.kind = buckets, kind

    @property
    def rows(self) -> int:
        return FIRST + self.buckets

    def copy(self) -> Hashed:
        return self

    def prepare(self) -> None:
        """Nothing to build."""

    def lookup(self, column: Factorized) -> Array:
        """int64 [len(column.values) + 1], as `Vocabulary.lookup`."""
        values = column.values
        out = np.full(len(values) + 1, MISSING, np.int64)
        there = values.is_valid().to_numpy(zero_copy_only=False)
        valid = values.drop_null() if values.null_count else values
        if self.kind == "string" or column.kind == "int":
            out[:-1][there] = self._rows(_cast(valid, column.kind, "string") if self.kind == "string" else valid)
            return out
        integers = as_integers(valid)
        known = integers.is_valid().to_numpy(zero_copy_only=False)
        rows = self._rows(valid)
        rows[known] = self._rows(integers.drop_null())
        out[:-1][there] = rows
        return out

    def _rows(self, values: Any) -> Array:
        import pyarrow as pa

        is_int = pa.types.is_int64(values.type)
        hashes = hash_values(values.to_numpy()) if is_int else hash_arrow(values)
        rows: Array = (hashes % np.uint64(self.buckets)).astype(np.int64) + FIRST
        return rows


def by_value(vocabulary: Vocabulary, feature: str, vectors: Mapping[Any, Any]) -> npt.NDArray[np.float32]:
    """A table [rows, E] with the vector of each value; rows without one get the mean, row 0 zeros."""
    import pyarrow as pa

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
