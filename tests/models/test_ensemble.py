"""`ensemble=k`: k models in one, each as it would be alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepctr_torch import load_model
from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DIN, MMOE, DeepFM
from deepctr_torch.models.basemodel import BaseModel

RNG = np.random.default_rng(0)
X = {"user": RNG.integers(0, 7, 60), "item": RNG.integers(0, 5, 60), "price": RNG.random(60).astype(np.float32)}
Y = (RNG.random(60) < 0.4).astype(np.float32)
COLUMNS = [SparseFeat("user", 7, 4), SparseFeat("item", 5, 4), DenseFeat("price")]


def deepfm(**how: Any) -> DeepFM:
    model = DeepFM(COLUMNS, COLUMNS, dnn_hidden_units=(8,), init_std=0.1, l2_reg_embedding=0.01, **how)
    model.compile("adam", "binary_crossentropy", embedding_update=how.pop("update", "dense"))
    return model


def trained(model: BaseModel, mode: str, reduction: str = "sum") -> BaseModel:
    model.compile("adam", "binary_crossentropy", embedding_update=mode, loss_reduction=reduction)
    model.fit(X, Y, 16, 2, 0, shuffle=False, sample_weight=np.linspace(0.5, 1.5, 60))
    return model


@pytest.mark.parametrize("mode", ["dense", "sparse"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_members_learn_as_if_they_were_alone(mode: str, reduction: str) -> None:
    both = trained(deepfm(seed=3, ensemble=2), mode, reduction)
    alone = [trained(deepfm(seed=seed), mode, reduction) for seed in (3, 4)]
    expected = np.mean([model.predict(X) for model in alone], axis=0)
    np.testing.assert_allclose(both.predict(X), expected, rtol=0, atol=1e-6)
    losses = [model.history.history["loss"] for model in alone]
    np.testing.assert_allclose(both.history.history["loss"], np.mean(losses, axis=0), rtol=1e-5)


def test_a_table_replaced_by_a_module_trains_all_members() -> None:
    model = deepfm(ensemble=2)
    model.embedding_dict["user"] = torch.nn.Embedding(7, 4, max_norm=0.5)  # which no fused lookup knows
    before = [p.clone() for p in model.parameters()]
    trained(model, "dense")
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_an_ensemble_is_saved_as_one_model(tmp_path: Path) -> None:
    model = trained(deepfm(ensemble=3), "sparse")
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert len(again.further_members) == 2
    assert (again.predict(X) == model.predict(X)).all()
    x = torch.tensor(np.column_stack([X["user"], X["item"], X["price"]]))
    np.testing.assert_allclose(again(x).detach().numpy(), model.predict(X), rtol=0, atol=1e-7)


def test_pretrained_vectors_are_those_of_every_member() -> None:
    model = deepfm(ensemble=2)
    model.set_embedding("item", np.ones((5, 4)), trainable=False)
    tables = [member.embedding_dict["item"].weight for member in (model, *model.further_members)]
    assert all(bool((table == 1).all()) and not table.requires_grad for table in tables)


def test_histories_and_several_tasks() -> None:
    shop = [*COLUMNS, VarLenSparseFeat(SparseFeat("hist_item", 5, 4, embedding_name="item"), 3, "mean")]
    x = {**X, "hist_item": RNG.integers(0, 5, (60, 3))}
    din = DIN(shop, ["item"], ensemble=2)
    assert din.predict(x).shape == (60, 1)
    tasks = MMOE(COLUMNS, task_types=["binary", "binary"], task_names=["a", "b"], ensemble=2)
    assert tasks.predict(X).shape == (60, 2)


@pytest.mark.parametrize(("ensemble", "message"), [(0, "ensemble must be an integer of at least 1"), (1.5, "ensemble")])
def test_numbers_that_are_none(ensemble: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        deepfm(ensemble=ensemble)


def test_a_forward_of_its_own_knows_no_members() -> None:
    class Own(BaseModel):
        def forward(self, X: Any) -> Any:
            return X[:, :1]

    with pytest.raises(ValueError, match=r"ensemble needs a model that defines logits\(fields\), got Own"):
        Own(COLUMNS, COLUMNS, ensemble=2)
