"""The metrics themselves: pure functions `metric(y_true, y_pred, sample_weight=None, groups=None) -> float` on float64.

`docs/metrics.md` defines each. An undefined value (AUC of one class, a mean over nothing) is nan: no exception, no
warning. A prediction or label that is nan makes the metric nan.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .ranking import Floats, average_precision, group_codes, grouped_auc, grouped_ndcg

__all__ = [
    "accuracy",
    "as_classes",
    "as_column",
    "auc",
    "calibration",
    "gauc",
    "gauc_skipped",
    "logloss",
    "mae",
    "mse",
    "ndcg",
    "normalized_entropy",
    "pr_auc",
    "rmse",
]

CLIP = 1e-7  # probabilities are kept this far from 0 and 1 before a logarithm


def as_column(name: str, values: Any, rows: int | None = None) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{name} must be one column, got the shape {array.shape}")
    if rows is not None and len(array) != rows:
        raise ValueError(f"{name} must have {rows} rows, as many as y_pred, got {len(array)}")
    return array


def _rows(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Floats, Floats, Floats]:
    """Labels, predictions and weights as float64 columns of one length."""
    p = as_column("y_pred", y_pred)
    return as_column("y_true", y_true, len(p)), p, _weights(sample_weight, len(p))


def _weights(sample_weight: Any, rows: int) -> Floats:
    if sample_weight is None:
        return np.ones(rows)
    w = as_column("sample_weight", sample_weight, rows)
    if not (w >= 0).all():
        raise ValueError(f"sample_weight must be >= 0, got {w[~(w >= 0)][0]}")
    return w


def _unit_labels(y: Floats) -> Floats:
    outside = (y < 0) | (y > 1)
    if outside.any():
        raise ValueError(f"labels must lie in [0, 1] for this metric, got {y[outside][0]}")
    return y


def _classes(y_true: Any, p: Floats, sample_weight: Any) -> tuple[Any, Floats]:
    """Class numbers [N] and weights [N] beside probabilities [N, C]."""
    y = as_column("y_true", y_true, len(p))
    wrong = ~((y >= 0) & (y < p.shape[1]) & (y == np.floor(y)))
    if wrong.any():
        raise ValueError(
            f"labels must be whole numbers in [0, {p.shape[1]}) for {p.shape[1]} classes, got {y[wrong][0]}"
        )
    return y.astype(np.intp), _weights(sample_weight, len(p))


def as_classes(y_pred: Any) -> Floats | None:
    """Predictions as [N, C] when there are several columns, else None."""
    p = np.asarray(y_pred, dtype=np.float64)
    return p if p.ndim == 2 and p.shape[1] > 1 else None


def _ratio(top: Any, bottom: Any) -> float:
    return float(top) / float(bottom) if bottom != 0 else float("nan")


def _mean(values: Floats, w: Floats) -> float:
    return _ratio(np.dot(values, w), w.sum())


def logloss(y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None) -> float:
    """Mean of `-y log p - (1 - y) log(1 - p)`; with [N, C] predictions, of `-log p[label]`.

    >>> round(logloss([1, 1], [0.5, 1.0]), 4)
    0.3466
    """
    many = as_classes(y_pred)
    if many is not None:
        label, w = _classes(y_true, many, sample_weight)
        return _mean(-np.log(np.clip(many[np.arange(len(many)), label], CLIP, 1.0)), w)
    y, p, w = _rows(y_true, y_pred, sample_weight)
    p = np.clip(p, CLIP, 1.0 - CLIP)
    return _mean(-(_unit_labels(y) * np.log(p) + (1.0 - y) * np.log1p(-p)), w)


def accuracy(y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None) -> float:
    """Share of rows on the right side of 0.5 (above it is positive); with [N, C] predictions, of the largest column.

    >>> accuracy([1, 0, 0, 1], [0.9, 0.5, 0.6, 0.7])
    0.75
    """
    many = as_classes(y_pred)
    if many is not None:
        label, w = _classes(y_true, many, sample_weight)
        unknown = np.isnan(many).any(axis=1)
        return _mean(np.where(unknown, np.nan, many.argmax(axis=1) == label), w)
    y, p, w = _rows(y_true, y_pred, sample_weight)
    return _mean(np.where(np.isnan(p) | np.isnan(y), np.nan, (p > 0.5) == (y > 0.5)), w)


def mse(y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None) -> float:
    """Mean of `(y - p)^2`.

    >>> mse([0, 2], [1, 2])
    0.5
    """
    y, p, w = _rows(y_true, y_pred, sample_weight)
    return _mean(np.square(y - p), w)


def rmse(y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None) -> float:
    """Square root of `mse`.

    >>> rmse([0, 0], [3, 3])
    3.0
    """
    return float(np.sqrt(mse(y_true, y_pred, sample_weight)))


def mae(y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None) -> float:
    """Mean of `|y - p|`.

    >>> mae([0, 2], [1, 2])
    0.5
    """
    y, p, w = _rows(y_true, y_pred, sample_weight)
    return _mean(np.abs(y - p), w)


def normalized_entropy(y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None) -> float:
    """`logloss` over the entropy of the weighted base rate of the evaluated labels (He et al. 2014).

    >>> normalized_entropy([0, 1], [0.5, 0.5])
    1.0
    """
    y, p, w = _rows(y_true, y_pred, sample_weight)
    base = _mean(_unit_labels(y), w)
    if not 0.0 < base < 1.0:
        return float("nan")
    return _ratio(logloss(y, p, w), -(base * np.log(base) + (1.0 - base) * np.log1p(-base)))


def calibration(y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None) -> float:
    """Sum of predictions over sum of labels: 1 is right, above it the model promises too much.

    >>> calibration([1, 0], [0.5, 0.25])
    0.75
    """
    y, p, w = _rows(y_true, y_pred, sample_weight)
    return _ratio(np.dot(w, p), np.dot(w, y))


def auc(y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None) -> float:
    """Area under the ROC curve; with [N, C] predictions, the mean of one class against the rest.

    >>> auc([0, 1, 1], [0.2, 0.2, 0.9])
    0.75
    """
    many = as_classes(y_pred)
    if many is not None:
        label, w = _classes(y_true, many, sample_weight)
        each = np.array([auc(label == c, many[:, c], w) for c in range(many.shape[1])])
        known = ~np.isnan(each)
        return _ratio(each[known].sum(), known.sum()) if not np.isnan(many).any() else float("nan")
    y, p, w = _rows(y_true, y_pred, sample_weight)
    return float("nan") if np.isnan(p).any() else float(grouped_auc(_unit_labels(y), p, w)[0][0])


def pr_auc(y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None) -> float:
    """Average precision, rows of one score taken together.

    >>> pr_auc([0, 1], [0.1, 0.2])
    1.0
    """
    y, p, w = _rows(y_true, y_pred, sample_weight)
    return float("nan") if np.isnan(p).any() else average_precision(_unit_labels(y), p, w)


def _group_aucs(y_true: Any, y_pred: Any, sample_weight: Any, groups: Any) -> tuple[Floats, Floats]:
    y, p, w = _rows(y_true, y_pred, sample_weight)
    codes, count = _grouping(groups, len(p))
    if np.isnan(p).any():
        return np.full(1, np.nan), np.full(1, np.nan)
    return grouped_auc(_unit_labels(y), p, w, codes, count)


def _grouping(groups: Any, rows: int) -> tuple[Any, int]:
    if groups is None:
        raise ValueError("groups must be one label a row, got None")
    codes, count = group_codes(groups)
    if len(codes) != rows:
        raise ValueError(f"groups must have {rows} rows, as many as y_pred, got {len(codes)}")
    return codes, count


def gauc(y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None) -> float:
    """Mean of the groups' AUCs, weighted by their rows; groups of one class are skipped (Zhou et al. 2018).

    >>> gauc([0, 1, 0, 1, 1], [0.1, 0.2, 0.9, 0.8, 0.7], groups=["a", "a", "b", "b", "c"])
    0.5
    """
    aucs, weight = _group_aucs(y_true, y_pred, sample_weight, groups)
    known = ~np.isnan(aucs)
    return _ratio(np.dot(aucs[known], weight[known]), weight[known].sum())


def gauc_skipped(y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None) -> float:
    """Share of the rows (of their weight) that `gauc` skips, in groups of one class.

    >>> gauc_skipped([0, 1, 0, 1, 1], [0.1, 0.2, 0.9, 0.8, 0.7], groups=["a", "a", "b", "b", "c"])
    0.2
    """
    aucs, weight = _group_aucs(y_true, y_pred, sample_weight, groups)
    return _ratio(weight[np.isnan(aucs)].sum(), weight.sum())


def ndcg(y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None, k: int = 10) -> float:
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
    return _ratio(np.dot(each[known], weight[known]), weight[known].sum())
