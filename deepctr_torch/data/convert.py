"""Whatever users pass as inputs and labels -> arrays of the schema's layout, checked: feature, row, value and limit are in each error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ..features import FeatureSchema, SparseFeat, VarLenSparseFeat
from ..hashing import hash_rows

__all__ = ["Arrays", "column_of", "is_table", "to_arrays", "to_labels", "to_numpy", "to_weights"]

Array = npt.NDArray[Any]


class Arrays(NamedTuple):
    """Checked inputs of N samples.

    Attributes:
        ids: int [N, I], laid out as `Batch.ids` with every sequence at full width.
        dense: float32 [N, D].
        used: int [N, S]: how many elements of each sequence there are up to its last valid one.
    """

    ids: Array
    dense: Array
    used: Array


def is_table(x: Any) -> bool:
    """Whether `x` is a pandas or polars frame or a pyarrow table."""
    return hasattr(x, "columns") and (hasattr(x, "iloc") or hasattr(x, "get_column") or hasattr(x, "column_names"))


def to_numpy(values: Any) -> Array:
    """Array, tensor, list, Series or Arrow column -> numpy; columns of lists become an object array of sequences."""
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    if hasattr(values, "to_numpy"):
        try:
            out = values.to_numpy()
        except (TypeError, ValueError):  # a single Arrow array with nulls asks for a copy
            out = values.to_numpy(zero_copy_only=False)
        return np.asarray(out)
    if isinstance(values, Sequence) and any(isinstance(v, (list, tuple)) for v in values[:1]):
        widths = {len(v) if isinstance(v, (list, tuple)) else -1 for v in values}
        if len(widths) > 1:
            ragged = np.empty(len(values), dtype=object)
            ragged[:] = values
            return ragged
    return np.asarray(values)


def column_of(x: Any, name: str) -> Any:
    """Column `name` of a dict or table; None if it has none."""
    if isinstance(x, Mapping):
        return x.get(name)
    if is_table(x):
        names = getattr(x, "column_names", None) or list(x.columns)
        if name not in names:
            return None
        return (
            x.get_column(name)
            if hasattr(x, "get_column")
            else (x.column(name) if hasattr(x, "column_names") else x[name])
        )
    return None


def _columns(x: Any, schema: FeatureSchema) -> dict[str, Any]:
    """Name -> raw values of every input of the schema."""
    wanted = list(schema.feature_index)
    if isinstance(x, Mapping) or is_table(x):
        found = {name: column_of(x, name) for name in wanted}
        missing = [n for n, v in found.items() if v is None]
        if missing:
            have = list(x) if isinstance(x, Mapping) else list(getattr(x, "column_names", None) or x.columns)
            raise ValueError(f"the input lacks {missing}; it has {[str(n) for n in have]}")
        return found
    if isinstance(x, (list, tuple)):
        if len(x) != len(wanted):
            raise ValueError(f"a list of inputs must hold {len(wanted)} arrays in the order {wanted}, got {len(x)}")
        return dict(zip(wanted, x, strict=True))
    if isinstance(x, (np.ndarray, torch.Tensor)):
        return _matrix_columns(x, schema)
    raise TypeError(f"inputs must be a dict, list, 2-D array, table or iterable of batches, got {type(x).__name__}")


def _matrix_columns(x: Any, schema: FeatureSchema) -> dict[str, Any]:
    width = max((stop for _, stop in schema.feature_index.values()), default=0)
    matrix = to_numpy(x)
    matrix = matrix[:, None] if matrix.ndim == 1 and width == 1 else matrix
    if matrix.ndim != 2 or matrix.shape[1] != width:
        raise ValueError(
            f"a packed input must have shape (N, {width}), columns as in feature_index, got {matrix.shape}"
        )
    if matrix.dtype == np.float32:
        schema.check_exact("float32")
    return {name: matrix[:, start:stop] for name, (start, stop) in schema.feature_index.items()}


def _first(mask: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])


def _pad(values: Array, width: int, name: str, fill: Any) -> Array:
    """An object array of sequences -> [N, width], padded with `fill`."""
    sizes = np.array([0 if v is None else len(v) for v in values])
    if sizes.max(initial=0) > width:
        row = int(sizes.argmax())
        raise ValueError(
            f"{name!r} holds at most {width} elements, got {sizes[row]} in row {row}: cut the sequences, or raise maxlen"
        )
    flat = [e for v in values if v is not None for e in v]
    out = np.full(
        (len(values), width), fill, dtype=object if flat and isinstance(flat[0], str) else np.asarray(flat or [0]).dtype
    )
    out[np.arange(width) < sizes[:, None]] = flat
    return out


def _shaped(raw: Any, name: str, width: int, fill: Any = 0) -> Array:
    """Raw values of one input -> [N, width]."""
    array = to_numpy(raw)
    if (
        array.ndim == 1
        and array.dtype == object
        and len(array)
        and any(isinstance(v, (list, tuple, np.ndarray)) for v in array)
    ):
        text = any(isinstance(e, str) for v in array if v is not None for e in v)
        array = _pad(array, width, name, "" if text else fill)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim == 3 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 2 or array.shape[1] != width:
        raise ValueError(f"{name!r} must have shape (N,{f' {width}' if width > 1 else ''}), got {to_numpy(raw).shape}")
    return array


def _integers(array: Array, name: str, offset: int, allow_text: bool) -> Array:
    """Whole numbers as an integer array (text is left alone if allowed)."""
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind == "b":
        return array.astype(np.int64)
    if array.dtype.kind == "f":
        wrong = ~np.isfinite(array) | (array != np.trunc(array))
        if wrong.any():
            row, col = _first(wrong)
            what = "a missing value" if np.isnan(array[row, col]) else repr(array[row, col].item())
            raise ValueError(f"ids of {name!r} must be whole numbers, got {what} in row {offset + row}")
        return array.astype(np.int64)
    if array.dtype.kind == "O" and not any(isinstance(v, str) or v is None for v in array.flat):
        try:
            return _integers(
                array.astype(np.float64) if any(isinstance(v, float) for v in array.flat) else array.astype(np.int64),
                name,
                offset,
                False,
            )
        except (TypeError, ValueError, OverflowError) as error:
            if "must be whole" in str(error):
                raise
    elif allow_text:
        missing = np.array([v is None for v in array.flat]) if array.dtype.kind == "O" else np.zeros(1, dtype=bool)
        if missing.any():
            raise ValueError(
                f"ids of {name!r} must not be missing, got None in row {offset + int(missing.argmax()) // array.shape[1]}"
            )
        return array
    raise ValueError(
        f"ids of {name!r} must be integers, got {array.flat[0]!r} ({array.dtype}) in row {offset}: encode them, or declare the column with use_hash=True"
    )


def _ids(raw: Any, column: SparseFeat | VarLenSparseFeat, offset: int) -> Array:
    """Checked table rows [N, 1] or [N, maxlen] of one feature."""
    name, rows = column.name, column.vocabulary_size
    array = _integers(_shaped(raw, name, getattr(column, "maxlen", 1)), name, offset, allow_text=column.use_hash)
    if column.use_hash:
        return hash_rows(array, rows, padded=isinstance(column, VarLenSparseFeat))
    if array.size and (int(array.min()) < 0 or int(array.max()) >= rows):
        row, col = _first((array < 0) | (array >= rows))
        where = f"row {offset + row}" + (f", position {col}" if array.shape[1] > 1 else "")
        raise ValueError(
            f"ids of {name!r} must be in [0, {rows}) (its vocabulary_size is {rows}), got {array[row, col]} in {where}"
            " (unseen ids need a row of their own, or use_hash=True)"
        )
    return array


def _length(raw: Any, name: str, offset: int) -> Array:
    array = _integers(_shaped(raw, name, 1), name, offset, allow_text=False)
    if array.size and int(array.min()) < 0:
        row, _ = _first(array < 0)
        raise ValueError(f"lengths in {name!r} must be >= 0, got {array[row, 0]} in row {offset + row}")
    return array


def _numbers(raw: Any, name: str, width: int, offset: int, least: float | None = None) -> Array:
    """Checked float32 [N, width] of one dense feature."""
    array = _shaped(raw, name, width, fill=0.0)
    try:
        with np.errstate(over="ignore"):
            out = array.astype(np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"{name!r} must hold numbers, got {array.flat[0]!r} ({array.dtype})") from None
    wrong = ~np.isfinite(out) if least is None else ~np.isfinite(out) | (out < least)
    if wrong.any():
        row, col = _first(wrong)
        bound = "finite numbers" if least is None else f"finite numbers >= {least:g}"
        where = f"row {offset + row}" + (f", position {col}" if width > 1 else "")
        raise ValueError(f"{name!r} must hold {bound} (as float32), got {array[row, col]} in {where}")
    return out


def to_arrays(x: Any, schema: FeatureSchema, offset: int = 0) -> Arrays:
    """Check inputs of any accepted kind and lay them out.

    Args:
        x: dict of arrays, list in `feature_index` order, one packed 2-D array, or a pandas / polars / pyarrow table. Never changed.
        schema: what the model reads.
        offset: number of the first row, for messages.

    Raises:
        ValueError: whatever is wrong, with feature, row, value and limit.
    """
    raw = _columns(x, schema)
    sizes = {name: len(values) for name, values in raw.items()}
    rows = next(iter(sizes.values()), 0)
    if len(set(sizes.values())) > 1:
        other = next(n for n, s in sizes.items() if s != rows)
        raise ValueError(
            f"all inputs must have the same number of rows: {next(iter(sizes))!r} has {rows}, {other!r} has {sizes[other]}"
        )
    if rows == 0:
        raise ValueError("the input is empty: at least one row is needed")
    dtype = np.int32 if schema.id_dtype == torch.int32 else np.int64
    ids = np.empty((rows, schema.id_width), dtype=dtype)
    dense = np.empty((rows, schema.dense_width), dtype=np.float32)
    for name, at in schema.id_position.items():
        ids[:, at : at + 1] = _ids(raw[name], schema.ids[at], offset)
    for column in schema.sequences:
        start, stop = schema.sequence_slice(column.name, schema.widths)
        ids[:, start:stop] = _ids(raw[column.name], column, offset)
    for name in schema.lengths:
        at = schema.length_position(name, schema.widths)
        ids[:, at : at + 1] = np.minimum(_length(raw[name], name, offset), np.iinfo(dtype).max)
    weights = {c.weight_name for c in schema.sequences}
    for name, width in schema.dense:
        start, stop = schema.dense_slice[name]
        dense[:, start:stop] = _numbers(raw[name], name, width, offset, least=0.0 if name in weights else None)
    return Arrays(ids, dense, _used(ids, schema))


def _used(ids: Array, schema: FeatureSchema) -> Array:
    """int32 [N, S]: elements of each sequence up to its last valid one."""
    used = np.zeros((len(ids), len(schema.sequences)), dtype=np.int32)
    for k, column in enumerate(schema.sequences):
        start, stop = schema.sequence_slice(column.name, schema.widths)
        if column.length_name is not None:
            used[:, k] = np.minimum(ids[:, schema.length_position(column.length_name, schema.widths)], column.maxlen)
        else:
            valid = ids[:, start:stop] != 0
            used[:, k] = np.where(valid.any(axis=1), column.maxlen - valid[:, ::-1].argmax(axis=1), 0)
    return used


def to_labels(
    y: Any, tasks: Sequence[tuple[str, str]], rows: int | None, num_classes: int | None = None, offset: int = 0
) -> Array:
    """Labels of any accepted kind -> float32 [N, T], checked against the tasks.

    Args:
        y: array (N,), (N, 1) or (N, T), list of one array a task, Series, table, or a dict by task name.
        tasks: (name, type) of each task; the type is "binary", "regression" or "multiclass".
        rows: number of samples expected, if known.
        num_classes: number of classes of a multiclass task.
        offset: number of the first row, for messages.
    """
    array = _label_matrix(y, [n for n, _ in tasks])
    if array.ndim != 2 or array.shape[1] != len(tasks):
        raise ValueError(f"labels must have one column for each of {len(tasks)} task(s), got shape {array.shape}")
    if rows is not None and len(array) != rows:
        raise ValueError(f"inputs and labels must have the same number of rows: {rows} inputs, {len(array)} labels")
    try:
        out = array.astype(np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"labels must be numbers, got {array.flat[0]!r} ({array.dtype})") from None
    for t, (name, kind) in enumerate(tasks):
        _check_labels(out[:, t], name, kind, num_classes, offset, len(tasks) > 1)
    return out


def _label_matrix(y: Any, names: list[str]) -> Array:
    if isinstance(y, Mapping):
        missing = [n for n in names if n not in y]
        if missing:
            raise ValueError(f"labels lack the task(s) {missing}; they have {list(y)}")
        y = [y[n] for n in names]
    if is_table(y):
        y = y.to_numpy() if not hasattr(y, "column_names") else [y.column(n) for n in y.column_names]
    if (
        isinstance(y, (list, tuple))
        and len(names) > 1
        and len(y) == len(names)
        and all(np.ndim(to_numpy(v)) >= 1 for v in y)
    ):
        parts = [to_numpy(v).reshape(-1) for v in y]
        if len({len(p) for p in parts}) == 1 and (len(parts[0]) != len(names) or not isinstance(y[0], (list, tuple))):
            return np.stack(parts, axis=1)
    if isinstance(y, (list, tuple)) and len(names) == 1 and len(y) == 1 and np.ndim(to_numpy(y[0])) >= 1:
        y = y[0]
    array = to_numpy(y)
    return array[:, None] if array.ndim == 1 else array


def _check_labels(values: Array, name: str, kind: str, num_classes: int | None, offset: int, optional: bool) -> None:
    """Raise if a label of one task is impossible; with several tasks NaN means "not observed"."""
    with np.errstate(invalid="ignore"):
        if kind == "binary":
            wrong, what = ~((values >= 0) & (values <= 1)), "in [0, 1] for a binary task"
        elif kind == "multiclass":
            wrong = ~((values >= 0) & (values < (num_classes or 0)) & (values == np.trunc(values)))
            what = f"integers in [0, {num_classes}) for a multiclass task"
        else:
            wrong, what = ~np.isfinite(values), "finite numbers for a regression task"
    if optional:
        wrong &= ~np.isnan(values)
    if wrong.any():
        row = int(wrong.argmax())
        label = f"labels of {name!r}" if name else "labels"
        raise ValueError(f"{label} must be {what}, got {values[row]} in row {offset + row}")


def to_weights(weight: Any, rows: int, offset: int = 0) -> Array:
    """Sample weights -> float32 [N]: finite and >= 0."""
    array = to_numpy(weight).astype(np.float32).reshape(-1)
    if len(array) != rows:
        raise ValueError(f"sample_weight must have one number for each of {rows} rows, got {len(array)}")
    wrong = ~np.isfinite(array) | (array < 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"sample_weight must be finite and >= 0, got {array[row]} in row {offset + row}")
    return array


def class_weights(y: Array, class_weight: Mapping[Any, float]) -> Array:
    """Weight of each row [N] by its label; classes not named weigh 1."""
    out = np.ones(len(y), dtype=np.float32)
    for label, weight in class_weight.items():
        out[y[:, 0] == float(label)] = weight
    return out


def names_of(x: Any) -> Iterable[str]:
    """Column names of a dict or table."""
    return list(x) if isinstance(x, Mapping) else list(getattr(x, "column_names", None) or x.columns)
