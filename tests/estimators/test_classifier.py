"""`CTRClassifier`: several classes, several labels."""

from __future__ import annotations

import numpy as np
import polars as pl

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
