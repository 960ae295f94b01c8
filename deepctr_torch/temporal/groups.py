"""EventRows by key and time: codes of keys, and where in the order of time each row finds what was known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .._typing import IntArray
from .times import NumberArray

__all__ = ["IntArray", "Keys", "Windows", "before_all", "grow_rows", "run_ends", "windows"]


class Keys:
    """Numbers for the values of some columns together, in the order they come; the same value, the same number."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._codes: dict[Any, int] = {}

    def __len__(self) -> int:
        return len(self._codes) if self.columns else 1

    def codes(self, table: pa.Table, *, once: bool) -> IntArray:
        """Return a number a row; -1 where one of the columns is missing: null, NaN, or the empty string.

        With `once` no other table will come, so that nothing need be remembered.
        """
        if not self.columns:
            return np.zeros(table.num_rows, np.int64)
        local, first = _local_codes([table.column(name) for name in self.columns], self.columns)
        if once and not self._codes:
            return local
        values: list[Any] = [table.column(name).take(first).to_pylist() for name in self.columns]
        distinct = values[0] if len(values) == 1 else list(zip(*values, strict=True))
        codes = self._codes
        known = np.fromiter((codes.setdefault(v, len(codes)) for v in distinct), np.int64, len(distinct))
        return np.append(known, -1)[local]


def _local_codes(columns: Sequence[pa.ChunkedArray], names: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Return the codes of one table's rows, -1 for missing, and for each code a row that has it."""
    code, missing = np.zeros(len(columns[0]), np.int64), np.zeros(len(columns[0]), bool)
    for column, name in zip(columns, names, strict=True):
        one, size = _encoded(column, name)
        missing |= one < 0
        _, code = np.unique(code * size + one, return_inverse=True) if len(columns) > 1 else (None, one)
    code[missing] = -1
    kept, first, code = np.unique(code, return_index=True, return_inverse=True)
    skipped = int(len(kept) > 0 and kept[0] < 0)  # missing values come first
    return code - skipped, first[skipped:]


def _encoded(column: pa.ChunkedArray, name: str) -> tuple[IntArray, int]:
    """Return the codes of one column, -1 for null, NaN and the empty string, and how many there may be."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    try:
        encoded = pa.chunked_array(column).combine_chunks().dictionary_encode()
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise ValueError(f"column {name!r} must hold numbers or strings, got {column.type}") from error
    codes = encoded.indices.fill_null(-1).to_numpy().astype(np.int64)
    if pa.types.is_string(encoded.dictionary.type) or pa.types.is_large_string(encoded.dictionary.type):
        empty = pc.index(encoded.dictionary, pa.scalar("", encoded.dictionary.type)).as_py()
        if empty >= 0:
            codes[codes == empty] = -1
    return codes, max(len(encoded.dictionary), 1)


class Windows(NamedTuple):
    """The entries that each query sees: `order[start:stop]`, positions in the order of time."""

    order: IntArray
    start: IntArray
    stop: IntArray


def windows(code: IntArray, time: NumberArray, query: IntArray, bound: NumberArray) -> Windows:
    """Find for each query the entries of its code with a time below its bound.

    Entries of equal code and time stay in the order given. A query of code -1 sees none.
    """
    levels, rank = np.unique(time, return_inverse=True)
    width = len(levels) + 1
    key = code * width + rank
    order = np.argsort(key, kind="stable")
    key = key[order]
    start = np.searchsorted(key, query * width)
    stop = np.searchsorted(key, query * width + np.searchsorted(levels, bound))
    return Windows(order, start, stop)


def run_ends(code: IntArray, time: NumberArray) -> IntArray:
    """Return the position of the last entry of each code and time, of entries sorted by both."""
    return np.flatnonzero(np.append((code[1:] != code[:-1]) | (time[1:] != time[:-1]), True)[: len(code)])


def before_all(like: NumberArray) -> float:
    """Return the lowest time: every later row sees what has it."""
    return -np.inf if like.dtype.kind == "f" else np.iinfo(np.int64).min


def grow_rows(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Return `array` with at least `size` rows, zeros behind its own."""
    if len(array) >= size:
        return array
    result = np.zeros((max(size, 2 * len(array)), *array.shape[1:]), array.dtype)
    result[: len(array)] = array
    return result
