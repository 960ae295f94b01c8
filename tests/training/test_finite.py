"""Numbers that are not finite end the training, with their name, before they reach the weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from deepctr_torch.callbacks import Callback, TerminateOnNaN
from deepctr_torch.models import DeepFM
from deepctr_torch.training.finite import non_finite_weight
from tests.support.training import COLUMNS, assert_same_weights, deepfm, inputs, labels, weights_of

X, Y = inputs(60), labels(60)


class Upstream(DeepFM):
    """With a `forward(X)` of its own."""

    def forward(self, X: Any) -> Tensor:
        return super().forward(X)


def fitted(model: Any = None, update: str = "sparse", callbacks: Any = (), loss: Any = "binary_crossentropy") -> Any:
    model = deepfm() if model is None else model
    model.compile("adam", loss, ["auc"], embedding_update=update, learning_rate=0.02)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=list(callbacks))
    return model


class Spoil(Callback):
    """Puts a number into a weight, or a hook that does so into its gradient, before step number 6."""

    def __init__(self, name: str, value: float, gradient: bool = False) -> None:
        super().__init__()
        self.name, self.value, self.gradient, self.steps = name, value, gradient, 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        if self.steps == 6:
            parameter = dict(self.model.named_parameters())[self.name]
            if self.gradient:
                parameter.register_hook(lambda grad: grad.index_fill(0, torch.tensor([0]), self.value))
            else:
                with torch.no_grad():
                    parameter.view(-1)[0] = self.value
            self.kept = weights_of(self.model)


@pytest.mark.parametrize("update", ["dense", "sparse"])
@pytest.mark.parametrize("name", ["dnn.linears.0.weight", "linear_model.weight", "out.bias"])
def test_a_gradient_is_named_and_the_weights_stay(update: str, name: str) -> None:
    model, spoil = deepfm(), Spoil(name, math.inf, gradient=True)
    with pytest.raises(FloatingPointError) as raised:
        fitted(model, update, [spoil])
    expected = f"step 6: the gradient of {name} is inf, with the learning rate 0.02; the weights are those before"
    assert str(raised.value).startswith(expected)
    assert_same_weights(model, spoil.kept)
    assert non_finite_weight(model) is None


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_the_gradient_of_rows_is_that_of_their_table(update: str) -> None:
    class Rooted(DeepFM):
        """Whose gradient with respect to one field is infinite where that is 0."""

        def logits(self, fields: Any) -> Tensor:
            return super().logits(fields) + fields.vector("item").abs().sqrt().sum(dim=1, keepdim=True)

    model = Rooted(COLUMNS, COLUMNS, init_std=0.3, seed=1)
    with torch.no_grad():
        model.embedding_dict["item"].weight[3] = 0.0
    before = weights_of(model)
    with pytest.raises(FloatingPointError, match=r"step 1: the gradient of embedding_dict.item.weight is nan"):
        fitted(model, update)
    assert_same_weights(model, before)


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_a_weight_that_is_not_finite_is_named(update: str) -> None:
    model = deepfm()
    with pytest.raises(FloatingPointError, match=r"step 6: dnn.linears.1.bias is nan, with the learning rate 0.02"):
        fitted(model, update, [Spoil("dnn.linears.1.bias", math.nan)])


def test_a_loss_that_is_not_finite() -> None:
    def log_odds(prediction: Tensor, y: Tensor, reduction: str = "sum") -> Tensor:
        return torch.log(prediction * 0).sum()

    model = deepfm()
    before = weights_of(model)
    with pytest.raises(FloatingPointError, match=r"step 1: the loss is -inf, with the learning rate 0.02; the weights"):
        fitted(model, loss=log_odds)
    assert_same_weights(model, before)


def test_a_penalty_that_is_not_finite() -> None:
    model = deepfm(l2_reg_dnn=1.0)
    with torch.no_grad():
        model.dnn_linear.weight.zero_()
        model.dnn.linears[0].weight.fill_(1e30)
    with pytest.raises(FloatingPointError, match="step 1: the loss is nan"):
        fitted(model)


def test_a_model_of_the_original_with_sparse_tables() -> None:
    model = Upstream(COLUMNS, COLUMNS, init_std=0.3)
    spoil = Spoil("dnn.linears.0.weight", math.nan, gradient=True)
    with pytest.raises(FloatingPointError, match=r"step 6: the gradient of dnn.linears.0.weight is nan"):
        fitted(model, "auto", [spoil])
    assert_same_weights(model, spoil.kept)


def test_large_gradients_are_no_error() -> None:
    model, spoil = deepfm(), Spoil("dnn.linears.0.weight", 3e38, gradient=True)
    fitted(model, callbacks=[spoil])
    assert spoil.steps == 16


def test_terminate_on_nan_ends_without_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    model, spoil = deepfm(), Spoil("out.bias", math.nan, gradient=True)
    fitted(model, callbacks=[spoil, TerminateOnNaN()])
    assert spoil.steps == 6
    assert capsys.readouterr().out == "Batch 5: the loss is nan, training stops\n"
    assert math.isnan(model.history.history["loss"][-1])
    assert_same_weights(model, spoil.kept)


def test_no_checkpoint_holds_what_is_not_finite(tmp_path: Path) -> None:
    class Late(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 3:
                with torch.no_grad():
                    self.model.dnn.linears[0].weight[0, 0] = math.inf

    model = deepfm()
    model.compile("adam", "binary_crossentropy")
    with pytest.raises(FloatingPointError, match=r"step 4: dnn.linears.0.weight is inf.* those of the last checkpoint"):
        model.fit(X, Y, 8, verbose=0, callbacks=[Late()], checkpoint_dir=tmp_path, checkpoint_every=1)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"step-{i:010d}" for i in (1, 2, 3)]
