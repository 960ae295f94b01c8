"""Inputs of any accepted kind -> arrays of the schema's layout, checked: errors name feature, row, value, limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from .._typing import Array
from ..features import FeatureSchema, SparseFeat, VarLenSparseFeat, check_exact, input_width
from ..hashing import hash_rows
from ..tables import ColumnLike, is_missing
from .interop import (
    FLOAT64_EXACT,
    SEQUENCES,
    InputsLike,
    column_of,
    floats,
    is_table,
    names_of,
    ragged,
    to_numpy,
)

__all__ = ["Arrays", "check_samples", "to_arrays"]


class Arrays(NamedTuple):
    """Checked inputs of N samples."""

    ids: Array  # int [N, I], laid out as `Batch.ids` with every sequence at full width
    dense: Array  # float32 [N, D]
    used: Array  # int [N, S]: number of ids of each sequence up to the end of its last valid step


def check_samples(x: InputsLike) -> None:
    """Raise unless `x` holds samples; what is often taken for them gets a hint."""
    if isinstance(x, (Mapping, list, tuple, np.ndarray, torch.Tensor)) or is_table(x):
        return
    hint = ": call its collect()" if hasattr(x, "collect") else ": call it" if callable(x) else ""
    if isinstance(x, torch.utils.data.Dataset):
        hint = ": make a DataLoader of it"
    raise TypeError(
        f"inputs must be a dict, list, 2-D array, table or iterable of batches, got {type(x).__name__}{hint}"
    )


def _columns(x: InputsLike, schema: FeatureSchema) -> dict[str, ColumnLike]:
    """Name -> raw values of every input of the schema."""
    wanted = list(schema.feature_index)
    if not wanted:
        raise ValueError("the model must have at least one feature column, got none")
    if isinstance(x, Mapping) or is_table(x):
        found = {name: column_of(x, name) for name in wanted}
        missing = [n for n, v in found.items() if v is None]
        if missing:
            raise ValueError(f"the input lacks {missing}; it has {[str(n) for n in names_of(x)]}")
        return found
    if isinstance(x, (list, tuple)):
        if len(x) != len(wanted):
            raise ValueError(f"a list of inputs must hold {len(wanted)} arrays in the order {wanted}, got {len(x)}")
        return dict(zip(wanted, x, strict=True))
    check_samples(x)
    return _matrix_columns(x, schema)


def _matrix_columns(x: ColumnLike, schema: FeatureSchema) -> dict[str, ColumnLike]:
    width = schema.packed_width
    matrix = to_numpy(x)
    matrix = matrix[:, None] if matrix.ndim == 1 and width == 1 else matrix
    if matrix.ndim != 2 or matrix.shape[1] != width:
        raise ValueError(
            f"a packed input must have shape (N, {width}), columns as in feature_index, got {matrix.shape}"
        )
    return {name: matrix[:, start:stop] for name, (start, stop) in schema.feature_index.items()}


def _rows(values: ColumnLike, name: str) -> int:
    """Number of samples in the raw values of one input."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__") or getattr(values, "ndim", 1) == 0:
        raise ValueError(f"{name!r} must hold one value for each sample, got the single value {values!r}")
    return len(values)


def _first(mask: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])


def _where(mask: Array, offset: int) -> str:
    """The place of the first True of a mask [N, width], in words."""
    row, col = _first(mask)
    return f"row {offset + row}" + (f", position {col}" if mask.shape[1] > 1 else "")


def _lists(raw: ColumnLike, name: str) -> tuple[Array, Array] | None:
    """A column of lists as their elements and their sizes; None for any other column."""
    try:
        return ragged(raw)
    except ValueError as error:
        raise ValueError(f"{name!r} must hold {error}") from None


def _check_single(flat: Array, rows: Array, what: str, hint: str = "") -> None:
    """Raise if an element of lists is a list itself; `rows` [n] says which row each comes from."""
    deep = range(len(flat)) if flat.ndim > 1 else (i for i, v in enumerate(flat) if isinstance(v, SEQUENCES))
    at = next(iter(deep), None) if flat.dtype == object or flat.ndim > 1 else None
    if at is not None:
        raise ValueError(f"{what} must hold single values, got the list {list(flat[at])} in row {rows[at]}{hint}")


def _pad(flat: Array, sizes: Array, width: int, name: str, rows: Array, exact: bool, unit: str = "row") -> Array:
    """Lists -> [N, width]; short ones are padded with 0, or with "" if they hold text, unless they must be `exact`.

    `flat` has the elements of all lists, `sizes` [N] how many of them each list has; a list is a row or a step of one.
    """
    wrong = sizes != width if exact else sizes > width
    if wrong.any():
        at = int(wrong.argmax())
        option = "maxlen" if unit == "row" else "step_width"
        bound, hint = (f"{width}", "") if exact else (f"at most {width}", f": cut the sequences, or raise {option}")
        raise ValueError(f"{name!r} must hold {bound} element(s) a {unit}, got {sizes[at]} in row {rows[at]}{hint}")
    if (sizes == width).all():
        return flat.reshape(len(sizes), width, *flat.shape[1:])
    text = flat.dtype.kind in "UT" or (flat.dtype == object and any(isinstance(v, str) for v in flat.flat))
    out = np.full((len(sizes), width, *flat.shape[1:]), "" if text else 0, dtype=object if text else flat.dtype)
    out[np.arange(width) < sizes[:, None]] = flat
    return out


def _steps(raw: ColumnLike, column: VarLenSparseFeat, offset: int) -> Array:
    """Rows of steps, each a list of ids, -> [N, maxlen * step_width]; a missing step is an empty one.

    Arrays [N, maxlen, step_width] will do, and such with the steps side by side.
    """
    name, width = column.name, column.step_width
    lists = _lists(raw, name)
    if lists is None:
        array = to_numpy(raw)
        if array.ndim != 3:
            return _shaped(raw, name, input_width(column), offset)
        lists = array.reshape(-1, array.shape[2]), np.full(len(array), array.shape[1])
    steps, sizes = lists
    samples = np.arange(len(sizes)) + offset
    rows = np.repeat(samples, sizes)
    if steps.ndim == 1:
        single = [not isinstance(step, SEQUENCES) and not is_missing(step) for step in steps]
        if len(steps) and all(single):
            return _shaped(raw, name, input_width(column), offset)
        if any(single):
            at = single.index(True)
            raise ValueError(f"{name!r} must hold a list or nothing in every step, got {steps[at]!r} in row {rows[at]}")
        ids, widths = ragged(steps) or (np.empty(0, dtype=int), np.zeros(len(steps), dtype=int))
    else:
        ids, widths = steps.reshape(-1, *steps.shape[2:]), np.full(len(steps), steps.shape[1])
    _check_single(ids, np.repeat(rows, widths), f"the steps of {name!r}")
    padded = _pad(ids, widths, width, name, rows, exact=False, unit="step")
    return _pad(padded, sizes, column.maxlen, name, samples, exact=False).reshape(len(sizes), input_width(column))


def _shaped(raw: ColumnLike, name: str, width: int, offset: int, exact: bool = True) -> Array:
    """Raw values of one input -> [N, width]; a list shorter than `width` is padded, unless it must be `exact`."""
    if isinstance(raw, np.ndarray) and raw.ndim == width == 1 and raw.dtype != object:
        return raw[:, None]  # first, since a single row has as many columns to look at
    lists = _lists(raw, name)
    array = to_numpy(raw) if lists is None else lists[0]
    if lists is None and not exact and isinstance(raw, (list, tuple)) and array.ndim == 2 and array.shape[1] < width:
        lists = array.reshape(-1), np.full(len(array), array.shape[1])
    if lists is not None:
        flat, sizes = lists
        rows = np.arange(len(sizes)) + offset
        hint = "" if exact else ": steps of several ids need a step_width"
        _check_single(flat, np.repeat(rows, sizes), f"lists of {name!r}", hint)
        array = _pad(flat, sizes, width, name, rows, exact)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim == 3 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 2 or array.shape[1] != width:
        hint = "" if exact or array.ndim != 2 or array.shape[1] < width else ": cut the sequences, or raise maxlen"
        shape = f"(N,{f' {width}' if width > 1 else ''})"
        raise ValueError(f"{name!r} must have shape {shape}, got {to_numpy(raw).shape}{hint}")
    return array


def _integers(array: Array, what: str, offset: int, allow_text: bool) -> Array:
    """Whole numbers as an integer array; with `allow_text`, arrays of text stay, alone or mixed with integers."""
    kind = array.dtype.kind
    if kind in "iu":
        return array
    if kind == "b":
        return array.astype(np.int64)
    if kind == "f":
        array = array.astype(np.float32) if array.dtype == np.float16 else array  # which the bound is beyond
        wrong = ~(array == np.trunc(array)) | (np.abs(array) > FLOAT64_EXACT)
        if wrong.any():
            value = array[_first(wrong)]
            shown = "a missing value" if np.isnan(value) else repr(value.item())
            bound = ", as float at most 2**53" if abs(value) > FLOAT64_EXACT else ""
            raise ValueError(f"{what} must be whole numbers{bound}, got {shown} in {_where(wrong, offset)}")
        return array.astype(np.int64)
    if kind == "O":
        return _from_objects(array, what, offset, allow_text)
    if kind in "UT" and allow_text:
        return array
    text = "decode them to str" if allow_text else "encode them, or declare the column with use_hash=True"
    hint = f": {text}" if kind in "UTS" else ""
    shown = repr(array.ravel()[0].item() if kind in "UTS" else array.ravel()[0])
    raise ValueError(f"{what} must be integers, got {shown} ({array.dtype}) in row {offset}{hint}")


def _from_objects(array: Array, what: str, offset: int, allow_text: bool) -> Array:
    flat = array.ravel().tolist()
    types = set(map(type, flat))
    if allow_text and all(issubclass(t, str) for t in types):
        return array
    whole = (int, np.integer, np.bool_, str) if allow_text else (int, np.integer, np.bool_)
    if not all(issubclass(t, whole) for t in types):
        wrong = np.array([not isinstance(v, whole) and not _is_whole(v) for v in flat]).reshape(array.shape)
        if wrong.any():
            value = array[_first(wrong)]
            shown = f"a missing value ({value!r})" if is_missing(value) else repr(value)
            hint = ": encode them, or declare the column with use_hash=True" if isinstance(value, str) else ""
            expected = "integers or strings" if allow_text else "integers"
            raise ValueError(f"{what} must be {expected}, got {shown} in {_where(wrong, offset)}{hint}")
        flat = [v if isinstance(v, str) else int(v) for v in flat]
    if any(issubclass(t, str) for t in types):
        return np.array(flat, dtype=object).reshape(array.shape)
    low, high = int(min(flat)), int(max(flat))
    if low < -(2**63) or high >= 2**64:
        wrong = np.array([not -(2**63) <= v < 2**64 for v in flat]).reshape(array.shape)
        raise ValueError(f"{what} must be 64-bit integers, got {array[_first(wrong)]} in {_where(wrong, offset)}")
    if high < 2**63:
        return np.array([int(v) for v in flat], dtype=np.int64).reshape(array.shape)
    return np.array([int(v) % 2**64 for v in flat], dtype=np.uint64).reshape(array.shape)  # in two's complement


def _is_whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer() and abs(value) <= FLOAT64_EXACT


def _ids(raw: ColumnLike, column: SparseFeat | VarLenSparseFeat, offset: int) -> Array:
    """Checked table rows [N, width of the input] of one feature."""
    name, rows, several = column.name, column.vocabulary_size, isinstance(column, VarLenSparseFeat)
    if isinstance(column, VarLenSparseFeat) and column.step_width > 1:
        shaped = _steps(raw, column, offset)
    else:
        shaped = _shaped(raw, name, input_width(column), offset, exact=not several)
    if shaped.dtype.kind == "f":
        # NOTE[DIFF] W11: the original rounds ids above 2**24 to a neighbour; here floats must hold the vocabulary.
        check_exact(column, str(shaped.dtype))
    if column.use_hash:
        return hash_rows(_integers(shaped, f"ids of {name!r}", offset, allow_text=True), rows, padded=several)
    if shaped.dtype.kind in "iuf" and shaped.size:
        _check_range(shaped, name, rows, offset)
        return _integers(shaped, f"ids of {name!r}", offset, allow_text=False)
    array = _integers(shaped, f"ids of {name!r}", offset, allow_text=False)
    _check_range(array, name, rows, offset)
    return array


def _check_range(array: Array, name: str, rows: int, offset: int) -> None:
    if not array.size:
        return
    if array.dtype.kind == "i":  # seen as unsigned, negative ids lie beyond every vocabulary
        inside = array.view(array.dtype.str.replace("i", "u")).max() < rows
    else:
        inside = array.min() >= 0 and array.max() < rows
    if not inside:
        wrong = (array < 0) | (array >= rows)  # NaN is neither: what is no id at all has its own message
        if wrong.any():
            raise ValueError(
                f"ids of {name!r} must be in [0, {rows}) (its vocabulary_size is {rows}), got {array[_first(wrong)]} "
                f"in {_where(wrong, offset)} (unseen ids need a row of their own, or use_hash=True)"
            )


def _length(raw: ColumnLike, name: str, offset: int) -> Array:
    array = _integers(_shaped(raw, name, 1, offset), f"lengths in {name!r}", offset, allow_text=False)
    wrong = array < 0
    if wrong.any():
        raise ValueError(f"lengths in {name!r} must be >= 0, got {array[_first(wrong)]} in {_where(wrong, offset)}")
    return array


def _numbers(raw: ColumnLike, name: str, width: int, offset: int, least: float | None = None) -> Array:
    """Checked float32 [N, width] of one dense feature; with `least`, of the element weights of a sequence."""
    array = _shaped(raw, name, width, offset, exact=least is None)
    out = floats(array, f"{name!r}", offset)
    fine = np.isfinite(out) if least is None else np.isfinite(out) & (out >= least)
    if not fine.all():
        wrong = ~fine
        bound = "finite numbers" if least is None else f"finite numbers >= {least:g}"
        raise ValueError(
            f"{name!r} must hold {bound} (as float32), got {array[_first(wrong)]} in {_where(wrong, offset)}"
        )
    return out


def to_arrays(x: InputsLike, schema: FeatureSchema, offset: int = 0) -> Arrays:
    """Check inputs of any accepted kind and lay them out.

    A dict of arrays, a list in `feature_index` order, one packed 2-D array, or a pandas, polars or pyarrow table; never
    changed. Errors name feature, row (numbered from `offset`), value and limit.
    """
    raw = _columns(x, schema)
    sizes = {name: _rows(values, name) for name, values in raw.items()}
    rows = next(iter(sizes.values()), 0)
    if len(set(sizes.values())) > 1:
        other = next(n for n, s in sizes.items() if s != rows)
        raise ValueError(
            f"all inputs must have the same number of rows: {next(iter(sizes))!r} has {rows}, "
            f"{other!r} has {sizes[other]}"
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
        ids[:, at : at + 1] = np.minimum(_length(raw[name], name, offset).astype(np.uint64), np.iinfo(dtype).max)
    weights = {c.weight_name for c in schema.sequences}
    for name, width in schema.dense:
        start, stop = schema.dense_slice[name]
        dense[:, start:stop] = _numbers(raw[name], name, width, offset, least=0.0 if name in weights else None)
    return Arrays(ids, dense, _used(ids, schema))


def _used(ids: Array, schema: FeatureSchema) -> Array:
    """int32 [N, S]: ids of each sequence up to the end of its last valid step."""
    used = np.zeros((len(ids), len(schema.sequences)), dtype=np.int32)
    for k, column in enumerate(schema.sequences):
        start, stop = schema.sequence_slice(column.name, schema.widths)
        if column.length_name is not None:
            steps = np.minimum(ids[:, schema.length_position(column.length_name, schema.widths)], column.maxlen)
        else:
            valid = ids[:, start:stop] != 0
            last = np.where(valid.any(axis=1), stop - start - valid[:, ::-1].argmax(axis=1), 0)
            steps = -(-last // column.step_width)
        used[:, k] = steps * column.step_width
    return used
