"""Metrics by name, users' functions as metrics, and the direction of a key of the logs."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from deepctr_torch.metrics.registry import METRICS, gauc_skipped, get_metric, higher_is_better
from tests.support.metrics import assert_near

# ------------------------------------------------------------------------------------------ names and arguments


def test_a_name_tells_the_group_and_the_direction() -> None:
    metric = get_metric("gauc:user:id")
    assert (metric.name, metric.group, metric.needs_groups, metric.higher_is_better) == (
        "gauc:user:id",
        "user:id",
        True,
        True,
    )
    assert get_metric("gauc").group is None
    assert get_metric("gauc").needs_groups
    assert get_metric("ndcg@10:user").name == "ndcg@10:user"
    assert get_metric("ndcg@10:user").group == "user"
    assert not get_metric("auc").needs_groups
    assert get_metric("calibration").higher_is_better is None
    assert get_metric("logloss").higher_is_better is False
    assert get_metric(metric) is metric
    known = {"acc", "accuracy", "auc", "binary_crossentropy", "calibration", "gauc", "gauc_skipped", "logloss"}
    assert set(METRICS) == known | {"mae", "mse", "ndcg@k", "ne", "pr_auc", "rmse"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("acu", "unknown metric 'acu': did you mean 'auc'"),
        ("log_loss", "did you mean 'logloss'"),
        ("ndcg", "did you mean 'ndcg@k'"),
        ("ndcg@k", "the k of ndcg@k must be a number"),
        ("ndcg@0", "the k of ndcg@k must be an integer of at least 1, got 0"),
        ("ndcg@-1", "unknown metric 'ndcg@-1'"),
        ("auc:user", "'gauc:COLUMN'.*got 'auc:user'"),
        ("gauc:", "'gauc:COLUMN'.*got 'gauc:'"),
    ],
)
def test_a_wrong_name_is_refused_with_a_suggestion(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_metric(name)


def test_wrong_arguments_are_named_in_the_error() -> None:
    with pytest.raises(ValueError, match="y_true must have 2 rows, as many as y_pred, got 3"):
        get_metric("auc")([0, 1, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="sample_weight must be >= 0, got -1"):
        get_metric("mse")([0, 1], [0.5, 0.5], [1, -1])
    with pytest.raises(ValueError, match="sample_weight must have 2 rows"):
        get_metric("mse")([0, 1], [0.5, 0.5], [1])
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 1\] for this metric, got 5"):
        get_metric("auc")([0, 5], [0.5, 0.5])
    with pytest.raises(ValueError, match=r"metric 'gauc:user' must be given groups \(the column 'user'\), got None"):
        get_metric("gauc:user")([0, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="the argument groups"):
        get_metric("ndcg@2")([0, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="groups must be one label a row, got None"):
        gauc_skipped([0, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="groups must have 2 rows, as many as y_pred, got 1"):
        get_metric("gauc")([0, 1], [0.5, 0.5], groups=[1])
    with pytest.raises(ValueError, match="labels must be >= 0 for ndcg, got -1"):
        get_metric("ndcg@2")([0, -1], [0.5, 0.5], groups=[1, 1])
    with pytest.raises(TypeError, match="a metric must be a name or a callable, got int"):
        get_metric(3)  # type: ignore[arg-type]


def test_arguments_are_not_changed() -> None:
    y, p, w = np.array([0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.5]), np.array([1.0, 2.0, 0.0])
    before = y.copy(), p.copy(), w.copy()
    for name in [*sorted(set(METRICS) - {"ndcg@k"}), "ndcg@2"]:
        get_metric(name)(y, p, w, groups=[1, 1, 2])
    for now, then in zip((y, p, w), before, strict=True):
        np.testing.assert_array_equal(now, then)


# ------------------------------------------------------------------------------------------ a user's function


def bias(y_true: Any, y_pred: Any) -> float:
    assert y_true.dtype == y_pred.dtype == np.float64
    assert y_true.shape == y_pred.shape == (2,)
    return float((y_pred - y_true).mean())


def test_function_of_two_arguments() -> None:
    metric = get_metric(bias)
    assert metric.name == "bias"
    assert metric.higher_is_better is None
    assert not metric.takes_weights
    assert metric(np.array([[0], [1]]), np.array([[0.5], [1.0]], dtype=np.float32)) == 0.25
    with pytest.raises(ValueError, match="metric 'bias' must have a parameter sample_weight when rows are weighted"):
        metric([0, 1], [0.5, 1.0], [1, 2])


def test_function_with_weights_and_groups() -> None:
    def seen(y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = "none") -> float:
        return 10.0 * (sample_weight is not None) + (groups != "none")

    assert get_metric(seen)([0], [1]) == 0.0
    assert get_metric(seen)([0], [1], [1]) == 10.0
    assert get_metric(seen)([0], [1], [1], [1]) == 11.0
    assert get_metric(lambda y, p, **more: len(more))([0], [1], [1]) == 1.0


def test_other_callables() -> None:
    class Share:
        def __call__(self, y_true: Any, y_pred: Any) -> Any:
            return np.float32(y_pred.mean())

    metric = get_metric(Share())
    assert metric.name == "Share"
    assert isinstance(metric([0, 1], [0.25, 0.75]), float)
    assert get_metric(functools.partial(bias)).name == "bias"
    assert get_metric(lambda y, p: 1).name == "<lambda>"
    y, p, w = [0, 1, 1], [0.1, 0.2, 0.1], [1.0, 2.0, 3.0]
    assert_near(get_metric(roc_auc_score)(y, p, w), get_metric("auc")(y, p, w))
    assert not get_metric(max).takes_weights  # a builtin without a signature
    with pytest.raises(TypeError, match="metric '<lambda>' must return one number, got None"):
        get_metric(lambda y, p: None)(y, p)
    many = np.full((2, 3), 1 / 3)
    assert get_metric(lambda y, p: p.shape[1])([0, 1], many) == 3.0


@pytest.mark.parametrize(
    ("key", "higher"),
    [
        ("val_loss", False),
        ("auc", True),
        ("val_auc", True),
        ("val_click_pr_auc", True),
        ("val_ndcg@10:user", True),
        ("buy_gauc:val_loss", True),
        ("val_logloss", False),
        ("val_calibration", None),
        ("val_ctr_gauc_skipped", False),
        ("accuracy", True),
        ("val_something", False),
    ],
)
def test_direction_of_a_key(key: str, higher: bool | None) -> None:
    assert higher_is_better(key) is higher


@pytest.mark.parametrize(("written", "name"), [("AUC", "auc"), ("LogLoss", "logloss"), ("GAUC:User", "gauc:User")])
def test_case_of_a_name_does_not_matter_that_of_a_column_does(written: str, name: str) -> None:
    assert get_metric(written).name == name
