"""Rows held in memory -> pyarrow tables: pandas, polars and pyarrow tables, dicts of arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .._optional import needs

if TYPE_CHECKING:
    import pyarrow as pa

_FLOATS = ("float32", "float64")
_INT64 = 2**63 - 1
_CELLS = 2  # rows, at most, of which pandas gives all cells one by one sooner than as one array

__all__ = [
    "ColumnLike",
    "TableLike",
    "column_label",
    "is_missing",
    "library_of",
    "memory_columns",
    "memory_tables",
    "memory_values",
    "plain",
    "row_count",
]

# Looked at as they come, so that no library is imported for its types alone:
TableLike: TypeAlias = Any  # a pandas or polars frame, a pyarrow table, or a dict of columns
ColumnLike: TypeAlias = Any  # an array, a tensor, a list, a Series, or an arrow column: one value a row


def library_of(data: object) -> str:
    """ "pandas", "polars" or "pyarrow": whose table `data` is; "" of anything else.

    The type is asked, as pandas shows its columns as attributes: one may be called `height`, say.
    """
    kind = type(data)
    if hasattr(kind, "iloc"):
        return "pandas"
    if hasattr(kind, "get_column"):
        return "polars"
    return "pyarrow" if hasattr(kind, "num_rows") and hasattr(kind, "schema") else ""


def column_label(name: object) -> str:
    """Return the name of a column as text: `str(name)`; the levels of a pandas MultiIndex joined by "_".

    >>> column_label("city"), column_label(7), column_label(("price", "mean")), column_label(("city", ""))
    ('city', '7', 'price_mean', 'city')
    """
    return "_".join(str(level) for level in name if level != "") if isinstance(name, tuple) else str(name)


def memory_columns(data: TableLike) -> list[str]:
    """Names of the columns of rows in memory, as `column_label` writes them.

    Raises:
        TypeError: `data` is no table.
        ValueError: two columns of one name.
    """
    library = library_of(data)
    if isinstance(data, Mapping):
        names = list(data)
    elif library == "pyarrow":
        names = list(data.schema.names)
    elif library and hasattr(type(data), "columns"):
        names = list(data.columns)
    elif hasattr(type(data), "collect"):
        raise TypeError(f"data must be a table or the path of one, got {type(data).__name__}: call its collect()")
    else:
        raise TypeError(
            "data must be a pandas, polars or pyarrow table, a dict of arrays, or the path of a file, folder or glob, "
            f"got {type(data).__name__}"
        )
    text = [column_label(name) for name in names]
    if len(set(text)) < len(text):
        raise ValueError(f"columns must have different names, got {next(n for n in text if text.count(n) > 1)!r} twice")
    return text


def row_count(data: TableLike, columns: Sequence[str]) -> int:
    """Number of rows of a table in memory; columns of a dict must agree on it."""
    if library_of(data):
        return len(data)
    raw = _raw_columns(data, columns)
    return len(next(iter(raw.values()))) if raw else 0


def memory_tables(data: TableLike, columns: Sequence[str], rows: int, keep_nan: bool = False) -> Iterator[pa.Table]:
    """The columns of `data` as pyarrow tables of `rows` rows; only these are converted at a time."""
    with needs("tables"):
        import pyarrow as pa

    library = library_of(data)
    if library == "pyarrow":
        whole = data if isinstance(data, pa.Table) else pa.Table.from_batches([data])
        for start in range(0, whole.num_rows, rows):
            yield plain(whole.select(columns).slice(start, rows))
    elif library == "polars":
        import polars as pl

        for start in range(0, data.height, rows):
            part = data.select(columns).slice(start, rows)
            yield plain(part.to_arrow(compat_level=pl.CompatLevel.oldest()))
    else:
        yield from _column_tables(_raw_columns(data, columns), rows, keep_nan)


def memory_values(data: TableLike, columns: Sequence[str]) -> dict[str, Sequence[Any]]:
    """The columns of `data` as Python values, in one call for all columns where its library has one."""
    library = library_of(data)
    if library == "pandas":
        cell, (rows, width) = data.iat, data.shape
        if rows <= _CELLS:
            values = [[_plain_value(cell[row, at]) for row in range(rows)] for at in range(width)]
        else:
            values = data.to_numpy(dtype=object).T.tolist()
    elif library == "polars":
        values = list(map(list, zip(*data.rows(), strict=True)))
    elif library == "pyarrow":
        return {name: data.column(name).to_pylist() for name in columns}
    else:
        return {name: _values(column) for name, column in _raw_columns(data, columns).items()}
    place = {column_label(name): at for at, name in enumerate(data.columns)}
    return {name: values[place[name]] for name in columns}


def _plain_value(value: object) -> object:
    """A number of numpy as Python's, other values as they are."""
    return value.item() if isinstance(value, np.generic) and value.dtype.kind in "biuf" else value


def _values(column: ColumnLike) -> Sequence[Any]:
    if isinstance(column, (list, tuple)):
        return column
    if type(column) is np.ndarray and column.dtype.kind in "biufUO":  # of dates it would make integers
        return list(column.tolist())
    return list(column)


def _raw_columns(data: TableLike, columns: Sequence[str]) -> dict[str, ColumnLike]:
    """Name -> values, each with a length and slices."""
    keys = {column_label(key): key for key in (data if isinstance(data, Mapping) else data.columns)}
    raw = {name: data[keys[name]] for name in columns}
    out = {}
    for name, values in raw.items():
        if hasattr(values, "detach"):  # a torch tensor
            values = values.detach().cpu().numpy()
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__") or getattr(values, "ndim", 1) == 0:
            raise ValueError(f"column {name!r} must hold one value a row, got the single value {values!r}")
        out[name] = values
    sizes = {name: len(values) for name, values in out.items()}
    first = next(iter(sizes), "")
    other = next((name for name in sizes if sizes[name] != sizes[first]), None)
    if other is not None:
        raise ValueError(
            f"columns must have the same number of rows: {first!r} has {sizes[first]}, {other!r} has {sizes[other]}"
        )
    return out


def _column_tables(raw: Mapping[str, ColumnLike], rows: int, keep_nan: bool) -> Iterator[pa.Table]:
    import pyarrow as pa

    size = len(next(iter(raw.values()))) if raw else 0
    types = {name: _type_of(values) for name, values in raw.items()}
    if keep_nan:  # as numpy arrays, which arrow takes as they are
        raw = {name: np.asarray(v) if str(getattr(v, "dtype", "")) in _FLOATS else v for name, v in raw.items()}
    for start in range(0, size, rows):
        arrays = [
            _array(name, _rows_of(values, start, start + rows), types[name], keep_nan, start)
            for name, values in raw.items()
        ]
        yield plain(pa.table(arrays, names=list(raw)))


def _rows_of(values: ColumnLike, start: int, stop: int) -> ColumnLike:
    return values.iloc[start:stop] if hasattr(values, "iloc") else values[start:stop]


def _type_of(values: ColumnLike) -> pa.DataType | None:
    """The arrow type of a whole column of Python objects, so that all its parts get the same; None for others.

    A column that mixes types, such as integers and strings, is text.
    """
    import pyarrow as pa

    if str(getattr(values, "dtype", "object")) != "object" or isinstance(values, (pa.Array, pa.ChunkedArray)):
        return None
    objects = _objects(values)
    if str in set(map(type, objects)):
        return pa.string()
    try:
        found = pa.infer_type(objects, from_pandas=True)
        if pa.types.is_int64(found) and any(isinstance(v, int) and v > _INT64 for v in objects):
            found = pa.uint64()
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None  # the error comes with the part that has the value
    return None if pa.types.is_null(found) else found


def _objects(values: ColumnLike) -> ColumnLike:
    return values.to_numpy() if hasattr(values, "to_numpy") else values


def _array(name: str, values: ColumnLike, kind: pa.DataType | None, keep_nan: bool, first_row: int) -> pa.Array:
    import pyarrow as pa

    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if keep_nan and str(getattr(values, "dtype", "")) in _FLOATS and values.ndim == 1:
        return pa.array(values, from_pandas=False)
    if getattr(values, "ndim", 1) > 1:
        array = pa.array(np.ascontiguousarray(values).reshape(-1), from_pandas=True)
        for width in reversed(values.shape[1:]):
            array = pa.FixedSizeListArray.from_arrays(array, width)
        return array
    if kind is not None and pa.types.is_string(kind):
        values = _objects(values)
        if not set(map(type, values)) <= {str, type(None)}:
            values = [_text(v) for v in values]
    try:
        return pa.array(values, type=kind, from_pandas=True)
    except OverflowError as error:
        raise ValueError(f"column {name!r} must hold integers of 64 bits, signed or unsigned, got {error}") from error
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        depths: set[int] = set()
        row = next(
            (row for row, value in enumerate(_objects(values)) if len(depths := depths | _depths(value)) > 1), None
        )
        where = "" if row is None else f" in row {first_row + row}"
        raise ValueError(f"column {name!r} must hold values of one type, got: {error}{where}") from error


def _depths(value: object) -> set[int]:
    """Numbers of lists around each single value in `value`, missing ones apart.

    >>> _depths([[1, 2], [], 3]), _depths([[]]), _depths(4)
    ({1, 2}, set(), {0})
    """
    if isinstance(value, (list, tuple, np.ndarray)):
        return {depth + 1 for each in value for depth in _depths(each)}
    missing = value is None or (isinstance(value, float) and value != value)
    return set() if missing else {0}


def is_missing(value: object) -> bool:
    """True for None, NaN and pandas' NA and NaT."""
    if isinstance(value, (float, np.floating, Decimal)):
        return bool(value != value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _text(value: object) -> str | None:
    """The value as text, a whole number as an integer's; None if it is missing."""
    number = float(value) if isinstance(value, (float, np.floating)) else np.nan
    if abs(number) <= 2**53 and number.is_integer():
        return str(int(number))
    return None if is_missing(value) else str(value)


def plain(table: pa.Table) -> pa.Table:
    """The table with dictionary columns (pandas and polars categoricals) as their values, and float16 as float32."""
    import pyarrow as pa

    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(field.type.value_type))
        elif pa.types.is_float16(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pa.float32()))
    return table
