from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepctr_torch.encoding import Categorical, Dense, FeatureEncoder, MultiValue, Numeric, Sequence, Timestamp
from deepctr_torch.inputs import SparseFeat
from deepctr_torch.models import DeepFM


def test_an_update_keeps_rows_scales_and_automatic_dimensions() -> None:
    encoder = FeatureEncoder({"f": Categorical(embedding_dim="auto"), "n": Numeric(), "m": MultiValue(), "d": Dense()})
    old = {"f": list(range(10)), "n": list(range(10)), "m": [[1]] * 10, "d": [[1.0]] * 10}
    encoder.fit(old)
    before, dim = encoder.transform(old), encoder.feature_columns()[0].embedding_dim  # type: ignore[union-attr]
    new = {"f": list(range(5000)), "n": [1e6] * 5000, "m": [[1, 2]] * 5000, "d": [[1.0]] * 5000}
    encoder.update(new)
    after = encoder.transform(old)
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
    assert encoder.feature_columns()[0] == SparseFeat("f", 5002, dim)
    assert encoder.transform(new)["f"].min() == 2
    assert encoder.transform(new)["m"].shape == (5000, 1)
    assert encoder.rows == 5010


def test_an_update_that_fails_changes_nothing(tmp_path: Path) -> None:
    encoder = FeatureEncoder({"f": Categorical(), "n": Numeric()}).fit({"f": ["a"], "n": [1]})
    table = pa.table({"f": ["b"] * 3, "n": ["1", "2", "x"]})
    with pytest.raises(ValueError, match="'n' must hold numbers, got 'x' in row 2"):
        encoder.update(table)
    assert encoder.describe() == FeatureEncoder(encoder.features).fit({"f": ["a"], "n": [1]}).describe()
    encoder.update({"f": ["c"], "n": [2]})
    assert encoder.vocabulary("f").values.to_pylist() == ["a", "c"]


def test_pretrained_vectors_by_value() -> None:
    encoder = FeatureEncoder({"f": Categorical(), "s": Sequence(2, vocabulary_of="f"), "n": Numeric()})
    encoder.fit({"f": [7, 8, 8], "s": [[9], [], []], "n": [0, 0, 0]})
    table = encoder.pretrained("f", {8: [1, 2], "7": [3.0, 4.0], "x": [9, 9]})
    assert table.dtype == np.float32
    assert table.tolist() == [[0, 0], [2, 3], [1, 2], [3, 4], [2, 3]]
    np.testing.assert_array_equal(encoder.pretrained("s", {8: [1.0]}), [[0], [1], [1], [1], [1]])
    model = DeepFM(encoder.feature_columns(2), encoder.feature_columns(2), dnn_hidden_units=(2,))
    model.set_embedding("f", table)
    with pytest.raises(ValueError, match="of values it knows, got none, but such as 5"):
        encoder.pretrained("f", {5: [1, 2]})
    with pytest.raises(ValueError, match=r"finite and of one length, got lengths \[1, 2\]"):
        encoder.pretrained("f", {8: [1, 2], 7: [1]})
    with pytest.raises(ValueError, match="of at least one value, got none"):
        encoder.pretrained("f", {})
    with pytest.raises(ValueError, match="'n' has no vocabulary: Known: f, s"):
        encoder.pretrained("n", {1: [1]})


def test_describe() -> None:
    data = {"f": ["a", "a", "b", None], "n": [1, 1, None, np.inf], "q": [1, 2, 3, 4]}
    encoder = FeatureEncoder({"f": Categorical(min_count=2), "n": Numeric("plain"), "q": Numeric("quantile")}).fit(data)
    assert list(encoder.describe()) == [
        {"feature": "f", "kind": "Categorical", "rows": 4, "missing": 0.25, "table rows": 3, "cardinality": 2,
         "rare": 1, "coverage": pytest.approx(2 / 3)},
        {"feature": "n", "kind": "Numeric", "rows": 4, "missing": 0.25, "mean": 1.0, "low": 1.0, "high": 1.0,
         "infinite": 1},
        {"feature": "q", "kind": "Numeric", "rows": 4, "missing": 0.0, "mean": 2.5, "low": 1.0, "high": 4.0,
         "table rows": 6, "infinite": 0},
    ]  # fmt: skip
    lines = str(encoder.describe()).splitlines()
    assert lines[0].split() == ["feature", "kind", "rows", "missing", "table", "rows", "cardinality", "rare",
                                "coverage", "mean", "low", "high", "infinite"]  # fmt: skip
    assert lines[1].split() == ["f", "Categorical", "4", "0.25", "3", "2", "1", "0.6667"]
    assert [row["why"] for row in encoder.explain()] == ["as given"] * 3


def test_features_that_contradict_each_other_are_refused() -> None:
    for features, match in (
        ({}, "must have at least one feature"),
        ({"a": Sequence(vocabulary_of="b")}, "vocabulary_of of 'a' must be a feature, got 'b'"),
        ({"a": Sequence(vocabulary_of="b"), "b": Numeric()}, "must be a feature with a vocabulary of its own, got 'b'"),
        (
            {"a": Categorical(vocabulary_of="b"), "b": Categorical(vocabulary_of="c"), "c": Categorical()},
            "'a' must be a feature with a vocabulary of its own, got 'b'",
        ),
        ({"t": Timestamp(), "t_hour": Categorical()}, "'t' and 't_hour' both give an input 't_hour'"),
    ):
        with pytest.raises(ValueError, match=match):
            FeatureEncoder(features)  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match=r"the kind of 'a' must be one of Categorical, .*Categorical'>: Categorical\(\)"
    ):
        FeatureEncoder({"a": Categorical})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="a feature must be called by a string, got int"):
        FeatureEncoder({1: Numeric()})  # type: ignore[dict-item]


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    encoder = FeatureEncoder({"f": Categorical(), "n": Numeric()})
    for use in (
        encoder.describe,
        encoder.feature_columns,
        lambda: encoder.transform({}),
        lambda: encoder.save(tmp_path),
    ):
        with pytest.raises(RuntimeError, match="call fit"):
            use()
    with pytest.raises(ValueError, match=r"the table lacks \['n'\]; it has \['f'\]"):
        encoder.fit({"f": [1]})
    with pytest.raises(ValueError, match="at least one row, got none"):
        encoder.fit({"f": [], "n": []})
    assert not encoder.fitted
    encoder.fit({"f": [1], "n": [1]})
    with pytest.raises(ValueError, match=r"the chunk lacks \['n'\]"):
        encoder.encode_chunk(pa.table({"f": [1]}))
    with pytest.raises(TypeError, match="a chunk must be a Chunk or a pyarrow table, got dict: use transform"):
        encoder.encode_chunk({"f": [1]})
    with pytest.raises(ValueError, match="threads must be an integer of at least 1, got 0"):
        encoder.transform({"f": [1], "n": [1]}, threads=0)
    pq.write_table(pa.table({"f": [1, 2], "n": ["1", "x"]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"'n' must hold numbers, got 'x' in row 1 of .*a\.parquet"):
        encoder.transform(tmp_path / "a.parquet")
    pq.write_table(pa.table({"f": [[1], [2]], "n": [1, 2]}), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"'f' must hold one value a row, got list.* in .*b\.parquet"):
        encoder.transform(tmp_path / "b.parquet")


def test_the_headerless_files_of_criteo(tmp_path: Path) -> None:
    names = ["label", "I1", "C1"]
    (tmp_path / "day_0.tsv").write_text("1\t2\t68fd1e64\n0\t\t\n")
    encoder = FeatureEncoder({"I1": Numeric("plain"), "C1": Categorical()}).fit(tmp_path, header=names)
    found = encoder.transform(tmp_path, header=names)
    assert (found["I1"].tolist(), found["C1"].tolist()) == ([2, 2], [2, 0])


def test_a_copy_learns_apart_from_the_first() -> None:
    data = {"f": ["a", "b"], "n": [1.0, 3.0]}
    first = FeatureEncoder.infer(data)
    assert not first.copy().fitted
    first.fit(data)
    second = first.copy()
    second.update({"f": ["c"], "n": [9.0]})
    assert first.vocabulary("f").values.to_pylist() == ["a", "b"]
    assert second.vocabulary("f").values.to_pylist() == ["a", "b", "c"]
    assert second.explain() == first.explain()
    fewer = second.with_features({"n": Numeric()})
    assert (fewer.fitted, fewer.inputs, fewer.reasons) == (False, ["n"], second.reasons)
