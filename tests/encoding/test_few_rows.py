"""Few rows are encoded from Python values, with the result of the way through arrow."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings

import deepctr_torch.encoding.encoder as module
from deepctr_torch.encoding import FEW_ROWS, Categorical, FeatureEncoder, Numeric, Sequence
from deepctr_torch.encoding.few_rows import encode_few
from deepctr_torch.tables import read_values
from tests.encoding.test_properties import FEATURES, ROWS, assert_equal

NAN = float("nan")
VALUES: dict[str, list[Any]] = {
    "strings": ["a", "new", None, "", "5", "true", "2.5", "é"],
    "strings and NaN": ["a", NAN, None],
    "numbers as strings": ["5", "-7", "007", "5.0", "1e3", ""],
    "integers": [5, -7, 99, 2**62],
    "integers and gaps": [5, None],
    "integers and NaN": [2**60 + 1, NAN],
    "large integers": [2**64 - 7, 5],
    "too large": [2**64],
    "enormous": [10**400],
    "floats": [5.0, 2.5, -0.0, 0.1, 1e300, float("inf"), -float("inf"), NAN, None],
    "whole floats": [5.0, -7.0, None],
    "booleans": [True, False, None],
    "mixed": ["a", 5, 2.0, None, True],
    "numbers": [1, 2.5],
    "nothing": [None, None],
    "not a number": [NAN],
    "dates": [datetime.date(2026, 1, 2), None],
    "moments": [datetime.datetime(2026, 1, 2, 3), None],
    "decimals": [Decimal("5.0"), Decimal("2.50")],
    "bytes": [b"a", b"b"],
    "lists": [[5, 7], [], None],
    "lists of strings": [["a"], ["b", None]],
    "numpy's": [np.int64(5), np.float32(2.5)],
    "strings of numpy": [np.str_("a")],
    "times of numpy": [np.timedelta64(5, "ns")],
}
TABLES: dict[str, Callable[[list[Any]], Any]] = {
    "dict": lambda values: {"x": values},
    "pandas": lambda values: pd.DataFrame({"x": values}),
    "pandas, objects": lambda values: pd.DataFrame({"x": pd.Series(values, dtype=object)}),
    "pandas, nullable": lambda values: pd.DataFrame({"x": values}).convert_dtypes(),
    "pandas, category": lambda values: pd.DataFrame({"x": pd.Series(values).astype("category")}),
    "polars": lambda values: pl.DataFrame({"x": values}, strict=False),
    "arrow": lambda values: pa.table({"x": values}),
    "array": lambda values: {"x": np.array(values)},
    "Series": lambda values: {"x": pd.Series(values)},
    "arrow column": lambda values: {"x": pa.array(values)},
}
LEARNED: dict[str, FeatureEncoder] = {
    "strings": FeatureEncoder({"x": Categorical()}).fit({"x": ["a", "5", "2.5", "true", "True", "inf", "1", "-7"]}),
    "integers": FeatureEncoder({"x": Categorical()}).fit({"x": [5, -7, 1, 0, 2**62, 2**60 + 1]}),
    "hashed": FeatureEncoder({"x": Categorical(hash_buckets=7)}).fit({"x": ["a", "b"]}),
    "nothing": FeatureEncoder({"x": Categorical()}).fit({"x": [None]}),
    "standard": FeatureEncoder({"x": Numeric()}).fit({"x": [5.0, 7.5, None]}),
    "minmax": FeatureEncoder({"x": Numeric("minmax")}).fit({"x": [5, 7]}),
    "quantile": FeatureEncoder({"x": Numeric("quantile", bins=3)}).fit({"x": [5, 7, 1, 2]}),
    "lists": FeatureEncoder({"x": Sequence(2)}).fit({"x": [[5, 7]]}),
}


def outcome(encode: Callable[[], dict[str, Any]]) -> dict[str, Any] | tuple[type, str]:
    try:
        return encode()
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("table", TABLES)
def test_few_rows_are_encoded_as_many_are(table: str, kind: str) -> None:
    try:
        data = TABLES[table](VALUES[kind])
    except Exception:
        return  # there is no such table
    for name, encoder in LEARNED.items():
        few = outcome(partial(encoder.transform, data))
        many = outcome(partial(encoder.transform, data, threads=1))
        if isinstance(many, tuple) or isinstance(few, tuple):
            assert few == many, name
        else:
            assert_equal(few, many)


@settings(max_examples=25)
@given(ROWS, ROWS)
def test_any_few_rows_are_encoded_as_many_are(training: pa.Table, later: pa.Table) -> None:
    encoder = FeatureEncoder(FEATURES).fit(training)
    expected = encoder.encode_chunk(later)
    for data in (later, later.to_pandas(), pl.from_arrow(later), later.to_pydict()):
        assert_equal(encoder.transform(data), expected)


def test_numbers_strings_and_integers_do_not_go_through_arrow() -> None:
    frame = pd.DataFrame({"n": [1.5, NAN], "count": [3, 4], "s": ["a", None], "id": [7, 8], "seen": [True, False]})
    features = {name: Numeric() if name in ("n", "count") else Categorical() for name in frame}
    encoder = FeatureEncoder(features).fit(frame)
    for data in (frame, frame.loc[[0, 1, 1]], pl.from_pandas(frame), frame.to_dict("list"), pa.table(frame)):
        rows = len(data["n"])
        found = encode_few(encoder.column_encoders, read_values(data, encoder.inputs), rows)
        assert set(found) == set(features)


def test_as_many_rows_as_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(module, "encode_few", lambda *arguments: calls.append(arguments[2]) or encode_few(*arguments))
    encoder = FeatureEncoder({"x": Categorical()}).fit({"x": ["a"]})
    for rows in (0, 1, FEW_ROWS, FEW_ROWS + 1):
        assert encoder.transform({"x": ["a"] * rows})["x"].tolist() == [2] * rows
    encoder.transform({"x": ["a"]}, training=True)
    assert calls == [1, FEW_ROWS]


def test_a_feature_that_only_training_knows_is_missing() -> None:
    encoder = FeatureEncoder({"x": Categorical(), "late": Categorical(train_only=True)}).fit({"x": [1], "late": ["a"]})
    assert encoder.transform({"x": [1]})["late"].tolist() == [0]


@pytest.mark.parametrize("data", [{"a": [1]}, pl.DataFrame({"a": [1]}), {"x": [1], "y": [1, 2]}, {"x": 1, "y": 1}])
def test_errors_are_those_of_many_rows(data: Any) -> None:
    encoder = FeatureEncoder({"x": Categorical(), "y": Numeric()}).fit({"x": [1], "y": [2.0]})
    assert outcome(partial(encoder.transform, data)) == outcome(partial(encoder.transform, data, threads=1))
    assert isinstance(outcome(partial(encoder.transform, data)), tuple)
