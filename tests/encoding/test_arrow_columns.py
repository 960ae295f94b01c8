from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from deepctr_torch.encoding.arrow_columns import RowError, cross, factorize, hash_arrow, numbers_of, to_integers
from deepctr_torch.hashing import hash_values


def decoded(array: Any, **kwargs: Any) -> tuple[list[Any], str]:
    column = factorize(array, "f", **kwargs)
    values = [*column.values.to_pylist(), None]
    return [values[c] for c in column.codes], column.dtype


@pytest.mark.parametrize(
    ("array", "values", "kind"),
    [
        (pa.array([5, None, -3], pa.int8()), [5, None, -3], "int"),
        (pa.array([2**64 - 1, 1], pa.uint64()), [-1, 1], "int"),
        (pa.array([True, False, None]), [1, 0, None], "int"),
        (pa.array([5.0, float("nan"), None]), [5, None, None], "int"),
        (pa.array([5.0, 0.5, float("inf"), None]), ["5", "0.5", "inf", None], "string"),
        (pa.array(["a", "", None, "a"]), ["a", None, None, "a"], "string"),
        (pa.array([b"a", None]), ["a", None], "string"),
        (pa.array([None, None]), [None, None], "int"),
        (pa.array(["x"]).cast(pa.string_view()), ["x"], "string"),
        (pa.array([18262], pa.date32()), ["2020-01-01"], "string"),
    ],
)
def test_single_values_in_one_form(array: Any, values: list[Any], kind: str) -> None:
    assert decoded(array) == (values, kind)


def test_text_is_told_apart_from_strings() -> None:
    assert decoded(pa.array(["5", ""]), text=True) == (["5", None], "text")


def test_values_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="'f' must hold one value a row, got list"):
        factorize(pa.array([[1]]), "f")
    with pytest.raises(ValueError, match="'f' must hold integers or strings"):
        factorize(pa.array([b"\xff"]), "f")


def test_strings_as_integers() -> None:
    values = ["5", "-5", "5.0", "007", "", "x", "1.5", None, "9223372036854775807", "9223372036854775808", "0", "-0"]
    values += ["18446744073709551615", "18446744073709551616", "-9223372036854775809"]
    array = pa.array(values, pa.large_string())
    big = 2**63 - 1
    assert to_integers(array, canonical=True).to_pylist() == [5, -5, 5] + [None] * 5 + [
        big,
        -big - 1,
        0,
        None,
        -1,
        None,
        None,
    ]
    assert to_integers(array).to_pylist() == [5, -5, 5, 7, *[None] * 4, big, -big - 1, 0, 0, -1, None, None]
    assert to_integers(pa.array([], pa.large_string())).to_pylist() == []


@given(st.lists(st.text(max_size=20), max_size=20), st.integers(0, 5))
def test_arrow_strings_are_hashed_like_python_strings(values: list[str], start: int) -> None:
    array = pa.array(values, pa.large_string())[start:]
    np.testing.assert_array_equal(hash_arrow(array), hash_values(np.array(values[start:], dtype=object)))


def test_combinations() -> None:
    a = factorize(pa.array([1, 1, None, 2, 1]), "a")
    b = factorize(pa.array(["x", "y", "x", "", "x"]), "b")
    c = factorize(pa.array(["5", "5.0", "5", "5", "05"]), "c", text=True)
    column = cross([a, b, c])
    values = [*column.values.to_pylist(), None]
    found = [values[code] for code in column.codes]
    assert found == ["1\x1fx\x1f5", "1\x1fy\x1f5", None, None, "1\x1fx\x1f05"]


def test_numbers() -> None:
    nan = float("nan")
    for array, expected in (
        (pa.array([1, None], pa.int32()), [1, nan]),
        (pa.array([1.5, None, nan, float("-inf")]), [1.5, nan, nan, -np.inf]),
        (pa.array([True, None]), [1, nan]),
        (pa.array([None, None]), [nan, nan]),
        (pa.array([" 1.5", "", None, "2e3"]), [1.5, nan, nan, 2000]),
        (pa.array(["1", "Infinity", "1_0"]), [1, np.inf, 10]),
        (pa.array(["1.25"]).cast(pa.decimal128(5, 2)), [1.25]),
    ):
        np.testing.assert_array_equal(numbers_of(array, "f"), expected)
    with pytest.raises(RowError, match="'f' must hold numbers, got 'x'") as error:
        numbers_of(pa.array(["1", "", "x"]), "f")
    assert error.value.row == 2
    with pytest.raises(ValueError, match="'f' must hold numbers, got timestamp"):
        numbers_of(pa.array([0], pa.timestamp("s")), "f")
