from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from deepctr_torch.encoding import Categorical, Cross, FeatureEncoder, Numeric, Sequence, Timestamp
from deepctr_torch.tables import read_chunks


def test_no_rows_give_inputs_without_rows() -> None:
    encoder = FeatureEncoder({"f": Categorical(), "s": Sequence(2), "n": Numeric()}).fit(
        {"f": [1], "s": [[1]], "n": [1.0]}
    )
    found = encoder.transform({"f": [], "s": [], "n": []})
    assert {name: (v.shape, v.dtype) for name, v in found.items()} == {
        "f": ((0,), np.int32), "s": ((0, 2), np.int32), "n": ((0,), np.float32),
    }  # fmt: skip


def test_every_kind_of_table_is_encoded_alike(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "i": [5, None, -3, 5],
        "s": ["x", "007", None, "y"],
        "n": [0.5, None, 2.0, -1.0],
        "h": ["1|2", None, "2", "3|3|1"],
        "t": ["2020-01-01 10:00:00", None, "2021-02-03 04:05:06", "2020-01-01 10:00:00"],
    }
    features = {
        "i": Categorical(), "s": Categorical(), "n": Numeric(), "q": Numeric("quantile", column="n"),
        "h": Sequence(2, "|"), "x": Cross(columns=("i", "s")), "t": Timestamp(),
        "b": Categorical(column="i", hash_buckets=9),
    }  # fmt: skip
    frame = pl.DataFrame(columns)
    frame.write_csv(tmp_path / "a.csv")
    frame.write_csv(tmp_path / "a.tsv", separator="\t")
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=3)
    pd.DataFrame(columns).to_csv(tmp_path / "gaps.csv", index=False)  # integers with gaps are written as 5.0
    tables = [columns, frame, frame.to_arrow(), pd.DataFrame(columns)]
    tables += [tmp_path / name for name in ("a.csv", "a.tsv", "a.parquet", "gaps.csv")]
    expected = FeatureEncoder(features).fit(columns).transform(columns)
    for learned_from in tables:
        encoder = FeatureEncoder(features)
        for name, values in encoder.fit_transform(learned_from).items():
            np.testing.assert_array_equal(values, expected[name], err_msg=f"{name} {learned_from}")
        for later in tables:
            found = encoder.transform(later)
            for name, values in expected.items():
                np.testing.assert_array_equal(found[name], values, err_msg=f"{name} {learned_from} {later}")


def test_chunks_of_the_reader_are_encoded_one_by_one() -> None:
    data = {"f": ["a", "b", "a"], "other": [1, 2, 3]}
    encoder = FeatureEncoder({"f": Categorical()}).fit(data)
    parts = [encoder.encode_chunk(chunk)["f"].tolist() for chunk in read_chunks(data, rows=2)]
    assert parts == [[2, 3], [2]]
    assert encoder.encode_chunk(pa.table({"f": pa.array(["b"]).dictionary_encode()}))["f"].tolist() == [3]


def test_no_rows_give_every_input(tmp_path: Path) -> None:
    kinds = {"city": Categorical(), "position": Categorical(train_only=True), "price": Numeric(indicator=True)}
    data = {"city": ["a", "b"], "position": [1, 2], "price": [1.0, 2.0]}
    encoder = FeatureEncoder(kinds).fit(data)
    pd.DataFrame(data).iloc[:0].to_csv(tmp_path / "empty.csv", index=False)
    for empty in ({name: [] for name in data}, pd.DataFrame(data).iloc[:0], tmp_path / "empty.csv"):
        for training in (False, True):
            out = encoder.transform(empty, training=training)
            assert {name: values.shape for name, values in out.items()} == dict.fromkeys(encoder.outputs, (0,))
