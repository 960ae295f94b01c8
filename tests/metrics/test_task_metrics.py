"""The metrics of each task: given in several ways, computed over whole columns, named for the logs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from deepctr_torch.metrics.task_metrics import TaskMetrics

ONE = (("", "binary"),)
TWO = (("click", "binary"), ("spend", "regression"))
NAN = float("nan")


def names(metrics: TaskMetrics) -> list[list[str]]:
    return [[metric.name for metric in of_task] for of_task in metrics.of_task]


def test_a_list_of_metrics_goes_to_the_tasks_that_can_have_them() -> None:
    metrics = TaskMetrics(TWO, ["auc", "mse"])
    assert names(metrics) == [["auc", "mse"], ["mse"]]
    assert list(metrics.functions) == ["auc", "mse"]
    assert metrics.functions["auc"](np.array([[0], [1]]), np.array([[0.1], [0.2]])) == 1.0


def test_metrics_by_task() -> None:
    metrics = TaskMetrics(TWO, {"spend": ["rmse"], "click": "auc"})
    assert list(metrics.functions) == ["auc", "rmse"]
    assert names(metrics) == [["auc"], ["rmse"]]
    assert names(TaskMetrics(TWO, {"click": ["auc"]})) == [["auc"], []]


def test_no_metrics_are_false_and_compute_nothing() -> None:
    metrics = TaskMetrics(TWO)
    assert not metrics
    assert names(metrics) == [[], []]
    assert metrics.evaluate(np.zeros((2, 2)), np.zeros((2, 2))) == {}


@pytest.mark.parametrize(
    ("metrics", "tasks", "message"),
    [
        (["auk"], ONE, "unknown metric 'auk': did you mean 'auc'"),
        ({"clic": ["auc"]}, TWO, "did you mean 'click'"),
        (["auc"], (("", "regression"),), "suits none of the tasks"),
        (["gauc:user"], (("", "multiclass"),), "a multiclass task takes acc, accuracy, auc, logloss"),
        (["mse"], (("val", "binary"), ("b", "binary")), "the name of a task must not be 'val'"),
    ],
)
def test_wrong_metrics(metrics: Any, tasks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TaskMetrics(tasks, metrics)


def test_metrics_of_tasks_and_their_means() -> None:
    y = np.array([[1.0, 2.0], [0.0, NAN], [NAN, 0.0]])
    prediction = np.array([[0.8, 1.0], [0.4, 9.0], [0.1, 1.0]])
    values = TaskMetrics(TWO, {"click": ["acc", "mse"], "spend": ["mse"]}).evaluate(y, prediction)
    assert list(values) == ["click_acc", "click_mse", "spend_mse", "acc", "mse"]
    np.testing.assert_allclose(list(values.values()), [1.0, (0.04 + 0.16) / 2, 1.0, 1.0, (0.1 + 1.0) / 2])
    weighted = TaskMetrics(TWO, {"spend": ["mse"]}).evaluate(y, prediction * 0, np.array([3.0, 1.0, 1.0]))
    np.testing.assert_allclose(weighted["spend_mse"], 3 * 4 / 4)


def test_a_task_without_labels_has_no_metric_and_is_left_out_of_the_mean() -> None:
    y = np.array([[1.0, NAN], [0.0, NAN]])
    values = TaskMetrics(TWO, ["mse"]).evaluate(y, np.array([[1.0, 0.0], [0.5, 0.0]]))
    assert math.isnan(values["spend_mse"])
    assert values["mse"] == values["click_mse"] == 0.125
    assert math.isnan(TaskMetrics(TWO, ["mse"]).evaluate(y * NAN, y)["mse"])


def test_group_columns() -> None:
    both = (("a", "binary"), ("b", "binary"))
    assert TaskMetrics(both, ["gauc:user", "ndcg@2:day", "gauc", "auc"]).group_columns == [
        "user",
        "day",
        "groups",
    ]
