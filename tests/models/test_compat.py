"""User code for DeepCTR-Torch: subclasses with a `forward`, `fit` or `compile` of their own, star imports."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from deepctr_torch import inputs as facade
from deepctr_torch import load_model
from deepctr_torch.callbacks import EarlyStopping, History
from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.inputs import combined_dnn_input
from deepctr_torch.layers import DNN, FM, PredictionLayer
from deepctr_torch.models import MLR, WDL, DeepFM
from deepctr_torch.models.basemodel import BaseModel, Linear
from tests.support.training import (
    COLUMNS,
    Recorder,
    assert_same_weights,
    both_labels,
    deepfm,
    inputs,
    labels,
    weights_of,
)

X, Y = inputs(), labels()


class TheirDeepFM(BaseModel):
    """DeepFM composed by hand on one packed matrix, the way the original's models are written."""

    def __init__(self, linear_feature_columns: Any, dnn_feature_columns: Any, l2: float = 0.01, **kwargs: Any) -> None:
        super().__init__(linear_feature_columns, dnn_feature_columns, l2, l2, init_std=0.3, task="binary", **kwargs)
        self.fm = FM()
        self.dnn = DNN(self.compute_input_dim(dnn_feature_columns), (6, 5), init_std=0.3, device=self.device)
        self.dnn_linear = nn.Linear(5, 1, bias=False).to(self.device)
        self.add_regularization_weight(
            filter(lambda p: "weight" in p[0] and "bn" not in p[0], self.dnn.named_parameters()), l2=l2
        )
        self.add_regularization_weight(self.dnn_linear.weight, l2=l2)
        self.to(self.device)

    def forward(self, X: Tensor) -> Tensor:
        vectors, numbers = self.input_from_feature_columns(X, self.dnn_feature_columns, self.embedding_dict)
        logit = self.linear_model(X)
        logit += self.fm(torch.cat(vectors, dim=1))
        logit += self.dnn_linear(self.dnn(combined_dnn_input(vectors, numbers)))
        return self.out(logit)


class Auxiliary(TheirDeepFM):
    """With a second loss, the mean square of the prediction."""

    alpha = 0.5

    def forward(self, X: Tensor) -> Tensor:
        y_pred = super().forward(X)
        self.add_auxiliary_loss((y_pred**2).mean(), self.alpha)
        return y_pred


class OwnLoop(TheirDeepFM):
    """With a loop over a DataLoader in the place of `fit`."""

    def fit(self, x: Any, y: Any, batch_size: int = 10, epochs: int = 2) -> History:  # type: ignore[override]
        columns = [np.expand_dims(x[f], 1) if x[f].ndim == 1 else x[f] for f in self.feature_index]
        data = TensorDataset(torch.from_numpy(np.concatenate(columns, axis=-1)), torch.from_numpy(y))
        model, loss_func, optim = self.train(), self.loss_func, self.optim
        self.history.set_model(self)
        self.history.on_train_begin()
        for epoch in range(epochs):
            total, results = 0.0, {name: [] for name in self.metrics}  # type: ignore[var-annotated]
            for x_train, y_train in DataLoader(dataset=data, batch_size=batch_size):
                y_pred = model(x_train.float()).squeeze()
                optim.zero_grad()
                loss = loss_func(y_pred, y_train.squeeze(), reduction="sum")
                all_loss = loss + self.get_regularization_loss() + self.aux_loss
                total += all_loss.item()
                all_loss.backward()
                optim.step()
                for name, metric in self.metrics.items():
                    results[name].append(metric(y_train.numpy(), y_pred.detach().numpy().astype("float64")))
            logs = {"loss": total / len(y), **{k: float(np.mean(v)) for k, v in results.items()}}
            self.history.on_epoch_end(epoch, logs)
        return self.history


class OwnCompile(TheirDeepFM):
    """With a `compile` that calls the original's helpers."""

    def compile(self, optimizer: Any, loss: Any = None, metrics: Any = None) -> None:  # type: ignore[override]
        self.metrics_names = ["loss"]
        self.optim = self._get_optim(optimizer)
        self.loss_func = self._get_loss_func(loss)
        self.metrics = self._get_metrics(metrics)


def packed(model: Any) -> Tensor:
    columns = [X[name].reshape(40, -1) for name in model.feature_index]
    return torch.from_numpy(np.concatenate(columns, axis=1))


def twin_of(model: Any) -> DeepFM:
    """The package's DeepFM with the same weights and penalties."""
    twin = deepfm(l2_reg_linear=0.01, l2_reg_embedding=0.01, l2_reg_dnn=0.01, seed=model.seed)
    twin.load_state_dict(model.state_dict())
    return twin


def test_a_forward_of_ones_own_trains_and_predicts_as_the_package_does() -> None:
    model = TheirDeepFM(COLUMNS, COLUMNS)
    twin = twin_of(model)
    for each in (model, twin):
        each.compile("adam", "binary_crossentropy", ["auc", "logloss"], embedding_update="dense")
        each.fit(X, Y, 10, 3, 0, validation_split=0.2)
    assert list(model.state_dict()) == list(twin.state_dict())
    assert_same_weights(model, twin, rtol=1e-4, atol=1e-6)
    for name, values in twin.history.history.items():
        np.testing.assert_allclose(model.history.history[name], values, rtol=1e-5)
    np.testing.assert_allclose(model.predict(X), twin.predict(X), rtol=1e-5)
    np.testing.assert_allclose(model.eval()(packed(model)).detach().numpy(), model.predict(X), rtol=1e-5)
    assert model.evaluate(X, Y) == pytest.approx(twin.evaluate(X, Y))


def test_everything_the_loop_offers_works_for_it() -> None:
    model = TheirDeepFM(COLUMNS, COLUMNS)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    model.compile(optimizer, nn.BCELoss(), ["auc"], lr_schedule="cosine", clip_norm=1.0, loss_reduction="mean")
    stopper = EarlyStopping("val_auc", patience=2, restore_best_weights=True)
    history = model.fit(
        X, Y, 10, 3, 0, validation_data=(X, Y), sample_weight=np.ones(40), callbacks=[stopper], eval_every=2
    )
    assert len(history.epoch) >= 3
    assert model.epochs_trained >= 2


def test_the_auxiliary_loss_reaches_the_loss_and_the_gradient() -> None:
    model = Auxiliary(COLUMNS, COLUMNS)
    start = weights_of(model)
    reference = TheirDeepFM(COLUMNS, COLUMNS)
    reference.load_state_dict(start)
    model.compile("sgd", "binary_crossentropy", learning_rate=0.1)
    loss = model.fit(X, Y, 40, 1, 0, shuffle=False).history["loss"][0]
    y_pred = reference(packed(reference).float())
    total = F.binary_cross_entropy(y_pred[:, 0], torch.from_numpy(Y), reduction="sum")
    total = total + reference.get_regularization_loss()[0] + 0.5 * (y_pred**2).mean()
    assert loss == pytest.approx(float(total.detach()) / 40, rel=1e-5)
    total.backward()
    with torch.no_grad():
        for p in reference.parameters():
            p -= 0.1 * p.grad
    assert_same_weights(model, reference, rtol=1e-4, atol=1e-6)
    assert not model.aux_loss.requires_grad  # no graph is kept for a copy to stumble over
    model.predict(X)
    model.compile("sgd", "binary_crossentropy")
    model.fit(X, Y, verbose=0)


def test_a_fit_of_ones_own() -> None:
    model = OwnLoop(COLUMNS, COLUMNS)
    twin = twin_of(model)
    for each in (model, twin):
        each.compile("adam", "binary_crossentropy", ["binary_crossentropy", "acc"])
    history = model.fit(X, Y)
    twin.compile("adam", "binary_crossentropy", embedding_update="dense")
    twin.fit(X, Y, 10, 2, 0, shuffle=False)
    assert_same_weights(model, twin, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(history.history["loss"], twin.history.history["loss"], rtol=1e-5)
    assert list(history.history) == ["loss", "binary_crossentropy", "acc"]
    assert history is model.history
    assert list(model.evaluate(X, Y)) == ["binary_crossentropy", "acc"]


def test_a_compile_of_ones_own() -> None:
    model, twin = OwnCompile(COLUMNS, COLUMNS), TheirDeepFM(COLUMNS, COLUMNS)
    twin.load_state_dict(model.state_dict())
    for each in (model, twin):
        each.compile("adagrad", "binary_crossentropy", metrics=["auc", "acc"])
        each.fit(X, Y, 10, 2, 0)
    assert model.metrics_names == ["loss", "auc", "acc"]
    assert type(model.optim).__name__ == "Adagrad"
    assert_same_weights(model, twin)
    assert model.history.history == twin.history.history
    assert model.evaluate(X, Y) == twin.evaluate(X, Y)


def test_one_dimensional_predictions_are_columns() -> None:
    class Flat(BaseModel):
        def forward(self, X: Tensor) -> Tensor:
            return torch.sigmoid(self.linear_model(X)).squeeze(1)

    model = Flat(COLUMNS, [])
    model.compile("sgd", "binary_crossentropy", ["auc"])
    model.fit(X, Y, 7, verbose=0)
    assert model.predict(X).shape == (40, 1)


def test_tables_and_a_linear_side_of_ones_own() -> None:
    class Two(BaseModel):
        def __init__(self, columns: Any) -> None:
            super().__init__(columns, columns, device="cpu")
            self.second = facade.create_embedding_matrix(columns, 0.1, device="cpu")
            self.other = Linear(columns, self.feature_index, device="cpu")
            self.head = PredictionLayer("binary")
            self.weight = nn.Linear(4, 1)

        def forward(self, X: Tensor) -> Tensor:
            vectors, _ = self.input_from_feature_columns(X, self.dnn_feature_columns, self.second)
            return self.head(self.other(X) + self.weight(torch.cat(vectors, 1).mean(1)))

    model = Two(COLUMNS)
    before = weights_of(model)
    model.compile("adam", "binary_crossentropy")
    model.fit(X, Y, 10, verbose=0)
    after = weights_of(model)
    for key in ("second.user.weight", "other.embedding_dict.user.weight", "other.weight", "head.bias"):
        assert not torch.equal(before[key], after[key])


class TheirSharedBottom(BaseModel):
    """Several tasks, the way the original's models say it."""

    def __init__(
        self, columns: Any, task_types: Any = ("binary", "regression"), task_names: Any = ("click", "spend")
    ) -> None:
        super().__init__([], columns, init_std=0.3)
        self.num_tasks, self.task_names = len(task_names), task_names
        width = self.compute_input_dim(columns)
        self.tower = nn.ModuleList([nn.Linear(width, 1, bias=False) for _ in task_names])
        self.out = nn.ModuleList([PredictionLayer(task) for task in task_types])

    def forward(self, X: Tensor) -> Tensor:
        vectors, numbers = self.input_from_feature_columns(X, self.dnn_feature_columns, self.embedding_dict)
        shared = combined_dnn_input(vectors, numbers)
        return torch.cat([out(tower(shared)) for tower, out in zip(self.tower, self.out, strict=True)], -1)


def test_several_tasks_the_way_the_original_says_it() -> None:
    model, y = TheirSharedBottom(COLUMNS), both_labels()
    model.compile("adam", ["binary_crossentropy", "mse"], ["mse"])
    history = model.fit(X, y, 10, 2, 0, validation_split=0.2).history
    assert list(history)[:4] == ["loss", "click_mse", "spend_mse", "mse"]
    assert model.predict(X).shape == (40, 2)
    assert history["loss"][1] < history["loss"][0]
    plain = TheirSharedBottom(COLUMNS)
    plain.task_names = None
    plain.compile("adam", "mse", ["mse"])
    assert plain.tasks == (("task0", "binary"), ("task1", "regression"))


def test_a_layer_may_have_the_name_of_a_method() -> None:
    class New(BaseModel):
        def __init__(self, columns: Any) -> None:
            super().__init__([], columns)
            self.head = nn.Linear(14, 1)

        def logits(self, fields: Any) -> Tensor:
            return self.head(fields.flat)

    class Old(BaseModel):
        def __init__(self, columns: Any) -> None:
            super().__init__([], columns)
            self.score = nn.Linear(7, 1)
            self.embedding = nn.Linear(1, 1)

        def forward(self, X: Tensor) -> Tensor:
            return self.out(self.embedding(self.score(X)))

    for cls, name in ((New, "head"), (Old, "score")):
        model = cls(COLUMNS)
        before = weights_of(model)
        model.compile("adam", "binary_crossentropy")
        model.fit(X, Y, 10, verbose=0)
        after = weights_of(model)
        assert not torch.equal(before[f"{name}.weight"], after[f"{name}.weight"])
        assert not torch.equal(before["out.bias"], after["out.bias"])
        assert_same_weights(copy.deepcopy(model), model)

    class Wrong(New):
        def __init__(self, columns: Any) -> None:
            super().__init__(columns)
            self.predict_rows = nn.Linear(1, 1)

    with pytest.raises(ValueError, match="'predict_rows' has a meaning in every model: give this Linear another name"):
        Wrong(COLUMNS)


def test_hashed_ids_are_hashed_once() -> None:
    columns = [SparseFeat("page", 50, 4, use_hash=True), VarLenSparseFeat(SparseFeat("words", 20, 4, use_hash=True), 2)]
    x = {"page": np.array([10**12, 7, 8]), "words": np.array([[1, 0], [10**6, 3], [0, 0]])}
    model = TheirDeepFM(columns, columns)
    expected = twin = DeepFM(columns, columns, dnn_hidden_units=(6, 5))
    twin.load_state_dict(model.state_dict())
    np.testing.assert_allclose(model.predict(x), expected.predict(x), rtol=1e-5)
    matrix = torch.from_numpy(np.column_stack([x["page"], x["words"]]))
    np.testing.assert_allclose(model(matrix).detach().numpy(), expected.predict(x), rtol=1e-5)


def test_callbacks_written_for_it_find_what_they_ask() -> None:
    class Theirs:
        """No base class, only the hooks."""

        def set_model(self, model: Any) -> None:
            self.model = model
            assert model._is_graph_network
            assert not model._in_multi_worker_mode()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    model = TheirDeepFM(COLUMNS, COLUMNS)
    model.compile("adam", "binary_crossentropy", ["auc"])
    recorder = Recorder()
    assert model.fit(X, Y, 10, 5, 0, callbacks=[Theirs(), recorder]).epoch == [0, 1]


# ------------------------------------------------------------------ helpers


def test_compute_input_dim() -> None:
    columns = [SparseFeat("a", 5, 3), VarLenSparseFeat(SparseFeat("b", 5, 7), 2), DenseFeat("c", 4)]
    model = BaseModel(columns, columns)
    assert model.compute_input_dim(columns) == 14
    assert model.compute_input_dim(columns, include_dense=False) == 10
    assert model.compute_input_dim(columns, include_sparse=False) == 4
    assert model.compute_input_dim(columns, feature_group=True) == 6
    assert model.compute_input_dim([]) == 0


def test_input_from_feature_columns() -> None:
    model = deepfm()
    vectors, numbers = model.input_from_feature_columns(packed(model), COLUMNS, model.embedding_dict)
    assert [tuple(v.shape) for v in vectors] == [(40, 1, 4)] * 3
    assert [tuple(n.shape) for n in numbers] == [(40, 2)]
    table = model.embedding_dict["user"].weight.detach()
    torch.testing.assert_close(vectors[0][:, 0].detach(), table[torch.from_numpy(X["user"])])
    with pytest.raises(ValueError, match="dense features are not supported"):
        model.input_from_feature_columns(packed(model), COLUMNS, model.embedding_dict, support_dense=False)


def test_lookup_helpers() -> None:
    columns = [
        SparseFeat("a", 5, 3, group_name="left"),
        SparseFeat("b", 5, 3),
        VarLenSparseFeat(SparseFeat("s", 4, 3), 2),
    ]
    tables = facade.create_embedding_matrix(columns, 0.5)
    assert [(name, tuple(t.weight.shape)) for name, t in tables.items()] == [
        ("a", (5, 3)),
        ("b", (5, 3)),
        ("s", (4, 3)),
    ]
    assert facade.create_embedding_matrix(columns, linear=True, sparse=True)["s"].weight.shape == (4, 1)
    index = facade.build_input_features(columns)
    X = torch.tensor([[1.0, 0, 3, 0], [4, 2, 0, 0]])
    groups = facade.embedding_lookup(X, tables, index, columns[:2])
    assert {name: [tuple(v.shape) for v in each] for name, each in groups.items()} == {
        "left": [(2, 1, 3)],
        "default_group": [(2, 1, 3)],
    }
    (only,) = facade.embedding_lookup(X, tables, index, columns[:2], ["b"], ["b"], to_list=True)
    torch.testing.assert_close(only[:, 0], torch.stack([torch.zeros(3), tables["b"].weight[2]]))
    sequences = facade.varlen_embedding_lookup(X, tables, index, columns[2:])
    torch.testing.assert_close(sequences["s"][0], tables["s"].weight[[3, 0]])
    (pooled,) = facade.get_varlen_pooling_list(sequences, X, index, columns[2:], "cpu")
    torch.testing.assert_close(pooled[:, 0], torch.stack([tables["s"].weight[3], torch.zeros(3)]), rtol=1e-5, atol=1e-6)


def test_lengths_weights_and_combined_inputs() -> None:
    column = VarLenSparseFeat(SparseFeat("s", 4, 1), 2, "sum", "n", "w")
    index = facade.build_input_features([column, DenseFeat("d", 2)])
    X = torch.tensor([[3.0, 2, 1, 0.5, 9, 7, 8], [0, 1, 2, 2.0, 3.0, 5, 6]])
    table = {"s": torch.tensor([[10.0], [20], [30], [40]])}
    sequences = {"s": table["s"][X[:, :2].long()]}
    (pooled,) = facade.get_varlen_pooling_list(sequences, X, index, [column], "cpu")
    assert pooled.flatten().tolist() == [20.0, 80.0]
    assert facade.maxlen_lookup(X, index, ["n"]).tolist() == [[1], [2]]
    with pytest.raises(ValueError, match="needs a length_name"):
        facade.maxlen_lookup(X, index, [])
    (dense,) = facade.get_dense_input(X, index, [DenseFeat("d", 2)])
    assert dense.tolist() == [[7.0, 8.0], [5.0, 6.0]]
    assert combined_dnn_input([pooled, pooled], [dense]).tolist() == [[20, 20, 7, 8], [80, 80, 5, 6]]
    assert combined_dnn_input([], [dense]).shape == (2, 2)
    assert combined_dnn_input([pooled], []).shape == (2, 1)
    with pytest.raises(NotImplementedError, match="two empty lists"):
        combined_dnn_input([], [])


def test_the_metrics_of_a_compiled_model_take_what_scikit_learns_do() -> None:
    y, p = np.array([[0.0], [1.0], [1.0]]), np.array([[0.2], [1.0], [0.4]])
    model = DeepFM(COLUMNS, COLUMNS)
    assert BaseModel._accuracy_score(y, p) == model._accuracy_score(y, p) == pytest.approx(2 / 3)
    expected = -(np.log(0.8) + np.log(1 - 1e-7) + np.log(0.4)) / 3
    assert model._log_loss(y, p) == pytest.approx(expected)
    assert model._log_loss(y, p, normalize=False, labels=[0, 1]) == pytest.approx(3 * expected)
    assert model._log_loss(y, p, sample_weight=[1.0, 0.0, 0.0]) == pytest.approx(-np.log(0.8))
    assert [v.shape for v in BaseModel._prepare_metric_inputs(y, p)] == [(3,), (3,)]
    model.compile("adam", "binary_crossentropy", ["auc", "binary_crossentropy"])
    assert model.metrics["auc"](y, p, labels=[0, 1]) == 1.0


def test_the_loss_of_a_compiled_model_takes_weights() -> None:
    y, p, w = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.2], [0.4]]), torch.tensor([[3.0], [0.5]])
    model = DeepFM(COLUMNS, COLUMNS)
    for name in ("binary_crossentropy", "mse", "mae"):
        model.compile("adam", name)
        each = model.loss_func(p, y, reduction="none")
        torch.testing.assert_close(model.loss_func(p, y, weight=w, reduction="sum"), (each * w).sum())
        torch.testing.assert_close(model.loss_func(p, y, weight=w.squeeze(1), reduction="mean"), (each * w).mean())
    torch.testing.assert_close(model._get_loss_func_single("mse")(p, y), (p - y).square().sum())


@pytest.mark.parametrize("dtype", [torch.int32, np.int64, "int32"])
def test_dtypes_of_columns_are_names(dtype: Any, tmp_path: Any) -> None:
    columns = [SparseFeat("a", 5, 4, dtype=dtype), DenseFeat("d", 1, dtype=torch.float32)]
    assert {c.dtype for c in columns} <= {"int32", "int64", "float32"}
    model = DeepFM(columns, columns)
    x = {"a": np.arange(5), "d": np.linspace(0, 1, 5)}
    model.save(tmp_path / "saved")
    np.testing.assert_array_equal(load_model(tmp_path / "saved").predict(x), model.predict(x))
    torch.save(model, tmp_path / "model.pt")
    np.testing.assert_array_equal(torch.load(tmp_path / "model.pt", weights_only=True).predict(x), model.predict(x))


def test_columns_that_only_linear_sides_read_need_no_dimension() -> None:
    none = [SparseFeat("a", 5, embedding_dim=0), DenseFeat("d")]
    x, y = {"a": np.arange(5), "d": np.linspace(0, 1, 5)}, np.array([0, 1, 0, 1, 0])
    for model in (MLR(none), WDL(none, [DenseFeat("d")])):
        model.compile("adam", "binary_crossentropy")
        model.fit(x, y, 5, 2, 0)
        assert model.predict(x).shape == (5, 1)
    with pytest.raises(ValueError, match=r"embedding_dim 0 belong to linear sides, got \['a'\] on the deep side"):
        WDL(none, none)


def test_numbers_may_be_named_by_numbers() -> None:
    columns = [SparseFeat("a", 5), DenseFeat(0, 1), DenseFeat(1, 1)]
    x = {"a": np.arange(5), 0: np.linspace(0, 1, 5), 1: np.ones(5)}
    model = DeepFM(columns, columns)
    model.compile("adam", "binary_crossentropy")
    model.fit(x, np.array([0, 1, 0, 1, 0]), 5, 1, 0)
    assert list(model.feature_index) == ["a", 0, 1]
    swapped = {**x, 0: x[1], 1: x[0]}
    assert not np.array_equal(model.predict(x), model.predict(swapped))


@pytest.mark.parametrize("kept", [["ctr", "cvr"], 3, nn.Linear(2, 2), None])
def test_subclasses_may_keep_something_of_their_own_under_our_names(kept: Any) -> None:
    class Mine(TheirDeepFM):
        def __init__(self) -> None:
            super().__init__(COLUMNS, COLUMNS)
            self.tasks = kept
            self.outputs = kept

    model = Mine()
    assert model.tasks is model.outputs is kept
    model.compile("adam", "binary_crossentropy", ["auc"])
    before = weights_of(model)
    model.fit(X, Y, 10, 2, 0)
    assert model.predict(X).shape == (len(Y), 1)
    assert any(not torch.equal(v, before[k]) for k, v in weights_of(model).items())
    assert DeepFM(COLUMNS, COLUMNS).tasks == (("", "binary"),)


class Matrix(BaseModel):
    """Two outputs of one head, without a word about tasks."""

    def __init__(self, columns: Any, outputs: int = 2, **kwargs: Any) -> None:
        super().__init__(columns, columns, 0.0, 0.0, init_std=0.3, **kwargs)
        self.head = nn.Linear(self.compute_input_dim(columns), outputs)

    def forward(self, X: Tensor) -> Tensor:
        vectors, numbers = self.input_from_feature_columns(X, self.dnn_feature_columns, self.embedding_dict)
        return torch.sigmoid(self.head(combined_dnn_input(vectors, numbers)))


TWO = np.stack([Y.reshape(-1), 1.0 - np.roll(Y.reshape(-1), 1)], axis=1)


def test_a_matrix_of_outputs_has_one_loss_and_metrics_of_each_column() -> None:
    shapes = []

    def loss(prediction: Tensor, y: Tensor, reduction: str = "sum") -> Tensor:
        shapes.append((tuple(prediction.shape), tuple(y.shape)))
        return F.binary_cross_entropy(prediction, y, reduction=reduction)

    model = Matrix(COLUMNS)
    model.compile("sgd", loss, ["auc"], learning_rate=0.0)
    found = model.fit(X, TWO, batch_size=16, verbose=0, validation_split=0.25).history
    assert shapes[0] == ((16, 2), (16, 2))
    assert {"auc", "task0_auc", "task1_auc", "val_task1_auc", "val_loss"} <= set(found)
    prediction = model.predict(X)
    assert prediction.shape == TWO.shape
    trained = len(Y) - round(len(Y) * 0.25)
    expected = F.binary_cross_entropy(*(torch.tensor(v[:trained]).float() for v in (prediction, TWO)), reduction="sum")
    assert found["loss"][0] == pytest.approx(float(expected) / trained, rel=1e-5)
    scores = model.evaluate(X, TWO)
    assert scores["auc"] == pytest.approx((scores["task0_auc"] + scores["task1_auc"]) / 2)


def test_a_matrix_of_outputs_learns_from_all_its_columns_with_weights_and_streams() -> None:
    model = Matrix(COLUMNS)
    model.compile("adam", "binary_crossentropy", learning_rate=0.05)
    before = weights_of(model)["head.weight"]
    weight = np.linspace(0.5, 1.5, len(Y))
    losses = model.fit(X, TWO, epochs=3, verbose=0, sample_weight=weight).history["loss"]
    assert losses[-1] < losses[0]
    assert ((model.head.weight - before).abs().amax(dim=1) > 0).all()
    model.fit([(X, TWO)], epochs=1, verbose=0)
    assert model.evaluate([(X, TWO)]) == {}


def test_a_matrix_of_outputs_refuses_other_labels() -> None:
    model = Matrix(COLUMNS)
    model.compile("adam", "binary_crossentropy")
    with pytest.raises(ValueError, match="labels must have one column for each of 2"):
        model.fit(X, np.repeat(TWO[:, :1], 3, axis=1), verbose=0)
    missing = TWO.copy()
    missing[3, 1] = np.nan
    with pytest.raises(ValueError, match="needs every label, got a NaN"):
        model.fit(X, missing, verbose=0)
    one = Matrix(COLUMNS, outputs=1)
    one.compile("adam", "binary_crossentropy")
    with pytest.raises(ValueError, match="labels must have one column for each of 1"):
        one.fit(X, TWO, verbose=0)


def _subclass_with(name: str, value: Any) -> BaseModel:
    model = Matrix(COLUMNS, outputs=1)
    setattr(model, name, value)
    model.compile("adam", "binary_crossentropy", ["auc"])
    model.fit(X, Y, verbose=0, validation_split=0.25)
    model.evaluate(X, Y)
    assert len(model.predict(X)) == len(Y)
    assert getattr(model, name) is value
    return model


@pytest.mark.parametrize(
    "name",
    [
        "tasks", "outputs", "task", "num_classes", "init_std", "linear_feature_columns", "embedding", "fields",
        "logits", "penalized", "predict_rows", "build_lookup", "build_dnn", "attention_maps", "attention_weights",
        "attention",
    ],
)  # fmt: skip
def test_a_layer_of_a_subclass_may_have_our_word(name: str) -> None:
    _subclass_with(name, nn.Linear(1, 1))


@pytest.mark.parametrize("name", ["tasks", "outputs", "task", "num_classes", "init_std", "fields", "named_tables"])
def test_a_value_of_a_subclass_may_have_our_word(name: str) -> None:
    _subclass_with(name, ["mine"])


@pytest.mark.parametrize("name", ["schema", "seed", "epochs_trained", "negative_rate", "task_specs"])
@pytest.mark.parametrize("value", [["mine"], nn.Linear(1, 1)], ids=["value", "layer"])
def test_a_word_that_the_loop_needs_is_refused_where_it_is_set(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"'{name}' has a meaning in every model"):
        setattr(Matrix(COLUMNS), name, value)


def test_a_layer_called_embedding_is_refused_where_the_loop_looks_up() -> None:
    with pytest.raises(ValueError, match="'embedding' has a meaning in every model"):
        deepfm().embedding = nn.Embedding(2, 2)
