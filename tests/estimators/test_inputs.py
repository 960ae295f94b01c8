"""What rows, labels and weights may be."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from deepctr_torch.estimators.inputs import open_data, open_inputs
from deepctr_torch.estimators.labels import (
    ClassLabelEncoder,
    ClassLearner,
    NumberLabelEncoder,
    NumberLearner,
    missing_in,
)
from deepctr_torch.estimators.prepare import EncodedBatch, rebatch
from deepctr_torch.estimators.split import Split, SplitOptions, scan, split

X = {"a": [1, 2, 3], "b": ["x", "y", None]}


def where(row: int) -> str:
    return f"row {row}"


def classes(*values: Any, train: Any = None) -> ClassLabelEncoder:
    learner = ClassLearner(["y"])
    for block in values:
        learner.update("y", np.array(block), where)
    return learner.compute(train)


def numbers(*values: Any, train: Any = None) -> NumberLabelEncoder:
    learner = NumberLearner(["y"])
    for block in values:
        learner.update("y", np.array(block), where)
    return learner.compute(train)


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        ([0, 1, 0], ("label",)),
        (pd.Series([0, 1, 0], name="click"), ("click",)),
        (pl.DataFrame({"p": [0, 1, 0], "q": [1, 1, 0]}), ("p", "q")),
        ({"p": [0, 1, 0]}, ("p",)),
        (np.array([[0, 1], [1, 1], [0, 0]]), ("label_0", "label_1")),
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
    ],
)
def test_labels_of_any_form(y: Any, labels: tuple[str, ...]) -> None:
    data = open_data(X, y)
    assert data.labels == labels
    assert [len(values) for values in data.y] == [3] * len(labels)
    assert data.names == [n for n in ("a", "b") if n not in labels]


def test_a_matrix_of_one_column_of_labels_is_taken_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="A column-vector y was passed"):
        assert open_data(X, [[0], [1], [0]]).y[0].tolist() == [0, 1, 0]


def test_frames_without_names_are_matrices() -> None:
    data = open_inputs(pd.DataFrame([[1, 2.5], [3, 4.5]]))
    assert (data.names, data.named) == (["x0", "x1"], False)
    assert open_inputs(np.ones((2, 2))).names == ["x0", "x1"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((np.ones(3), [0, 1, 0], None), "Expected 2D array, got 1D array"),
        ((np.ones((3, 0)), [0, 1, 0], None), "0 feature"),
        ((np.ones((3, 1)) * 1j, [0, 1, 0], None), "Complex data not supported"),
        (({"a": []}, [], None), "0 sample"),
        ((X, np.zeros((3, 1, 1)), None), "y should be a 1d array or a table of labels"),
        ((X, [0, 1, 0], [1, 2]), r"sample_weight must be one number a row, got shape \(2,\) for 3 rows"),
        ((X, [0, 1, 0], "w"), "sample_weight must be numbers or the name of a column"),
        ((X, [0, 1, 0], [1, -1, 1]), "sample_weight must be numbers >= 0"),
        (("rows.csv", [0, 1], None), "there is no file"),
    ],
)
def test_what_is_no_table_or_label_is_said(given: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message):
        open_data(*given)


def test_names_of_files_are_checked(tmp_path: Any) -> None:
    pl.DataFrame({"a": [1, 2], "y": [0, 1]}).write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(TypeError, match="with files, y must name the column"):
        open_data(tmp_path, np.array([0, 1]))
    with pytest.raises(TypeError, match="sample_weight of files must be the name of a column"):
        open_data(tmp_path, "y", [1, 2])
    with pytest.raises(ValueError, match="there is no column 'z'"):
        open_data(tmp_path, "z")


def test_a_split_depends_on_seed_and_number_alone() -> None:
    data = open_data({"a": np.arange(1000)}, np.arange(1000) % 2)

    def parts(fraction: float, seed: int) -> Split:
        found = scan(data, ClassLearner(data.labels), None)
        assert found.rows == 1000
        return split(data, found, SplitOptions.parse(fraction, None), seed)

    one, same, other = (parts(0.2, seed) for seed in (0, 0, 1))
    assert one.train is not None
    assert one.validation is not None and same.validation is not None and other.validation is not None  # noqa: PT018
    assert (one.validation.mask == same.validation.mask).all()
    assert (one.validation.mask != other.validation.mask).any()
    assert one.train.rows + one.validation.rows == 1000
    assert 150 < one.validation.rows < 250
    assert parts(0.0, 0) == (None, None)
    with pytest.raises(TypeError, match="time must be the name of a column, or a dict"):
        SplitOptions.parse(0.1, {"gap": 1})


def test_classes_and_their_shares() -> None:
    targets = classes(["b", "a"], ["a", "a"])
    assert targets.classes[0].tolist() == ["a", "b"]
    assert targets.rates == [[0.75, 0.25]]
    assert targets.initial_bias == [pytest.approx(np.log(1 / 3))]
    assert targets.encode("y", ["b", "a"], where).tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match=r"the label 'y' must be one of \['a', 'b'\], got 7 in row 0"):
        targets.encode("y", np.array([7, 8]), where)
    assert classes([0, 1, 2]).initial_bias == pytest.approx(np.log([1 / 3] * 3).tolist())


def test_what_are_no_classes_is_said() -> None:
    with pytest.raises(ValueError, match="must be of one type"):
        classes(np.array([1, "a"], dtype=object))
    with pytest.raises(ValueError, match="must be of one type"):
        classes([1, 2], ["a", "b"])
    with pytest.raises(ValueError, match=r"must be of classes, got more than 1000 different values up to row 1999"):
        classes(np.arange(2000))
    dates = classes(np.array(["2024-01-01", "2024-01-02"], "datetime64[D]"))
    with pytest.raises(TypeError, match="the classes of 'y' must be numbers, strings or booleans"):
        dates.state()


def test_numbers_are_standardised() -> None:
    targets = numbers([1.0, 3.0], [5.0, 7.0])
    assert (targets.mean, targets.std) == ([4.0], [pytest.approx(np.sqrt(5))])
    assert targets.decode(targets.encode("y", [1.0, 7.0], where)[:, None]).ravel() == pytest.approx([1, 7])
    assert numbers(np.ones(3)).std == [1.0]
    assert numbers([1.0, 3.0], [100.0], train=np.array([True, True, False])).mean == [2.0]
    with pytest.raises(ValueError, match="the label 'y' must be finite, got infinity in row 1"):
        targets.encode("y", [1.0, float("inf")], where)
    with pytest.raises(ValueError, match="the label 'y' must be a number"):
        targets.encode("y", ["x"], where)
    assert missing_in(np.array([None, 1, float("nan")], object)).tolist() == [True, False, True]


def test_batches_do_not_depend_on_the_chunks() -> None:
    rows = np.arange(11)
    weight = rows / 10

    def cut(*at: int) -> Any:
        ends = [0, *at, 11]
        for a, b in itertools.pairwise(ends):
            yield EncodedBatch({"x": rows[a:b]}, rows[a:b, None], weight[a:b], {"g": rows[a:b]})

    for pieces in (cut(), cut(1, 2, 9), cut(4, 8), cut(5, 6, 7)):
        found = list(rebatch(pieces, 4))
        assert [b.x["x"].tolist() for b in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
        assert [len(b.y) for b in found] == [len(b.columns["g"]) for b in found] == [4, 4, 3]
        assert found[1].weight is not None
        assert found[1].weight.tolist() == weight[4:8].tolist()
