"""Rows of labels and predictions, and the definition of AUC as a loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

__all__ = ["FEW_SCORES", "NAN", "assert_near", "binary", "click_rates", "grouped", "pair_auc"]

NAN = float("nan")
FEW_SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.75, 0.9, 1.0])  # many ties


CLICKS = st.integers(0, 1)


@st.composite
def binary(draw: st.DrawFn, soft: bool = False) -> tuple[Any, Any, Any]:
    """Labels of both classes, float32 scores with ties, positive weights or None."""
    n = draw(st.integers(2, 40))
    label = st.floats(0, 1, width=32) if soft else st.integers(0, 1)
    y = np.array(draw(st.lists(label, min_size=n, max_size=n)))
    y[:2] = [0, 1]
    p = draw(hnp.arrays(np.float32, n, elements=FEW_SCORES.map(np.float32)))
    w = draw(st.none() | hnp.arrays(np.float64, n, elements=st.sampled_from([0.25, 1.0, 3.0])))
    return y, p, w


@st.composite
def grouped(draw: st.DrawFn, labels: st.SearchStrategy[int] = CLICKS) -> tuple[Any, Any, Any]:
    n = draw(st.integers(1, 40))
    y = np.array(draw(st.lists(labels, min_size=n, max_size=n)))
    p = np.array(draw(st.lists(FEW_SCORES, min_size=n, max_size=n)))
    g = np.array(draw(st.lists(st.sampled_from(["b", "a", "zz", "c"]), min_size=n, max_size=n)))
    return y, p, g


def assert_near(value: float, expected: float) -> None:
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


def pair_auc(y: Any, p: Any, w: Any) -> float:
    """The definition: over all pairs of a positive and a negative share of rows."""
    right = pairs = 0.0
    for i in range(len(y)):
        for j in range(len(y)):
            weight = w[i] * y[i] * w[j] * (1 - y[j])
            right += weight * ((p[i] > p[j]) + 0.5 * (p[i] == p[j]))
            pairs += weight
    return right / pairs if pairs else NAN


def click_rates(rows: int, seed: int = 0) -> tuple[Any, Any, Any]:
    """Labels, predictions as rare clicks have them, and weights."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-4.0, 1.5, rows)
    p = (1.0 / (1.0 + np.exp(-logit))).astype(np.float32)
    y = (rng.random(rows) < 1.0 / (1.0 + np.exp(-logit - rng.normal(0, 1, rows)))).astype(np.float32)
    return y, p, rng.random(rows).astype(np.float32)
