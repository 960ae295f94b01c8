"""Labels and weights of any accepted kind -> checked arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._typing import Array
from ..features import FeatureSchema
from ..tables import ColumnLike
from .interop import InputsLike, LabelsLike, column_of, floats, is_table, names_of, to_numpy

__all__ = ["check_class_weight", "class_weights", "group_values", "labels_by_name", "to_labels", "to_weights"]


def to_labels(
    y: LabelsLike, tasks: Sequence[tuple[str, str]], rows: int | None, num_classes: int | None = None, offset: int = 0
) -> Array:
    """Labels of any accepted kind -> float32 [N, T], checked against the tasks.

    Args:
        y: array (N,), (N, 1) or (N, T), list of one array a task, Series, table, or a dict by task name.
        tasks, num_classes: see `LabelSpec`.
        rows: number of samples expected, if known.
        offset: number of the first row, for messages.
    """
    array = _label_matrix(y, [n for n, _ in tasks])
    if array.ndim != 2 or array.shape[1] != len(tasks):
        raise ValueError(f"labels must have one column for each of {len(tasks)} task(s), got shape {array.shape}")
    if rows is not None and len(array) != rows:
        raise ValueError(f"inputs and labels must have the same number of rows: {rows} inputs, {len(array)} labels")
    several = len(tasks) > 1
    out = floats(array, "labels", offset, missing_is_nan=several)
    for t, (name, kind) in enumerate(tasks):
        _check_labels(out[:, t], name, kind, num_classes, offset, several)
    return out


def _label_matrix(y: LabelsLike, names: list[str]) -> Array:
    if isinstance(y, Mapping) or (is_table(y) and len(names) > 1 and set(names) <= set(names_of(y))):
        missing = [n for n in names if column_of(y, n) is None]
        if missing:
            raise ValueError(f"labels lack the task(s) {missing}; they have {names_of(y)}")
        return _side_by_side([column_of(y, n) for n in names], names)
    if is_table(y):
        y = y.to_numpy() if hasattr(y, "to_numpy") else [column_of(y, n) for n in names_of(y)]
    if isinstance(y, (list, tuple)) and len(y) == len(names) and not any(np.ndim(v) == 0 for v in y):
        rows_of_labels = isinstance(y[0], (list, tuple)) and len(y[0]) == len(names) > 1
        if not rows_of_labels:
            return _side_by_side(y, names)
    array = to_numpy(y)
    return array[:, None] if array.ndim == 1 else array


def _side_by_side(columns: Sequence[ColumnLike], names: list[str]) -> Array:
    """[N, T] from one column of labels a task."""
    parts = [to_numpy(v).reshape(-1) for v in columns]
    sizes = {n: len(p) for n, p in zip(names, parts, strict=True)}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"all tasks must have the same number of labels, got {sizes}")
    return np.stack(parts, axis=1)


def _impossible(values: Array, kind: str, num_classes: int | None) -> tuple[Array, str]:
    """True for each value that is no label of a kind of task, and in words what its labels are."""
    with np.errstate(invalid="ignore"):
        if kind == "binary":
            return ~((values >= 0) & (values <= 1)), "in [0, 1] for a binary task"
        if kind == "multiclass":
            wrong = ~((values >= 0) & (values < (num_classes or 0)) & (values == np.trunc(values)))
            return wrong, f"integers in [0, {num_classes}) for a multiclass task"
        if kind == "count":
            return ~(np.isfinite(values) & (values >= 0)), "finite numbers >= 0 for the loss of counts"
        return ~np.isfinite(values), "finite numbers for a regression task"


def _check_labels(values: Array, name: str, kind: str, num_classes: int | None, offset: int, optional: bool) -> None:
    """Raise if a label of one task is impossible; with several tasks NaN means "not observed"."""
    wrong, what = _impossible(values, kind, num_classes)
    if optional:
        wrong &= ~np.isnan(values)
    if wrong.any():
        row = int(wrong.argmax())
        label = f"labels of {name!r}" if name else "labels"
        raise ValueError(f"{label} must be {what}, got {values[row]} in row {offset + row}")


def to_weights(weight: ColumnLike, rows: int, offset: int = 0) -> Array:
    """Sample weights -> float32 [N]: finite and >= 0."""
    array = to_numpy(weight).reshape(-1)
    if len(array) != rows:
        raise ValueError(f"sample_weight must have one number for each of {rows} rows, got {len(array)}")
    array = floats(array, "sample_weight", offset)
    wrong = ~np.isfinite(array) | (array < 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"sample_weight must be finite and >= 0, got {array[row]} in row {offset + row}")
    return array


def check_class_weight(class_weight: object, kind: str, num_classes: int | None = None) -> None:
    """Raise unless `class_weight` is a dict from labels that a task of this kind may have to finite weights >= 0."""
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"class_weight must be a dict such as {{0: 1.0, 1: 3.0}}, got {class_weight!r}")
    for label, weight in class_weight.items():
        try:
            value, factor = float(label), float(weight)
        except (TypeError, ValueError):
            raise TypeError(f"class_weight must map numbers to numbers, got {label!r}: {weight!r}") from None
        if not 0 <= factor < float("inf"):
            raise ValueError(f"class_weight must hold finite weights >= 0, got {weight!r} for the label {label!r}")
        wrong, what = _impossible(np.array([value]), kind, num_classes)
        if wrong.any():
            raise ValueError(f"the labels of class_weight must be {what}, got {label!r}")


def class_weights(y: Array, class_weight: Mapping[Any, float]) -> Array:
    """Weight of each row [N] by its label; classes not named weigh 1."""
    out = np.ones(len(y), dtype=np.float32)
    for label, weight in class_weight.items():
        out[y[:, 0] == float(label)] = weight
    return out


def group_values(
    x: InputsLike, name: str, groups: ColumnLike | Mapping[str, ColumnLike], schema: FeatureSchema
) -> Array:
    """Values [N] by which a metric groups: of the argument `groups`, or of the column `name` of the input."""
    values = groups.get(name) if isinstance(groups, Mapping) else (groups if name == "groups" else None)
    if values is None:
        values = column_of(x, name)
    if values is None and not isinstance(x, Mapping) and not is_table(x) and name in schema.feature_index:
        listed = isinstance(x, (list, tuple))
        values = x[list(schema.feature_index).index(name)] if listed else to_numpy(x)[:, schema.feature_index[name][0]]
    if values is None:
        hint = f"give x a column {name!r}, or pass groups={{{name!r}: array}}"
        if name == "groups":
            hint = "pass groups=..., or give x a column 'groups'"
        raise ValueError(f"a metric needs the group {name!r}: {hint}")
    return to_numpy(values).reshape(-1)


def labels_by_name(x: InputsLike, y: LabelsLike, tasks: int) -> LabelsLike:
    """The columns of a table or dict `x` that `y` names, one a task; any other `y` as it is."""
    names = [y] if isinstance(y, str) else y
    named = isinstance(names, (list, tuple)) and len(names) == tasks and all(isinstance(n, str) for n in names)
    if not named:
        return y
    if not (isinstance(x, Mapping) or is_table(x)):
        raise ValueError(f"y={y!r} names columns, which only a table or a dict has, got x of {type(x).__name__}")
    columns = [column_of(x, n) for n in names]
    missing = [n for n, c in zip(names, columns, strict=True) if c is None]
    if missing:
        raise ValueError(f"the input lacks the labels {missing}; it has {[str(n) for n in names_of(x)]}")
    return columns if tasks > 1 else columns[0]
