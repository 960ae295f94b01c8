"""Values of any library -> numpy, without turning one thing into another."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from deepctr_torch.data.interop import column_of, floats, is_table, names_of, ragged, to_numpy
from deepctr_torch.tables import is_missing

FRAMES: list[Any] = [
    pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}),
    pl.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}),
    pa.table({"a": [1, 2], "b": [0.5, 1.5]}),
    pa.record_batch({"a": [1, 2], "b": [0.5, 1.5]}),
]


@pytest.mark.parametrize("frame", FRAMES)
def test_tables(frame: Any) -> None:
    assert is_table(frame)
    assert names_of(frame) == ["a", "b"]
    assert to_numpy(column_of(frame, "b")).tolist() == [0.5, 1.5]
    assert column_of(frame, "c") is None


def test_columns_named_as_methods() -> None:
    names = ["column_names", "get_column", "columns", "iloc", "column", "list", "type"]
    for frame in (
        pd.DataFrame({n: [1] for n in names}),
        pl.DataFrame({n: [1] for n in names}),
        pa.table({n: [1] for n in names}),
    ):
        assert is_table(frame)
        assert names_of(frame) == names
        assert [to_numpy(column_of(frame, n)).tolist() for n in names] == [[1]] * len(names)


def test_what_is_no_table() -> None:
    for x in ({"a": 1}, [1], np.zeros((2, 2)), torch.zeros(2), pd.Series([1]), None):
        assert not is_table(x)
    assert column_of(np.zeros((2, 2)), "a") is None
    assert names_of({"x": 1}) == ["x"]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, 2], "i", [1, 2]),
        ((1, 2.5), "f", [1, 2.5]),
        ([2**63, 5], "Ou", [2**63, 5]),
        ([2**63, -1], "O", [2**63, -1]),  # numpy alone: float64
        ([2**53 + 1, 0.5], "O", [2**53 + 1, 0.5]),
        (["5", 5], "O", ["5", 5]),  # numpy alone: ['5', '5']
        (["a", float("nan")], "O", None),  # numpy alone: ['a', 'nan']
        (["a", None], "O", ["a", None]),
        (["a", "b"], "U", ["a", "b"]),
        ([["a", 1], ["b", 2]], "O", [["a", 1], ["b", 2]]),
        ([["a"], ["b"]], "U", [["a"], ["b"]]),
        ([True, False], "b", [True, False]),
        (torch.tensor([1.5], requires_grad=True), "f", [1.5]),
        (pd.Series([1, 2], dtype="Int64"), "i", [1, 2]),
        (pd.Series([1, 2], dtype="category"), "i", [1, 2]),
        (pd.Series(["x", "y"], dtype="category"), "O", ["x", "y"]),
        (pl.Series([1, 2]), "i", [1, 2]),
        (pl.Series(["x", "y"], dtype=pl.Categorical), "O", ["x", "y"]),
        (pa.array([1, 2]), "i", [1, 2]),
        (pa.array([True, None]), "O", [True, None]),
        (pa.chunked_array([[1], [2]]), "i", [1, 2]),
        (pa.chunked_array([["x", "y"]]).dictionary_encode(), "O", ["x", "y"]),
        (range(3), "i", [0, 1, 2]),
    ],
)
def test_to_numpy(values: Any, kind: str, expected: Any) -> None:
    array = to_numpy(values)
    assert array.dtype.kind in kind
    if expected is not None:
        assert array.tolist() == expected


def test_arrays_are_not_copied() -> None:
    array = np.arange(3)
    assert to_numpy(array) is array


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2], [], [3]],
        ([1, 2], (), np.array([3])),
        [torch.tensor([1, 2]), torch.tensor([]), torch.tensor([3])],
        [np.array([1, 2]), np.array([], dtype=np.int64), np.array([3])],
        np.array([[1, 2], None, [3]], dtype=object),
        [[1, 2], None, [3]],
        [[1, 2], float("nan"), [3]],
        pd.Series([[1, 2], None, [3]]),
        pd.Series([[1, 2], [], [3]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
        pl.Series([[1, 2], None, [3]]),
        pl.Series([[1, 2], [], [3]]),
        pa.array([[1, 2], None, [3]]),
        pa.array([[9], [1, 2], [], [3]])[1:],
        pa.chunked_array([[[1, 2], []], [[3]]]),
        pa.chunked_array([pa.array([[1, 2], None, [3]], pa.large_list(pa.int64()))]),
    ],
)
def test_ragged(values: Any) -> None:
    found = ragged(values)
    assert found is not None
    flat, sizes = found
    assert flat.tolist() == [1, 2, 3]
    assert sizes.tolist() == [2, 0, 1]


def test_ragged_text_and_emptiness() -> None:
    for values in ([["a"], ["b", "c"]], pl.Series([["a"], ["b", "c"]]), pa.array([["a"], ["b", "c"]])):
        flat, sizes = ragged(values) or (None, None)
        assert flat.tolist() == ["a", "b", "c"]
        assert sizes.tolist() == [1, 2]
    for nothing in (
        pl.Series([[], []], dtype=pl.List(pl.Int64)),
        pa.array([[], []], pa.list_(pa.int64())),
        pa.chunked_array([], pa.list_(pa.int64())),
    ):
        flat, sizes = ragged(nothing) or (None, None)
        assert len(flat) == 0
        assert sizes.sum() == 0


@pytest.mark.parametrize(
    "values",
    [
        [1, 2],
        ["a", "b"],
        np.zeros((2, 2)),
        torch.zeros(2),
        pd.Series([1, 2]),
        pd.Series(["a", "b"]),
        pl.Series([1, 2]),
        pl.Series(["a", None]),
        pl.DataFrame({"a": [1]}),
        pa.array(["a"]),
        pa.chunked_array([[1.5]]),
        [[1, 2], [3, 4]],
    ],
)
def test_what_is_not_ragged(values: Any) -> None:
    assert ragged(values) is None


def test_lists_beside_other_values() -> None:
    with pytest.raises(ValueError, match="a list or nothing in every row, got 5 in row 1"):
        ragged([[1, 2], 5])


@pytest.mark.parametrize(
    ("value", "missing"),
    [
        (None, True),
        (float("nan"), True),
        (np.float32("nan"), True),
        (pd.NA, True),
        (pd.NaT, True),
        (0, False),
        ("", False),
        ([], False),
    ],
)
def test_is_missing(value: Any, missing: bool) -> None:
    assert is_missing(value) is missing


def test_floats_copies_and_converts() -> None:
    array = np.ones(3, dtype=np.float32)
    out = floats(array, "x", 0)
    assert not np.shares_memory(out, array)
    for values in (
        [True, False],
        [1, 0],
        np.array([Decimal(1), 0], dtype=object),
        np.array([True, np.float16(0)], dtype=object),
    ):
        out = floats(np.asarray(values), "x", 0)
        assert out.dtype == np.float32
        assert out.tolist() == [1.0, 0.0]
    assert floats(np.array([1e39]), "x", 0).tolist() == [float("inf")]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([1, "a"], dtype=object), "x must be numbers, got 'a' (object) in row 11"),
        (np.array([[1, 2], [3, None]], dtype=object), "x must be numbers, got None (object) in row 11"),
        (np.array([1.0, pd.NA], dtype=object), "x must be numbers, got <NA> (object) in row 11"),
        (np.array(["1.5"]), "x must be numbers, got '1.5' (<U3) in row 10"),
        (np.array([1, [2]], dtype=object), "x must be numbers, got [2] (object) in row 11"),
        (
            np.array(["2020-01-01"], dtype="datetime64[D]"),
            "x must be numbers, got '2020-01-01' (datetime64[D]) in row 10",
        ),
        (np.array([1j]), "x must be numbers, got 1j (complex128) in row 10"),
    ],
)
def test_floats_names_the_row(array: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        floats(array, "x", 10)
    assert str(caught.value) == message


def test_missing_as_nan() -> None:
    out = floats(np.array([1, None, pd.NA, float("nan")], dtype=object), "y", 0, missing_is_nan=True)
    assert out[0] == 1
    assert np.isnan(out[1:]).all()
    with pytest.raises(ValueError, match="y must be numbers, got 'a'"):
        floats(np.array([None, "a"], dtype=object), "y", 0, missing_is_nan=True)


def test_ragged_of_fixed_size() -> None:
    flat, sizes = ragged(pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2))) or (None, None)
    assert flat.tolist() == [1, 2, 3, 4]
    assert sizes.tolist() == [2, 0, 2]
