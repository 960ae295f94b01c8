"""Metrics computed block by block: sums, which are exact, and a histogram for the measures of order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "BINS",
    "BinnedCurve",
    "Calibration",
    "Mean",
    "NormalizedEntropy",
    "RootMean",
    "StatefulMetric",
    "absolutes",
    "average_precision_of_bins",
    "hits",
    "log_losses",
    "over_blocks",
    "ratio",
    "roc_area_of_bins",
    "squares",
    "unit_labels",
    "update_blocks",
]

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]
CLIP = 1e-7  # probabilities are kept this far from 0 and 1 before a logarithm
BLOCK = 1 << 18  # rows computed at a time, so that float64 copies stay small
BINS = 65_536
LARGEST_LOGIT = 16.0  # the outermost bins begin here; a float32 below 1 has a logit below 16.7


class StatefulMetric(Protocol):
    """A metric over rows that come in blocks."""

    def update(self, y: Floats, p: Floats, w: Floats) -> None:
        """Count labels, predictions and weights, float64 [n] each."""

    def compute(self) -> float:
        """Return the metric of all rows so far."""

    def state_dict(self) -> dict[str, Any]:
        """Return what was counted, to go on with later."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""


def ratio(top: float | np.floating[Any], bottom: float | np.floating[Any]) -> float:
    """Return `top / bottom`, nan where `bottom` is 0."""
    return float(top) / float(bottom) if bottom != 0 else float("nan")


def unit_labels(y: Array) -> Array:
    """Labels that lie in [0, 1], else a ValueError."""
    outside = (y < 0) | (y > 1)
    if outside.any():
        raise ValueError(f"labels must lie in [0, 1] for this metric, got {y[outside][0]}")
    return y


def log_losses(y: Floats, p: Floats) -> Floats:
    """`-y log p - (1 - y) log(1 - p)`. [n], [n] -> [n]"""
    p = np.clip(p, CLIP, 1.0 - CLIP)
    losses: Floats = -(unit_labels(y) * np.log(p) + (1.0 - y) * np.log1p(-p))
    return losses


def hits(y: Floats, p: Floats) -> Floats:
    """1 where label and prediction lie on one side of 0.5, else 0. [n], [n] -> [n]"""
    return np.where(np.isnan(p) | np.isnan(y), np.nan, (p > 0.5) == (y > 0.5))


def squares(y: Floats, p: Floats) -> Floats:
    """`(y - p)^2`. [n], [n] -> [n]"""
    return np.square(y - p)


def absolutes(y: Floats, p: Floats) -> Floats:
    """`|y - p|`. [n], [n] -> [n]"""
    return np.abs(y - p)


class Mean:
    """The weighted mean of a value of each row.

    >>> over_blocks(Mean(squares), np.array([0.0, 2.0]), np.array([1.0, 2.0]), None)
    0.5
    """

    def __init__(self, value: Callable[[Floats, Floats], Floats]) -> None:
        self.value = value
        self.top = self.bottom = 0.0

    def update(self, y: Floats, p: Floats, w: Floats) -> None:
        self.top += float(np.dot(self.value(y, p), w))
        self.bottom += float(w.sum())

    def compute(self) -> float:
        return ratio(self.top, self.bottom)

    def state_dict(self) -> dict[str, Any]:
        return {"top": self.top, "bottom": self.bottom}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.top, self.bottom = state["top"], state["bottom"]


class RootMean(Mean):
    """The square root of a weighted mean."""

    def compute(self) -> float:
        return float(np.sqrt(super().compute()))


class Calibration:
    """Sum of predictions over sum of labels."""

    def __init__(self) -> None:
        self.promised = self.found = 0.0

    def update(self, y: Floats, p: Floats, w: Floats) -> None:
        self.promised += float(np.dot(w, p))
        self.found += float(np.dot(w, y))

    def compute(self) -> float:
        return ratio(self.promised, self.found)

    def state_dict(self) -> dict[str, Any]:
        return {"promised": self.promised, "found": self.found}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.promised, self.found = state["promised"], state["found"]


class NormalizedEntropy:
    """Log loss over the entropy of the base rate."""

    def __init__(self) -> None:
        self.loss, self.base = Mean(log_losses), Mean(lambda y, p: y)

    def update(self, y: Floats, p: Floats, w: Floats) -> None:
        self.loss.update(y, p, w)
        self.base.update(y, p, w)

    def compute(self) -> float:
        base = self.base.compute()
        if not 0.0 < base < 1.0:
            return float("nan")
        return ratio(self.loss.compute(), -(base * np.log(base) + (1.0 - base) * np.log1p(-base)))

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self.loss.state_dict(), "base": self.base.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.loss.load_state_dict(state["loss"])
        self.base.load_state_dict(state["base"])


class BinnedCurve:
    """A measure of order over probabilities, rows of one bin taken as tied.

    The bins are equal in the logit, so that they are fine where click-through rates lie: 2048 a unit, which is a
    twentieth of a percent of a small probability.

    Args:
        measure: from the weight of positive and of negative rows in each bin, [BINS] both, by rising prediction.
    """

    def __init__(self, measure: Callable[[Floats, Floats], float]) -> None:
        self.measure = measure
        self.positive, self.negative = np.zeros(BINS), np.zeros(BINS)
        self.undefined = False

    def update(self, y: Floats, p: Floats, w: Floats) -> None:
        unit_labels(y)
        if np.isnan(p).any():
            self.undefined = True
            return
        bins = _bins(p)
        self.positive += np.bincount(bins, w * y, BINS)
        self.negative += np.bincount(bins, w * (1.0 - y), BINS)

    def compute(self) -> float:
        return float("nan") if self.undefined else self.measure(self.positive, self.negative)

    def state_dict(self) -> dict[str, Any]:
        return {"positive": self.positive, "negative": self.negative, "undefined": self.undefined}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.positive, self.negative, self.undefined = state["positive"], state["negative"], state["undefined"]


def _bins(p: Floats) -> npt.NDArray[np.intp]:
    with np.errstate(divide="ignore"):
        p = np.clip(p, 0.0, 1.0)
        logit = np.log(p) - np.log1p(-p)
    return np.clip((logit / LARGEST_LOGIT + 1.0) * (BINS / 2), 0, BINS - 1).astype(np.intp)


def roc_area_of_bins(positive: Floats, negative: Floats) -> float:
    """AUC, a tie counting one half.

    >>> roc_area_of_bins(np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    0.75
    """
    below = np.cumsum(negative) - negative
    return ratio(np.dot(positive, below + 0.5 * negative), positive.sum() * negative.sum())


def average_precision_of_bins(positive: Floats, negative: Floats) -> float:
    """Average precision.

    >>> average_precision_of_bins(np.array([1.0, 1.0]), np.array([2.0, 0.0]))
    0.75
    """
    positive, negative = positive[::-1], negative[::-1]
    found, seen = np.cumsum(positive), np.cumsum(positive + negative)
    precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
    return ratio(np.dot(positive, precision), found[-1])


def update_blocks(metric: StatefulMetric, y: Array, p: Array, w: Array | None) -> None:
    """Update a metric with whole columns of any floating type, made float64 a block at a time."""
    for start in range(0, len(p), BLOCK):
        rows = slice(start, start + BLOCK)
        part = p[rows].astype(np.float64, copy=False)
        weight = np.ones(len(part)) if w is None else w[rows].astype(np.float64, copy=False)
        metric.update(y[rows].astype(np.float64, copy=False), part, weight)


def over_blocks(metric: StatefulMetric, y: Array, p: Array, w: Array | None) -> float:
    """Compute a fresh metric over whole columns."""
    update_blocks(metric, y, p, w)
    return metric.compute()
