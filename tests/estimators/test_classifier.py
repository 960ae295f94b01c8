"""`CTRClassifier`: several classes, several labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.support.estimators import classifier, frame, inputs

TABLE = frame()


def test_three_classes_are_learned_as_such() -> None:
    y = np.array(["low", "mid", "high"])[np.digitize(TABLE["price"].fill_null(0).to_numpy(), [15, 25])]
    three = classifier(epochs=8, learning_rate=0.01).fit(inputs(TABLE), y)
    assert three.classes_.tolist() == ["high", "low", "mid"]
    assert three.predict_proba(inputs(TABLE)).shape == (600, 3)
    assert (three.predict(inputs(TABLE)) == y).mean() > 0.6
    assert three.score(inputs(TABLE), y) > 0.8


def test_several_labels_with_gaps() -> None:
    both = classifier("ESMM", model_args={"tower_dnn_hidden_units": (8,)}).fit(
        TABLE.with_columns(buy=pl.col("buy").fill_null(0)), ["click", "buy"]
    )
    assert both.labels_ == ["click", "buy"]
    assert (p := both.predict_proba(TABLE)).shape == (600, 2)
    assert (p[:, 1] <= p[:, 0]).all()
    assert both.predict(TABLE).shape == (600, 2)
    gaps = classifier("MMOE", model_args={"expert_dnn_hidden_units": (8,)}).fit(inputs(TABLE), TABLE[["click", "buy"]])
    assert set(gaps.evaluate(TABLE)) >= {"click_auc", "buy_auc", "auc"}
    assert [c.tolist() for c in gaps.classes_] == [[0, 1], [0.0, 1.0]]


NAMES: list[Any] = [
    [3, 1, 2],
    ["a", 1, ("b", 2)],
    pd.MultiIndex.from_tuples([("a", 1), ("b", 1), ("c", "")]),
    [np.int64(1), pd.Timestamp("2026-01-01"), 0.5],
]


@pytest.mark.parametrize("names", NAMES)
def test_columns_are_found_by_name_whatever_the_name_is(names: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)) * [1, 5, 25] + [0, 10, 50]
    table = pd.DataFrame(x, columns=names)
    model = classifier(epochs=3, learning_rate=0.02).fit(table, (x[:, 0] > 0).astype(int))
    p = model.predict_proba(table)
    for other in (table.iloc[:, [2, 0, 1]], {name: table[name] for name in reversed(list(table.columns))}):
        assert (model.predict_proba(other) == p).all()
    assert (model.predict_proba(x) == p).all()  # a matrix goes by position
    with pytest.raises(ValueError, match="lacks"):
        model.predict_proba(table.iloc[:, :2])


def test_a_model_of_a_matrix_takes_a_frame_of_its_numbers_alone() -> None:
    x = np.random.default_rng(0).normal(size=(200, 2))
    model = classifier(epochs=1).fit(x, (x[:, 0] > 0).astype(int))
    assert (model.predict_proba(pd.DataFrame(x)) == model.predict_proba(x)).all()
    with pytest.raises(ValueError, match="X must be a matrix of 2 columns"):
        model.predict_proba(pd.DataFrame(x, columns=[1, 0]))


def test_rows_as_dicts_are_a_table() -> None:
    rows = inputs(TABLE).to_dicts()
    model = classifier().fit(rows, TABLE["click"])
    assert (model.predict_proba(rows[:5]) == model.predict_proba(inputs(TABLE)[:5])).all()
    assert model.predict_proba([{**rows[0], "unknown": 1}]).shape == (1, 2)


def test_no_rows_give_no_rows() -> None:
    none = inputs(TABLE)[:0]
    one = classifier(epochs=1).fit(inputs(TABLE), TABLE["click"])
    for empty in (none, none.to_pandas(), {name: [] for name in none.columns}, []):
        assert one.predict_proba(empty).shape == (0, 2)
        assert one.predict(empty).shape == (0,)
    three = classifier(epochs=0).fit(inputs(TABLE), np.arange(600) % 3)
    assert three.predict_proba(none).shape == (0, 3)
    arguments = {"expert_dnn_hidden_units": (8,)}
    both = classifier("MMOE", epochs=0, model_args=arguments).fit(inputs(TABLE), TABLE[["click", "buy"]])
    assert both.predict_proba(none).shape == both.predict(none).shape == (0, 2)
