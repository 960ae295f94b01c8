"""Few rows, encoded from Python values: their cost is that of calls, of which arrow needs several for each column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from .._typing import Array
from .categorical import CategoricalEncoder
from .column_encoder import ColumnEncoder
from .numeric import NumericEncoder
from .vocabulary import MISSING, Vocabulary, hash_keys

__all__ = ["FEW_ROWS", "encode_few"]

_TYPES = {"int": pa.int64(), "string": pa.large_string()}
FEW_ROWS = 128  # at most; of twice as many columns of arrow cost as little


def encode_few(
    columns: Mapping[str, ColumnEncoder], table: Mapping[str, Sequence[Any]], rows: int
) -> dict[str, dict[str, Array]]:
    """Encode numbers, strings and integers as `encode_chunk` does outside training, to the bit.

    Args:
        columns: feature -> its encoder.
        table: raw column -> its values, as `read_values` gives them.
        rows: how many there are, at least one.

    Returns:
        Feature -> its inputs; features of other kinds, or whose values are of other types or of several, are left out.
    """
    found: dict[str, dict[str, Array]] = {}
    wanted: dict[str, list[tuple[CategoricalEncoder, Vocabulary, list[Any]]]] = {"int": [], "string": []}
    for name, column in columns.items():
        if column.spec.train_only:
            found[name] = column.encode_missing(rows)
        elif isinstance(column, NumericEncoder):
            numbers = _numbers(table[column.inputs[0]])
            if numbers is not None:
                found[name] = column.encode_numbers(numbers)
        elif type(column) is CategoricalEncoder and len(column.inputs) == 1:
            learned = column.shared.learned
            if not isinstance(learned, Vocabulary):
                continue
            values = _keys_of(table[column.inputs[0]], learned.dtype)
            if values is not None:
                wanted[learned.dtype].append((column, learned, values))
    for dtype, lookups in wanted.items():
        there = [[v for v in values if v is not None] for _, _, values in lookups]
        together = [v for values in there for v in values]  # of all columns, hashed at once
        keys = hash_keys(pa.array(together, _TYPES[dtype]))
        start = 0
        for (column, learned, values), known in zip(lookups, there, strict=True):
            ids = learned.rows_of(known, keys[start : start + len(known)])
            start += len(known)
            if len(known) < rows:
                found_ids = iter(ids)
                ids = [MISSING if v is None else next(found_ids) for v in values]
            found[column.name] = {column.name: np.array(ids, column.shared.id_dtype)}
    return found


def _type_of(values: Sequence[Any]) -> type | None:
    """The one type of the values that are not None; NoneType if all are, None if there are several types."""
    types = set(map(type, values))
    if len(types) > 1:
        types.discard(type(None))
    return types.pop() if len(types) == 1 else None


def _are_int64(values: Sequence[Any]) -> bool:
    return all(v is None or -(2**63) <= v < 2**63 for v in values)


def _numbers(values: Sequence[Any]) -> Array | None:
    """The numbers, float64 [N], NaN where missing; None of values that arrow must look at."""
    kind = _type_of(values)
    simple = kind in (float, bool, type(None)) or (kind is int and _are_int64(values))
    return np.array(values, np.float64) if simple else None


def _keys_of(values: Sequence[Any], dtype: str) -> list[Any] | None:
    """The values in the type of a vocabulary, None where missing; None of values that arrow must look at."""
    if any(v != v for v in values if type(v) is float):
        values = [None if type(v) is float and v != v else v for v in values]
    kind = _type_of(values)
    if kind is str and dtype == "string":
        return [v or None for v in values]
    if kind is float:
        values = [v if v is None else int(v) if abs(v) <= 2**53 and v.is_integer() else repr(v) for v in values]
        if dtype == "string":
            return [v if v is None else str(v) for v in values]
        kind = _type_of(values)
    if kind in (int, bool) and _are_int64(values):
        return [v if v is None else int(v) if dtype == "int" else str(int(v)) for v in values]
    return [None] * len(values) if kind is type(None) else None
