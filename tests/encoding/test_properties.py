"""What holds for any rows."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings

from deepctr_torch.encoding import Categorical, Cross, Dense, FeatureEncoder, MultiValue, Numeric, Sequence, Timestamp
from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat

FEATURES = {
    "user": Categorical(min_count=2),
    "city": Categorical(max_vocabulary=3),
    "hashed": Categorical(column="city", hash_buckets=4),
    "standard": Numeric(column="number"),
    "quantile": Numeric("quantile", bins=3, column="number"),
    "minmax": Numeric("minmax", column="number", indicator=True),
    "plain": Numeric("plain", column="number"),
    "past": Sequence(2, vocabulary_of="user"),
    "tags": MultiValue(separator="|", weights="weights"),
    "cross": Cross(columns=("user", "city")),
    "time": Timestamp(),
    "vector": Dense(2),
}
USERS = st.none() | st.integers(-3, 5) | st.integers(-(2**63), 2**63 - 1)
CITIES = st.none() | st.text("ab 0é|", max_size=2)
VECTORS = st.none() | st.lists(st.none() | st.floats(), min_size=2, max_size=2)
TAGS = st.none() | st.lists(st.sampled_from("abc"), max_size=3).map("|".join)
ROW = st.tuples(
    USERS,
    CITIES,
    st.none() | st.floats(),
    st.none() | st.lists(USERS, max_size=4),
    TAGS,
    st.none() | st.floats(),
    VECTORS,
)
TYPES = pa.schema(
    {
        "user": pa.int64(), "city": pa.string(), "number": pa.float64(), "past": pa.list_(pa.int64()),
        "tags": pa.string(), "time": pa.float64(), "vector": pa.list_(pa.float64()), "weights": pa.string(),
    }
)  # fmt: skip


def table_of(rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * 7
    weights = [None if not t else "|".join("2" for _ in t.split("|")) for t in columns[4]]
    return pa.table([pa.array(c, k) for c, k in zip([*columns, weights], TYPES.types, strict=True)], schema=TYPES)


ROWS = st.lists(ROW, min_size=1, max_size=8).map(table_of)


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
        assert found[name].dtype == values.dtype


@settings(max_examples=25)
@given(ROWS, ROWS, st.booleans())
def test_any_row_gets_valid_ids_and_finite_numbers(training: pa.Table, later: pa.Table, as_in_training: bool) -> None:
    encoder = FeatureEncoder(FEATURES).fit(training)
    found = encoder.transform(later, training=as_in_training)
    expected = set()
    for column in encoder.feature_columns():
        values = found[column.name]
        expected.add(column.name)
        assert len(values) == later.num_rows
        if isinstance(column, DenseFeat):
            assert values.dtype == np.float32
            assert np.isfinite(values).all()
            assert values.shape[1:] == ((column.dimension,) if column.dimension > 1 else ())
            continue
        assert isinstance(column, (SparseFeat, VarLenSparseFeat))
        assert values.dtype == np.int32
        assert ((values >= 0) & (values < column.vocabulary_size)).all()
        if isinstance(column, VarLenSparseFeat):
            assert values.shape[1:] == (column.maxlen,)
            there = values != 0
            assert (there[:, :-1] | ~there[:, 1:]).all()  # padding comes last
            if column.weight_name:
                expected.add(column.weight_name)
                assert (found[column.weight_name][there] == 2).all()
    assert set(found) == expected == set(encoder.outputs)


@settings(max_examples=25)
@given(st.lists(ROW, min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 3), st.randoms(use_true_random=False))
def test_what_is_learned_depends_on_the_rows_alone(rows: list[Any], size: int, threads: int, random: Any) -> None:
    table = table_of(rows)
    expected = FeatureEncoder(FEATURES).fit(table, threads=1)
    shuffled = list(rows)
    random.shuffle(shuffled)
    chunks = FeatureEncoder(FEATURES)
    original = chunks.read
    chunks.read = lambda data, *args, **kwargs: original(data, *args, **{**kwargs, "rows": size})  # type: ignore[method-assign]
    chunks.fit(table_of(shuffled), threads=threads)
    del chunks.read  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.parquet")
        pq.write_table(table_of(shuffled), file, row_group_size=size)
        groups = FeatureEncoder(FEATURES).fit(file, threads=threads)
        for i, encoder in enumerate((expected, chunks, groups)):
            encoder.save(f"{folder}/{i}")
        saved = {Path(folder, str(i), "encoder.json").read_bytes() for i in range(3)}
    assert len(saved) == 1
    for encoder in (chunks, groups):
        assert encoder.describe() == expected.describe()
        assert_equal(encoder.transform(table), expected.transform(table))


@settings(max_examples=25)
@given(ROWS, st.booleans())
def test_fit_transform_is_fit_and_transform(table: pa.Table, training: bool) -> None:
    found = FeatureEncoder(FEATURES).fit_transform(table, training=training, seed=3)
    assert_equal(found, FeatureEncoder(FEATURES).fit(table).transform(table, training=training, seed=3))


@settings(max_examples=25)
@given(ROWS, ROWS)
def test_an_update_never_renumbers(training: pa.Table, later: pa.Table) -> None:
    encoder = FeatureEncoder(FEATURES).fit(training)
    before = encoder.transform(training)
    values = {name: encoder.vocabulary(name).values.to_pylist() for name in ("user", "city", "tags", "cross")}
    encoder.update(later)
    after = encoder.transform(training)
    for name, rows in before.items():
        kept = (rows != 1) if rows.dtype == np.int32 else np.ones(rows.shape, bool)
        np.testing.assert_array_equal(after[name][kept], rows[kept])
    for name, old in values.items():
        assert encoder.vocabulary(name).values.to_pylist()[: len(old)] == old


@settings(max_examples=25)
@given(ROWS, ROWS)
def test_a_saved_encoder_is_the_same(training: pa.Table, later: pa.Table) -> None:
    encoder = FeatureEncoder(FEATURES).fit(training)
    with tempfile.TemporaryDirectory() as folder:
        encoder.save(folder)
        loaded = FeatureEncoder.load(folder)
    assert_equal(loaded.transform(later, training=True), encoder.transform(later, training=True))
    loaded.update(later)
    encoder.update(later)
    assert_equal(loaded.transform(later), encoder.transform(later))
    assert loaded.describe() == encoder.describe()


@settings(max_examples=25)
@given(ROWS)
def test_pandas_polars_and_arrow_are_the_same(table: pa.Table) -> None:
    expected = FeatureEncoder(FEATURES).fit(table)
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    for data in (frame, pl.from_arrow(table), dict(zip(table.column_names, table.columns, strict=True))):
        found = FeatureEncoder(FEATURES).fit(data)
        assert found.describe() == expected.describe()
        assert_equal(found.transform(data), expected.transform(table))
