"""The input of `fit`, `evaluate` and `predict`: tables in memory or files, with labels and weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from sklearn.exceptions import DataConversionWarning

from .._checks import check_type
from .._typing import Array
from ..data import Files
from ..data.files import means_files
from ..data.interop import column_of, is_table, names_of, to_numpy
from ..registry import suggest
from ..tables import BadRows, Chunk, ColumnLike, check_on_bad_rows, column_label, column_names, read_chunks, row_count
from .labels import missing_in

__all__ = ["LabelsLike", "RawData", "TableLike", "WeightsLike", "open_data", "open_inputs", "reading", "row_name"]

TableLike: TypeAlias = Any  # a frame, an arrow table, a dict of columns, a matrix; or files
LabelsLike: TypeAlias = Any  # one label a row, a table of several; or the name(s) of columns
WeightsLike: TypeAlias = Any  # one number a row; or the name of a column


@dataclass(frozen=True)
class RawData:
    """Raw rows to learn from or to predict."""

    table: TableLike  # a frame, an arrow table or a dict; or `Files`
    names: list[str]  # its columns, without labels and weights
    named: bool  # whether the columns have names of their own
    labels: tuple[str, ...] = ()  # names of the labels
    y: tuple[Array, ...] = ()  # the labels of rows in memory, in that order; of files they are columns
    weight: Array | str | None = None  # one number a row; of files the name of a column
    apart: tuple[str, ...] = ()  # columns of the labels and the weight, which are no features

    @property
    def in_files(self) -> bool:
        return isinstance(self.table, Files)

    @property
    def negative_rate(self) -> float:
        """Share of the negative rows that is trained on."""
        return self.table.negative_rate if self.in_files else 1.0

    @property
    def source(self) -> TableLike:
        """The table or the paths, as `read_chunks` takes them."""
        return self.table.paths if self.in_files else self.table

    @property
    def options(self) -> dict[str, Any]:
        """The options of `read_chunks`."""
        if not self.in_files:
            return {}
        files = self.table
        how = {"header": files.header, "null": files.null, "on_bad_rows": files.on_bad_rows}
        return {**how, "schema": files.schema or {}}

    def without(self, bad: BadRows) -> RawData:
        """Return the rows of files without some lines."""
        return replace(self, table=replace(self.table, on_bad_rows=bad))

    def count_rows(self) -> int:
        """Return how many rows there are; of files by reading a column."""
        if not self.in_files:
            return row_count(self.table, column_names(self.table)[:1])
        chunks = read_chunks(self.source, self.labels[:1] or self.names[:1], **self.options)
        return sum(chunk.table.num_rows for chunk in chunks)

    def labels_and_weights(self, chunk: Chunk) -> tuple[list[Array], Array | None]:
        """Return a column of each label and the weights, of the rows of a chunk."""
        if self.in_files:
            weight = to_numpy(chunk.table.column(self.weight)) if isinstance(self.weight, str) else None
            return [to_numpy(chunk.table.column(name)) for name in self.labels], weight
        rows = slice(chunk.first_row, chunk.first_row + chunk.table.num_rows)
        return [y[rows] for y in self.y], self.weight[rows] if isinstance(self.weight, np.ndarray) else None


def row_name(row: int) -> str:
    """Say where a row of a table in memory is, for messages."""
    return f"row {row}"


def _values(values: LabelsLike) -> Array:
    """A column as an array that can be indexed; lists stay what they are."""
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, (list, tuple)):
        out = np.empty(len(values), object)
        out[:] = list(values)
        return out
    return to_numpy(values)


def reading(X: TableLike, on_bad_rows: str) -> TableLike:
    """The table; files with `on_bad_rows`."""
    check_on_bad_rows(on_bad_rows)
    if on_bad_rows == "raise" or not means_files(X):
        return X
    return replace(X if isinstance(X, Files) else Files(X), on_bad_rows=on_bad_rows)


def open_inputs(X: TableLike) -> RawData:
    """Return a table of inputs: a frame, an arrow table, a dict of columns, a matrix, or files."""
    if hasattr(X, "tocsr"):
        raise TypeError("X must be dense, got a sparse matrix: give a frame with one column a feature")
    if means_files(X):
        files = X if isinstance(X, Files) else Files(X)
        return RawData(files, column_names(files.paths, header=files.header), True)
    if isinstance(X, (list, tuple)) and X and all(isinstance(row, Mapping) for row in X):
        X = _from_rows(X)
    if isinstance(X, Mapping) or is_table(X):
        names = column_names(X)
        if not names:
            raise ValueError("0 feature(s) while a minimum of 1 is required: X must have at least one column")
        return RawData(X if names == names_of(X) else _renamed(X, names), names, True)
    return _matrix(X)


def _from_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The columns of rows that are dicts; None where a row lacks one."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _renamed(X: TableLike, names: Sequence[str]) -> TableLike:
    """The table with names of text, whatever they were; its values are not copied."""
    if isinstance(X, Mapping):
        return dict(zip(names, X.values(), strict=True))
    renamed = X.copy(deep=False)
    renamed.columns = list(names)
    return renamed


def _matrix(X: TableLike) -> RawData:
    array = np.asarray(X)
    if array.dtype.kind == "c":
        raise ValueError("Complex data not supported: X must hold real numbers, strings or lists")
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {array.ndim}D array instead: X must be a table. Reshape your data either using "
            "array.reshape(-1, 1) if it has one feature, or array.reshape(1, -1) if it is one row"
        )
    if not array.shape[1]:
        raise ValueError(f"0 feature(s) (shape={array.shape}) while a minimum of 1 is required.")
    columns = {f"x{i}": array[:, i] for i in range(array.shape[1])}
    return RawData(columns, list(columns), named=False)


def open_data(X: TableLike, y: LabelsLike, weight: WeightsLike = None) -> RawData:
    """Return inputs with labels, given as arrays or the names of columns of `X` (of files always), as weights are."""
    data = open_inputs(X)
    files = data.table if data.in_files else None
    if files is not None:
        y, weight = files.label if y is None else y, files.weight if weight is None else weight
    if y is None:
        raise ValueError(
            "requires y to be passed, but the target y is None: give labels, or the names of their columns"
        )
    names = [y] if isinstance(y, str) else y
    if files is not None or isinstance(y, str) or _are_names(names, data):
        return _with_columns(data, names, weight)
    labels, columns = _label_columns(y)
    rows = data.count_rows()
    if not rows:
        raise ValueError("Found array with 0 sample(s): X must have at least one row")
    for name, values in zip(labels, columns, strict=True):
        if len(values) != rows:
            raise ValueError(f"X and y must have the same number of rows, got {rows} and {len(values)} of {name!r}")
    weights = _weights(data, weight, rows)
    named = (weight,) if isinstance(weight, str) else ()
    left = [name for name, values in zip(labels, columns, strict=True) if _same(column_of(data.table, name), values)]
    found = replace(data, names=[n for n in data.names if n not in named], apart=(*left, *named))
    return replace(found, labels=tuple(labels), y=tuple(columns), weight=weights)


def _same(column: ColumnLike, label: Array) -> bool:
    """Tell whether a column, None if there is none, holds the values of a label, missing ones alike."""
    if column is None:
        return False
    values = _values(column)
    if values.shape != label.shape:
        return False
    there = ~missing_in(label)
    return bool((missing_in(values) != there).all() and np.array_equal(values[there], label[there]))


def _are_names(names: LabelsLike, data: RawData) -> bool:
    if not isinstance(names, (list, tuple)) or not data.named:
        return False
    return bool(names) and all(isinstance(n, str) and n in data.names for n in names)


def _with_columns(data: RawData, names: LabelsLike, weight: WeightsLike) -> RawData:
    if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
        raise TypeError(f"with files, y must name the column(s) of the labels, got {type(names).__name__}")
    if weight is not None and data.in_files:
        check_type("sample_weight of files", weight, str, "the name of a column")
    for name in [*names, *([weight] if isinstance(weight, str) else [])]:
        if name not in data.names:
            raise ValueError(f"there is no column {name!r}: {suggest(name, data.names)}")
    apart = (*names, *([weight] if isinstance(weight, str) else []))
    found = replace(data, names=[n for n in data.names if n not in apart], labels=tuple(names), apart=apart)
    if data.in_files:
        return replace(found, weight=weight)
    y = tuple(_values(column_of(data.table, name)) for name in names)
    return replace(found, y=y, weight=_weights(data, weight, len(y[0])))


def _weights(data: RawData, weight: WeightsLike, rows: int) -> Array | None:
    if weight is None:
        return None
    if isinstance(weight, str):
        weight = column_of(data.table, weight) if data.named else None
        if weight is None:
            raise ValueError("sample_weight must be numbers or the name of a column, got one that is not there")
    array = np.asarray(to_numpy(weight), np.float64)
    if array.ndim != 1 or len(array) != rows:
        raise ValueError(f"sample_weight must be one number a row, got shape {array.shape} for {rows} rows")
    if not (array >= 0).all() or not array.any():
        raise ValueError("sample_weight must be numbers >= 0, some of them above, got others or zeros alone")
    return array


def _label_columns(y: LabelsLike) -> tuple[list[str], list[Array]]:
    """The names and values of labels given as such."""
    if isinstance(y, Mapping) or is_table(y):
        names = column_names(y)
        return names, [_values(column_of(y, name)) for name in names_of(y)]
    array = to_numpy(y)
    if array.ndim == 1:
        name = getattr(y, "name", None)
        return [column_label(name) if name not in (None, "") else "label"], [array]
    if array.ndim != 2:
        raise ValueError(f"y should be a 1d array or a table of labels, got an array of shape {array.shape} instead.")
    if array.shape[1] == 1:
        what = "A column-vector y was passed when a 1d array was expected: its one column is taken"
        warnings.warn(what, DataConversionWarning, stacklevel=5)
        return ["label"], [array[:, 0]]
    return [f"label_{t}" for t in range(array.shape[1])], [array[:, t] for t in range(array.shape[1])]
