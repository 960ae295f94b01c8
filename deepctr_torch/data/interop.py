"""Values of any library -> numpy: integers stay integers, text stays text, what is missing stays missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import torch

from .._typing import Array
from ..tables import ColumnLike, TableLike, is_missing, library_of

__all__ = [
    "InputsLike",
    "LabelsLike",
    "column_of",
    "floats",
    "is_table",
    "names_of",
    "ragged",
    "to_numpy",
]


InputsLike: TypeAlias = Any  # x: a table, a list of columns, a packed matrix, files, or a stream of batches
LabelsLike: TypeAlias = Any  # y: a column, a matrix, one column a task, a table, or the names of columns of x

SEQUENCES = (list, tuple, np.ndarray, torch.Tensor)
FLOAT64_EXACT = 2**53  # every integer up to here has a float64 of its own


def is_table(x: object) -> bool:
    """True for a pandas or polars frame and a pyarrow table."""
    return library_of(x) != "" and hasattr(type(x), "columns")  # a Series has none


def names_of(x: TableLike) -> list[Any]:
    """Column names of a dict or table."""
    if isinstance(x, Mapping):
        return list(x)
    return list(x.column_names if library_of(x) == "pyarrow" else x.columns)


def column_of(x: TableLike, name: str) -> ColumnLike:
    """Column `name` of a dict or table; None if it has none."""
    if isinstance(x, Mapping):
        return x.get(name)
    if not is_table(x) or name not in names_of(x):
        return None
    return x.column(name) if library_of(x) == "pyarrow" else x[name]


def to_numpy(values: ColumnLike) -> Array:
    """Array, tensor, list, Series or Arrow column -> numpy; columns of lists become an object array of sequences."""
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    if isinstance(values, (list, tuple)):
        return _from_list(values)
    if hasattr(values, "to_numpy"):
        try:
            out = values.to_numpy()
        except (TypeError, ValueError):  # a single Arrow array with nulls asks for a copy
            out = values.to_numpy(zero_copy_only=False)
        return np.asarray(out)
    return np.asarray(values)


def _from_list(values: Sequence[Any]) -> Array:
    """A list as an array; of objects where it is ragged, or where numpy would make text or floats of integers."""
    try:
        array = np.asarray(values)
    except ValueError:  # sequences of several lengths
        out = np.empty(len(values), dtype=object)
        for i, value in enumerate(values):
            out[i] = value
        return out
    flat: Iterable[Any] = values if array.ndim == 1 else chain.from_iterable(values)
    as_given = False
    if array.dtype.kind == "U":
        as_given = not all(isinstance(v, str) for v in flat)
    elif array.dtype.kind == "f" and (np.abs(array) >= FLOAT64_EXACT).any():
        as_given = any(isinstance(v, (int, np.integer)) and abs(int(v)) > FLOAT64_EXACT for v in flat)
    return np.array(values, dtype=object) if as_given else array


def ragged(values: ColumnLike) -> tuple[Array, Array] | None:
    """A column of lists -> (all elements in a row, number of each list's); None for any other column.

    A missing list is empty. A ValueError says where some values are lists and others are not.

    >>> ragged([[1, 2], [], [3]])
    (array([1, 2, 3]), array([2, 0, 1]))
    """
    if isinstance(values, SEQUENCES):
        return _listed(to_numpy(values))
    if hasattr(values, "list") and str(getattr(values, "dtype", "")).startswith("List"):  # polars
        sizes = values.list.len().fill_null(0)
        return to_numpy(values.filter(sizes > 0).explode()), sizes.to_numpy().astype(np.int64)
    if str(getattr(values, "type", "")).startswith(("list<", "large_list<", "fixed_size_list<")):  # pyarrow
        chunks = getattr(values, "chunks", [values])
        flat = [to_numpy(c.flatten()) for c in chunks]
        sizes = [np.asarray(c.value_lengths().fill_null(0)) for c in chunks]
        return np.concatenate(flat or [np.empty(0, int)]), np.concatenate(sizes or [np.empty(0, int)])
    if str(getattr(values, "dtype", "")).startswith(("object", "list<", "large_list<")):  # pandas
        return _listed(to_numpy(values))
    return None


def _listed(array: Array) -> tuple[Array, Array] | None:
    if array.ndim != 1 or array.dtype != object:
        return None
    if not isinstance(next((v for v in array if not is_missing(v)), None), SEQUENCES):
        return None
    for row, value in enumerate(array):
        if not isinstance(value, SEQUENCES) and not is_missing(value):
            raise ValueError(f"a list or nothing in every row, got {value!r} in row {row}")
    rows = [v if isinstance(v, SEQUENCES) else () for v in array]
    filled = [v for v in rows if len(v)]
    if filled and all(isinstance(v, np.ndarray) for v in filled):
        together = np.concatenate(filled)
    else:
        together = to_numpy(
            list(chain.from_iterable(v.tolist() if isinstance(v, (np.ndarray, torch.Tensor)) else v for v in filled))
        )
    return together, np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))


def floats(array: Array, what: str, offset: int, missing_is_nan: bool = False) -> Array:
    """Numbers of any type, objects too, [N, ...] -> a new float32 array; too large ones become infinite.

    Messages call them `what` and number their rows from `offset`. With `missing_is_nan`, None and NA among objects are
    NaN and no error.
    """
    if array.dtype.kind in "fiub":
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    out = np.empty(array.size, dtype=np.float64)
    given = array.astype(str) if array.dtype.kind in "mM" else array  # as numbers, dates would pass
    for i, value in enumerate(given.ravel().tolist()):
        try:
            out[i] = np.nan if missing_is_nan and is_missing(value) else _number(value)
        except (TypeError, ValueError, OverflowError):
            row = offset + i * len(array) // array.size
            raise ValueError(f"{what} must be numbers, got {value!r} ({array.dtype}) in row {row}") from None
    with np.errstate(over="ignore"):
        return out.reshape(array.shape).astype(np.float32)


def _number(value: Any) -> float:
    if isinstance(value, (str, bytes, complex, np.datetime64, np.timedelta64, *SEQUENCES)):
        raise TypeError("not a number")
    return float(value)
