"""The metrics themselves: pure functions `metric(y_true, y_pred, sample_weight=None, groups=None) -> float`.

They count in float64, also where columns come in float32. `docs/metrics.md` defines each. An undefined value (AUC of
one class, a mean over nothing) is nan: no exception, no warning. A nan among predictions or labels makes it nan too.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from .ranking import FLOAT32_ROWS, Floats, Ints, average_precision, float32_auc, group_codes, grouped_auc, grouped_ndcg
from .stateful import (
    CLIP,
    Calibration,
    Mean,
    NormalizedEntropy,
    RootMean,
    StatefulMetric,
    absolutes,
    hits,
    log_losses,
    over_blocks,
    ratio,
    squares,
    unit_labels,
)

__all__ = [
    "accuracy",
    "as_classes",
    "as_column",
    "auc",
    "calibration",
    "gauc",
    "gauc_skipped",
    "logloss",
    "mean_absolute_error",
    "mean_squared_error",
    "ndcg",
    "normalized_entropy",
    "pr_auc",
    "root_mean_squared_error",
]

Array = npt.NDArray[Any]
Columns = tuple[Array, Array, Array | None]
Weights: TypeAlias = ArrayLike | None  # one number a row
Groups: TypeAlias = ArrayLike | None  # the group of each row


def as_column(name: str, values: ArrayLike, rows: int | None = None, *, lean: bool = False) -> Array:
    """Return values as a float64 column [N]; a `lean` one stays float32 if it is.

    Raises:
        ValueError: several columns, or another number of rows than `rows`.
    """
    array = np.asarray(values)
    if not (lean and array.dtype == np.float32):
        array = array.astype(np.float64, copy=False)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{name} must be one column, got the shape {array.shape}")
    if rows is not None and len(array) != rows:
        raise ValueError(f"{name} must have {rows} rows, as many as y_pred, got {len(array)}")
    return array


def _rows(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights) -> tuple[Floats, Floats, Floats]:
    """Labels, predictions and weights as float64 columns of one length."""
    p = as_column("y_pred", y_pred)
    return as_column("y_true", y_true, len(p)), p, _weights(sample_weight, len(p))


def _weights(sample_weight: Weights, rows: int, *, lean: bool = False) -> Array:
    """One weight a row, of ones where none are given."""
    if sample_weight is None:
        return np.ones(rows)
    w = as_column("sample_weight", sample_weight, rows, lean=lean)
    if not (w >= 0).all():
        raise ValueError(f"sample_weight must be >= 0, got {w[~(w >= 0)][0]}")
    return w


def _classes(y_true: ArrayLike, p: Floats, sample_weight: Weights) -> tuple[Ints, Floats]:
    """Class numbers [N] and weights [N] beside probabilities [N, C]."""
    y = as_column("y_true", y_true, len(p))
    wrong = ~((y >= 0) & (y < p.shape[1]) & (y == np.floor(y)))
    if wrong.any():
        raise ValueError(
            f"labels must be whole numbers in [0, {p.shape[1]}) for {p.shape[1]} classes, got {y[wrong][0]}"
        )
    return y.astype(np.intp), _weights(sample_weight, len(p))


def as_classes(y_pred: ArrayLike) -> Floats | None:
    """Predictions as [N, C] when there are several columns, else None."""
    p = np.asarray(y_pred, dtype=np.float64)
    return p if p.ndim == 2 and p.shape[1] > 1 else None


def _mean(values: Floats, w: Floats) -> float:
    return ratio(np.dot(values, w), w.sum())


def _lean_rows(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights) -> Columns:
    """Labels, predictions and weights, or None, as columns of one length."""
    p = as_column("y_pred", y_pred, lean=True)
    w = None if sample_weight is None else _weights(sample_weight, len(p), lean=True)
    return as_column("y_true", y_true, len(p), lean=True), p, w


def _run(metric: StatefulMetric, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights) -> float:
    return over_blocks(metric, *_lean_rows(y_true, y_pred, sample_weight))


def logloss(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights = None, groups: Groups = None) -> float:
    """Mean of `-y log p - (1 - y) log(1 - p)`; with [N, C] predictions, of `-log p[label]`.

    >>> round(logloss([1, 1], [0.5, 1.0]), 4)
    0.3466
    """
    many = as_classes(y_pred)
    if many is not None:
        label, w = _classes(y_true, many, sample_weight)
        return _mean(-np.log(np.clip(many[np.arange(len(many)), label], CLIP, 1.0)), w)
    return _run(Mean(log_losses), y_true, y_pred, sample_weight)


def accuracy(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights = None, groups: Groups = None) -> float:
    """Share of rows on the right side of 0.5 (above it is positive); with [N, C] predictions, of the largest column.

    >>> accuracy([1, 0, 0, 1], [0.9, 0.5, 0.6, 0.7])
    0.75
    """
    many = as_classes(y_pred)
    if many is not None:
        label, w = _classes(y_true, many, sample_weight)
        unknown = np.isnan(many).any(axis=1)
        return _mean(np.where(unknown, np.nan, many.argmax(axis=1) == label), w)
    return _run(Mean(hits), y_true, y_pred, sample_weight)


def mean_squared_error(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights = None, groups: Groups = None
) -> float:
    """Mean of `(y - p)^2`.

    >>> mean_squared_error([0, 2], [1, 2])
    0.5
    """
    return _run(Mean(squares), y_true, y_pred, sample_weight)


def root_mean_squared_error(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights = None, groups: Groups = None
) -> float:
    """Square root of `mean_squared_error`.

    >>> root_mean_squared_error([0, 0], [3, 3])
    3.0
    """
    return _run(RootMean(squares), y_true, y_pred, sample_weight)


def mean_absolute_error(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights = None, groups: Groups = None
) -> float:
    """Mean of `|y - p|`.

    >>> mean_absolute_error([0, 2], [1, 2])
    0.5
    """
    return _run(Mean(absolutes), y_true, y_pred, sample_weight)


def normalized_entropy(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights = None, groups: Groups = None
) -> float:
    """`logloss` over the entropy of the weighted base rate of the evaluated labels (He et al. 2014).

    >>> normalized_entropy([0, 1], [0.5, 0.5])
    1.0
    """
    return _run(NormalizedEntropy(), y_true, y_pred, sample_weight)


def calibration(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights = None, groups: Groups = None) -> float:
    """Sum of predictions over sum of labels: 1 is right, above it the model promises too much.

    >>> calibration([1, 0], [0.5, 0.25])
    0.75
    """
    return _run(Calibration(), y_true, y_pred, sample_weight)


def auc(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights = None, groups: Groups = None) -> float:
    """Area under the ROC curve; with [N, C] predictions, the mean of one class against the rest.

    >>> auc([0, 1, 1], [0.2, 0.2, 0.9])
    0.75
    """
    many = as_classes(y_pred)
    if many is not None:
        label, w = _classes(y_true, many, sample_weight)
        each = np.array([auc(label == c, many[:, c], w) for c in range(many.shape[1])])
        known = ~np.isnan(each)
        return ratio(each[known].sum(), known.sum()) if not np.isnan(many).any() else float("nan")
    y, p, weight = _lean_rows(y_true, y_pred, sample_weight)
    if np.isnan(p).any():
        return float("nan")
    if p.dtype == np.float32 and len(p) <= FLOAT32_ROWS:
        return float32_auc(unit_labels(y), p, weight)
    y, p = y.astype(np.float64, copy=False), p.astype(np.float64, copy=False)
    return float(grouped_auc(unit_labels(y), p, _weights(weight, len(p)))[0][0])


def pr_auc(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights = None, groups: Groups = None) -> float:
    """Average precision, rows of one score taken together.

    >>> pr_auc([0, 1], [0.1, 0.2])
    1.0
    """
    y, p, w = _rows(y_true, y_pred, sample_weight)
    return float("nan") if np.isnan(p).any() else average_precision(unit_labels(y), p, w)


def _group_aucs(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights, groups: Groups) -> tuple[Floats, Floats]:
    y, p, w = _rows(y_true, y_pred, sample_weight)
    codes, count = _grouping(groups, len(p))
    if np.isnan(p).any():
        return np.full(1, np.nan), np.full(1, np.nan)
    return grouped_auc(unit_labels(y), p, w, codes, count)


def _grouping(groups: Groups, rows: int) -> tuple[Ints, int]:
    if groups is None:
        raise ValueError("groups must be one label a row, got None")
    codes, count = group_codes(groups)
    if len(codes) != rows:
        raise ValueError(f"groups must have {rows} rows, as many as y_pred, got {len(codes)}")
    return codes, count


def gauc(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights = None, groups: Groups = None) -> float:
    """Mean of the groups' AUCs, weighted by their rows; groups of one class are skipped (Zhou et al. 2018).

    >>> gauc([0, 1, 0, 1, 1], [0.1, 0.2, 0.9, 0.8, 0.7], groups=["a", "a", "b", "b", "c"])
    0.5
    """
    aucs, weight = _group_aucs(y_true, y_pred, sample_weight, groups)
    known = ~np.isnan(aucs)
    return ratio(np.dot(aucs[known], weight[known]), weight[known].sum())


def gauc_skipped(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights = None, groups: Groups = None) -> float:
    """Share of the rows (of their weight) that `gauc` skips, in groups of one class.

    >>> gauc_skipped([0, 1, 0, 1, 1], [0.1, 0.2, 0.9, 0.8, 0.7], groups=["a", "a", "b", "b", "c"])
    0.2
    """
    aucs, weight = _group_aucs(y_true, y_pred, sample_weight, groups)
    return ratio(weight[np.isnan(aucs)].sum(), weight.sum())


def ndcg(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Weights = None, groups: Groups = None, k: int = 10
) -> float:
    """Mean over groups of NDCG at rank `k`; groups without a positive label are skipped (Burges et al. 2005).

    >>> round(ndcg([1, 0, 0], [0.2, 0.9, 0.1], groups=[7, 7, 7], k=2), 4)
    0.6309
    """
    y, p, w = _rows(y_true, y_pred, sample_weight)
    codes, _ = _grouping(groups, len(p))
    if (y < 0).any():
        raise ValueError(f"labels must be >= 0 for ndcg, got {y[y < 0][0]}")
    if np.isnan(p).any() or np.isnan(y).any():
        return float("nan")
    kept = w > 0  # a row of weight 0 is as good as absent
    codes, count = group_codes(codes[kept])
    each = grouped_ndcg(y[kept], p[kept], codes, count, k)
    weight = np.bincount(codes, w[kept], count) / np.maximum(np.bincount(codes, minlength=count), 1)
    known = ~np.isnan(each)
    return ratio(np.dot(each[known], weight[known]), weight[known].sum())
