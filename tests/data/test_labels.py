"""Labels and weights of every accepted kind, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from deepctr_torch.data.labels import check_class_weight, class_weights, to_labels, to_weights

ONE = [("", "binary")]
TWO = [("click", "binary"), ("time", "regression")]
CLASSES = [("", "multiclass")]


@pytest.mark.parametrize(
    "y",
    [
        [0, 1, 1],
        (0, 1, 1),
        [[0], [1], [1]],
        [[0, 1, 1]],
        [np.array([0, 1, 1])],
        np.array([0, 1, 1]),
        np.array([[0], [1], [1]], dtype=np.uint8),
        np.array([False, True, True]),
        np.array([0, 1, 1], dtype=object),
        torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64),
        pd.Series([0, 1, 1], index=[5, 5, 5]),
        pd.Series([0, 1, 1], dtype="Int64"),
        pd.DataFrame({"y": [0, 1, 1]}),
        pl.Series([0, 1, 1]),
        pl.DataFrame({"y": [0, 1, 1]}),
        pa.array([0, 1, 1]),
        pa.chunked_array([[0], [1, 1]]),
        pa.table({"y": [0, 1, 1]}),
        {"": [0, 1, 1]},
    ],
)
def test_one_task(y: Any) -> None:
    labels = to_labels(y, ONE, 3)
    assert labels.dtype == np.float32
    assert labels.tolist() == [[0.0], [1.0], [1.0]]


@pytest.mark.parametrize(
    "y",
    [
        [[0, 2.5], [1, -3]],
        [np.array([0, 1]), [2.5, -3]],
        [np.array([[0], [1]]), torch.tensor([[2.5], [-3]])],
        (pd.Series([0, 1]), pl.Series([2.5, -3])),
        np.array([[0, 2.5], [1, -3]]),
        torch.tensor([[0, 2.5], [1, -3]]),
        pd.DataFrame({"x1": [0, 1], "x2": [2.5, -3]}),
        pl.DataFrame({"x1": [0, 1], "x2": [2.5, -3]}),
        pa.table({"x1": [0, 1], "x2": [2.5, -3]}),
        {"time": [2.5, -3], "click": [0, 1], "other": [9, 9]},
        pd.DataFrame({"time": [2.5, -3], "click": [0, 1]}),  # by name, not by place
        pl.DataFrame({"other": [9, 9], "time": [2.5, -3], "click": [0, 1]}),
        pa.table({"time": [2.5, -3], "click": [0, 1]}),
    ],
)
def test_two_tasks(y: Any) -> None:
    assert to_labels(y, TWO, 2).tolist() == [[0.0, 2.5], [1.0, -3.0]]


def test_one_row_of_two_tasks() -> None:
    assert to_labels(np.array([[1, 2.0]]), TWO, 1).tolist() == [[1.0, 2.0]]
    assert to_labels([[1], [2.0]], TWO, 1).tolist() == [[1.0, 2.0]]


def test_soft_labels() -> None:
    assert to_labels([0.25, 1.0], ONE, 2)[:, 0].tolist() == [0.25, 1.0]


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_a_label_of_one_of_several_tasks_may_be_missing(missing: Any) -> None:
    y = pd.DataFrame({"click": pd.Series([0, missing], dtype=object), "time": pd.Series([missing, 1.5], dtype=object)})
    labels = to_labels(y, TWO, 2)
    assert np.array_equal(labels, [[0, np.nan], [np.nan, 1.5]], equal_nan=True)
    assert np.isnan(to_labels([[0, 1], [1, None]], TWO, 2)[1, 1])


def test_labels_are_a_copy() -> None:
    y = np.zeros(2, dtype=np.float32)
    y.flags.writeable = False
    labels = to_labels(y, ONE, 2)
    labels[:] = 1
    assert y.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("y", "tasks", "message"),
    [
        ([0, 2], ONE, "labels must be in [0, 1] for a binary task, got 2.0 in row 11"),
        ([-0.5, 1], ONE, "labels must be in [0, 1] for a binary task, got -0.5 in row 10"),
        ([1, np.nan], ONE, "labels must be in [0, 1] for a binary task, got nan in row 11"),
        ([1, None], ONE, "labels must be numbers, got None (object) in row 11"),
        (["0", "1"], ONE, "labels must be numbers, got '0' (<U1) in row 10"),
        ([1, np.inf], [("", "regression")], "labels must be finite numbers for a regression task, got inf in row 11"),
        ([1, np.nan], [("", "regression")], "labels must be finite numbers for a regression task, got nan in row 11"),
        ([[0, 1], [2, 1]], TWO, "labels of 'click' must be in [0, 1] for a binary task, got 2.0 in row 11"),
        (
            [[0, 1], [1, -np.inf]],
            TWO,
            "labels of 'time' must be finite numbers for a regression task, got -inf in row 11",
        ),
        ([0, 3], CLASSES, "labels must be integers in [0, 3) for a multiclass task, got 3.0 in row 11"),
        ([0, 1.5], CLASSES, "labels must be integers in [0, 3) for a multiclass task, got 1.5 in row 11"),
        ([0, 1, 1], ONE, "inputs and labels must have the same number of rows: 2 inputs, 3 labels"),
        ([[0, 1], [1, 1]], ONE, "labels must have one column for each of 1 task(s), got shape (2, 2)"),
        ([0, 1], TWO, "labels must have one column for each of 2 task(s), got shape (2, 1)"),
        ([np.zeros(2), np.zeros(3)], TWO, "all tasks must have the same number of labels, got {'click': 2, 'time': 3}"),
        ({"click": [0, 1]}, TWO, "labels lack the task(s) ['time']; they have ['click']"),
        (np.zeros((2, 2, 2)), TWO, "got shape (2, 2, 2)"),
        (np.zeros(()), ONE, "got shape ()"),
    ],
)
def test_refused(y: Any, tasks: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        to_labels(y, tasks, 2, num_classes=3, offset=10)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "weight", [[1, 0.5], np.array([[1], [0.5]]), pd.Series([1, 0.5]), pl.Series([1.0, 0.5]), torch.tensor([1, 0.5])]
)
def test_weights(weight: Any) -> None:
    out = to_weights(weight, 2)
    assert out.dtype == np.float32
    assert out.tolist() == [1.0, 0.5]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, -1], "sample_weight must be finite and >= 0, got -1.0 in row 11"),
        ([np.nan, 1], "sample_weight must be finite and >= 0, got nan in row 10"),
        ([1, np.inf], "sample_weight must be finite and >= 0, got inf in row 11"),
        ([1], "sample_weight must have one number for each of 2 rows, got 1"),
        (["a", "b"], "sample_weight must be numbers, got 'a' (<U1) in row 10"),
    ],
)
def test_weights_refused(weight: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        to_weights(weight, 2, offset=10)
    assert str(caught.value) == message


def test_class_weights() -> None:
    y = np.array([[0], [1], [0.5], [1]], dtype=np.float32)
    assert class_weights(y, {1: 3.0, 0: 0.5}).tolist() == [0.5, 3.0, 1.0, 3.0]


def test_class_weights_name_labels_that_a_task_may_have() -> None:
    check_class_weight({0: 1, 1.0: np.float32(2.5)}, "binary")
    check_class_weight({2: 0.0}, "multiclass", 3)
    check_class_weight({-7.5: 2.0}, "regression")
    with pytest.raises(ValueError, match=r"must be integers in \[0, 3\) for a multiclass task, got 3"):
        check_class_weight({3: 1.0}, "multiclass", 3)
