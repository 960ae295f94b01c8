"""What a user gets wrong is refused where it can first be known, in words that help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch.utils.data import TensorDataset

from deepctr_torch.callbacks import TerminateOnNaN
from deepctr_torch.models import DeepFM
from tests.support.training import assert_same_weights, deepfm, inputs, labels, taken, weights_of


def ready(metrics: Any = ("auc",), optimizer: Any = "adam", **kwargs: Any) -> Any:
    model = deepfm()
    model.compile(optimizer, "binary_crossentropy", list(metrics), **kwargs)
    return model


def bias(y_true: Any, y_pred: Any) -> float:
    return float(np.mean(y_pred - y_true))


def test_a_metric_without_weights_is_refused_at_the_first_weighted_batch_of_a_stream() -> None:
    x, y = inputs(20), labels(20)

    def batches() -> Iterator[Any]:
        yield taken(x, slice(0, 10)), y[:10], np.ones(10)
        raise AssertionError("the second batch was asked for")

    model = ready([bias])
    before = weights_of(model)
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="metric 'bias' must have a parameter sample_weight"):
            method(batches())
    assert_same_weights(model, before)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ("balanced", TypeError, r"must be a dict such as \{0: 1.0, 1: 3.0\}, got 'balanced'"),
        ({"yes": 2.0}, TypeError, "must map numbers to numbers, got 'yes': 2.0"),
        ({7: 2.0}, ValueError, r"the labels of class_weight must be in \[0, 1\] for a binary task, got 7"),
        ({1: -1.0}, ValueError, "must hold finite weights >= 0, got -1.0 for the label 1"),
    ],
)
def test_class_weights_are_checked_before_training(wrong: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ready().fit(inputs(20), labels(20), class_weight=wrong, verbose=0)


def test_an_error_in_the_validation_data_says_so() -> None:
    x, y = inputs(20), labels(20)
    with pytest.raises(ValueError, match=r"^validation_data: inputs and labels must have the same number of rows"):
        ready().fit(x, y, validation_data=(x, y[:-1]), verbose=0)
    with pytest.raises(TypeError, match=r"^validation_data: inputs must be a dict"):
        ready().fit(x, y, validation_data=(3, y), verbose=0)


def test_an_optimizer_of_other_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be made of model.parameters\(\), got one of other parameters"):
        ready(optimizer=torch.optim.SGD(deepfm().parameters(), lr=0.1))


def test_a_model_without_columns_is_told_to_have_some() -> None:
    with pytest.raises(ValueError, match="the model must have at least one feature column, got none"):
        DeepFM([], []).predict(inputs(3))


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_a_training_that_diverges_shows_nan_and_can_be_stopped(update: str, capsys: Any) -> None:
    model = ready(learning_rate=1e30, embedding_update=update)
    history = model.fit(inputs(40), labels(40), 10, epochs=3, verbose=0, callbacks=[TerminateOnNaN()])
    assert list(map(len, history.history.values())) == [1, 1]
    assert not np.isfinite(history.history["loss"][0])
    assert "training stops" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"learning_rate": -1}, ValueError, "learning_rate must be a number >= 0, got -1"),
        ({"learning_rate": "0.1"}, ValueError, "learning_rate must be a number >= 0, got '0.1'"),
        ({"embedding_lr": -0.5}, ValueError, "embedding_lr must be a number >= 0, got -0.5"),
        ({"clip_norm": 0}, ValueError, "clip_norm must be a number > 0, or None for no clipping, got 0"),
    ],
)
def test_rates_and_norms_are_checked_by_compile(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ready(**options)


def test_pretrained_vectors_must_be_finite() -> None:
    vectors = np.zeros((7, 4))
    vectors[5, 2] = np.nan
    with pytest.raises(ValueError, match="the vectors of 'user' must be finite, got a NaN or inf in row 5"):
        deepfm().set_embedding("user", vectors)


def test_different_metrics_of_one_name_are_told_apart() -> None:
    model = ready([lambda y, p: 0.0, lambda y, p: 1.0, "auc", "auc"])
    history = model.fit(inputs(20), labels(20), verbose=0).history
    assert list(history) == ["loss", "<lambda>", "<lambda>_2", "auc"]
    assert (history["<lambda>"], history["<lambda>_2"]) == ([0.0], [1.0])


def test_an_empty_stream_is_not_called_read() -> None:
    with pytest.raises(ValueError, match="the stream is empty"):
        ready().fit(iter([]), verbose=0)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (TensorDataset(torch.zeros(3, 7), torch.zeros(3)), "got TensorDataset: make a DataLoader of it"),
        (pl.LazyFrame({"user": [1]}), r"got LazyFrame: call its collect\(\)"),
        (labels, "got function: call it"),
        (3, "got int$"),
    ],
)
def test_what_is_often_taken_for_inputs_gets_a_hint(x: Any, message: str) -> None:
    for method in (ready().fit, ready().predict):
        with pytest.raises(TypeError, match=message):
            method(x)
