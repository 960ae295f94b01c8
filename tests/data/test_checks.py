"""Inputs of every kind give the same arrays; whatever is wrong is named with feature, row, value and limit."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.data.checks import to_arrays
from deepctr_torch.features import DenseFeat, FeatureSchema, SparseFeat, VarLenSparseFeat
from deepctr_torch.hashing import hash_rows

SCHEMA = FeatureSchema(
    [
        SparseFeat("user", 10),
        VarLenSparseFeat(SparseFeat("hist", 9), 3, length_name="n"),
        VarLenSparseFeat(SparseFeat("genres", 9), 2, weight_name="w"),
        DenseFeat("price"),
        DenseFeat("vector", 2),
    ]
)
USER, HIST, N, GENRES = [3, 0, 9], [[1, 2, 0], [0, 0, 0], [8, 7, 6]], [2, 0, 5], [[1, 0], [0, 0], [4, 5]]
W, PRICE, VECTOR = [[0.5, 0.0], [1.0, 1.0], [2.0, 0.25]], [1.5, -2.0, 0.0], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
LISTS: dict[str, Any] = {"user": USER, "hist": HIST, "n": N, "genres": GENRES, "w": W, "price": PRICE, "vector": VECTOR}
ARRAYS = {k: np.array(v) for k, v in LISTS.items()}
PACKED = np.concatenate([v.reshape(3, -1) for v in ARRAYS.values()], axis=1)
RAGGED = {**LISTS, "hist": [[1, 2], [], [8, 7, 6]], "genres": [[1], [], [4, 5]], "w": [[0.5], [1.0, 1.0], [2.0, 0.25]]}
OBJECTS = pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in RAGGED.items()})
ARROW = pa.table(
    {
        **{
            k: pa.chunked_array([pa.array(v[:1]), pa.array(v[1:])]) for k, v in RAGGED.items() if k not in ("hist", "w")
        },
        "hist": pa.array([[1, 2], None, [8, 7, 6]]),
        "w": pa.array(W, pa.list_(pa.float64(), 2)),
    }
)

KINDS: dict[str, Any] = {
    "arrays": ARRAYS,
    "columns (N, 1)": {k: v.reshape(3, -1) for k, v in ARRAYS.items()},
    "(N, 1, width)": {k: v.reshape(3, 1, -1) for k, v in ARRAYS.items()},
    "lists": LISTS,
    "tuples": {k: tuple(v) for k, v in LISTS.items()},
    "ragged lists": RAGGED,
    "ragged arrays": {**ARRAYS, "hist": [np.array([1, 2]), np.array([], dtype=int), np.array([8, 7, 6])]},
    "tensors": {k: torch.tensor(v) for k, v in LISTS.items()},
    "floats": {k: v.astype(np.float64) for k, v in ARRAYS.items()},
    "float32": {k: v.astype(np.float32) for k, v in ARRAYS.items()},
    "small integers": {**ARRAYS, "user": ARRAYS["user"].astype(np.uint8), "hist": ARRAYS["hist"].astype(np.int8)},
    "more columns than needed": {"other": ["x"], **ARRAYS},
    "Series": {k: pd.Series(v) for k, v in LISTS.items()},
    "Series with an index": {k: pd.Series(v, index=[7, 7, 1]) for k, v in LISTS.items()},
    "frame for a wide column": {**LISTS, "vector": pd.DataFrame(VECTOR), "hist": pl.DataFrame(HIST, orient="row")},
    "pandas": OBJECTS,
    "pandas, inferred": OBJECTS.infer_objects(),
    "pandas, nullable": OBJECTS.astype({"user": "Int64", "n": "UInt8", "price": "Float64"}),
    "pandas, categories": OBJECTS.astype({"user": "category"}),
    "pandas, Arrow": OBJECTS.astype({"user": "int64[pyarrow]", "hist": pd.ArrowDtype(pa.list_(pa.int64()))}),
    "polars": pl.DataFrame(RAGGED, strict=False),
    "polars, Array": pl.DataFrame(
        LISTS, schema_overrides={"vector": pl.Array(pl.Float32, 2), "hist": pl.Array(pl.Int16, 3)}
    ),
    "polars Series": {k: pl.Series(v) for k, v in LISTS.items()},
    "pyarrow": ARROW,
    "pyarrow batch": ARROW.combine_chunks().to_batches()[0],
    "list": list(ARRAYS.values()),
    "tuple": tuple(ARRAYS.values()),
    "list of lists": list(LISTS.values()),
    "matrix": PACKED,
    "Fortran matrix": np.asfortranarray(PACKED),
    "float32 matrix": PACKED.astype(np.float32),
    "object matrix": PACKED.astype(object),
    "tensor": torch.from_numpy(PACKED),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_give_the_same_arrays(kind: str) -> None:
    x = KINDS[kind]
    before = copy.deepcopy(x)
    entries = list(x) if isinstance(x, (list, dict)) else None
    got = to_arrays(x, SCHEMA)
    assert got.ids.tolist() == [[3, 1, 2, 0, 1, 0, 2], [0, 0, 0, 0, 0, 0, 0], [9, 8, 7, 6, 4, 5, 5]]
    expected = [[1.5, 1, 2, 0.5, 0], [-2, 3, 4, 1, 1], [0, 5, 6, 2, 0.25]]
    if kind in ("ragged lists", "polars", "pyarrow") or kind.startswith("pandas"):
        assert got.dense.tolist() == expected
    else:
        assert got.dense.tolist() == expected
    assert got.used.tolist() == [[2, 1], [0, 0], [3, 2]]
    assert (got.ids.dtype, got.dense.dtype) == (np.int32, np.float32)
    assert repr(x) == repr(before)  # nothing was changed in place, the entries of a list neither
    if entries is not None:
        assert all(a is b for a, b in zip(entries, list(x), strict=True))


def test_read_only_and_never_shared() -> None:
    frozen = {k: v.copy() for k, v in ARRAYS.items()}
    for array in frozen.values():
        array.flags.writeable = False
    got = to_arrays(frozen, SCHEMA)
    assert not any(np.shares_memory(got.ids, v) or np.shares_memory(got.dense, v) for v in frozen.values())
    got.ids[:] = 0  # the arrays belong to the caller


def test_numbers_of_all_types() -> None:
    schema = FeatureSchema([DenseFeat("d")])
    for values in (
        [True, False],
        [1, 0],
        [Decimal("1"), Decimal("0")],
        np.array([1, 0], dtype=np.float16),
        pl.Series([1, 0], dtype=pl.Decimal(5, 2)),
    ):
        assert to_arrays({"d": values}, schema).dense.tolist() == [[1.0], [0.0]]


def test_ids_of_all_types() -> None:
    schema = FeatureSchema([SparseFeat("a", 2)])
    for values in (
        [True, False],
        [1.0, 0.0],
        np.array([1, 0], dtype=object),
        np.array([1.0, 0], dtype=object),
        [np.int8(1), False],
    ):
        assert to_arrays({"a": values}, schema).ids.tolist() == [[1], [0]]


BIG = 2**24 + 1


@pytest.mark.parametrize(
    "x",
    [
        {"a": np.array([BIG])},
        {"a": [BIG]},
        {"a": np.array([BIG], dtype=np.float64)},
        [[BIG]],
        np.array([[BIG]]),
        np.array([[BIG]], dtype=np.float64),
        torch.tensor([[BIG]]),
        pd.DataFrame({"a": [BIG]}),
        pl.DataFrame({"a": [BIG]}),
        pa.table({"a": [BIG]}),
    ],
)
def test_16777217_is_not_16777216(x: Any) -> None:
    assert to_arrays(x, FeatureSchema([SparseFeat("a", 2**25)])).ids.tolist() == [[BIG]]


@pytest.mark.parametrize("x", [{"a": np.zeros(1, np.float32)}, np.zeros((1, 1), np.float32), torch.zeros(1, 1)])
def test_float32_is_refused_by_the_vocabulary(x: Any) -> None:
    with pytest.raises(
        ValueError,
        match="float32 rounds ids above 16777216, and 'a' has a vocabulary of 16777217: pass int64 or float64",
    ):
        to_arrays(x, FeatureSchema([SparseFeat("a", 2**24 + 1)]))
    assert to_arrays(x, FeatureSchema([SparseFeat("a", 2**24)])).ids.tolist() == [[0]]


def test_vocabularies_beyond_int32() -> None:
    schema = FeatureSchema([SparseFeat("a", 2**33)])
    got = to_arrays({"a": [2**33 - 1]}, schema)
    assert got.ids.dtype == np.int64
    assert got.ids.tolist() == [[2**33 - 1]]


# ---------------------------------------------------------------------------------------------- hashing

HASHED = FeatureSchema(
    [
        SparseFeat("a", 1000, use_hash=True),
        VarLenSparseFeat(SparseFeat("s", 1000, use_hash=True, embedding_name="a"), 3),
    ]
)


@pytest.mark.parametrize(
    "texts",
    [
        ["x", "yy", ""],
        np.array(["x", "yy", ""]),
        np.array(["x", "yy", ""], dtype=object),
        pd.Series(["x", "yy", ""]),
        pd.Series(["x", "yy", ""], dtype=object),
        pd.Series(["x", "yy", ""], dtype="category"),
        pd.Series(["x", "yy", ""], dtype=pd.ArrowDtype(pa.string())),
        pl.Series(["x", "yy", ""]),
        pl.Series(["x", "yy", ""], dtype=pl.Categorical),
        pa.array(["x", "yy", ""]),
        pa.chunked_array([["x"], ["yy", ""]]),
        pa.chunked_array([["x"], ["yy", ""]]).dictionary_encode(),
    ],
)
def test_text_of_all_kinds(texts: Any) -> None:
    got = to_arrays({"a": texts, "s": [["x"], ["x", "yy", "x"], []]}, HASHED)
    x, yy, empty = hash_rows(["x", "yy", ""], 1000).tolist()
    assert got.ids.tolist() == [[x, x, 0, 0], [yy, x, yy, x], [empty, 0, 0, 0]]  # alike in both columns; "" pads
    assert got.used.tolist() == [[1], [3], [0]]


@pytest.mark.parametrize(
    "numbers",
    [
        [-5, 2**62, 0],
        np.array([-5, 2**62, 0]),
        np.array([-5, 2**62, 0], dtype=object),
        np.array([2**64 - 5, 2**62, 0], dtype=np.uint64),
        [2**64 - 5, 2**62, 0],
        pd.Series([-5, 2**62, 0], dtype="Int64"),
        pl.Series([-5, 2**62, 0]),
        pa.array([-5, 2**62, 0]),
        torch.tensor([-5, 2**62, 0]),
    ],
)
def test_64_bit_integers_of_all_kinds(numbers: Any) -> None:
    got = to_arrays({"a": numbers, "s": [[0, 7, 0], [2**62, 0, 0], [-5, -5, -5]]}, HASHED)
    rows = hash_rows([-5, 2**62, 0, 7], 1000).tolist()
    assert got.ids.tolist() == [
        [rows[0], 0, rows[3], 0],
        [rows[1], rows[1], 0, 0],
        [rows[2], rows[0], rows[0], rows[0]],
    ]


def test_text_beside_integers() -> None:
    schema = FeatureSchema([SparseFeat("a", 1000, use_hash=True)])
    for values in (["5", 5, 5.0], np.array(["5", 5, 5.0], dtype=object), pd.Series(["5", 5, 5.0], dtype=object)):
        assert to_arrays({"a": values}, schema).ids[:, 0].tolist() == hash_rows(["5", 5, 5], 1000).tolist()
    assert to_arrays({"a": [2**64 - 1, -1]}, schema).ids[:, 0].tolist() == hash_rows([-1, -1], 1000).tolist()


def test_ragged_text_is_padded_with_nothing() -> None:
    schema = FeatureSchema([VarLenSparseFeat(SparseFeat("s", 50, use_hash=True), 2)])
    for values in ([["a"], []], [["a", ""], ["", ""]], pl.Series([["a"], []]), pa.array([["a"], None]), [["a"], None]):
        assert to_arrays({"s": values}, schema).ids.tolist() == [[hash_rows(["a"], 50)[0], 0], [0, 0]]
    assert to_arrays({"s": [[], []]}, schema).ids.tolist() == [[0, 0], [0, 0]]
    mixed = to_arrays({"s": [["a", 3], [0, ""]]}, schema).ids.tolist()
    assert mixed == [hash_rows(["a", 3], 50).tolist(), [0, 0]]


@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=5)
)
def test_packed_equals_dict(rows: list[tuple[int, int, int]]) -> None:
    schema = FeatureSchema(
        [SparseFeat("a", 99, use_hash=True), VarLenSparseFeat(SparseFeat("s", 99, use_hash=True), 2)]
    )
    matrix = np.array(rows, dtype=np.int64)
    from_dict = to_arrays({"a": matrix[:, 0], "s": matrix[:, 1:]}, schema)
    assert np.array_equal(to_arrays(matrix, schema).ids, from_dict.ids)
    assert np.array_equal(schema.unpack(torch.from_numpy(matrix)).ids.numpy(), from_dict.ids)


def test_hashed_floats_must_be_exact() -> None:
    schema = FeatureSchema([SparseFeat("a", 50, use_hash=True)])
    assert to_arrays({"a": [5.0]}, schema).ids.tolist() == to_arrays({"a": [5]}, schema).ids.tolist()
    with pytest.raises(
        ValueError,
        match=r"ids of 'a' must be whole numbers, as float at most 2\*\*53, got 1.8014398509481984e\+16 in row 1",
    ):
        to_arrays({"a": np.array([1.0, 2.0**54])}, schema)
    with pytest.raises(ValueError, match="float32 rounds ids above 16777216, and 'a' hashes any 64-bit integer"):
        to_arrays({"a": np.zeros(1, np.float32)}, schema)


def test_text_matrix_of_objects() -> None:
    schema = FeatureSchema([SparseFeat("a", 50, use_hash=True), DenseFeat("d")])
    got = to_arrays(np.array([["x", 1.5], ["y", 2]], dtype=object), schema)
    assert got.ids[:, 0].tolist() == hash_rows(["x", "y"], 50).tolist()
    assert got.dense.tolist() == [[1.5], [2.0]]


# ---------------------------------------------------------------------------------------------- errors

ID = SparseFeat("a", 5)
SEQ = VarLenSparseFeat(SparseFeat("s", 5), 3)
TEXT = SparseFeat("h", 5, use_hash=True)
ENCODE = ": encode them, or declare the column with use_hash=True"
UNSEEN = " (unseen ids need a row of their own, or use_hash=True)"

ERRORS: dict[str, tuple[list[Any], Any, str]] = {
    "id beyond the vocabulary": (
        [ID],
        {"a": [1, 5]},
        f"ids of 'a' must be in [0, 5) (its vocabulary_size is 5), got 5 in row 11{UNSEEN}",
    ),
    "negative id": (
        [ID],
        {"a": [1, 2, -1]},
        f"ids of 'a' must be in [0, 5) (its vocabulary_size is 5), got -1 in row 12{UNSEEN}",
    ),
    "float beyond": (
        [ID],
        {"a": [1.0, 1e19]},
        f"ids of 'a' must be in [0, 5) (its vocabulary_size is 5), got 1e+19 in row 11{UNSEEN}",
    ),
    "uint64 beyond": ([ID], {"a": np.array([2**64 - 1], dtype=np.uint64)}, "got 18446744073709551615 in row 10"),
    "object beyond": (
        [ID],
        {"a": np.array([0, 2**70], dtype=object)},
        f"ids of 'a' must be 64-bit integers, got {2**70} in row 11",
    ),
    "infinite id": (
        [ID],
        {"a": [1, np.inf]},
        "ids of 'a' must be in [0, 5) (its vocabulary_size is 5), got inf in row 11",
    ),
    "in a sequence": (
        [SEQ],
        {"s": [[1, 2, 3], [0, 7, 0]]},
        f"ids of 's' must be in [0, 5) (its vocabulary_size is 5), got 7 in row 11, position 1{UNSEEN}",
    ),
    "fractional id": ([ID], {"a": [1, 2.5]}, "ids of 'a' must be whole numbers, got 2.5 in row 11"),
    "fractional object": (
        [ID],
        {"a": np.array([1, 2.5], dtype=object)},
        "ids of 'a' must be integers, got 2.5 in row 11",
    ),
    "fractional decimal": (
        [ID],
        {"a": [Decimal(1), Decimal("1.5")]},
        "ids of 'a' must be integers, got Decimal('1') in row 10",
    ),
    "NaN id": ([ID], {"a": [1, np.nan]}, "ids of 'a' must be whole numbers, got a missing value in row 11"),
    "None id": ([ID], {"a": [1, None]}, "ids of 'a' must be integers, got a missing value (None) in row 11"),
    "NA id": (
        [ID],
        pd.DataFrame({"a": pd.array([1, pd.NA], dtype="boolean").astype(object)}),
        "ids of 'a' must be integers, got a missing value (<NA>) in row 11",
    ),
    "null of polars": (
        [ID],
        pl.DataFrame({"a": [1, None]}),
        "ids of 'a' must be whole numbers, got a missing value in row 11",
    ),
    "null of pyarrow": (
        [ID],
        pa.table({"a": [1, None]}),
        "ids of 'a' must be whole numbers, got a missing value in row 11",
    ),
    "None in a list": (
        [SEQ],
        {"s": [[1], [2, None]]},
        "ids of 's' must be integers, got a missing value (None) in row 11, position 1",
    ),
    "null in a list of polars": (
        [SEQ],
        pl.DataFrame({"s": [[1], [2, None]]}),
        "ids of 's' must be whole numbers, got a missing value in row 11, position 1",
    ),
    "text": ([ID], {"a": ["x", "y"]}, f"ids of 'a' must be integers, got 'x' (<U1) in row 10{ENCODE}"),
    "text of pandas": (
        [ID],
        pd.DataFrame({"a": pd.Series([1, "y"], dtype=object)}),
        f"ids of 'a' must be integers, got 'y' in row 11{ENCODE}",
    ),
    "text in lists": ([SEQ], {"s": [["x"], []]}, f"ids of 's' must be integers, got 'x' in row 10, position 0{ENCODE}"),
    "dates": ([ID], {"a": np.array(["2020-01-01"], dtype="datetime64[D]")}, "ids of 'a' must be integers, got "),
    "missing text": (
        [TEXT],
        {"h": ["x", None]},
        "ids of 'h' must be integers or strings, got a missing value (None) in row 11",
    ),
    "missing text, NaN": (
        [TEXT],
        pd.DataFrame({"h": pd.Series(["x", np.nan], dtype=object)}),
        "ids of 'h' must be integers or strings, got a missing value (nan) in row 11",
    ),
    "missing category": (
        [TEXT],
        pd.DataFrame({"h": pd.Categorical(["x", None])}),
        "ids of 'h' must be integers or strings, got a missing value (nan) in row 11",
    ),
    "missing text, NA": (
        [TEXT],
        pd.DataFrame({"h": pd.array(["x", None], dtype="string")}),
        "ids of 'h' must be integers or strings, got a missing value (<NA>) in row 11",
    ),
    "missing text of polars": (
        [TEXT],
        pl.DataFrame({"h": ["x", None]}),
        "ids of 'h' must be integers or strings, got a missing value (None) in row 11",
    ),
    "bytes": ([TEXT], {"h": [b"x"]}, "ids of 'h' must be integers, got b'x' (|S1) in row 10: decode them to str"),
    "wide integer": ([TEXT], {"h": [1, 2**64]}, f"ids of 'h' must be 64-bit integers, got {2**64} in row 11"),
    "NaN number": (
        [DenseFeat("d")],
        {"d": [1, np.nan]},
        "'d' must hold finite numbers (as float32), got nan in row 11",
    ),
    "infinite number": (
        [DenseFeat("d", 2)],
        {"d": [[1, 2], [3, -np.inf]]},
        "'d' must hold finite numbers (as float32), got -inf in row 11, position 1",
    ),
    "too large a number": (
        [DenseFeat("d")],
        {"d": [1e39]},
        "'d' must hold finite numbers (as float32), got 1e+39 in row 10",
    ),
    "None number": ([DenseFeat("d")], {"d": [1.5, None]}, "'d' must be numbers, got None (object) in row 11"),
    "text for a number": ([DenseFeat("d")], {"d": ["1.5"]}, "'d' must be numbers, got '1.5' (<U3) in row 10"),
    "wrong width": ([DenseFeat("d", 3)], {"d": [[1, 2], [3, 4]]}, "'d' must have shape (N, 3), got (2, 2)"),
    "wrong width of an id": ([ID], {"a": [[1, 2], [3, 4]]}, "'a' must have shape (N,), got (2, 2)"),
    "ragged numbers": ([DenseFeat("d", 2)], {"d": [[1, 2], [3]]}, "'d' must hold 2 element(s) a row, got 1 in row 11"),
    "ragged ids": ([ID], {"a": [[1], []]}, "'a' must hold 1 element(s) a row, got 0 in row 11"),
    "too long a sequence": (
        [SEQ],
        {"s": [[1], [1, 2, 3, 4]]},
        "'s' must hold at most 3 element(s) a row, got 4 in row 11: cut the sequences, or raise maxlen",
    ),
    "too long, polars": (
        [SEQ],
        pl.DataFrame({"s": [[1], [1, 2, 3, 4]]}),
        "'s' must hold at most 3 element(s) a row, got 4 in row 11",
    ),
    "too wide a sequence": (
        [SEQ],
        {"s": np.zeros((2, 4), int)},
        "'s' must have shape (N, 3), got (2, 4): cut the sequences, or raise maxlen",
    ),
    "lists and numbers": ([SEQ], {"s": [[1], 2]}, "'s' must hold a list or nothing in every row, got 2 in row 1"),
    "missing column": ([ID, DenseFeat("d")], {"a": [1], "e": [2]}, "the input lacks ['d']; it has ['a', 'e']"),
    "missing column, pandas": (
        [ID, DenseFeat("d")],
        pd.DataFrame({"a": [1], 3: [2]}),
        "the input lacks ['d']; it has ['a', '3']",
    ),
    "unequal lengths": (
        [ID, DenseFeat("d")],
        {"a": [1, 2], "d": [1.0]},
        "all inputs must have the same number of rows: 'a' has 2, 'd' has 1",
    ),
    "empty": ([ID], {"a": []}, "the input is empty: at least one row is needed"),
    "empty matrix": ([ID], np.zeros((0, 1)), "the input is empty: at least one row is needed"),
    "list too short": (
        [ID, DenseFeat("d")],
        [[1]],
        "a list of inputs must hold 2 arrays in the order ['a', 'd'], got 1",
    ),
    "matrix too narrow": (
        [ID, DenseFeat("d")],
        np.zeros((2, 1)),
        "a packed input must have shape (N, 2), columns as in feature_index, got (2, 1)",
    ),
    "single value": ([ID], {"a": 3}, "'a' must hold one value for each sample, got the single value 3"),
    "single string": ([TEXT], {"h": "user"}, "'h' must hold one value for each sample, got the single value 'user'"),
    "single tensor": (
        [ID],
        {"a": torch.tensor(3)},
        "'a' must hold one value for each sample, got the single value tensor(3)",
    ),
    "negative length": (
        [VarLenSparseFeat(SparseFeat("s", 5), 2, length_name="n")],
        {"s": [[1, 2]], "n": [-1]},
        "lengths in 'n' must be >= 0, got -1 in row 10",
    ),
    "fractional length": (
        [VarLenSparseFeat(SparseFeat("s", 5), 2, length_name="n")],
        {"s": [[1, 2]], "n": [1.5]},
        "lengths in 'n' must be whole numbers, got 1.5 in row 10",
    ),
    "negative weight": (
        [VarLenSparseFeat(SparseFeat("s", 5), 2, weight_name="w")],
        {"s": [[1, 2]], "w": [[0, -0.5]]},
        "'w' must hold finite numbers >= 0 (as float32), got -0.5 in row 10, position 1",
    ),
    "NaN weight": (
        [VarLenSparseFeat(SparseFeat("s", 5), 2, weight_name="w")],
        {"s": [[1, 2]], "w": [[np.nan, 1]]},
        "'w' must hold finite numbers >= 0 (as float32), got nan in row 10, position 0",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_feature_row_value_and_limit(case: str) -> None:
    columns, x, message = ERRORS[case]
    with pytest.raises(ValueError) as caught:
        to_arrays(x, FeatureSchema(columns), offset=10)
    assert message in str(caught.value)


def test_other_types_are_refused() -> None:
    for x in (None, 3, "train.csv", iter([1])):
        with pytest.raises(
            TypeError, match="inputs must be a dict, list, 2-D array, table or iterable of batches, got "
        ):
            to_arrays(x, FeatureSchema([ID]))


# ---------------------------------------------------------------------------------------------- used elements


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=6))
def test_used_counts_up_to_the_last_valid_element(rows: list[list[int]]) -> None:
    schema = FeatureSchema([VarLenSparseFeat(SparseFeat("s", 4), 4)])
    expected = [max((i + 1 for i, v in enumerate(row) if v), default=0) for row in rows]
    assert to_arrays({"s": rows}, schema).used[:, 0].tolist() == expected


def test_used_by_length_is_at_most_the_width() -> None:
    schema = FeatureSchema([VarLenSparseFeat(SparseFeat("s", 4), 2, length_name="n")])
    assert to_arrays({"s": [[0, 0]] * 4, "n": [0, 1, 2, 2**40]}, schema).used[:, 0].tolist() == [0, 1, 2, 2]


def test_a_length_that_is_also_a_feature() -> None:
    schema = FeatureSchema(
        [
            SparseFeat("n", 4),
            DenseFeat("m"),
            VarLenSparseFeat(SparseFeat("s", 4), 3, length_name="n"),
            VarLenSparseFeat(SparseFeat("t", 4), 3, length_name="m"),
        ]
    )
    got = to_arrays({"n": [2], "m": [3], "s": [[1, 1, 1]], "t": [[2, 2, 2]]}, schema)
    assert got.ids.tolist() == [[2, 1, 1, 1, 2, 2, 2, 2, 3]]
    assert got.dense.tolist() == [[3.0]]
    assert got.used.tolist() == [[2, 3]]


# ---------------------------------------------------------------------------------------------- steps of several ids

STEPS = FeatureSchema([VarLenSparseFeat(SparseFeat("s", 9), 3, step_width=2)])
NESTED = [[[1, 2], [3]], [], [[], [4, 5], [6]], None, [[7], None]]
CELLS = [[1, 2, 3, 0, 0, 0], [0] * 6, [0, 0, 4, 5, 6, 0], [0] * 6, [7, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    "values",
    [
        NESTED,
        tuple(NESTED),
        [None if row is None else [np.array(step or [], dtype=int) for step in row] for row in NESTED],
        pl.Series("s", NESTED),
        pd.Series(NESTED),
        pd.Series(pa.array(NESTED), dtype=pd.ArrowDtype(pa.list_(pa.list_(pa.int64())))),
        pa.array(NESTED),
        pa.chunked_array([pa.array(NESTED[:2], pa.list_(pa.list_(pa.int64()))), pa.array(NESTED[2:])]),
        CELLS,
        np.array(CELLS),
        pl.Series("s", CELLS),
        np.array(CELLS).reshape(5, 3, 2),
        torch.tensor(CELLS).reshape(5, 3, 2),
    ],
)
def test_lists_of_lists_are_padded_by_step(values: Any) -> None:
    got = to_arrays({"s": values}, STEPS)
    assert got.ids.tolist() == CELLS
    assert got.used[:, 0].tolist() == [4, 0, 6, 0, 2]  # to the end of the last step that has an id


def test_steps_of_one_size_and_of_text() -> None:
    assert to_arrays({"s": [[[1, 2]], [[3, 4]]]}, STEPS).ids.tolist() == [[1, 2, 0, 0, 0, 0], [3, 4, 0, 0, 0, 0]]
    assert to_arrays({"s": [[[1, 2], [3, 4]], [[5, 6]]]}, STEPS).ids.tolist() == [
        [1, 2, 3, 4, 0, 0],
        [5, 6, 0, 0, 0, 0],
    ]
    assert to_arrays({"s": [[None], []]}, STEPS).ids.tolist() == [[0] * 6] * 2
    hashed = FeatureSchema([VarLenSparseFeat(SparseFeat("s", 99, use_hash=True), 2, step_width=2)])
    a, b, c = hash_rows(["a", "b", "c"], 99).tolist()
    assert to_arrays({"s": [[["a", "b"], ["c"]], [["b"]]]}, hashed).ids.tolist() == [[a, b, c, 0], [b, 0, 0, 0]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[[1]], [[2], 3]], "'s' must hold a list or nothing in every step, got 3 in row 11"),
        ([[[1]], 3], "'s' must hold a list or nothing in every row, got 3 in row 1"),
        (
            [[[1]], [[2], [3, 4, 5]]],
            "'s' must hold at most 2 element(s) a step, got 3 in row 11: cut the sequences, or",
        ),
        (
            [[[1]], [[2]] * 4],
            "'s' must hold at most 3 element(s) a row, got 4 in row 11: cut the sequences, or raise max",
        ),
        ([[[1]], [[2], [[3]]]], "the steps of 's' must hold single values, got the list [3] in row 11"),
        ([[["x"]], [[2], [3]]], "ids of 's' must be integers, got 'x' in row 10, position 0"),
        ([[[1]], [[2, 9]]], "ids of 's' must be in [0, 9) (its vocabulary_size is 9), got 9 in row 11, position 1"),
        ([[1, 2, 3], [4]], "'s' must hold 6 element(s) a row, got 3 in row 10"),
        (np.ones((2, 3, 4), dtype=int), "'s' must hold at most 2 element(s) a step, got 4 in row 10"),
    ],
)
def test_wrong_steps_name_the_row(values: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        to_arrays({"s": values}, STEPS, offset=10)
    assert message in str(caught.value)


def test_steps_where_single_values_are_wanted() -> None:
    flat = FeatureSchema([VarLenSparseFeat(SparseFeat("s", 9), 3), DenseFeat("v", 2)])
    for steps in ([[], [[1], [2]]], [[[]], [[1, 2], [3, 4]]], [[], [[1, 2], [3]]]):
        with pytest.raises(
            ValueError, match=r"lists of 's' must hold single values.*: steps of several ids need a step_"
        ):
            to_arrays({"s": steps, "v": [[1.0, 2.0]] * 2}, flat)
    with pytest.raises(ValueError, match=r"lists of 'v' must hold single values, got the list \[2.0\] in row 1"):
        to_arrays({"s": [[], []], "v": [[1.0, 2.0], [1.0, [2.0]]]}, flat)
