"""Metrics against scikit-learn and numbers worked out by hand."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from deepctr_torch.metrics.registry import METRICS, gauc_skipped, get_metric
from tests.support.metrics import NAN, assert_near, binary, pair_auc

# ------------------------------------------------------------------------------------------ one number a row


@given(binary())
def test_auc_is_sklearns(rows: tuple[Any, Any, Any]) -> None:
    y, p, w = rows
    assert_near(get_metric("auc")(y, p, w), roc_auc_score(y, p, sample_weight=w))


@given(binary(soft=True))
def test_auc_of_soft_labels_splits_each_row(rows: tuple[Any, Any, Any]) -> None:
    y, p, w = rows
    assert_near(get_metric("auc")(y, p, w), pair_auc(y, p, np.ones(len(y)) if w is None else w))


@given(binary())
def test_pr_auc_is_sklearns(rows: tuple[Any, Any, Any]) -> None:
    y, p, w = rows
    assert_near(get_metric("pr_auc")(y, p, w), average_precision_score(y, p, sample_weight=w))


@given(binary())
def test_logloss_is_sklearns_on_clipped_scores(rows: tuple[Any, Any, Any]) -> None:
    y, p, w = rows
    clipped = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    assert_near(get_metric("logloss")(y, p, w), log_loss(y, clipped, sample_weight=w))


@given(binary(soft=True))
def test_soft_labels_equal_a_positive_and_a_negative_row(rows: tuple[Any, Any, Any]) -> None:
    y, p, w = rows
    w = np.ones(len(y)) if w is None else w
    split = np.r_[np.ones(len(y)), np.zeros(len(y))], np.r_[p, p], np.r_[w * y, w * (1 - y)]
    for name in ("auc", "calibration", "logloss", "ne", "pr_auc"):
        assert_near(get_metric(name)(y, p, w), get_metric(name)(*split))


@given(binary())
def test_integer_weights_are_repeated_rows(rows: tuple[Any, Any, Any]) -> None:
    y, p, _ = rows
    times = np.arange(len(y)) % 3
    repeated = np.repeat(y, times), np.repeat(p, times)
    for name in ("acc", "auc", "calibration", "logloss", "mae", "mse", "ne", "pr_auc", "rmse"):
        assert_near(get_metric(name)(y, p, times), get_metric(name)(*repeated))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acc", 0.4),
        ("accuracy", 0.4),
        ("mse", (0.25 + 0.25 + 0.04 + 0.5625 + 0.36) / 5),
        ("mae", (0.5 + 0.5 + 0.2 + 0.75 + 0.6) / 5),
        ("calibration", 3.15 / 2),
    ],
)
def test_numbers_by_hand(name: str, expected: float) -> None:
    y, p = [0, 1, 1, 0, 0], [0.5, 0.5, 0.8, 0.75, 0.6]
    assert_near(get_metric(name)(y, p), expected)


def test_numbers_with_weights_by_hand() -> None:
    y, p, w = [1, 0, 1], [0.5, 0.25, 0.9], [1.0, 3.0, 0.0]
    assert_near(get_metric("logloss")(y, p, w), (math.log(2) - 3 * math.log(0.75)) / 4)
    assert_near(get_metric("mse")(y, p, w), (0.25 + 3 * 0.0625) / 4)
    assert_near(get_metric("rmse")(y, p, w), math.sqrt(0.4375 / 4))
    assert_near(get_metric("calibration")(y, p, w), (0.5 + 0.75) / 1)
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert_near(get_metric("ne")(y, p, w), (math.log(2) - 3 * math.log(0.75)) / 4 / entropy)


def test_predicting_the_base_rate_has_normalized_entropy_one() -> None:
    y = np.array([1, 0, 0, 0, 1])
    assert_near(get_metric("ne")(y, np.full(5, 0.4)), 1.0)


def test_columns_of_width_one_and_lists_are_the_same_rows() -> None:
    y, p = np.array([[1], [0], [1]]), np.array([[0.5], [0.25], [0.125]])
    for name in ("acc", "auc", "logloss", "mse", "pr_auc"):
        assert_near(get_metric(name)(y, p), get_metric(name)([1, 0, 1], [0.5, 0.25, 0.125]))


def test_float32_scores_and_extreme_ones() -> None:
    p = np.array([1.0, 0.0], dtype=np.float32)
    assert_near(get_metric("logloss")([0, 0], p), (-math.log(1e-7) - math.log1p(-1e-7)) / 2)
    assert_near(get_metric("binary_crossentropy")([1, 1], np.float32([1.0, 1.0])), -math.log1p(-1e-7))
    assert_near(get_metric("logloss")([1, 0], [3.0, -2.0]), -math.log1p(-1e-7))  # of a regression head


# ------------------------------------------------------------------------------------------ undefined values


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_of_one_class_measures_of_order_are_undefined_and_sums_are_not(labels: list[int]) -> None:
    p = [0.5, 0.5, 0.5]
    assert math.isnan(get_metric("auc")(labels, p))
    assert math.isnan(get_metric("ne")(labels, p))
    assert math.isnan(get_metric("gauc")(labels, p, groups=[1, 1, 2]))
    assert gauc_skipped(labels, p, groups=[1, 1, 2]) == 1.0
    assert_near(get_metric("logloss")(labels, p), math.log(2))
    assert get_metric("acc")(labels, p) == 1.0 - labels[0]
    assert_near(get_metric("pr_auc")(labels, p), 1.0 if labels[0] else NAN)
    assert_near(get_metric("calibration")(labels, p), 0.5 if labels[0] else NAN)
    assert_near(get_metric("ndcg@2")(labels, p, groups=[1, 1, 2]), 1.0 if labels[0] else NAN)


@pytest.mark.parametrize("name", [*sorted(set(METRICS) - {"ndcg@k"}), "ndcg@3"])
def test_nothing_to_average_is_nan(name: str) -> None:
    metric = get_metric(name)
    assert math.isnan(metric([], [], groups=[]))
    assert math.isnan(metric([0, 1], [0.2, 0.7], [0.0, 0.0], groups=[1, 1]))


@pytest.mark.parametrize("name", [*sorted(set(METRICS) - {"ndcg@k"}), "ndcg@3"])
@pytest.mark.parametrize("of", ["labels", "predictions"])
def test_nan_gives_nan(name: str, of: str) -> None:
    y, p = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.1, 0.7, 0.6, 0.8])
    (y if of == "labels" else p)[1] = np.nan
    value = get_metric(name)(y, p, groups=[1, 1, 1, 1])
    if not (name == "gauc_skipped" and of == "labels"):  # a group of unknown labels is a group that is skipped
        assert math.isnan(value)


# ------------------------------------------------------------------------------------------ several classes


def test_many_classes_against_sklearn() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 200)
    y, w = rng.integers(0, 4, 200), rng.random(200)
    assert_near(get_metric("logloss")(y, p, w), log_loss(y, p, sample_weight=w))
    assert_near(get_metric("acc")(y, p, w), float((w * (p.argmax(axis=1) == y)).sum() / w.sum()))
    assert_near(get_metric("auc")(y, p), roc_auc_score(y, p, multi_class="ovr"))
    weighted = [roc_auc_score(y == c, p[:, c], sample_weight=w) for c in range(4)]
    assert_near(get_metric("auc")(y, p, w), float(np.mean(weighted)))


def test_many_classes_absent_ones_and_nan() -> None:
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    assert_near(get_metric("auc")([0, 1, 1], p), 1.0)  # the third class has no row and does not count
    assert math.isnan(get_metric("auc")([0, 0, 0], p))
    p[0, 0] = np.nan
    for name in ("acc", "auc", "logloss"):
        assert math.isnan(get_metric(name)([0, 1, 1], p))


@pytest.mark.parametrize("name", ["calibration", "mae", "mse", "ne", "pr_auc", "rmse"])
def test_metrics_of_one_column_refuse_several(name: str) -> None:
    with pytest.raises(ValueError, match=r"y_pred must be one column, got the shape \(2, 3\)"):
        get_metric(name)([0, 1], np.full((2, 3), 1 / 3))


@pytest.mark.parametrize("label", [3, -1, 0.5])
def test_labels_that_are_no_class(label: float) -> None:
    with pytest.raises(ValueError, match=r"labels must be whole numbers in \[0, 3\) for 3 classes, got "):
        get_metric("acc")([0, label], np.full((2, 3), 1 / 3))


def test_a_million_rows_take_a_fraction_of_a_second() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(1_000_000, dtype=np.float32)
    y = rng.random(1_000_000) < p
    times = []
    for _ in range(3):
        start = time.perf_counter()
        value = get_metric("auc")(y, p)
        times.append(time.perf_counter() - start)
    assert value == pytest.approx(5 / 6, abs=0.002)  # two uniform scores, accepted with the scores as probabilities
    assert min(times) < 1.5  # 0.07 s where it was written; the bound leaves room for a busy machine
