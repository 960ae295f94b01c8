"""Rows, labels and weights of any form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from deepctr_torch.estimators.inputs import open_data, open_inputs

X = {"a": [1, 2, 3], "b": ["x", "y", None]}


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


def test_a_bare_matrix_alone_has_no_names() -> None:
    data = open_inputs(np.ones((2, 2)))
    assert (data.names, data.named) == (["x0", "x1"], False)
    data = open_inputs(pd.DataFrame([[1, 2.5], [3, 4.5]]))
    assert (data.names, data.named) == (["0", "1"], True)


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ([7, 3], ["7", "3"]),
        (["a", 3], ["a", "3"]),
        (pd.MultiIndex.from_tuples([("price", "mean"), ("city", "")]), ["price_mean", "city"]),
        ([1.5, pd.Timestamp("2024-01-01")], ["1.5", "2024-01-01 00:00:00"]),
    ],
)
def test_names_of_any_kind_are_names(columns: Any, names: list[str]) -> None:
    frame = pd.DataFrame(np.arange(6).reshape(3, 2), columns=columns)
    for table in (frame, dict(zip(columns, frame.to_numpy().T, strict=True))):
        data = open_inputs(table)
        assert (data.names, data.named) == (names, True)
        assert [list(data.table[name]) for name in names] == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("table", [{1: [0], "1": [1]}, pd.DataFrame([[0, 1]], columns=[1, "1"])])
def test_two_names_of_one_spelling_are_an_error(table: Any) -> None:
    with pytest.raises(ValueError, match="columns must have different names, got '1' twice"):
        open_inputs(table)


def test_a_list_of_dicts_is_a_table() -> None:
    data = open_inputs([{"a": 1, "b": "x"}, {"b": "y", "c": 2.5}])
    assert data.table == {"a": [1, None], "b": ["x", "y"], "c": [None, 2.5]}


@pytest.mark.parametrize("kind", [pd.Series, lambda values, name: pd.DataFrame({name: values})])
def test_values_decide_whether_a_column_is_the_label(kind: Any) -> None:
    table = {"spend": [1.0, 2.0, None], "n": [1, 2, 3]}
    assert open_data(table, kind([1.0, 0.0, 1.0], name="spend")).apart == ()
    assert open_data(table, kind([1.0, 2.0, None], name="spend")).apart == ("spend",)


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
