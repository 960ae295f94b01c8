"""Negatives for the auxiliary loss of DIEN and for whoever else needs items that were not chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._checks import check_at_least, check_non_negative
from .._typing import IntArray

__all__ = ["sample_negatives"]

_TOTAL = 2**52  # weights become integers of about this sum, so that every draw is exact


def sample_negatives(
    history: ArrayLike,
    item_counts: ArrayLike,
    *,
    seed: int | np.random.Generator = 0,
    power: float = 0.75,
    avoid: ArrayLike | None = None,
) -> NDArray[Any]:
    """Draw one negative for each position of a padded history `[N, T] -> [N, T]`.

    A negative is item j with a probability proportional to item_counts[j] ** power, among all items but the one at that
    position and those of `avoid`; 0 where the history is padded. The power is that of T. Mikolov et al.: Distributed
    Representations of Words and Phrases and their Compositionality, NIPS 2013, section 2.2.

    Args:
        history: item ids, 0 for padding.
        item_counts: how often each id occurs, by id (`np.bincount`); ids with count 0, and id 0, are never drawn. A
            single integer is a vocabulary size: ids 1 to item_counts - 1, all alike.
        seed: of the draws, or a numpy generator.
        power: 1 draws items as they occur, 0 all that occur alike.
        avoid: more ids not to draw, [N] or [N, K], the same for a whole row; 0 for none. The row's own history avoids
            every item that the user has chosen.

    >>> history = np.array([[3, 1, 0], [2, 2, 2]])
    >>> sample_negatives(history, item_counts=4, avoid=[2, 1])
    array([[1, 3, 0],
           [3, 3, 3]])
    """
    check_non_negative("power", power)
    ids = _integers("history", history)
    if ids.ndim != 2:
        raise ValueError(f"history must have shape [N, T], got {ids.shape}")
    weights = _weights(item_counts, power)
    _check_ids("history", ids, len(weights))
    rows, steps = np.nonzero(ids)
    excluded = [ids[rows, steps], *(column[rows] for column in _avoided(avoid, len(ids), len(weights)))]
    generator = seed if isinstance(seed, np.random.Generator) else np.random.Generator(np.random.PCG64(seed))
    negatives = np.zeros_like(ids)
    negatives[rows, steps] = _draw(weights, np.sort(np.stack(excluded), axis=0), rows, steps, generator)
    return negatives


def _integers(name: str, values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got {array.dtype}")
    return array


def _check_ids(name: str, ids: NDArray[Any], vocabulary: int) -> None:
    wrong = np.argwhere((ids < 0) | (ids >= vocabulary))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise ValueError(f"{name} must be in [0, {vocabulary}), got {ids[at]} at {list(at)}")


def _weights(item_counts: ArrayLike, power: float) -> IntArray:
    """Integer weight of each id, 0 for what is never drawn."""
    counts = np.asarray(item_counts)
    if counts.ndim == 0:
        check_at_least("item_counts", counts.item(), 2)
        counts = np.ones(counts.item())
    if counts.ndim != 1 or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError(f"item_counts must be a vector of numbers >= 0, got {item_counts!r}")
    drawn = counts > 0
    drawn[:1] = False
    if not drawn.any():
        raise ValueError("item_counts must be positive for at least one id above 0, got none")
    weights = np.where(drawn, counts.astype(np.float64), 1.0) ** power * drawn
    return np.where(drawn, np.maximum(np.rint(weights / weights.sum() * _TOTAL), 1), 0).astype(np.int64)


def _avoided(avoid: ArrayLike | None, n: int, vocabulary: int) -> list[NDArray[Any]]:
    """The columns of `avoid`, each [N]."""
    if avoid is None:
        return []
    ids = _integers("avoid", avoid)
    if ids.ndim not in (1, 2) or len(ids) != n:
        raise ValueError(f"avoid must have shape [{n}] or [{n}, K], got {ids.shape}")
    _check_ids("avoid", ids, vocabulary)
    return list(ids.T) if ids.ndim == 2 else [ids]


def _draw(
    weights: IntArray, excluded: NDArray[Any], rows: IntArray, steps: IntArray, generator: np.random.Generator
) -> IntArray:
    """One id for each column of `excluded` [K, M], which is sorted, by its weight and none of the column.

    A number below the weight that is left is drawn, then moved over the gap of each excluded id below it: no draw is
    rejected.
    """
    end = np.cumsum(weights)
    gap = weights[excluded]  # [K, M]
    gap[1:][excluded[1:] == excluded[:-1]] = 0
    left = end[-1] - gap.sum(axis=0)
    if (left == 0).any():
        at = int(np.argmax(left == 0))
        where = f"history[{rows[at]}, {steps[at]}]"
        raise ValueError(f"item_counts must leave an item to draw for {where}, got none that may be drawn")
    value: IntArray = generator.integers(0, left)
    for ids, width in zip(excluded, gap, strict=True):
        value = np.where(value >= end[ids] - weights[ids], value + width, value)
    drawn: IntArray = np.searchsorted(end, value, side="right")
    return drawn
