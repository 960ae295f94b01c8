"""What happens to tables while a model is trained: callbacks write, replace and freeze them; steps are followed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from deepctr_torch.callbacks import Callback
from deepctr_torch.features import SparseFeat
from deepctr_torch.models import MLR, ONN, DeepFM
from tests.support.training import assert_same_weights

COLUMNS = [SparseFeat("a", 5, 4), SparseFeat("b", 6, 4), SparseFeat("c", 7, 4)]
X = {"a": np.arange(24) % 5, "b": np.arange(24) % 6, "c": np.arange(24) % 7}
Y = (np.arange(24) % 3 == 0).astype(float)


class Once(Callback):
    """Does something to a model after its first epoch, or before its second batch."""

    def __init__(self, action: Callable[[Any], Any], each_batch: bool = False) -> None:
        super().__init__()
        self.action, self.each_batch, self.calls = action, each_batch, 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 0 and not self.each_batch:
            self.action(self.model)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.calls += 1
        if self.each_batch and self.calls == 2:
            self.action(self.model)


def table(model: Any) -> Any:
    return model.embedding_dict["b"]


ACTIONS: dict[str, Callable[[Any], Any]] = {
    "data": lambda model: setattr(table(model).weight, "data", torch.full((6, 4), 0.5)),
    "weight": lambda model: setattr(table(model), "weight", nn.Parameter(torch.full((6, 4), 0.5))),
    "module": lambda model: model.embedding_dict.__setitem__(
        "b", nn.Embedding.from_pretrained(torch.full((6, 4), 0.5), freeze=False)
    ),
    "assign": lambda model: model.load_state_dict(
        {k: torch.full_like(v, 0.5) if k == "embedding_dict.b.weight" else v for k, v in model.state_dict().items()},
        assign=True,
    ),
}


@pytest.mark.parametrize("mode", ["dense", "sparse"])
@pytest.mark.parametrize("each_batch", [False, True])
@pytest.mark.parametrize("action", ACTIONS)
def test_a_table_that_a_callback_writes_is_the_one_that_goes_on(action: str, each_batch: bool, mode: str) -> None:
    model = DeepFM(COLUMNS, COLUMNS, dnn_hidden_units=(4,))
    model.compile("sgd", "binary_crossentropy", learning_rate=0.01, embedding_update=mode)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[Once(ACTIONS[action], each_batch)])
    weight = table(model).weight
    assert (weight - 0.5).abs().max() < 0.1
    assert (weight != 0.5).any()  # it is trained on
    assert weight.data_ptr() == model.embedding_dict.fused[0].fused[5:].data_ptr()


@pytest.mark.parametrize("mode", ["dense", "sparse"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_table_that_a_callback_freezes_stays_as_it_is(optimizer: str, mode: str) -> None:
    model = DeepFM(COLUMNS, COLUMNS, dnn_hidden_units=(4,))
    model.compile(optimizer, "binary_crossentropy", embedding_update=mode)
    kept: list[torch.Tensor] = []

    def freeze(model: Any) -> None:
        table(model).weight.requires_grad_(False)
        kept.append(table(model).weight.detach().clone())

    model.fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[Once(freeze)])
    assert torch.equal(table(model).weight, kept[0])
    assert not torch.equal(model.embedding_dict["a"].weight, kept[0][:5])


@pytest.mark.parametrize("name", ["adam", "adamw", "adagrad"])
@pytest.mark.parametrize("kind", [ONN, MLR, DeepFM])
def test_steps_that_somebody_counts_are_those_that_nobody_counts(kind: Any, name: str) -> None:
    """Tables of ONN and MLR are columns of wide ones: a kernel for contiguous memory would write their neighbours."""
    arguments = (COLUMNS,) if kind is MLR else (COLUMNS, COLUMNS)
    followed, alone = (kind(*arguments, l2_reg_linear=0.01) for _ in range(2))
    for model in (followed, alone):
        model.compile(name, "binary_crossentropy", learning_rate=0.05, embedding_update="dense")
    followed.optim.register_step_post_hook(lambda *given: None)
    for model in (followed, alone):
        model.fit(X, Y, batch_size=8, epochs=3, verbose=0)
    assert_same_weights(followed, alone, rtol=1e-4, atol=1e-5)


def test_an_instance_with_fused_kernels_is_refused_where_tables_are_not_contiguous() -> None:
    model = ONN(COLUMNS, COLUMNS)
    with pytest.raises(ValueError, match="fused=True needs contiguous weights"):
        model.compile(torch.optim.Adam(model.parameters(), fused=True), "binary_crossentropy")
    model.compile(torch.optim.Adam(model.parameters(), foreach=True), "binary_crossentropy")
    model.fit(X, Y, batch_size=8, verbose=0)
    assert np.isfinite(model.history.history["loss"]).all()


def test_each_table_has_a_state_of_its_own_that_any_loop_can_go_on_with() -> None:
    fitted, by_hand = (DeepFM(COLUMNS, COLUMNS, dnn_hidden_units=(4,), init_std=0.3) for _ in range(2))
    fitted.compile("adam", "binary_crossentropy", embedding_update="dense")
    fitted.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    state = fitted.optim.state
    assert all(state[p]["exp_avg"].shape == p.shape and state[p]["step"] == 6 for p in fitted.parameters())
    by_hand.load_state_dict(fitted.state_dict())
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=1e-3)
    optimizer.load_state_dict(copy.deepcopy(fitted.optim.state_dict()))
    fitted.fit(X, Y, batch_size=24, shuffle=False, verbose=0)
    matrix = torch.tensor(np.stack([X["a"], X["b"], X["c"]], axis=1))
    optimizer.zero_grad()
    loss = nn.functional.binary_cross_entropy(by_hand(matrix)[:, 0], torch.tensor(Y).float(), reduction="sum")
    (loss + by_hand.get_regularization_loss()[0]).backward()
    optimizer.step()
    assert_same_weights(fitted, by_hand, rtol=1e-4, atol=1e-6)
