"""Measures of order on plain float64 arrays: AUC per group, average precision, NDCG per group; ties and weights exact.

Every function takes labels `y` [N], scores `p` [N], weights `w` [N]; `codes` [N] are group numbers 0 .. G-1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .stateful import average_precision_of_bins

__all__ = [
    "FLOAT32_ROWS",
    "Floats",
    "Ints",
    "average_precision",
    "float32_auc",
    "group_codes",
    "grouped_auc",
    "grouped_ndcg",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
FLOAT32_ROWS = 2**32  # a score and a row number share 64 bits
STEP = 1 << 17  # rows in work at a time


class _Ties(NamedTuple):
    """Rows sorted by group, then score; a block is a run of rows equal in both."""

    order: Ints  # [N]
    starts: Ints  # [blocks] first row of each block, in sorted order
    group: Ints  # [blocks]

    def classes(self, y: Floats, w: Floats) -> tuple[Floats, Floats]:
        """The weight of the positive and of the negative rows of each block. `[N], [N] -> [blocks], [blocks]`"""
        labels, weights = y[self.order], w[self.order]
        return np.add.reduceat(weights * labels, self.starts), np.add.reduceat(weights * (1.0 - labels), self.starts)


def group_codes(groups: ArrayLike) -> tuple[Ints, int]:
    """Group labels of any kind as numbers 0 .. G-1, and G.

    >>> group_codes(["b", "a", "b"])
    (array([1, 0, 1]), 2)
    """
    labels = np.asarray(groups).reshape(-1)
    if labels.dtype == object:  # hashing takes None and mixed types, and is faster than sorting Python objects
        seen: dict[Any, int] = {}
        codes = np.fromiter((seen.setdefault(label, len(seen)) for label in labels), dtype=np.intp, count=len(labels))
        return codes, len(seen)
    known, codes = np.unique(labels, return_inverse=True)
    return codes.reshape(-1), len(known)


def _ties(scores: Floats, codes: Ints | None) -> _Ties:
    order = np.argsort(scores) if codes is None else np.lexsort((scores, codes))
    ranked = scores[order]
    new = np.ones(len(order), dtype=bool)
    np.not_equal(ranked[1:], ranked[:-1], out=new[1:])
    if codes is None:
        starts = np.flatnonzero(new)
        return _Ties(order, starts, np.zeros(len(starts), dtype=np.intp))
    group = codes[order]
    new[1:] |= group[1:] != group[:-1]
    starts = np.flatnonzero(new)
    return _Ties(order, starts, group[starts])


def _below(amounts: Floats, group: Ints) -> Floats:
    """Sum what lies before each block within its own group. [blocks] -> [blocks]"""
    before = np.cumsum(amounts) - amounts
    first = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    return before - np.repeat(before[first], np.diff(np.r_[first, len(group)]))


def _sum_by(group: Ints, amounts: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(group, amounts, count), dtype=np.float64)


def grouped_auc(y: Floats, p: Floats, w: Floats, codes: Ints | None = None, count: int = 1) -> tuple[Floats, Floats]:
    """AUC of each group and the weight of its rows; nan for a group of one class. `[N] x 3 -> [G], [G]`

    The Mann-Whitney statistic: the share of (positive, negative) pairs in the right order, a tie counting one half.
    A label between 0 and 1 counts `w * y` as positive and `w * (1 - y)` as negative.

    >>> grouped_auc(np.array([0., 1., 1.]), np.array([.2, .2, .9]), np.ones(3))
    (array([0.75]), array([3.]))
    """
    if not len(y):
        return np.full(count, np.nan), np.zeros(count)
    ties = _ties(p, codes)
    positive, negative = ties.classes(y, w)
    area = positive * (_below(negative, ties.group) + 0.5 * negative)
    positives = _sum_by(ties.group, positive, count)
    negatives = _sum_by(ties.group, negative, count)
    pairs = positives * negatives
    auc: Floats = np.full(count, np.nan)
    np.divide(_sum_by(ties.group, area, count), pairs, out=auc, where=pairs > 0)
    return auc, positives + negatives


def float32_auc(y: NDArray[Any], p: NDArray[np.float32], w: NDArray[Any] | None) -> float:
    """`grouped_auc` of one group whose scores are float32 and none nan, in 8 bytes a row beside them.

    >>> float32_auc(np.array([0., 1., 1.]), np.array([.2, .2, .9], dtype=np.float32), None)
    0.75
    """
    area = positives = negatives = 0.0
    held = np.zeros(2)  # weight of the positive and of the negative rows of the last score, which may go on
    held_score = np.iinfo(np.int64).min
    packed = _score_then_row(p)
    for start in range(0, len(packed), STEP):
        part = packed[start : start + STEP]
        rows = part & 0xFFFFFFFF
        labels = y[rows].astype(np.float64)
        weights = np.ones(len(rows)) if w is None else w[rows].astype(np.float64)
        ranked = np.concatenate([[held_score], part >> 32])
        starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
        positive = np.add.reduceat(np.concatenate([held[:1], weights * labels]), starts)
        negative = np.add.reduceat(np.concatenate([held[1:], weights * (1.0 - labels)]), starts)
        held, held_score = np.array([positive[-1], negative[-1]]), ranked[-1]
        below = negatives + np.cumsum(negative) - negative
        area += float(np.dot(positive[:-1], below[:-1] + 0.5 * negative[:-1]))
        positives, negatives = positives + positive[:-1].sum(), negatives + negative[:-1].sum()
    area += float(held[0] * (negatives + 0.5 * held[1]))
    pairs = (positives + held[0]) * (negatives + held[1])
    return float(area / pairs) if pairs > 0 else float("nan")


def _score_then_row(p: NDArray[np.float32]) -> NDArray[np.int64]:
    """Row numbers below their scores, sorted: numpy sorts plain numbers four times faster than it finds an order."""
    packed = np.empty(len(p), dtype=np.int64)
    for start in range(0, len(p), STEP):
        part = packed[start : start + STEP]
        bits = (p[start : start + STEP] + np.float32(0)).view(np.int32)  # -0 becomes 0
        part[:] = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # integers in the order of the floats
        part <<= 32
        part |= np.arange(start, start + len(part))
    packed.sort()
    return packed


def average_precision(y: Floats, p: Floats, w: Floats) -> float:
    """Sum over distinct scores, from the highest, of precision times the step in recall; nan without a positive.

    >>> round(average_precision(np.array([0., 1., 1.]), np.array([.2, .2, .9]), np.ones(3)), 4)
    0.8333
    """
    return average_precision_of_bins(*_ties(p, None).classes(y, w)) if len(y) else float("nan")


def _discounted(gain: Floats, by: Floats, codes: Ints, count: int, k: int) -> Floats:
    """DCG@k of each group, ranked by falling `by`; rows that tie share the mean of their gains. `-> [G]`"""
    ties = _ties(-by, codes)
    sizes = np.diff(np.r_[ties.starts, len(gain)])
    rank = _below(sizes.astype(np.float64), ties.group).astype(np.intp)  # rows of the group ahead of the block
    reach = min(k, len(gain))
    discount = np.r_[0.0, np.cumsum(1.0 / np.log2(np.arange(reach) + 2.0))]  # [reach + 1] total of the first ranks
    share = discount[np.minimum(rank + sizes, reach)] - discount[np.minimum(rank, reach)]
    mean_gain = np.add.reduceat(gain[ties.order], ties.starts) / sizes
    return _sum_by(ties.group, mean_gain * share, count)


def grouped_ndcg(y: Floats, p: Floats, codes: Ints, count: int, k: int) -> Floats:
    """NDCG@k of each group with gains `2^y - 1`; nan for a group without gain. `[N] x 2 -> [G]`

    Tied scores count the expectation over their orders (McSherry and Najork 2008).

    >>> grouped_ndcg(np.array([1., 0.]), np.array([.5, .5]), np.zeros(2, dtype=int), 1, 1)
    array([0.5])
    """
    gain = np.exp2(y) - 1.0
    if not len(y):
        return np.full(count, np.nan)
    ideal = _discounted(gain, gain, codes, count, k)
    ndcg = np.full(count, np.nan)
    np.divide(_discounted(gain, p, codes, count, k), ideal, out=ndcg, where=ideal > 0)
    return ndcg
