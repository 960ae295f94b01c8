"""`compile` on a model: what it shows, and which arguments it refuses."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deepctr_torch import load_model
from deepctr_torch.features import SparseFeat
from deepctr_torch.models import MMOE, DeepFM
from deepctr_torch.models.trainable import train_step_of
from tests.support.training import deepfm, inputs, mmoe


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"loss_reduction": "avg"}, "unknown loss_reduction 'avg'"),
        ({"precision": "fp16"}, "unknown precision 'fp16'"),
        ({"embedding_update": "spare"}, "did you mean 'sparse'"),
        ({"clip_norm": -1.0}, "clip_norm must be a number >= 0, got -1.0"),
        ({"lr_schedule": "cosin"}, "did you mean 'cosine'"),
        ({"task_weights": "uncertainty"}, "with several tasks"),
        ({"task_weights": [1, 2]}, "one number for each task"),
        ({"embedding_optimizer": "adagard"}, "did you mean 'adagrad'"),
    ],
)
def test_wrong_options(option: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        deepfm().compile("adam", "binary_crossentropy", **option)


@pytest.mark.parametrize("weights", [[1], {"click": 1, "spent": 2}, "uncertain"])
def test_wrong_task_weights(weights: Any) -> None:
    with pytest.raises(ValueError, match="task_weights must"):
        mmoe().compile("adam", ["binary_crossentropy", "mse"], task_weights=weights)


def test_a_failed_compile_leaves_the_last_one() -> None:
    model = deepfm()
    model.compile("sgd", "binary_crossentropy", ["auc"])
    before = model.optim
    with pytest.raises(ValueError, match="unknown optimizer"):
        model.compile("sdg", "mse", ["mse"])
    assert model.optim is before
    assert model.metrics_names == ["loss", "auc"]


def test_what_compile_shows() -> None:
    model = deepfm()
    assert model.optim is None
    module = nn.BCELoss()
    model.compile("adam", module, metrics=["auc", "acc"])
    assert isinstance(model.optim, torch.optim.Adam)
    assert model.metrics_names == ["loss", "auc", "acc"]
    assert list(model.metrics) == ["auc", "acc"]
    p, y = torch.tensor([0.3, 0.6]), torch.tensor([0.0, 1.0])
    torch.testing.assert_close(model.loss_func(p, y, reduction="sum"), F.binary_cross_entropy(p, y, reduction="sum"))
    assert module.reduction == "mean"
    model.compile("adam", "mse", metrics=None)
    assert (model.metrics, model.metrics_names) == ({}, ["loss"])


def test_names_of_optimizers() -> None:
    classes = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "adagrad": "Adagrad", "rmsprop": "RMSprop"}
    rates = {"sgd": 0.01, "adam": 0.001, "adamw": 0.001, "adagrad": 0.01, "rmsprop": 0.01}
    for name, cls in classes.items():
        model = deepfm()
        model.compile(name, "binary_crossentropy")
        assert type(model.optim).__name__ == cls
        assert model.optim.param_groups[0]["lr"] == rates[name]
        model.compile(name, "binary_crossentropy", learning_rate=0.5)
        assert model.optim.param_groups[0]["lr"] == 0.5
    with pytest.raises(ValueError, match="unknown optimizer 'adma': did you mean 'adam'"):
        deepfm().compile("adma", "binary_crossentropy")


def test_the_train_step_is_had_by_a_function_so_that_no_name_of_a_subclass_collides() -> None:
    model = deepfm()
    assert train_step_of(model) is None
    model.compile("adam", "binary_crossentropy", embedding_update="dense")
    step = train_step_of(model)
    assert step is not None
    assert (step.mode, step.optimizer) == ("dense", model.optim)


def test_the_outputs_of_named_layers_come_beside_the_predictions() -> None:
    model, x = deepfm(), inputs(5000)
    prediction, layers = model.predict(x, return_layers=["dnn", "dnn_linear"])
    np.testing.assert_array_equal(prediction, model.predict(x))
    assert layers["dnn"].shape == (5000, model.dnn.output_dim)
    expected = layers["dnn"] @ model.dnn_linear.weight.detach().numpy().T
    np.testing.assert_allclose(layers["dnn_linear"], expected, rtol=1e-4, atol=1e-6)
    assert not model.dnn._forward_hooks


def test_layers_that_cannot_be_returned_are_named() -> None:
    model = deepfm()
    with pytest.raises(ValueError, match="no layer 'dn': did you mean 'dnn'"):
        model.predict(inputs(), return_layers=["dn"])
    with pytest.raises(ValueError, match="'linear_model' does not give a tensor"):
        model.predict(inputs(), return_layers=["linear_model"])
    assert not model.linear_model._forward_hooks
    with pytest.raises(NotImplementedError, match="DeepFM has no attention weights by name"):
        model.attention_weights(inputs())


@pytest.mark.parametrize("ensemble", [1, 2])
def test_a_loss_of_counts_makes_predictions_the_exponential_of_the_logit(ensemble: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = {"a": rng.integers(0, 6, 400)}
    y = rng.poisson(np.array([0.2, 1, 2, 4, 8, 16])[x["a"]]).astype(float)
    columns = [SparseFeat("a", 6, 4)]
    model = DeepFM(columns, columns, task="regression", dnn_hidden_units=(8,), ensemble=ensemble)
    before = model.predict(x)
    model.compile("adam", "poisson", metrics=["rmse"], learning_rate=0.02)
    if ensemble == 1:
        np.testing.assert_allclose(model.predict(x), np.exp(before), rtol=1e-6)
    model.fit(x, y, batch_size=64, epochs=40, verbose=0)
    found = model.predict({"a": np.arange(6)})[:, 0]
    means = [y[x["a"] == value].mean() for value in range(6)]
    np.testing.assert_allclose(found, means, rtol=0.15, atol=0.05)
    model.save(tmp_path / "m")
    torch.save(model, tmp_path / "m.pt")
    for again in (load_model(tmp_path / "m"), torch.load(tmp_path / "m.pt"), copy.deepcopy(model)):
        assert (again.predict({"a": np.arange(6)})[:, 0] == found).all()
    y[7] = -1
    with pytest.raises(
        ValueError, match=r"labels must be finite numbers >= 0 for the loss of counts, got -1.0 in row 7"
    ):
        model.fit(x, y, verbose=0)
    model.compile("adam", "huber")
    if ensemble == 1:
        np.testing.assert_allclose(model.predict({"a": np.arange(6)})[:, 0], np.log(found), rtol=1e-5)


def test_each_task_has_the_link_of_its_loss() -> None:
    columns = [SparseFeat("a", 6, 4)]
    model = MMOE(columns, task_types=["binary", "regression", "regression"], task_names=["click", "views", "spend"])
    model.compile("adam", {"click": "binary_crossentropy", "views": "poisson", "spend": "mae"})
    assert [head.link for head in model.out] == ["identity", "log", "identity"]
    y = np.array([[1.0, np.nan, -2.0], [0.0, -2.0, 1.0]])
    with pytest.raises(ValueError, match="labels of 'views' must be finite numbers >= 0 for the loss of counts"):
        model.fit({"a": [1, 2]}, y, verbose=0)
