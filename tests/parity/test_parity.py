"""Numbers to agree with: predictions, penalty and training of DeepCTR-Torch 0.3.0 on random weights, 39 cases.

A case that differs is listed below with the fault behind it; every difference is a row of docs/differences.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import deepctr_torch.models
from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models.basemodel import BaseModel
from tests.support.all_models import ORIGINAL

FOLDER = Path(__file__).parent
CASES = sorted(path.stem for path in FOLDER.glob("*.npz"))
OPTIMIZERS = ("sgd", "adam", "adagrad")
# Predictions of the same weights differ, because the original computes something else.
OTHER_PREDICTIONS = {"MLR_region_only": "the original never uses the base learners, which here follow the regions"}
# Training differs, because the original trains something else; predictions of the same weights agree.
OTHER_TRAINING = {
    **OTHER_PREDICTIONS,
    "DCN_vector": "the original gives l2_reg_linear to dnn_linear, and always 1e-5 to the linear side",
    "DCN_matrix": "the original gives l2_reg_linear to dnn_linear, and always 1e-5 to the linear side",
    "DCNMix": "the original gives l2_reg_linear to dnn_linear, and always 1e-5 to the linear side",
    "DIEN_neg": "the original adds the mean of the auxiliary loss to the sum of the others",
    "DIEN_AUGRU": "the original ties bias_ih and bias_hh of the cell",
    "ESMM": "the original has one output bias for both towers",
    "DIN": "the Dice of the original normalises over padded steps too",
}
# A bias before batch normalisation has no true gradient; these optimizers amplify its rounding.
NOISE = {("AFN", "adam"), ("AFN", "adagrad"), ("DeepFM_bn", "adam"), ("DeepFM_bn", "adagrad")}

# Keys of the original's state dicts that this package does not have, because no forward uses what they hold.
GONE = {
    "ESMM": ("out.bias",),  # one bias a tower instead: out.0.bias, out.1.bias
    "FiBiNET_each": ("Bilinear.bilinear.5.",),
    "MLR_region_only": ("embedding_dict.", "linear_model.", "out."),
    "ONN": ("embedding_dict.",),
    "PLE": ("shared_gate_dnn.1.", "shared_gate_dnn_final_layer.1."),
}
NEW = {"ESMM": ["out.0.bias", "out.1.bias"]}


def column(kind: str, name: str, *rest: Any) -> Any:
    if kind == "dense":
        return DenseFeat(name, rest[0])
    if kind == "sparse":
        vocabulary, dim, more = rest
        return SparseFeat(name, vocabulary, dim, **more)
    vocabulary, maxlen, combiner, dim, more = rest
    table = more.get("embedding_name")
    feature = SparseFeat(name, vocabulary, dim, embedding_name=table)
    return VarLenSparseFeat(feature, maxlen, combiner, more.get("length_name"))


class Case:
    """One file: a model with its weights, the samples, and what the original made of them."""

    def __init__(self, name: str) -> None:
        with np.load(FOLDER / f"{name}.npz") as file:
            self.arrays = {key: file[key] for key in file.files}
        self.name = name
        self.config = json.loads(str(self.arrays["config"]))
        self.x = {key[2:]: value for key, value in self.arrays.items() if key.startswith("X:")}

    def model(self) -> BaseModel:
        columns = [[column(*c) for c in each] for each in self.config["columns"]]
        build = getattr(deepctr_torch.models, self.config["model"])
        model: BaseModel = build(*columns, *self.config["args"], **self.config["kwargs"])
        state = {key[2:]: torch.from_numpy(v.copy()) for key, v in self.arrays.items() if key.startswith("W:")}
        model.load_state_dict(state)
        return model

    def trained(self, optimizer: str) -> tuple[list[float], np.ndarray[Any, Any]]:
        """Losses of the epochs, and predictions after them."""
        model = self.model()
        tasks = len(model.tasks)
        losses = ["mse" if kind == "regression" else "binary_crossentropy" for _, kind in model.tasks]
        model.compile(optimizer, losses if tasks > 1 else losses[0], embedding_update="dense")
        options = {key: self.config[key] for key in ("batch_size", "epochs", "shuffle")}
        history = model.fit(self.x, self.arrays["y"], verbose=0, **options)
        return history.history["loss"], model.predict(self.x)


def test_all_cases_are_here() -> None:
    assert len(CASES) == 39
    assert set(OTHER_TRAINING) | {name for name, _ in NOISE} <= set(CASES)


def test_every_model_of_the_original_has_a_checkpoint() -> None:
    assert {Case(name).config["model"] for name in CASES} == ORIGINAL


@pytest.mark.parametrize("name", CASES)
def test_the_state_dict_has_the_keys_of_the_original_in_its_order(name: str) -> None:
    case = Case(name)
    theirs = [key[2:] for key in case.arrays if key.startswith("W:")]
    ours = case.model().state_dict()
    kept = [key for key in theirs if not key.startswith(GONE.get(name, ("nothing",)))]
    assert [key for key in ours if key not in NEW.get(name, [])] == kept
    assert all(tuple(ours[key].shape) == case.arrays[f"W:{key}"].shape for key in kept)


@pytest.mark.parametrize("name", CASES)
def test_predictions_of_the_same_weights(name: str) -> None:
    case = Case(name)
    difference = np.abs(case.model().predict(case.x) - case.arrays["pred"]).max()
    if name in OTHER_PREDICTIONS:
        assert 1e-5 < difference < 1, OTHER_PREDICTIONS[name]
    else:
        assert difference < 1e-5


@pytest.mark.parametrize("name", [n for n in CASES if n not in OTHER_TRAINING])
def test_penalty_of_the_same_weights(name: str) -> None:
    case = Case(name)
    penalty = float(case.model().get_regularization_loss().detach())
    if name == "ONN":  # the original also penalises first-order tables that it never reads, with its default of 1e-5
        unread = [v for key, v in case.arrays.items() if key.startswith("W:embedding_dict.")]
        penalty += 1e-5 * sum(float((v**2).sum()) for v in unread)
    np.testing.assert_allclose(penalty, float(case.arrays["reg"].sum()), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", [n for n in CASES if n not in OTHER_TRAINING])
def test_training_from_the_same_weights(name: str, optimizer: str) -> None:
    case = Case(name)
    losses, predictions = case.trained(optimizer)
    noisy = (name, optimizer) in NOISE
    np.testing.assert_allclose(losses, case.arrays[f"{optimizer}:loss"], rtol=3e-3 if noisy else 1e-4)
    np.testing.assert_allclose(predictions, case.arrays[f"{optimizer}:pred"], rtol=0, atol=3e-3 if noisy else 2e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", OTHER_TRAINING)
def test_training_that_differs_by_a_fault(name: str, optimizer: str) -> None:
    case = Case(name)
    losses, predictions = case.trained(optimizer)
    distance = np.abs(predictions - case.arrays[f"{optimizer}:pred"]).max()
    if name in OTHER_PREDICTIONS:
        assert np.isfinite(losses).all()
        assert distance < 0.5, OTHER_PREDICTIONS[name]
        return
    assert distance < 0.02, OTHER_TRAINING[name]
    if name != "DIEN_neg":  # its loss contains the auxiliary one, once for each row
        np.testing.assert_allclose(losses, case.arrays[f"{optimizer}:loss"], rtol=3e-3)
