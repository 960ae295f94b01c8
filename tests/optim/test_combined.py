"""`model.optim` is one torch optimizer for good: schedulers, hooks, options and states, however tables are updated."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import StepLR
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from deepctr_torch.callbacks import Callback
from deepctr_torch.features import SparseFeat
from deepctr_torch.models.basemodel import BaseModel
from deepctr_torch.optim.combined import CombinedOptimizer
from tests.support.training import COLUMNS, assert_same_weights, deepfm, inputs, labels, weights_of

NAMES = ("sgd", "adam", "adamw", "adagrad", "rmsprop", "rowwise_adagrad")
WIDE = [SparseFeat("user", 1000, 4), *COLUMNS[1:]]  # "auto" is sparse
X, Y = inputs(), labels()


def wide(optimizer: Any = "adam", update: str = "auto", **kwargs: Any) -> Any:
    model = deepfm(columns=WIDE, l2_reg_embedding=0.1, l2_reg_linear=0.05, l2_reg_dnn=0.02)
    model.compile(optimizer, "binary_crossentropy", embedding_update=update, **kwargs)
    return model


def fitted(model: Any, epochs: int = 1, **kwargs: Any) -> Any:
    model.fit(X, Y, 10, epochs, 0, shuffle=False, **kwargs)
    return model


def mode_of(model: Any) -> str:
    mode: str = model._update.mode
    return mode


class Epochs(Callback):
    """Steps a scheduler of torch at the end of each epoch."""

    def __init__(self, scheduler: Any) -> None:
        super().__init__()
        self.scheduler = scheduler
        self.rates: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.rates.append(self.model.optim.param_groups[-1]["lr"])
        self.scheduler.step()


# ------------------------------------------------------------------ "auto" that becomes sparse


@pytest.mark.parametrize("optimizer", [*NAMES, {"name": "adam", "decay_unseen": True}])
@pytest.mark.parametrize("apart", [{}, {"embedding_lr": 0.05}])
def test_auto_takes_the_steps_of_sparse(optimizer: Any, apart: dict[str, Any]) -> None:
    one, other = wide(optimizer, **apart), wide(optimizer, "sparse", **apart)
    before = one.optim
    assert_same_weights(fitted(one, 3), fitted(other, 3))
    assert mode_of(one) == "sparse"
    assert one.optim is before
    assert isinstance(one.optim, torch.optim.Optimizer)
    assert one.history.history == other.history.history


@pytest.mark.parametrize("update", ["auto", "sparse", "dense"])
@pytest.mark.parametrize("apart", [{}, {"embedding_lr": 0.001}])
def test_a_scheduler_of_torch_follows_from_compile_on(update: str, apart: dict[str, Any]) -> None:
    model = wide(update=update, **apart)
    epochs = Epochs(StepLR(model.optim, step_size=1, gamma=0.5))
    fitted(model, 3, callbacks=[epochs])
    np.testing.assert_allclose(epochs.rates, [0.001, 0.0005, 0.00025])
    np.testing.assert_allclose([group["lr"] for group in model.optim.param_groups], 0.000125)
    later = StepLR(model.optim, step_size=1)  # after a fit, too
    model.optim.step()
    later.step()


@pytest.mark.parametrize("update", ["auto", "sparse", "dense"])
@pytest.mark.parametrize("apart", [{}, {"embedding_lr": 0.01}])
def test_hooks_hear_of_each_batch_once(update: str, apart: dict[str, Any]) -> None:
    plain, model, heard = wide(update=update, **apart), wide(update=update, **apart), []
    fitted(plain)
    model.optim.register_step_pre_hook(lambda *_: heard.append("own before"))
    model.optim.register_step_post_hook(lambda *_: heard.append("own after"))
    handles = [
        register_optimizer_step_pre_hook(lambda *_: heard.append("before")),
        register_optimizer_step_post_hook(lambda *_: heard.append("after")),
    ]
    try:
        fitted(model)
    finally:
        for handle in handles:
            handle.remove()
    assert heard == ["before", "own before", "own after", "after"] * 4
    assert_same_weights(plain, model, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("update", ["auto", "dense"])
def test_a_wrapped_step_is_called_once_a_batch(update: str) -> None:
    model, calls = wide(update=update), []
    step = model.optim.step
    model.optim.step = lambda: calls.append(step())
    fitted(model)
    assert len(calls) == 4


def test_options_changed_after_compile_are_followed() -> None:
    changed, given = wide(), wide({"name": "adam", "betas": (0.5, 0.6), "eps": 1e-4}, "sparse", learning_rate=0.02)
    changed.optim.param_groups[0].update(betas=(0.5, 0.6), eps=1e-4, lr=0.02)
    assert_same_weights(fitted(changed), fitted(given))
    decayed = wide()
    decayed.optim.param_groups[0]["weight_decay"] = 0.3
    more = wide()
    more.add_regularization_weight(more.parameters(), l2=0.15)
    assert_same_weights(fitted(decayed), fitted(more), rtol=1e-4, atol=1e-6)
    assert decayed.optim.param_groups[0]["weight_decay"] == 0.3


@pytest.mark.parametrize(("optimizer", "option"), [("adam", "amsgrad"), ("sgd", "momentum"), ("adamw", "weight_decay")])
def test_options_that_move_every_row_make_auto_dense(optimizer: str, option: str) -> None:
    model = wide(optimizer)
    model.optim.param_groups[0][option] = True if option == "amsgrad" else 0.5
    assert mode_of(fitted(model)) == "dense"
    later = fitted(wide(optimizer))
    later.optim.param_groups[0][option] = 0.5
    with pytest.raises(ValueError, match=f"embedding_update='sparse' needs an optimizer without {option}"):
        fitted(later)


# ------------------------------------------------------------------ states


@pytest.mark.parametrize("optimizer", NAMES)
@pytest.mark.parametrize("update", ["auto", "sparse"])
@pytest.mark.parametrize("apart", [{}, {"embedding_lr": 0.05}])
def test_a_state_loaded_before_the_first_fit_goes_on(optimizer: str, update: str, apart: dict[str, Any]) -> None:
    first = fitted(wide(optimizer, update, **apart), 2)
    second = wide(optimizer, **apart)
    second.load_state_dict(first.state_dict())
    second.optim.load_state_dict(copy.deepcopy(first.optim.state_dict()))
    second.epochs_trained = first.epochs_trained
    assert_same_weights(fitted(first), fitted(second))


def test_a_dense_state_goes_on_by_rows() -> None:
    dense, rows = fitted(wide(update="dense")), wide({"name": "adam", "decay_unseen": True})
    rows.optim.load_state_dict(copy.deepcopy(dense.optim.state_dict()))
    fitted(rows)
    table = rows.embedding_dict["user"].weight
    assert mode_of(rows) == "sparse"
    assert rows.optim.state[table]["step"] == 8
    last = torch.cat([rows.optim.state[t.weight]["last"] for t in rows.embedding_dict.values()])
    assert (int(last.min()), int(last.max())) == (4, 8)  # averages of a dense optimizer are up to date


def test_states_of_another_layout_are_refused_in_a_sentence() -> None:
    auto, sparse, apart = (fitted(m) for m in (wide(), wide(update="sparse"), wide(embedding_lr=0.5)))
    with pytest.raises(ValueError, match="the state must be of 2 optimizers, one of them for the tables, got one of"):
        sparse.optim.load_state_dict(auto.optim.state_dict())
    with pytest.raises(ValueError, match="with one learning rate, got one whose tables are apart"):
        auto.optim.load_state_dict(apart.optim.state_dict())


def test_a_copy_goes_on_alone() -> None:
    model = fitted(wide())
    twin = copy.deepcopy(model)
    before = weights_of(model)
    fitted(twin)
    assert_same_weights(before, model)
    assert_same_weights(fitted(model), twin)
    twin.optim.load_state_dict(fitted(wide(update="sparse")).optim.state_dict())  # copies read both layouts


def test_a_loop_of_ones_own_between_two_fits_counts() -> None:
    model = fitted(wide())
    table = model.embedding_dict["user"].weight
    model.optim.zero_grad()
    model.embedding_dict["user"](torch.tensor([3])).sum().backward()
    model.optim.step()
    assert model.optim.state[table]["step"] == 5
    fitted(model)
    assert model.optim.state[table]["step"] == 9


def test_several_optimizers_behind_one_face() -> None:
    model = fitted(wide(update="sparse"))
    joint = model.optim
    assert isinstance(joint, CombinedOptimizer)
    assert set(joint.state) == {p for p in model.parameters() if p.numel()}
    extra = torch.nn.Parameter(torch.ones(1))
    joint.add_param_group({"params": [extra]})
    assert joint.param_groups[1]["params"] == [extra]
    joint.zero_grad()
    assert joint.step(lambda: (2 * extra).sum().backward() or 2.5) == 2.5
    assert extra < 1
    only = CombinedOptimizer(joint.members[-1:])
    with pytest.raises(ValueError, match="takes no further parameters"):
        only.add_param_group({"params": [extra]})


# ------------------------------------------------------------------ weight decay of the user's, steps that fail


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adagrad", "rmsprop"])
def test_the_decay_of_a_group_stays_beside_the_penalty(optimizer: str) -> None:
    model, reference = wide(optimizer, "dense"), wide(optimizer, "dense", clip_norm=1e9)  # by gradients
    for each in (model, reference):
        each.optim.param_groups[0]["weight_decay"] = 0.5
        fitted(each)
        assert each.optim.param_groups[0]["weight_decay"] == 0.5
    assert_same_weights(model, reference, rtol=1e-4, atol=1e-6)
    plain = fitted(wide(optimizer, "dense"))
    assert not torch.equal(plain.dnn_linear.weight, model.dnn_linear.weight)


def test_a_step_that_fails_leaves_options_and_gradients_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    from deepctr_torch.optim import dense_step

    def fail(*_: Any) -> None:
        raise RuntimeError("no memory")

    model, reference = wide("sgd", "dense"), wide("sgd", "dense")
    model.optim.param_groups[0]["weight_decay"] = reference.optim.param_groups[0]["weight_decay"] = 0.5
    with monkeypatch.context() as patch:
        patch.setattr(dense_step, "step_fused", fail)
        with pytest.raises(RuntimeError, match="no memory"):
            fitted(model)
    assert model.optim.param_groups[0]["weight_decay"] == 0.5
    model.epochs_trained = 0
    assert_same_weights(fitted(model), fitted(reference))


# ------------------------------------------------------------------ SparseAdam, and warnings


class Own(BaseModel):
    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.out(self.linear_model(X))


def test_sparse_adam_is_sparse_however_large_the_batch() -> None:
    by_instance, by_class, replaced = deepfm(), deepfm(), deepfm()
    by_instance.compile(torch.optim.SparseAdam(list(by_instance.parameters()), lr=0.01), "binary_crossentropy")
    by_class.compile(torch.optim.SparseAdam, "binary_crossentropy", learning_rate=0.01, embedding_update="sparse")
    replaced.compile("adam", "binary_crossentropy", embedding_update="dense")
    replaced.optim = torch.optim.SparseAdam(list(replaced.parameters()), lr=0.01)
    for model in (by_instance, by_class, replaced):
        model.fit(X, Y, 40, verbose=0)
        assert mode_of(model) == "sparse"
        assert_same_weights(by_instance, model)


def test_sparse_adam_refuses_dense_updates() -> None:
    model = deepfm()
    with pytest.raises(ValueError, match="embedding_update='dense' needs an optimizer that takes dense gradients, got"):
        model.compile(torch.optim.SparseAdam(list(model.parameters())), "mse", embedding_update="dense")
    own = Own(WIDE, WIDE)
    own.compile(torch.optim.SparseAdam(list(own.parameters())), "binary_crossentropy")
    with pytest.raises(ValueError, match=r"SparseAdam needs .* a model that defines logits"):
        own.fit(X, Y, verbose=0)


def test_the_warning_of_a_dense_update_names_an_optimizer_there_is() -> None:
    columns = [SparseFeat("user", 120_000, 4)]
    model = deepfm(columns=columns)
    model.compile(torch.optim.NAdam(model.parameters()), "binary_crossentropy")
    with pytest.warns(UserWarning, match=r"NAdam updates all 240,000 rows .* knows by name \(adagrad, adam, .*, sgd\)"):
        model.fit({"user": np.arange(8)}, np.ones(8), verbose=0)
