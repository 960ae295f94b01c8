from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepctr_torch.encoding import (
    Categorical,
    Cross,
    Dense,
    FeatureEncoder,
    FeatureSpec,
    MultiValue,
    Numeric,
    Sequence,
    Timestamp,
)
from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DIN, DeepFM
from deepctr_torch.tables import read_chunks


def encoded(kind: FeatureSpec, training: Any, later: Any = None, **kwargs: Any) -> dict[str, Any]:
    """What a feature `f` learned from one column makes of another."""
    encoder = FeatureEncoder({"f": kind}).fit({"f": training})
    found = encoder.transform({"f": training if later is None else later}, **kwargs)
    return {name: values.tolist() for name, values in found.items()}


def test_categorical() -> None:
    assert encoded(Categorical(), ["b", "a", "b", None], ["a", "b", "c", None, ""]) == {"f": [3, 2, 1, 0, 0]}
    assert encoded(Categorical(min_count=2), [7, 7, 8], [7, 8, 9]) == {"f": [2, 1, 1]}
    assert encoded(Categorical(), np.array([5.0, np.nan, -2.0]), [5, -2, None]) == {"f": [3, 2, 0]}


def test_standard_numbers() -> None:
    x = np.array([0.0, np.e - 1, 1 - np.e, np.nan])  # signed logs 0, 1, -1
    std = np.sqrt(2 / 3)
    found = encoded(Numeric(), x, [0.0, np.e**2 - 1, None, np.inf, -np.inf])
    np.testing.assert_allclose(found["f"], [0, 2 / std, 0, 1 / std, -1 / std], rtol=1e-6, atol=1e-7)
    assert found["f_missing"] == [0, 0, 1, 0, 0]


def test_plain_and_minmax_numbers() -> None:
    assert encoded(Numeric("plain"), [1.0, 2.0, 6.0], [5.0, None, np.inf, 1e300]) == {
        "f": [5, 3, 6, float(np.finfo(np.float32).max)]
    }
    assert encoded(Numeric("minmax"), [2, None, 6, 4], [3, None, 9, -np.inf]) == {
        "f": [0.25, 0.5, 1, 0],
        "f_missing": [0, 1, 0, 0],
    }
    assert encoded(Numeric("minmax"), [2, 2], [2, 3, None])["f"] == [0, 0, 0]
    assert encoded(Numeric("minmax"), [-1.7e308, 1.7e308], [0.0])["f"] == [0.5]


def test_the_indicator_is_there_if_wanted_or_needed() -> None:
    assert set(encoded(Numeric(), [1, 2])) == {"f"}
    assert set(encoded(Numeric(), [1, None])) == {"f", "f_missing"}
    assert set(encoded(Numeric(indicator=True), [1, 2])) == {"f", "f_missing"}
    assert set(encoded(Numeric(indicator=False), [1, None])) == {"f"}


def test_numbers_of_which_nothing_was_learned() -> None:
    for scaling in ("standard", "plain", "minmax"):
        assert encoded(Numeric(scaling, indicator=False), [None, np.nan], [None, np.inf])["f"] == [0, 0]
    assert encoded(Numeric("quantile"), [None, np.nan], [None, 3.0, np.inf]) == {"f": [0, 1, 1]}


def test_buckets_of_numbers() -> None:
    kind = Numeric("quantile", bins=2)
    assert encoded(kind, [1, 2, 3, 4], [0, 2, 3, 9, None, np.inf, -np.inf]) == {"f": [2, 2, 3, 3, 0, 3, 2]}
    assert encoded(Numeric("quantile", bins=10), [5, 5, None], [5, 6, 4]) == {"f": [2, 2, 2]}


def test_sequences() -> None:
    lists = [[1, 2, 3], [2], [], None, [1, None, 9]]
    later = [[3, 9, 2, 1], [7, 1], [None], None, []]
    # 1 and 2 came twice, 3 and 9 once
    found = encoded(Sequence(3), lists, later)["f"]
    rows = {1: 2, 2: 3, 3: 4, 9: 5}
    assert found == [[rows[9], rows[2], rows[1]], [1, rows[1], 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    first = encoded(Sequence(3, keep="first"), lists, later)["f"]
    assert first[0] == [rows[3], rows[9], rows[2]]
    texts = [None if v is None else ",".join("" if e is None else str(e) for e in v) for v in lists]
    assert encoded(Sequence(3, ","), texts, ["3,9,2,1"])["f"] == [found[0]]


def test_elements_that_are_cut_off_are_not_learned() -> None:
    assert encoded(Sequence(1), [[1, 2]], [[1], [2]])["f"] == [[1], [2]]
    assert encoded(Sequence(1, keep="first"), [[1, 2]], [[1], [2]])["f"] == [[2], [1]]


def test_sets_are_as_wide_as_the_largest_of_training() -> None:
    found = encoded(MultiValue(separator="|"), ["a|b", "b", None], ["b|c|a", ""])["f"]
    assert found == [[2, 1], [0, 0]]
    assert encoded(MultiValue(), [None, []], [["x"]])["f"] == [[1]]


def test_weights_of_elements() -> None:
    kind = MultiValue(separator="|", weights="w")
    data = {"f": ["a|b", "b||a", "a", None, "a|b"], "w": ["1|2", "0.5|9|", None, None, "|3"]}
    encoder = FeatureEncoder({"f": kind}).fit(data)
    found = encoder.transform(data)
    assert found["f_weight"].tolist() == [[1, 2], [0.5, 0], [1, 0], [0, 0], [0, 3]]
    assert encoder.inputs == ["f", "w"]
    for wrong, match in (
        ({"f": ["a", "a|b"], "w": ["1", "1"]}, r"'w' must hold one weight for each of 2 element\(s\), got 1 in row 1"),
        ({"f": ["a", "a|b"], "w": ["1", "1|-2"]}, "'w' must hold finite numbers >= 0, got -2.0 in row 1"),
        ({"f": ["a"], "w": ["inf"]}, "'w' must hold finite numbers >= 0, got inf in row 0"),
    ):
        with pytest.raises(ValueError, match=match):
            encoder.transform(wrong)
    lists = {"f": [["a", "b"], ["b"]], "w": [[1.0, None], [2.0]]}
    found = FeatureEncoder({"f": MultiValue(weights="w")}).fit(lists).transform(lists)
    assert found["f_weight"].tolist() == [[1, 0], [2, 0]]


def test_crosses() -> None:
    data = {"a": [1, 1, 2, None], "b": ["x", "y", "x", "x"], "c": [True, True, True, True]}
    encoder = FeatureEncoder({"ab": Cross(columns=("a", "b")), "abc": Cross(columns=("a", "b", "c"))}).fit(data)
    assert encoder.transform(data)["ab"].tolist() == [2, 3, 4, 0]
    assert encoder.transform(data)["abc"].tolist() == [2, 3, 4, 0]
    later = {"a": ["2", "1", "3"], "b": ["x", "x", "x"], "c": [1, 0, 1]}
    assert encoder.transform(later)["ab"].tolist() == [4, 2, 1]
    assert encoder.transform(later)["abc"].tolist() == [4, 1, 1]


def test_moments_by_part() -> None:
    kind = Timestamp(("minute", "hour", "weekday", "weekend", "day", "month", "hour_of_week"))
    found = encoded(kind, [0], [1_600_000_000, None])  # Sunday, 13 September 2020, 12:26:40
    assert {name: values[0] - 2 for name, values in found.items()} == {
        "f_minute": 26, "f_hour": 12, "f_weekday": 6, "f_weekend": 1, "f_day": 12, "f_month": 8, "f_hour_of_week": 156,
    }  # fmt: skip
    assert {values[1] for values in found.values()} == {0}


@pytest.mark.parametrize(
    "column",
    [
        [1_600_000_000, None],
        [1_600_000_000.9, float("nan")],
        ["1600000000", ""],
        ["2020-09-13 12:26:40", None],
        ["2020-09-13T14:26:40+02:00", None],
        ["2020-09-13T12:26:40.5Z", None],
        np.array(["2020-09-13T12:26:40", "NaT"], "datetime64[ns]"),
        pa.array([1_600_000_000_000, None], pa.timestamp("ms", "Asia/Tokyo")),
    ],
)
def test_moments_of_any_type(column: Any) -> None:
    encoder = FeatureEncoder({"f": Timestamp(("hour", "minute"))}).fit({"f": [0]})
    found = encoder.transform({"f": column})
    assert (found["f_hour"].tolist(), found["f_minute"].tolist()) == ([14, 0], [28, 0])


def test_units_zones_dates_and_moments_that_are_none() -> None:
    kind = Timestamp(("hour",), unit="ms", timezone="Asia/Tokyo")
    assert encoded(kind, [0], [1_600_000_000_123, -1, 10**18]) == {"f_hour": [2 + 21, 2 + 8, 0]}
    assert encoded(Timestamp(("day",)), pa.array([18262], pa.date32())) == {"f_day": [2]}
    assert encoded(Timestamp(("hour",)), [None], pa.array([None, None])) == {"f_hour": [0, 0]}
    with pytest.raises(ValueError, match="'f' must hold ISO times or numbers, got 'soon' in row 1"):
        encoded(Timestamp(), ["2020-01-01", "soon"])
    with pytest.raises(ValueError, match="'f' must hold times, got bool"):
        encoded(Timestamp(), [True])
    with pytest.raises(ValueError, match="timezone must be the name of a zone"):
        FeatureEncoder({"f": Timestamp(timezone="Mars")})


def test_vectors(tmp_path: Path) -> None:
    lists = [[1.0, 2.0], None, [np.nan, np.inf]]
    found = encoded(Dense(), lists)["f"]
    assert found == [[1, 2], [0, 0], [0, float(np.finfo(np.float32).max)]]
    assert encoded(Dense(separator=" "), ["1 2", None])["f"] == [[1, 2], [0, 0]]
    assert encoded(Dense(), np.arange(4).reshape(2, 2))["f"] == [[0, 1], [2, 3]]
    assert encoded(Dense(1), [[1.0], []])["f"] == [1, 0]
    assert encoded(Dense(), [None, []])["f"] == [0, 0]
    with pytest.raises(ValueError, match=r"'f' must hold 2 number\(s\) or nothing, got 1 in row 1"):
        encoded(Dense(2), [[1.0, 2.0], [1.0]])
    pq.write_table(pa.table({"f": [[1.0, 2.0], [1.0, 2.0, 3.0]]}), tmp_path / "a.parquet", row_group_size=1)
    with pytest.raises(
        ValueError, match=r"'f' must hold 2 number\(s\), as in rows before, got 3 in row 1 of .*a\.parquet"
    ):
        FeatureEncoder({"f": Dense()}).fit(tmp_path)


def test_a_history_shares_the_vocabulary_of_its_target() -> None:
    data = {"item": [1, 2], "hist_item": [[3, 1], [1]]}
    encoder = FeatureEncoder({"item": Categorical(), "hist_item": Sequence(2, vocabulary_of="item")}).fit(data)
    found = encoder.transform(data)
    assert encoder.vocabulary("item").values.to_pylist() == [1, 2, 3]
    assert encoder.vocabulary("hist_item") is encoder.vocabulary("item")
    assert (found["item"].tolist(), found["hist_item"].tolist()) == ([2, 3], [[4, 2], [2, 0]])
    assert [c.embedding_name for c in encoder.feature_columns(8)] == ["item", "item"]
    model = DIN(encoder.feature_columns(8), ["item"], dnn_hidden_units=(4,))
    assert model.predict(found).shape == (2, 1)


def test_features_that_only_training_knows_are_missing_elsewhere() -> None:
    features = {
        "position": Categorical(train_only=True),
        "dwell": Numeric(train_only=True, indicator=True),
        "bucket": Numeric("quantile", column="dwell", train_only=True),
        "seen": Sequence(2, train_only=True),
        "time": Timestamp(("hour",), train_only=True),
        "vector": Dense(2, train_only=True),
        "tags": MultiValue(weights="w", train_only=True),
        "x": Categorical(),
    }
    data = {
        "position": [1, 2], "dwell": [1.0, 3.0], "seen": [[1], [2]], "time": [0, 0], "vector": [[1.0, 2.0]] * 2,
        "tags": [["a"], ["b"]], "w": [[1.0], [1.0]], "x": [1, 1],
    }  # fmt: skip
    encoder = FeatureEncoder(features).fit(data)
    assert encoder.serving_inputs == ["x"]
    missing = encoder.transform({"x": [1, 1]})
    assert {name: values.tolist() for name, values in missing.items()} == {
        "position": [0, 0], "dwell": [0, 0], "dwell_missing": [1, 1], "bucket": [0, 0], "seen": [[0, 0]] * 2,
        "time_hour": [0, 0], "vector": [[0, 0]] * 2, "tags": [[0]] * 2, "tags_weight": [[0]] * 2, "x": [2, 2],
    }  # fmt: skip
    known = encoder.transform(data, training=True)
    assert known["position"].tolist() == [2, 3]
    assert known["dwell_missing"].tolist() == [0, 0]
    nothing = {name: [None, None] for name in data}
    blank = encoder.transform({**nothing, "x": [1, 1]}, training=True)
    for name in missing:
        np.testing.assert_array_equal(blank[name], missing[name])
        assert blank[name].dtype == missing[name].dtype == known[name].dtype


def test_dropout_depends_on_seed_and_row_alone() -> None:
    data = {"f": ["a"] * 4000 + [None], "g": [["a", "b"]] * 4001}
    encoder = FeatureEncoder({"f": Categorical(dropout=0.25), "g": Sequence(2, dropout=0.5)}).fit(data)
    assert (encoder.transform(data)["f"][:-1] == 2).all()
    first = encoder.transform(data, training=True, seed=1)
    assert set(first["f"][:-1].tolist()) == {1, 2}
    assert first["f"][-1] == 0
    assert abs((first["f"] == 1).mean() - 0.25) < 0.03
    assert abs((first["g"] == 1).mean() - 0.5) < 0.03
    assert 0.15 < (first["g"] == 1).all(axis=1).mean() < 0.35  # each element by itself
    again = encoder.transform(data, training=True, seed=1, threads=1)
    parts = [encoder.encode_chunk(c, training=True, seed=1) for c in encoder.read(data, rows=999)]
    for name in first:
        np.testing.assert_array_equal(again[name], first[name])
        np.testing.assert_array_equal(np.concatenate([p[name] for p in parts]), first[name])
    assert (encoder.transform(data, training=True, seed=2)["f"] != first["f"]).any()


def test_columns_of_any_model() -> None:
    data = {"c": ["a", "b"], "n": [1.0, None], "q": [1, 2], "s": [["a"], []], "t": [0, 1], "d": [[1.0, 2.0]] * 2}
    features = {
        "c": Categorical(),
        "n": Numeric(),
        "q": Numeric("quantile", embedding_dim=3),
        "s": MultiValue(maxlen=4, weights="w", combiner="sum"),
        "t": Timestamp(("hour",)),
        "d": Dense(),
        "h": Categorical(column="c", hash_buckets=98),
    }
    encoder = FeatureEncoder(features).fit({**data, "w": [[1.0], []]})
    assert encoder.feature_columns(5) == [
        SparseFeat("c", 4, 5),
        DenseFeat("n"),
        DenseFeat("n_missing"),
        SparseFeat("q", 4, 3),
        VarLenSparseFeat(SparseFeat("s", 3, 5), 4, "sum", weight_name="s_weight"),
        SparseFeat("t_hour", 26, 5),
        DenseFeat("d", 2),
        SparseFeat("h", 100, 5),
    ]
    sizes = {c.name: c.embedding_dim for c in encoder.feature_columns("auto") if not isinstance(c, DenseFeat)}
    assert sizes == {"c": 4, "q": 3, "s": 4, "t_hour": 8, "h": 8}
    assert encoder.feature_columns(lambda rows: rows + 1)[0].embedding_dim == 5  # type: ignore[union-attr]
    with pytest.raises(ValueError, match='embedding_dim must be an integer, "auto" or a function'):
        encoder.feature_columns("large")
    columns = FeatureEncoder({k: v for k, v in features.items() if k != "q"}).fit({**data, "w": [[1.0], []]})
    model = DeepFM(columns.feature_columns(4), columns.feature_columns(4), dnn_hidden_units=(4,))
    model.compile("adam", "binary_crossentropy")
    model.fit(columns.transform({**data, "w": [[1.0], []]}), np.array([0.0, 1.0]), verbose=0)


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


def test_the_headerless_files_of_criteo(tmp_path: Path) -> None:
    names = ["label", "I1", "C1"]
    (tmp_path / "day_0.tsv").write_text("1\t2\t68fd1e64\n0\t\t\n")
    encoder = FeatureEncoder({"I1": Numeric("plain"), "C1": Categorical()}).fit(tmp_path, header=names)
    found = encoder.transform(tmp_path, header=names)
    assert (found["I1"].tolist(), found["C1"].tolist()) == ([2, 2], [2, 0])


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


def test_an_update_counts_anew_what_is_rare() -> None:
    encoder = FeatureEncoder({"city": Categorical(min_count=2)}).fit({"city": ["a", "a", "b", "c", None]})
    (row,) = encoder.describe()
    assert (row["rare"], row["coverage"]) == (2, 0.5)
    encoder.update({"city": ["b", "a", "d"]})
    (row,) = encoder.describe()
    assert (row["rare"], row["coverage"]) == (2, 1 - 2 / 7)
