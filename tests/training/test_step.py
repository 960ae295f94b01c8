"""How a step moves the weights: dense and sparse, clipped, scheduled, frozen."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepctr_torch.embedding import EmbeddingCollection
from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DeepFM
from deepctr_torch.models.basemodel import BaseModel
from deepctr_torch.optim.dense_step import clip_gradients
from deepctr_torch.training.step import resolve_embedding_update
from tests.support.training import ITEMS, USERS, Recorder, assert_same_weights, deepfm, inputs, labels, weights_of

NAMES = ("sgd", "adam", "adamw", "adagrad", "rmsprop", "rowwise_adagrad")
NO_PENALTY = {"l2_reg_linear": 0.0, "l2_reg_embedding": 0.0}
PENALTY = {"l2_reg_linear": 0.05, "l2_reg_embedding": 0.1, "l2_reg_dnn": 0.02}


def all_rows() -> tuple[dict[str, np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    """Samples in which every row of every table appears."""
    x = inputs(30)
    x["user"], x["item"] = np.arange(30) % USERS, np.arange(30) % ITEMS
    x["tags"] = np.stack([np.arange(30) % 6, np.ones(30, int), np.zeros(30, int)], axis=1)
    return x, labels(30)


def trained(mode: str, optimizer: Any, x: Any, y: Any, model: Any = None, epochs: int = 3, **kwargs: Any) -> Any:
    model = deepfm(**PENALTY) if model is None else model
    model.compile(optimizer, "binary_crossentropy", embedding_update=mode, **kwargs)
    model.fit(x, y, batch_size=len(y), epochs=epochs, verbose=0, shuffle=False)
    return model


# ------------------------------------------------------------------ dense and sparse


@pytest.mark.parametrize("optimizer", NAMES)
@pytest.mark.parametrize("clip", [None, 0.5])
def test_sparse_equals_dense_where_every_row_is_touched(optimizer: str, clip: float | None) -> None:
    x, y = all_rows()
    dense, sparse = (trained(mode, optimizer, x, y, clip_norm=clip) for mode in ("dense", "sparse"))
    assert_same_weights(dense, sparse, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(dense.history.history["loss"], sparse.history.history["loss"], rtol=1e-5)


def test_sparse_sgd_without_penalty_equals_dense_with_any_rows() -> None:
    x, y = inputs(40), labels(40)
    models = []
    for mode in ("dense", "sparse"):
        model = deepfm(**NO_PENALTY)
        model.compile("sgd", "binary_crossentropy", embedding_update=mode)
        model.fit(x, y, batch_size=3, epochs=2, verbose=0)
        models.append(model)
    assert_same_weights(*models, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("optimizer", NAMES)
def test_sparse_updates_leave_untouched_rows_bit_for_bit(optimizer: str) -> None:
    x, y = inputs(20), labels(20)
    x["user"], x["item"] = np.where(x["user"] > 3, 1, x["user"]), np.full(20, 2)
    x["tags"] = np.where(x["tags"] == 5, 0, x["tags"])
    x["tags"][:, 2] = 1
    model = deepfm(**PENALTY)
    before = weights_of(model)
    trained("sparse", optimizer, x, y, model)
    after = weights_of(model)
    for part in ("embedding_dict", "linear_model.embedding_dict"):
        for name, rows in (("user", slice(4, None)), ("item", [0, 1, 3, 4]), ("tags", [5])):
            key = f"{part}.{name}.weight"
            assert torch.equal(before[key][rows], after[key][rows])
            assert not torch.equal(before[key], after[key])


def test_sparse_penalty_is_that_of_the_rows_touched() -> None:
    columns = [SparseFeat("user", 4, 2)]
    x, y = {"user": np.array([1, 1, 3])}, np.array([1.0, 0.0, 1.0])
    model = DeepFM(columns, columns, l2_reg_linear=0.2, l2_reg_embedding=0.1, dnn_hidden_units=(), init_std=0.5)
    model.add_regularization_weight(model.embedding_dict.parameters(), l1=0.3)
    table, line = (weights_of(model)[f"{part}embedding_dict.user.weight"][[1, 3]] for part in ("", "linear_model."))
    with torch.no_grad():
        data = F.binary_cross_entropy(
            model(torch.tensor([[1.0], [1], [3]]))[:, 0], torch.tensor(y).float(), reduction="sum"
        )
    expected = data + 0.1 * table.square().sum() + 0.3 * table.abs().sum() + 0.2 * line.square().sum()
    model.compile("sgd", "binary_crossentropy", embedding_update="sparse", learning_rate=0.1)
    history = model.fit(x, y, batch_size=3, verbose=0).history
    assert history["loss"][0] == pytest.approx(float(expected) / 3, rel=1e-5)
    # one field has no interactions: the gradient of the vectors is that of their penalty
    moved = weights_of(model)["embedding_dict.user.weight"][[1, 3]]
    torch.testing.assert_close(moved, table - 0.1 * (0.2 * table + 0.3 * table.sign()))


def test_l1_and_l2_of_tables_agree_in_both_modes() -> None:
    x, y = all_rows()
    models = []
    for mode in ("dense", "sparse"):
        model = deepfm(**PENALTY)
        model.add_regularization_weight(model.embedding_dict.parameters(), l1=0.05)
        models.append(trained(mode, "adagrad", x, y, model))
    assert_same_weights(*models, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("batch", "mode"), [(8, "sparse"), (9, "dense")])
def test_auto_is_dense_where_a_batch_holds_four_ids_for_three_rows(batch: int, mode: str) -> None:
    # 5 ids a sample, 8 samples: 40 ids; 33 rows: 3 * 40 < 4 * 33 = 132 <= 3 * 45
    columns = [SparseFeat("user", 20, 4), SparseFeat("item", 10, 2), VarLenSparseFeat(SparseFeat("tags", 3, 4), 3)]
    model = DeepFM(columns, columns, use_fm=False)
    assert resolve_embedding_update(model, batch) == mode
    model.compile("adam", "binary_crossentropy")
    x = {"user": np.zeros(9, int), "item": np.zeros(9, int), "tags": np.zeros((9, 3), int)}
    model.fit(x, np.zeros(9), batch_size=batch, verbose=0)
    assert model._update is not None
    assert model._update.mode == mode


def test_auto_counts_shared_tables_once_and_the_linear_side_only_alone() -> None:
    shared = [SparseFeat("user", 8, 4), SparseFeat("friend", 8, 4, embedding_name="user")]
    assert resolve_embedding_update(DeepFM(shared, shared), 6) == "dense"  # 3 * 12 >= 4 * 8
    assert resolve_embedding_update(DeepFM(shared, shared), 5) == "sparse"
    assert resolve_embedding_update(DeepFM([*shared, SparseFeat("page", 10**6, 4)], shared), 6) == "dense"

    class Wide(BaseModel):
        def logits(self, fields: Any) -> Tensor:
            return fields.linear

    assert resolve_embedding_update(Wide(shared, []), 5) == "sparse"
    assert resolve_embedding_update(Wide([DenseFeat("age")], []), 5) == "dense"


def test_auto_keeps_a_learning_rate_that_was_changed_before_the_first_fit() -> None:
    columns = [SparseFeat("user", 1000, 4)]
    model = DeepFM(columns, columns)
    model.compile("adam", "binary_crossentropy")
    model.optim.param_groups[0]["lr"] = 0.25
    recorder = Recorder()
    model.fit({"user": np.arange(4)}, np.zeros(4), verbose=0, callbacks=[recorder])
    assert recorder.rates == [0.25]
    assert {group["lr"] for group in model.optim.param_groups} == {0.25}


def test_sparse_needs_a_name() -> None:
    model = deepfm()
    optimizer = torch.optim.Adam(model.parameters())
    with pytest.raises(ValueError, match="needs an optimizer given by name"):
        model.compile(optimizer, "binary_crossentropy", embedding_update="sparse")
    with pytest.raises(ValueError, match="go with an optimizer given by name"):
        model.compile(optimizer, "binary_crossentropy", embedding_lr=0.1)


# ------------------------------------------------------------------ tables apart


@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_tables_may_have_their_own_optimizer_and_learning_rate(mode: str) -> None:
    x, y = all_rows()
    model, reference = deepfm(**PENALTY), deepfm(**PENALTY)
    trained(mode, "adam", x, y, model, embedding_optimizer="sgd", embedding_lr=0.2, learning_rate=0.05)
    tables = [w for m in reference.modules() if isinstance(m, EmbeddingCollection) for w in m.parameters()]
    rest = [p for p in reference.parameters() if all(p is not t for t in tables)]
    steppers = [torch.optim.Adam(rest, lr=0.05), torch.optim.SGD(tables, lr=0.2)]
    matrix = reference.schema.pack(batch_of(reference, x))
    for _ in range(3):
        reference.zero_grad()
        loss = F.binary_cross_entropy(reference(matrix)[:, 0], torch.from_numpy(y), reduction="sum")
        (loss + reference.get_regularization_loss()[0]).backward()
        for stepper in steppers:
            stepper.step()
    assert_same_weights(model, reference, rtol=1e-4, atol=1e-5)
    assert [group["lr"] for group in model.optim.param_groups] == [0.05, 0.2]


def batch_of(model: Any, x: Any) -> Any:
    from deepctr_torch.data.loader import make_source

    return next(iter(make_source(model.schema, x).batches(1000))).batch


def test_another_learning_rate_alone() -> None:
    model = deepfm()
    model.compile("adagrad", "binary_crossentropy", embedding_lr=0.5, embedding_update="dense")
    assert [(type(m).__name__, m.param_groups[0]["lr"]) for m in model.optim.members] == [
        ("Adagrad", 0.01),
        ("Adagrad", 0.5),
    ]
    model.compile("adagrad", "binary_crossentropy", embedding_optimizer="adam", learning_rate=0.3)
    assert [group["lr"] for group in model.optim.param_groups] == [0.3, 0.001]


# ------------------------------------------------------------------ frozen tables


@pytest.mark.parametrize("mode", ["dense", "sparse"])
@pytest.mark.parametrize("optimizer", NAMES)
def test_frozen_tables_stay_bit_for_bit(mode: str, optimizer: str) -> None:
    x, y = all_rows()
    model = deepfm(**PENALTY)
    model.set_embedding("user", np.arange(USERS * 4).reshape(USERS, 4) / 10, trainable=False)
    before = weights_of(model)
    trained(mode, optimizer, x, y, model, learning_rate=0.05)
    after = weights_of(model)
    assert torch.equal(before["embedding_dict.user.weight"], after["embedding_dict.user.weight"])
    for other in ("embedding_dict.item.weight", "linear_model.embedding_dict.user.weight", "dnn_linear.weight"):
        assert not torch.equal(before[other], after[other])
    model.embedding_dict["user"].weight.requires_grad_(True)
    model.fit(x, y, batch_size=30, verbose=0)
    assert not torch.equal(before["embedding_dict.user.weight"], weights_of(model)["embedding_dict.user.weight"])


@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_all_tables_frozen_at_once(mode: str) -> None:
    x, y = all_rows()
    model = deepfm(**PENALTY)
    model.embedding_dict.requires_grad_(False)
    before = weights_of(model)
    trained(mode, "adam", x, y, model)
    after = weights_of(model)
    for name in ("user", "item", "tags"):
        assert torch.equal(before[f"embedding_dict.{name}.weight"], after[f"embedding_dict.{name}.weight"])
    assert not torch.equal(
        before["linear_model.embedding_dict.user.weight"], after["linear_model.embedding_dict.user.weight"]
    )


def test_frozen_rows_enter_neither_the_norm_nor_the_momentum() -> None:
    x, y = all_rows()
    model = deepfm(**PENALTY)
    model.embedding_dict["user"].weight.requires_grad_(False)
    model.compile("adam", "binary_crossentropy", embedding_update="dense", clip_norm=0.1)
    step, norms = model.optim.step, []

    def spy() -> None:
        norms.append(
            torch.stack([p.grad.square().sum() for p in model.parameters() if p.grad is not None]).sum().sqrt()
        )
        step()

    model.optim.step = spy
    model.fit(x, y, batch_size=len(y), epochs=2, verbose=0)
    assert not model.optim.state.get(model.embedding_dict["user"].weight)
    assert model.optim.state[model.embedding_dict["item"].weight]["exp_avg"].abs().max() > 0
    torch.testing.assert_close(torch.stack(norms), torch.full((2,), 0.1), rtol=1e-4, atol=0)


# ------------------------------------------------------------------ optimizers of the user's, and shared tables


@pytest.mark.parametrize("kind", ["sgd", "adagrad"])
def test_instances_that_can_be_given_sparse_gradients_are(kind: str) -> None:
    x, y = inputs(40), labels(40)
    named, given = deepfm(**PENALTY), deepfm(**PENALTY)
    named.compile(kind, "binary_crossentropy", embedding_update="sparse")
    cls = {"sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad}[kind]
    given.compile(cls(given.parameters(), lr=0.01), "binary_crossentropy", embedding_update="sparse")
    for model in (named, given):
        model.fit(x, y, batch_size=3, epochs=2, verbose=0)
    assert_same_weights(named, given, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(named.history.history["loss"], given.history.history["loss"], rtol=1e-6)


def test_sparse_adam_moves_only_the_rows_of_the_batch() -> None:
    x, y = inputs(20), labels(20)
    x["user"] = np.where(x["user"] > 3, 1, x["user"])
    model = deepfm(**PENALTY)
    before = weights_of(model)
    model.compile(torch.optim.SparseAdam(list(model.parameters()), lr=0.01), "binary_crossentropy")
    model.fit(x, y, batch_size=3, verbose=0)
    assert model._update is not None
    assert model._update.mode == "sparse"
    after = weights_of(model)
    assert torch.equal(before["embedding_dict.user.weight"][4:], after["embedding_dict.user.weight"][4:])
    assert not torch.equal(before["embedding_dict.user.weight"], after["embedding_dict.user.weight"])
    assert not torch.equal(before["dnn.linears.0.weight"], after["dnn.linears.0.weight"])


def test_an_instance_that_must_update_all_rows_of_large_tables_warns_once() -> None:
    columns = [SparseFeat("user", 120_000, 4)]
    model = DeepFM(columns, columns, dnn_hidden_units=(4,))
    model.compile(torch.optim.Adam(model.parameters()), "binary_crossentropy")
    x, y = {"user": np.arange(8)}, np.ones(8)
    with pytest.warns(UserWarning, match=r"Adam updates all 240,000 rows .* compile\('adam', ...\)"):
        model.fit(x, y, verbose=0)
    model.fit(x, y, verbose=0)  # once
    with pytest.raises(ValueError, match="needs an optimizer given by name, or an instance that takes sparse"):
        model.compile(torch.optim.Adam(model.parameters()), "binary_crossentropy", embedding_update="sparse")


class Twice(BaseModel):
    """Reads a table through the lookup, and in every other pass once more beside it."""

    passes = 0

    def logits(self, fields: Any) -> Tensor:
        self.passes += 1
        both = fields.linear + fields.stacked.sum(dim=(1, 2)).unsqueeze(1)
        return both + self.beside() if self.passes % 2 else both

    def beside(self) -> Tensor:
        return self.embedding_dict["user"].weight[1].sum() + self.embedding_dict["user"](torch.tensor([2])).sum()


class TwiceByHand(Twice):
    """The same from the table, row by row."""

    def beside(self) -> Tensor:
        return self.embedding_dict["user"].weight[1:3].sum()


@pytest.mark.parametrize("mode", ["dense", "sparse"])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "instance"])
def test_a_table_read_beside_the_lookup_gets_all_its_gradient(mode: str, optimizer: str) -> None:
    columns = [SparseFeat("user", 5, 4), SparseFeat("friend", 5, 4, embedding_name="user")]
    x, y = {"user": np.array([0, 2, 2]), "friend": np.array([2, 3, 0])}, np.array([1.0, 0.0, 1.0])
    model, reference = (kind(columns, columns, init_std=0.3, **NO_PENALTY) for kind in (Twice, TwiceByHand))
    assert_same_weights(model, reference, rtol=0, atol=0)
    makers: dict[str, Any] = {"sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad, "instance": torch.optim.SGD}
    own = makers[optimizer](model.parameters(), lr=0.01) if optimizer == "instance" else optimizer
    model.compile(own, "binary_crossentropy", embedding_update=mode)
    stepper = makers[optimizer](reference.parameters(), lr=0.01)
    matrix = torch.tensor([[0, 2], [2, 3], [2, 0]])
    for _ in range(4):
        model.fit(x, y, batch_size=3, verbose=0)
        stepper.zero_grad()
        F.binary_cross_entropy(reference(matrix)[:, 0], torch.tensor([1.0, 0, 1]), reduction="sum").backward()
        stepper.step()
    assert_same_weights(model, reference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["dense", "sparse"])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_penalty_of_one_table_moves_it_and_no_other(mode: str, name: str) -> None:
    """Sparse updates penalize the rows that are read; dense ones all rows, those that nothing else moves, too."""
    columns = [SparseFeat("user", 5, 4), SparseFeat("item", 6, 4)]
    model = DeepFM(columns, columns, dnn_hidden_units=(4,), init_std=0.3, **NO_PENALTY)
    model.add_regularization_weight(model.embedding_dict["user"].weight, l2=0.5)
    before = weights_of(model)
    model.compile(name, "binary_crossentropy", learning_rate=0.1, embedding_update=mode)
    x, y = {"user": np.array([1, 1]), "item": np.array([2, 2])}, np.array([1.0, 0.0])
    model.fit(x, y, batch_size=2, verbose=0)
    after = weights_of(model)
    old, new = before["embedding_dict.user.weight"], after["embedding_dict.user.weight"]
    rows = [0, 2, 3, 4]
    expected = old[rows] - 0.1 * (old[rows] if name == "sgd" else old[rows].sign())
    torch.testing.assert_close(new[rows], expected if mode == "dense" else old[rows], rtol=1e-5, atol=1e-6)
    assert not torch.equal(new[1], old[1])
    key = "embedding_dict.item.weight"
    assert torch.equal(before[key][3:], after[key][3:])
    loss = -2 * np.log(0.5) + 0.5 * float((old if mode == "dense" else old[1]).square().sum())
    assert model.history.history["loss"][0] == pytest.approx(loss / 2, rel=0.2)


@pytest.mark.parametrize("optimizer", NAMES)
@pytest.mark.parametrize("clip", [None, 1e9])
def test_decay_inside_the_update_is_the_gradient_of_the_penalty(optimizer: str, clip: float | None) -> None:
    """A norm that is never reached keeps the penalty out of the fused update: both ways make the same steps."""
    x, y = inputs(40), labels(40)
    model, reference = deepfm(**PENALTY), deepfm(**PENALTY)
    model.compile(optimizer, "binary_crossentropy", embedding_update="dense", clip_norm=clip)
    model.fit(x, y, batch_size=7, epochs=2, verbose=0, shuffle=False)
    reference.compile(optimizer, "binary_crossentropy", embedding_update="dense", clip_norm=1e9)
    reference.fit(x, y, batch_size=7, epochs=2, verbose=0, shuffle=False)
    assert_same_weights(model, reference, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(model.history.history["loss"], reference.history.history["loss"], rtol=1e-6)
    assert all(not group.get("weight_decay") for group in model.optim.param_groups)


# ------------------------------------------------------------------ clipping


def test_clip_scales_the_whole_gradient() -> None:
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])
    clip_gradients([a, b], 1.0)
    torch.testing.assert_close(torch.cat([a, b[0]]), torch.tensor([0.6, 0.0, 0.8]), rtol=1e-6, atol=1e-6)
    clip_gradients([a, b], 5.0)
    torch.testing.assert_close(torch.cat([a, b[0]]), torch.tensor([0.6, 0.0, 0.8]), rtol=1e-6, atol=1e-6)
    clip_gradients([], 1.0)


def test_clip_equals_torch_on_data_and_penalty_together() -> None:
    x, y = all_rows()
    model, reference = deepfm(**PENALTY), deepfm(**PENALTY)
    trained("dense", "sgd", x, y, model, epochs=2, clip_norm=0.3)
    stepper = torch.optim.SGD(reference.parameters(), lr=0.01)
    matrix = reference.schema.pack(batch_of(reference, x))
    for _ in range(2):
        stepper.zero_grad()
        loss = F.binary_cross_entropy(reference(matrix)[:, 0], torch.from_numpy(y), reduction="sum")
        (loss + reference.get_regularization_loss()[0]).backward()
        nn.utils.clip_grad_norm_(reference.parameters(), 0.3)
        stepper.step()
    assert_same_weights(model, reference, rtol=1e-5, atol=1e-6)


def test_gradients_of_somebody_elses_loop_do_not_count() -> None:
    x, y = all_rows()
    clean, used = deepfm(**PENALTY), deepfm(**PENALTY)
    used(used.schema.pack(batch_of(used, x))).sum().mul(1e3).backward()
    for model in (clean, used):
        trained("sparse", "sgd", x, y, model, clip_norm=0.3)
    assert_same_weights(clean, used)


# ------------------------------------------------------------------ learning rates


def scheduled(callbacks: Any = (), schedule: Any = None, epochs: int = 2, **kwargs: Any) -> tuple[Any, list[float]]:
    x, y = inputs(40), labels(40)
    model, recorder = deepfm(), Recorder()
    schedule = (lambda step: 1.0 / (1 + step)) if schedule is None else schedule
    model.compile("sgd", "binary_crossentropy", learning_rate=0.5, lr_schedule=schedule, **kwargs)
    model.fit(x, y, batch_size=10, epochs=epochs, verbose=0, callbacks=[*callbacks, recorder])
    return model, recorder.rates


def test_a_schedule_changes_the_rate_at_each_step_and_leaves_the_base() -> None:
    model, rates = scheduled()
    np.testing.assert_allclose(rates, [0.5 / (1 + step) for step in range(8)])
    assert model.optim.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ({"name": "warmup", "warmup_steps": 4}, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        ({"name": "step", "epochs": 1, "factor": 0.1}, [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1]),
        ("cosine", [(1 + np.cos(np.pi * s / 8)) / 2 for s in range(8)]),
    ],
)
def test_schedules_by_name(schedule: Any, factors: list[float]) -> None:
    _, rates = scheduled(schedule=schedule)
    np.testing.assert_allclose(rates, np.array(factors) * 0.5)


def test_a_scheduled_step_moves_by_the_scheduled_rate() -> None:
    x, y = inputs(8), labels(8)
    one, other = deepfm(), deepfm()
    one.compile("sgd", "binary_crossentropy", learning_rate=0.4, lr_schedule=lambda step: 0.25)
    other.compile("sgd", "binary_crossentropy", learning_rate=0.1)
    for model in (one, other):
        model.fit(x, y, verbose=0)
    assert_same_weights(one, other)


@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_all_groups_are_scheduled_in_proportion(mode: str) -> None:
    model, rates = scheduled(embedding_lr=0.25, embedding_update=mode)
    np.testing.assert_allclose(rates, [0.5 / (1 + step) for step in range(8)])
    assert [group["lr"] for group in model.optim.param_groups] == [0.5, 0.25]


def test_plateau_falls_inside_fit() -> None:
    _, rates = scheduled(
        schedule={"name": "plateau", "monitor": "loss", "factor": 0.5, "patience": 1, "mode": "max"}, epochs=3
    )
    assert rates[:4] == [0.5] * 4
    assert rates[8:] == [0.25] * 4


def test_callbacks_set_what_the_schedule_multiplies() -> None:
    from deepctr_torch.callbacks import LearningRateScheduler, ReduceLROnPlateau

    scheduler = LearningRateScheduler(lambda epoch: 0.2 if epoch == 0 else 0.1)
    model, rates = scheduled([scheduler])
    np.testing.assert_allclose(rates, [(0.2 if s < 4 else 0.1) / (1 + s) for s in range(8)])
    assert model.history.history["learning_rate"] == [0.2, 0.1]
    assert model.optim.param_groups[0]["lr"] == 0.1
    plateau = ReduceLROnPlateau("loss", factor=0.1, patience=1, mode="max")  # the loss falls: no improvement
    model, rates = scheduled([plateau], epochs=3)
    np.testing.assert_allclose(rates, [(0.5 if s < 8 else 0.05) / (1 + s) for s in range(12)])
    assert model.optim.param_groups[0]["lr"] == pytest.approx(0.005)


def test_a_rate_of_zero_comes_back() -> None:
    model, rates = scheduled(schedule=lambda step: 0.0 if step < 3 else 1.0)
    assert rates == [0.0] * 3 + [0.5] * 5
    assert model.optim.param_groups[0]["lr"] == 0.5


def test_the_state_has_base_rates_also_within_a_schedule() -> None:
    from deepctr_torch.callbacks import Callback

    class Look(Callback):
        rates: list[float]

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.rates = [g["lr"] for g in self.model._update.state_dict()["param_groups"]]
            self.shown = self.model.optim.param_groups[0]["lr"]

    look = Look()
    scheduled([look])
    assert look.rates == [0.5]
    assert look.shown == 0.5 / 8


# ------------------------------------------------------------------ instances, copies, compiled code


def test_an_instance_is_used_as_it_is() -> None:
    x, y = inputs(20), labels(20)
    model, reference = deepfm(**NO_PENALTY), deepfm(**NO_PENALTY)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    model.compile(optimizer, "binary_crossentropy")
    assert model.optim is optimizer
    model.fit(x, y, epochs=3, batch_size=20, shuffle=False, verbose=0)
    stepper = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    matrix = reference.schema.pack(batch_of(reference, x))
    for _ in range(3):
        stepper.zero_grad()
        F.binary_cross_entropy(reference(matrix)[:, 0], torch.from_numpy(y), reduction="sum").backward()
        stepper.step()
    assert_same_weights(model, reference, rtol=1e-5, atol=1e-6)


def test_a_class_is_called_with_the_parameters() -> None:
    model = deepfm()
    model.compile(torch.optim.NAdam, "binary_crossentropy", learning_rate=0.2)
    assert isinstance(model.optim, torch.optim.NAdam)
    assert model.optim.param_groups[0]["lr"] == 0.2
    model.fit(inputs(8), labels(8), verbose=0)


def test_an_optimizer_may_be_replaced() -> None:
    x, y = inputs(20), labels(20)
    model, reference = deepfm(), deepfm()
    model.compile("adam", "binary_crossentropy", embedding_update="sparse")
    model.optim = torch.optim.SGD(model.parameters(), lr=0.1)
    reference.compile(torch.optim.SGD(reference.parameters(), lr=0.1), "binary_crossentropy")
    for one in (model, reference):
        one.fit(x, y, verbose=0)
    assert_same_weights(model, reference)


@pytest.mark.parametrize("optimizer", NAMES)
def test_the_optimizer_also_steps_tables_in_somebody_elses_loop(optimizer: str) -> None:
    x, y = all_rows()
    models = []
    for mode in ("dense", "sparse"):
        model = deepfm(**PENALTY)
        model.compile(optimizer, "binary_crossentropy", embedding_update=mode)
        matrix = model.schema.pack(batch_of(model, x))
        for _ in range(3):
            model.optim.zero_grad()
            loss = model.loss_func(model(matrix)[:, 0], torch.from_numpy(y), reduction="sum")
            (loss + model.get_regularization_loss()[0]).backward()
            model.optim.step()
        models.append(model)
    assert_same_weights(*models, rtol=1e-4, atol=1e-6)
    before = weights_of(models[1])
    models[1].optim.zero_grad()
    models[1].embedding_dict["user"](torch.tensor([2])).sum().backward()
    models[1].optim.step()
    changed = (before["embedding_dict.user.weight"] != weights_of(models[1])["embedding_dict.user.weight"]).any(dim=1)
    assert changed.nonzero()[:, 0].tolist() == [2]


class Own(BaseModel):
    """A user's model with a forward of its own."""

    def forward(self, X: Tensor) -> Tensor:
        return self.out(self.linear_model(X))


class OwnPenalty(DeepFM):
    def get_regularization_loss(self) -> Tensor:
        return 0.1 * self.embedding_dict["user"].weight.new_ones(1) + 0.1 * sum(
            w.square().sum() for w in self.embedding_dict.parameters()
        )


def test_a_forward_or_penalty_of_ones_own_is_updated_densely() -> None:
    columns = [SparseFeat("user", 1000, 4)]
    x, y = {"user": np.arange(4)}, np.zeros(4)
    for cls in (Own, OwnPenalty):
        model = cls(columns, columns)
        model.compile("sgd", "binary_crossentropy")
        model.fit(x, y, verbose=0)
        assert model._update is not None
        assert model._update.mode == "dense"
        model.compile("sgd", "binary_crossentropy", embedding_update="sparse")
        with pytest.raises(ValueError, match="embedding_update='sparse' needs"):
            model.fit(x, y, verbose=0)
    own = Own(columns, columns)
    own.compile("sgd", "binary_crossentropy", torch_compile=True)
    with pytest.raises(ValueError, match="torch_compile=True needs a model that defines logits"):
        own.fit(x, y, verbose=0)


def test_a_penalty_of_ones_own_takes_the_place_of_the_declared_one() -> None:
    x, y = {"user": np.array([0, 1])}, np.array([1.0, 0.0])
    columns = [SparseFeat("user", 3, 2)]
    model = OwnPenalty(columns, columns, l2_reg_embedding=5.0, l2_reg_linear=0, dnn_hidden_units=(), init_std=0.5)
    before = model.embedding_dict["user"].weight.detach().clone()
    model.compile("sgd", "binary_crossentropy", learning_rate=0.1)
    model.fit(x, y, verbose=0, batch_size=2)
    torch.testing.assert_close(model.embedding_dict["user"].weight.detach(), before * (1 - 0.1 * 0.2))


@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_compiled_code_trains_the_same_and_belongs_to_one_model(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = torch.compile

    def stub(function: Any, **kwargs: Any) -> Any:
        calls.append(function)
        return real(function, backend="eager", **kwargs)

    monkeypatch.setattr(torch, "compile", stub)
    x, y = inputs(40), labels(40)
    plain, fast = deepfm(), deepfm()
    plain.compile("adam", "binary_crossentropy", embedding_update=mode)
    fast.compile("adam", "binary_crossentropy", embedding_update=mode, torch_compile=True)
    for model in (plain, fast):
        model.fit(x, y, batch_size=20, epochs=2, verbose=0)
    assert_same_weights(plain, fast, rtol=1e-5, atol=1e-6)
    assert len(calls) == 1
    twin = copy.deepcopy(fast)
    before = weights_of(fast)
    for model in (plain, twin):
        model.fit(x, y, batch_size=20, verbose=0)
    assert_same_weights(plain, twin, rtol=1e-5, atol=1e-6)
    assert_same_weights(before, fast)
    assert pickle.loads(pickle.dumps(twin._update)).mode == mode


def test_bf16_trains_near_fp32_and_keeps_float32_weights() -> None:
    x, y = inputs(40), labels(40)
    models = []
    for precision in ("fp32", "bf16"):
        model = deepfm()
        model.compile("adam", "binary_crossentropy", ["logloss"], precision=precision)
        model.fit(x, y, batch_size=10, epochs=3, verbose=0)
        models.append(model)
        assert {p.dtype for p in model.parameters()} == {torch.float32}
    exact, rough = (m.history.history["loss"] for m in models)
    assert exact != rough
    np.testing.assert_allclose(exact, rough, rtol=0.02)
    assert models[1].predict(x).dtype == np.float64


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["dense", "sparse"])
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about itself
def test_the_real_compiler_trains_the_same(mode: str) -> None:
    x, y = inputs(40), labels(40)
    plain, fast = deepfm(), deepfm()
    plain.compile("adam", "binary_crossentropy", embedding_update=mode)
    fast.compile("adam", "binary_crossentropy", embedding_update=mode, torch_compile=True)
    for model in (plain, fast):
        model.fit(x, y, batch_size=20, epochs=3, verbose=0)
    assert_same_weights(plain, fast, rtol=1e-4, atol=1e-5)
