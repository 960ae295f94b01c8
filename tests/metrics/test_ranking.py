"""Measures of order, within groups too: against loops written from the definitions, and scikit-learn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from deepctr_torch.metrics import functional, ranking
from deepctr_torch.metrics.registry import get_metric
from tests.support.metrics import NAN, assert_near, click_rates, grouped

# ------------------------------------------------------------------------------------------ groups


@given(grouped(), st.booleans())
def test_gauc_is_the_loop_over_groups(rows: tuple[Any, Any, Any], weighted: bool) -> None:
    y, p, g = rows
    w = 1.0 + np.arange(len(y)) % 3 if weighted else np.ones(len(y))
    total = weight = skipped = 0.0
    for group in set(g):
        of = g == group
        if len(set(y[of])) < 2:
            skipped += w[of].sum()
            continue
        total += w[of].sum() * roc_auc_score(y[of], p[of], sample_weight=w[of])
        weight += w[of].sum()
    given_weight = w if weighted else None
    assert_near(get_metric("gauc:user")(y, p, given_weight, g), total / weight if weight else NAN)
    assert_near(get_metric("gauc_skipped")(y, p, given_weight, g), skipped / w.sum())


@given(grouped())
def test_kinds_of_groups_and_their_order_do_not_matter(rows: tuple[Any, Any, Any]) -> None:
    y, p, g = rows
    number = np.array([{"a": -5, "b": 10**12, "c": 0, "zz": 7}[name] for name in g])
    mixed = np.array([{"a": None, "b": "x", "c": 3, "zz": 2.5}[name] for name in g], dtype=object)
    back = np.arange(len(y))[::-1]
    for name in ("gauc", "ndcg@2"):
        metric = get_metric(name)
        expected = metric(y, p, groups=g)
        for groups in (number, mixed, g.astype(object), list(g), g[:, None]):
            assert_near(metric(y, p, groups=groups), expected)
        assert_near(metric(y[back], p[back], groups=g[back]), expected)


def test_one_group_is_auc() -> None:
    y, p = [0, 1, 1, 0], [0.1, 0.4, 0.35, 0.35]
    assert_near(get_metric("gauc")(y, p, groups=["u"] * 4), get_metric("auc")(y, p))


@given(grouped(), st.integers(1, 6))
def test_ndcg_is_sklearns_for_binary_labels(rows: tuple[Any, Any, Any], k: int) -> None:
    y, p, g = rows
    each = []
    for group in set(g):
        of = g == group
        if y[of].any():  # sklearn asks for two rows at least; one relevant row alone is at the top
            each.append(ndcg_score(y[of][None], p[of][None], k=k) if of.sum() > 1 else 1.0)
    assert_near(get_metric(f"ndcg@{k}:user")(y, p, groups=g), float(np.mean(each)) if each else NAN)


@given(grouped(st.integers(0, 4)), st.integers(1, 6))
def test_ndcg_of_grades_is_the_loop(rows: tuple[Any, Any, Any], k: int) -> None:
    y, p, g = rows
    each = []
    for group in set(g):
        of = g == group
        gain = 2.0 ** y[of] - 1
        if gain.any():
            each.append(ndcg_score(gain[None], p[of][None], k=k) if of.sum() > 1 else 1.0)
    assert_near(get_metric(f"ndcg@{k}")(y, p, groups=g), float(np.mean(each)) if each else NAN)


def test_ndcg_by_hand() -> None:
    value = get_metric("ndcg@2")([3, 0, 1], [0.2, 0.9, 0.5], groups=["q", "q", "q"])
    assert_near(value, (1 / math.log2(3)) / (7 + 1 / math.log2(3)))


def test_weights_of_ndcg_weigh_groups_and_a_row_of_weight_zero_is_absent() -> None:
    y, p, g = [1, 0, 1, 0], [0.9, 0.1, 0.2, 0.8], [1, 1, 2, 2]
    assert_near(get_metric("ndcg@2")(y, p, [3, 3, 1, 1], g), (3 * 1 + 1 / math.log2(3)) / 4)
    assert_near(get_metric("ndcg@2")(y, p, [1, 1, 1, 0], g), 1.0)


# ------------------------------------------------------------------------------------------ float32


SCORES = st.sampled_from([-2.0, -0.0, 0.0, 1e-30, 0.25, 0.5, 0.5000001, 1.0, 3e38])
ROWS = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), SCORES, st.sampled_from([0.0, 0.5, 2.0])), max_size=12)


@given(ROWS, st.booleans())
def test_auc_of_float32_is_that_of_float64(rows: list[tuple[float, float, float]], weighted: bool) -> None:
    y, p, w = (np.array([row[i] for row in rows], dtype=np.float32) for i in range(3))
    step, ranking.STEP = ranking.STEP, 3  # runs of one score go on from block to block
    try:
        lean = functional.auc(y, p, w if weighted else None)
    finally:
        ranking.STEP = step
    whole = functional.auc(y.astype(np.float64), p.astype(np.float64), w.astype(np.float64) if weighted else None)
    assert lean == pytest.approx(whole, rel=1e-12, nan_ok=True)


def test_auc_of_float32_agrees_with_scikit_learn() -> None:
    y, p, w = click_rates(5_000)
    assert functional.auc(y, p) == pytest.approx(sk.roc_auc_score(y, p), rel=1e-12)
    assert functional.auc(y, np.round(p, 2), w) == pytest.approx(
        sk.roc_auc_score(y, np.round(p, 2), sample_weight=w), rel=1e-12
    )
