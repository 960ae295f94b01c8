"""Predictions and metrics over whole sources."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.training import deepfm, inputs, labels, mmoe, source_of, taken


def test_predictions_are_float64_columns_and_leave_evaluation_mode() -> None:
    model = deepfm(dnn_dropout=0.5)
    model.train()
    prediction = model.predict(inputs(5))
    assert prediction.dtype == np.float64
    assert prediction.shape == (5, 1)
    assert not model.training
    assert mmoe().predict(inputs(5)).shape == (5, 2)
    np.testing.assert_array_equal(model.predict(inputs(5)), prediction)


@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 5))
def test_predictions_do_not_depend_on_the_batch_size_and_keep_the_order(rows: int, size: int, seed: int) -> None:
    model, x = deepfm(), inputs(rows, seed)
    whole = model.predict(x)
    np.testing.assert_allclose(model.predict(x, batch_size=size), whole, rtol=1e-6)
    single = np.concatenate([model.predict(taken(x, slice(i, i + 1))) for i in range(rows)])
    np.testing.assert_allclose(single, whole, rtol=1e-5)


def test_blocks_are_joined_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    import deepctr_torch.training.evaluation as evaluation

    model, x, y = deepfm(), inputs(50), labels(50)
    model.compile("sgd", "binary_crossentropy", ["auc", "logloss", "gauc:session"])
    whole, values = model.predict(x), model.evaluate(x, y)
    monkeypatch.setattr(evaluation, "PREDICT_ROWS", 1)
    np.testing.assert_allclose(model.predict(x, batch_size=7), whole, rtol=1e-6)
    assert model.evaluate(x, y, batch_size=7) == pytest.approx(values)


def test_a_labelled_stream_may_be_predicted() -> None:
    model, x, y = deepfm(), inputs(20), labels(20)
    pairs = [(taken(x, slice(i, i + 5)), y[i : i + 5]) for i in range(0, 20, 5)]
    np.testing.assert_allclose(model.predict(iter(pairs)), model.predict(x), rtol=1e-6)
    np.testing.assert_allclose(model.predict(iter([a for a, _ in pairs])), model.predict(x), rtol=1e-6)
    model.compile("sgd", "binary_crossentropy", ["auc"])
    assert model.evaluate(iter(pairs)) == model.evaluate(x, y)


def test_evaluate_has_the_metrics_alone() -> None:
    model, x, y = deepfm(), inputs(), labels()
    model.compile("sgd", "binary_crossentropy", ["auc", "acc"])
    assert list(model.evaluate(x, y)) == ["auc", "acc"]
    model.compile("sgd", "binary_crossentropy")
    assert model.evaluate(x, y) == {}


def test_the_packed_matrix_of_the_model_gives_the_predictions() -> None:
    model, x = deepfm(), inputs()
    batch = next(iter(source_of(model, x, labels()).batches(40))).batch
    model.eval()
    with torch.no_grad():
        packed = model(model.schema.pack(batch)).double().numpy()
    np.testing.assert_allclose(packed, model.predict(x), rtol=1e-6)
