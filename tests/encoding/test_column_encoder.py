from __future__ import annotations

import numpy as np
import pytest

from deepctr_torch.encoding import Categorical, Dense, FeatureEncoder, MultiValue, Numeric, Sequence, Timestamp
from deepctr_torch.encoding.column_encoder import auto_dimension, dropout_mask
from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DeepFM


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


def test_automatic_dimensions_grow_with_the_fourth_root_up_to_the_limit_given() -> None:
    for rows in range(1, 30_000):
        steps = 1
        while (2 * steps) ** 4 < rows:
            steps += 1
        assert auto_dimension(rows) == 4 * steps
        assert auto_dimension(rows, at_most=16) == min(4 * steps, 16)


def test_dropout_is_drawn_from_name_key_and_cell() -> None:
    cells = np.arange(4000)
    drawn = dropout_mask(0.25, "f", 1, cells)
    assert abs(drawn.mean() - 0.25) < 0.03
    np.testing.assert_array_equal(dropout_mask(0.25, "f", 1, cells[::-1]), drawn[::-1])
    assert (dropout_mask(0.25, "g", 1, cells) != drawn).any()
    assert (dropout_mask(0.25, "f", 2, cells) != drawn).any()
    assert dropout_mask(0.25, "f", 1, cells[:0]).shape == (0,)
