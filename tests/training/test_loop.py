"""The loop: epochs and periods, metrics, history, callbacks, reproducibility."""

from __future__ import annotations

import copy
import io
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from deepctr_torch.callbacks import Callback, EarlyStopping, History, ModelCheckpoint
from deepctr_torch.training.loop import FitPlan
from tests.support.training import (
    Recorder,
    assert_same_weights,
    both_labels,
    deepfm,
    inputs,
    labels,
    mmoe,
    source_of,
    taken,
    weights_of,
)


def ready(optimizer: Any = "adam", metrics: Any = ("auc", "logloss"), model: Any = None, **kwargs: Any) -> Any:
    model = deepfm() if model is None else model
    model.compile(optimizer, "binary_crossentropy", list(metrics), **kwargs)
    return model


class Keep(Callback):
    """The predictions of every step, as the loop makes them, and the labels."""

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        score = model.predict_rows
        self.seen: list[torch.Tensor] = []

        def spy(batch: Any, rows: Any) -> Any:
            out = score(batch, rows)
            if model.training:
                self.seen.append(out[0].detach())
            return out

        object.__setattr__(model, "predict_rows", spy)


# ------------------------------------------------------------------ metrics and losses of an epoch


def test_metrics_are_those_of_all_predictions_made_before_each_update() -> None:
    x, y = inputs(50), labels(50)
    keep = Keep()
    model = ready(embedding_update="dense")
    history = model.fit(x, y, batch_size=7, shuffle=False, verbose=0, callbacks=[keep]).history
    p = torch.cat(keep.seen)[:, 0].double().numpy()
    assert len(keep.seen) == 8  # the last batch has one row
    np.testing.assert_allclose(history["auc"], [roc_auc_score(y, p)], rtol=1e-9)
    np.testing.assert_allclose(history["logloss"], [log_loss(y, p)], rtol=1e-6)


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_history_has_the_same_keys_and_values_whatever_is_shown(verbose: int, capsys: Any) -> None:
    x, y = inputs(), labels()
    history = ready().fit(x, y, 10, 2, verbose, validation_split=0.2).history
    assert list(history) == ["loss", "auc", "logloss", "val_loss", "val_auc", "val_logloss"]
    assert all(len(v) == 2 and all(isinstance(n, float) for n in v) for v in history.values())
    quiet = ready().fit(x, y, 10, 2, 0, validation_split=0.2).history
    assert quiet == history
    out, err = capsys.readouterr()
    assert bool(out or err) == (verbose > 0)
    if verbose == 2:
        assert [line.split(" - ")[0] for line in out.splitlines()] == ["Epoch 1/2", "Epoch 2/2"]


def test_loss_includes_the_penalty_and_val_loss_does_not() -> None:
    x, y = inputs(), labels()
    model = deepfm(l2_reg_embedding=0.5, l2_reg_linear=0.0)
    penalty = float(model.get_regularization_loss().detach())
    p = np.clip(model.predict(x)[:, 0], 1e-7, 1)
    data = log_loss(y, p)
    assert penalty > 1
    ready("sgd", model=model, learning_rate=0.0, embedding_update="dense")
    history = model.fit(x, y, batch_size=40, verbose=0, validation_data=(x, y)).history
    np.testing.assert_allclose(history["loss"], [data + penalty / 40], rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], [data], rtol=1e-5)
    # upstream's sum: the penalty of every step, over the rows of the epoch
    history = model.fit(x, y, batch_size=16, verbose=0).history
    np.testing.assert_allclose(history["loss"], [data + 3 * penalty / 40], rtol=1e-5)


def test_mean_reduction_weights_batches_by_their_rows() -> None:
    x, y = inputs(), labels()
    model = deepfm(l2_reg_embedding=0.0, l2_reg_linear=0.0)
    data = log_loss(y, model.predict(x)[:, 0])
    ready("sgd", model=model, learning_rate=0.0, loss_reduction="mean")
    history = model.fit(x, y, batch_size=16, verbose=0).history
    np.testing.assert_allclose(history["loss"], [data], rtol=1e-5)


def test_mean_equals_sum_with_a_scaled_rate() -> None:
    x, y = inputs(40), labels(40)
    quiet = {"l2_reg_embedding": 0.0, "l2_reg_linear": 0.0}
    mean = ready("sgd", model=deepfm(**quiet), learning_rate=0.8, loss_reduction="mean")
    total = ready("sgd", model=deepfm(**quiet), learning_rate=0.1)
    for model in (mean, total):
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    assert_same_weights(mean, total, rtol=1e-4, atol=1e-6)


def test_one_class_batches_and_batches_of_one_row() -> None:
    x, y = inputs(12), np.sort(labels(12))
    model = ready(
        model=deepfm(dnn_use_bn=True, dnn_activation="dice"), metrics=["auc", "logloss", "acc", "ne", "pr_auc"]
    )
    history = model.fit(x, y, batch_size=1, epochs=2, shuffle=False, verbose=0).history
    assert all(np.isfinite(v).all() for v in history.values())
    assert np.isfinite(model.predict(x)).all()


def test_one_row_is_normalised_by_the_running_statistics() -> None:
    x, y = inputs(1), labels(1)
    model = ready(model=deepfm(dnn_use_bn=True))
    statistics = model.dnn.bn[0].running_mean.clone()
    model.fit(x, y, verbose=0)
    assert torch.equal(model.dnn.bn[0].running_mean, statistics)


def test_training_mode_in_every_epoch_also_with_validation() -> None:
    recorder = Recorder()
    ready().fit(inputs(), labels(), 10, 3, 0, validation_split=0.25, callbacks=[recorder])
    assert recorder.modes == [True] * 9


def test_a_callback_may_predict_between_steps() -> None:
    x = inputs()

    class Peek(Recorder):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.model.predict(x)

    peek, plain = Peek(), Recorder()
    one, other = ready(model=deepfm(dnn_dropout=0.5)), ready(model=deepfm(dnn_dropout=0.5))
    one.fit(x, labels(), 10, 2, 0, callbacks=[peek])
    other.fit(x, labels(), 10, 2, 0, callbacks=[plain])
    assert peek.modes == [True] * 8
    assert_same_weights(one, other)


def test_tasks_have_their_own_metrics_and_share_the_mean() -> None:
    x, y = inputs(), both_labels()
    y[::5, 0], y[1::7, 1] = np.nan, np.nan
    model = mmoe()
    model.compile("adam", ["binary_crossentropy", "mse"], {"click": ["auc", "mse"], "spend": ["mse"]})
    history = model.fit(x, y, 10, verbose=0, validation_data=(x, y)).history
    tail = ["click_auc", "click_mse", "spend_mse", "auc", "mse"]
    assert list(history) == ["loss", *tail, "val_loss", *(f"val_{name}" for name in tail)]
    p = model.predict(x)
    seen = ~np.isnan(y)
    np.testing.assert_allclose(history["val_click_auc"], roc_auc_score(y[seen[:, 0], 0], p[seen[:, 0], 0]))
    spend = np.square(y - p)[seen[:, 1], 1].mean()
    np.testing.assert_allclose(history["val_spend_mse"], spend, rtol=1e-6)
    np.testing.assert_allclose(history["val_mse"], (history["val_click_mse"][0] + spend) / 2, rtol=1e-6)
    evaluated = model.evaluate(x, y)
    assert list(evaluated) == tail
    assert evaluated == {name: history[f"val_{name}"][0] for name in tail}


def test_missing_labels_of_a_task_are_absent_rows_to_it() -> None:
    x, y = inputs(20), both_labels(20)
    y[:10, 1] = np.nan
    one, other = mmoe(), mmoe()
    for model, weights in ((one, [1.0, 0.0]), (other, [1.0, 0.0])):
        model.compile("sgd", ["binary_crossentropy", "mse"], task_weights=weights)
    one.fit(x, y, verbose=0)
    other.fit(x, both_labels(20), verbose=0)
    assert_same_weights(one, other)  # a task of weight 0 changes nothing, missing labels or not


def test_task_weights_by_number_name_and_learned() -> None:
    x, y = inputs(20), both_labels(20)
    listed, named, learned = mmoe(), mmoe(), mmoe()
    for model, weights in ((listed, [2.0, 1.0]), (named, {"click": 2.0}), (learned, "uncertainty")):
        model.compile("adam", ["binary_crossentropy", "mse"], task_weights=weights)
        model.fit(x, y, epochs=2, verbose=0)
    assert_same_weights(listed, named)
    assert "task_log_variances" in learned.state_dict()
    assert learned.task_log_variances.abs().min() > 0
    other = mmoe()
    other.load_state_dict(learned.state_dict())
    torch.testing.assert_close(other.task_log_variances, learned.task_log_variances)
    learned.compile("adam", ["binary_crossentropy", "mse"])
    assert "task_log_variances" not in learned.state_dict()


def test_learned_task_weights_join_an_optimizer_of_ones_own() -> None:
    model = mmoe()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.compile(optimizer, ["binary_crossentropy", "mse"], task_weights="uncertainty")
    model.fit(inputs(20), both_labels(20), verbose=0)
    assert model.task_log_variances.abs().min() > 0


# ------------------------------------------------------------------ losses and metrics of one's own


def test_losses_and_metrics_of_ones_own() -> None:
    x, y = inputs(), labels()
    losses = [
        "binary_crossentropy",
        torch.nn.BCELoss(),
        torch.nn.functional.binary_cross_entropy,
        lambda p, t: -(t * p.log() + (1 - t) * (1 - p).log()),
        lambda p, t, reduction: torch.nn.functional.binary_cross_entropy(p, t, reduction=reduction),
    ]

    def share(y_true: Any, y_pred: Any) -> float:
        return float((y_pred > y_true.mean()).mean())

    models = []
    for loss in losses:
        model = deepfm()
        model.compile("sgd", loss, [share, "auc"])
        model.fit(x, y, 10, verbose=0, validation_split=0.2)
        models.append(model)
        assert list(model.history.history) == ["loss", "share", "auc", "val_loss", "val_share", "val_auc"]
    for model in models[1:]:
        assert_same_weights(models[0], model, rtol=1e-5, atol=1e-7)
        assert model.history.history["val_loss"] == pytest.approx(models[0].history.history["val_loss"])


# ------------------------------------------------------------------ weights of rows


def test_weight_zero_is_an_absent_row_and_two_a_repeated_one() -> None:
    x, y = inputs(12), labels(12)
    weight = np.array([0, 1, 2, 0, 1, 1, 3, 1, 0, 1, 1, 2])
    rows = np.repeat(np.arange(12), weight)
    weighted, repeated = (ready("sgd", ["auc", "logloss", "acc"]) for _ in range(2))
    weighted.fit(x, y, 100, verbose=0, shuffle=False, sample_weight=weight)
    repeated.fit(taken(x, rows), y[rows], 100, verbose=0, shuffle=False)
    assert_same_weights(weighted, repeated, rtol=1e-5, atol=1e-7)
    one, other = weighted.history.history, repeated.history.history
    for name in ("auc", "logloss", "acc"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-6)
    a = weighted.evaluate(x, y, sample_weight=weight)
    b = repeated.evaluate(taken(x, rows), y[rows])
    assert a == pytest.approx(b, rel=1e-5)


@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_weight_zero_has_no_gradient(update: str) -> None:
    x, y = inputs(10), labels(10)
    rows = np.array([0, 2, 5, 6])
    weight = np.isin(np.arange(10), rows).astype(float)
    quiet = {"l2_reg_embedding": 0.0, "l2_reg_linear": 0.0}
    one = ready("sgd", model=deepfm(**quiet), embedding_update=update)
    other = ready("sgd", model=deepfm(**quiet), embedding_update=update)
    one.fit(x, y, 10, verbose=0, shuffle=False, sample_weight=weight)
    other.fit(taken(x, rows), y[rows], 10, verbose=0, shuffle=False)
    assert_same_weights(one, other, rtol=1e-5, atol=1e-7)


def test_learned_task_weights_do_not_see_rows_of_weight_zero() -> None:
    x, y, rows = inputs(10), both_labels(10), np.arange(6)
    models = []
    for data, weight in (((x, y), (np.arange(10) < 6)), ((taken(x, rows), y[rows]), None)):
        model = mmoe()
        model.compile("sgd", ["binary_crossentropy", "mse"], task_weights="uncertainty")
        model.fit(*data, 10, verbose=0, shuffle=False, sample_weight=weight)
        models.append(model)
    assert_same_weights(*models, rtol=1e-5, atol=1e-6)


def test_class_weight_is_a_sample_weight_but_not_in_the_validation() -> None:
    x, y = inputs(), labels()
    weight = np.where(y == 1, 3.0, 0.5)
    by_class, by_row = ready(), ready()
    by_class.fit(x, y, 10, verbose=0, validation_split=0.25, class_weight={1: 3.0, 0: 0.5})
    by_row.fit(
        taken(x, slice(30)),
        y[:30],
        10,
        verbose=0,
        sample_weight=weight[:30],
        validation_data=(taken(x, slice(30, 40)), y[30:]),
    )
    assert_same_weights(by_class, by_row)
    assert by_class.history.history == by_row.history.history
    both, product = ready(), ready()
    both.fit(x, y, 10, verbose=0, class_weight={1: 3.0}, sample_weight=weight)
    product.fit(x, y, 10, verbose=0, sample_weight=weight * np.where(y == 1, 3.0, 1.0))
    assert_same_weights(both, product)
    two = mmoe()
    two.compile("adam", ["binary_crossentropy", "mse"])
    with pytest.raises(ValueError, match="class_weight goes with one task"):
        two.fit(x, both_labels(), class_weight={1: 2.0})


def test_weights_of_the_validation_count_in_its_loss_and_metrics() -> None:
    x, y = inputs(), labels()
    weight = np.random.default_rng(0).random(40)
    model = ready("sgd", learning_rate=0.0)
    history = model.fit(x, y, verbose=0, validation_data=(x, y, weight)).history
    p = model.predict(x)[:, 0]
    each = -np.where(y == 1, np.log(p), np.log1p(-p))
    np.testing.assert_allclose(history["val_loss"], [(weight * each).sum() / 40], rtol=1e-5)
    np.testing.assert_allclose(history["val_logloss"], [(weight * each).sum() / weight.sum()], rtol=1e-5)
    np.testing.assert_allclose(history["val_auc"], [roc_auc_score(y, p, sample_weight=weight)])


# ------------------------------------------------------------------ groups


def test_groups_from_a_column_that_is_no_feature_from_one_that_is_and_from_an_argument() -> None:
    x, y = inputs(60), labels(60)
    names = ["gauc:session", "gauc:user", "gauc", "ndcg@2:session"]
    model = ready("sgd", names, learning_rate=0.0)
    history = model.fit(x, y, 7, verbose=0, groups=x["session"]).history
    assert history["gauc:session"] == history["gauc"]
    evaluated = model.evaluate(x, y, groups={"groups": x["user"]})
    assert evaluated["gauc"] == evaluated["gauc:user"] == pytest.approx(history["gauc:user"][0])
    p, total, rows = model.predict(x)[:, 0], 0.0, 0
    for session in range(4):
        at = x["session"] == session
        if 0 < y[at].mean() < 1:
            total, rows = total + at.sum() * roc_auc_score(y[at], p[at]), rows + at.sum()
    assert evaluated["gauc:session"] == pytest.approx(total / rows)
    with pytest.raises(ValueError, match="needs the group 'groups'"):
        model.evaluate(x, y)
    without = {k: v for k, v in x.items() if k != "session"}
    with pytest.raises(ValueError, match="give x a column 'session', or pass groups"):
        model.fit(without, y, verbose=0, groups=x["session"])


# ------------------------------------------------------------------ callbacks and periods


def test_order_of_the_hooks() -> None:
    recorder = Recorder()
    ready().fit(inputs(20), labels(20), 10, 2, 0, validation_split=0.25, callbacks=[recorder])
    epoch = ["batch_begin 0", "batch_end 0", "batch_begin 1", "batch_end 1", "test_begin", "test_end"]
    expected = ["train_begin"]
    for i in range(2):
        expected += [f"epoch_begin {i}", *epoch, f"epoch_end {i}"]
    assert recorder.hooks == [*expected, "train_end"]


def test_batch_losses_add_up_to_the_loss() -> None:
    recorder = Recorder()
    history = ready().fit(inputs(), labels(), 16, verbose=0, callbacks=[recorder]).history
    np.testing.assert_allclose(np.average(recorder.losses, weights=[16, 16, 8]), history["loss"], rtol=1e-5)
    assert recorder.logs == [{name: values[0] for name, values in history.items()}]


def test_callbacks_know_what_was_asked_for() -> None:
    recorder = Recorder()
    ready().fit(inputs(), labels(), 16, 3, 0, callbacks=[recorder])
    expected = {
        "epochs": 3,
        "steps": 3,
        "samples": 40,
        "batch_size": 16,
        "metrics": ["loss", "auc", "logloss"],
        "verbose": 0,
    }
    assert recorder.params == expected


def test_history_is_the_callers_if_given_and_begins_anew() -> None:
    model, mine = ready(), History()
    assert model.fit(inputs(), labels(), epochs=3, verbose=0, callbacks=[mine]) is mine is model.history
    assert mine.epoch == [0, 1, 2]
    other = model.fit(inputs(), labels(), epochs=5, initial_epoch=3, verbose=0)
    assert (other.epoch, len(other.history["loss"])) == ([3, 4], 2)
    assert len(mine.epoch) == 3
    assert model.fit(inputs(), labels(), epochs=2, initial_epoch=2, verbose=0).epoch == []
    assert model.fit(inputs(), labels(), epochs=0, verbose=0).history == {}


@pytest.mark.parametrize(
    ("every", "periods"),
    [(3, [30, 30, 20]), (0.5, [40, 40]), (0.4, [40, 40]), (0.3, [30, 30, 20]), (8, [80]), (100, [80])],
)
def test_eval_every_cuts_an_epoch_into_periods(every: Any, periods: list[int]) -> None:
    x, y, recorder = inputs(80), labels(80), Recorder()
    model = ready()
    history = model.fit(x, y, 10, 2, 0, validation_data=(x, y), callbacks=[recorder], eval_every=every)
    assert history.epoch == list(range(2 * len(periods)))
    assert all(len(v) == 2 * len(periods) for v in history.history.values())
    ends = [hook for hook in recorder.hooks if not hook.startswith("batch_begin")]
    steps, sizes = 0, []
    for hook in ends:
        steps = steps + 1 if hook.startswith("batch_end") else steps
        if hook.startswith("epoch_end"):
            sizes.append(10 * steps)
            steps = 0
    assert sizes == periods * 2
    plain = ready()
    plain.fit(x, y, 10, 2, 0)
    assert_same_weights(model, plain)
    assert recorder.params["epochs"] is None


def test_stopping_checkpoints_and_schedules_inside_an_epoch(tmp_path: Any) -> None:
    x, y = inputs(80), labels(80)
    stopper = EarlyStopping("val_loss", mode="max", patience=2)  # the loss falls, so nothing improves
    saver = ModelCheckpoint(str(tmp_path / "{epoch}.pt"), save_weights_only=True)
    schedule = {"name": "plateau", "monitor": "val_loss", "mode": "max", "factor": 0.1, "patience": 1}
    recorder = Recorder()
    model = ready("sgd", learning_rate=0.05, lr_schedule=schedule)
    history = model.fit(
        x, y, 10, verbose=0, validation_data=(x, y), callbacks=[stopper, saver, recorder], eval_every=2, epochs=9
    )
    assert history.epoch == [0, 1, 2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.pt", "2.pt", "3.pt"]
    np.testing.assert_allclose(recorder.rates, [0.05] * 4 + [0.005] * 2)


def test_stopping_by_hand_ends_after_the_step() -> None:
    class Stop(Recorder):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            super().on_train_batch_end(batch, logs)
            self.model.stop_training = batch == 1

    stop = Stop()
    model = ready()
    history = model.fit(inputs(), labels(), 10, 3, 0, callbacks=[stop])
    assert history.epoch == [0]
    assert stop.hooks[-3:] == ["batch_end 1", "epoch_end 0", "train_end"]
    model.fit(inputs(), labels(), 10, verbose=0)
    assert model.stop_training is False


def test_steps_per_epoch_goes_on_in_the_data() -> None:
    x, y = inputs(40), labels(40)
    seen: list[int] = []

    class Rows(Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            pass

    model = ready()
    score = model.predict_rows

    def spy(batch: Any, rows: Any) -> Any:
        seen.append(int(batch.ids[0, 0]))
        return score(batch, rows)

    x["user"] = np.repeat(np.arange(4), 10)
    model.compile("adam", "binary_crossentropy", embedding_update="dense")
    object.__setattr__(model, "predict_rows", spy)
    history = model.fit(x, y, 10, 4, 0, shuffle=False, steps_per_epoch=3, callbacks=[Rows()])
    assert history.epoch == [0, 1, 2, 3]
    assert seen == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]
    model.fit(x, y, 10, 1, 0, shuffle=False, steps_per_epoch=6)
    assert seen[12:] == [0, 1, 2, 3, 0, 1]


def test_passes_within_an_epoch_have_orders_of_their_own() -> None:
    x, y = inputs(40), labels(40)
    x["user"], x["item"] = np.arange(40) % 7, np.arange(40) // 7 % 5
    model = ready(embedding_update="dense")
    orders: list[list[tuple[int, int]]] = []
    score = model.predict_rows
    object.__setattr__(
        model,
        "predict_rows",
        lambda b, rows: (orders.append([tuple(r) for r in b.ids[:, :2].tolist()]), score(b, rows))[1],
    )
    model.fit(x, y, 40, 1, 0, steps_per_epoch=2)
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_max_steps_ends_the_training_within_an_epoch() -> None:
    x, y, recorder = inputs(), labels(), Recorder()
    model = ready(lr_schedule="cosine")
    history = model.fit(x, y, 10, 5, 0, max_steps=6, callbacks=[recorder], validation_data=(x, y))
    assert len(recorder.rates) == 6
    assert history.epoch == [0, 1]
    np.testing.assert_allclose(recorder.rates, [0.001 * (1 + np.cos(np.pi * s / 6)) / 2 for s in range(6)])
    assert ready().fit(x, y, 10, verbose=0, max_steps=2, eval_every=3).epoch == [0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"epochs": -1}, "epochs must be an integer of at least 0"),
        ({"initial_epoch": -1}, "initial_epoch must be"),
        ({"steps_per_epoch": 0}, "steps_per_epoch must be"),
        ({"max_steps": 0}, "max_steps must be"),
        ({"eval_every": 0}, "eval_every must be an integer"),
        ({"eval_every": 1.5}, r"part of an epoch in \(0, 1\), got 1.5"),
        ({"verbose": 3}, "verbose must be 0"),
        ({"validation_split": 1.0}, r"validation_split must be in \[0, 1\)"),
        ({"validation_split": 0.99}, "leaves 0 to train on"),
        ({"validation_data": 3}, "validation_data must be"),
    ],
)
def test_wrong_arguments(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ready().fit(inputs(), labels(), **{"verbose": 0, **wrong})


def test_what_needs_compile_says_so() -> None:
    for call in (lambda m: m.fit(inputs(), labels()), lambda m: m.evaluate(inputs(), labels())):
        with pytest.raises(RuntimeError, match="call compile"):
            call(deepfm())
    assert deepfm().predict(inputs()).shape == (40, 1)


# ------------------------------------------------------------------ streams


class Endless(IterableDataset[Any]):
    """Batches of numbers that nobody counts."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        for i in range(self.batches):
            yield inputs(5, seed=i), labels(5, seed=i)


def test_streams_of_unknown_length() -> None:
    stream, recorder = Endless(7), Recorder()
    model = ready()
    history = model.fit(stream, epochs=2, verbose=0, callbacks=[recorder])
    assert history.epoch == [0, 1]
    assert len(recorder.rates) == 14
    assert (recorder.params["steps"], recorder.params["samples"]) == (None, None)
    assert model.fit(stream, verbose=0, eval_every=3).epoch == [0, 1, 2]
    assert model.fit(stream, verbose=0, eval_every=0.5, steps_per_epoch=4).epoch == [0, 1]
    with pytest.raises(ValueError, match="length of this stream is unknown: pass a number of steps"):
        model.fit(stream, verbose=0, eval_every=0.5)
    with pytest.raises(ValueError, match="needs the number of all steps"):
        ready(lr_schedule="cosine").fit(stream, verbose=0)
    ready(lr_schedule="cosine").fit(stream, verbose=0, max_steps=3)


def test_a_stream_equals_the_same_batches_in_memory() -> None:
    x, y = inputs(20), labels(20)
    batches = [(taken(x, slice(i, i + 5)), y[i : i + 5]) for i in range(0, 20, 5)]
    one, other, third = (
        ready(embedding_update="dense"),
        ready(embedding_update="dense"),
        ready(embedding_update="dense"),
    )
    one.fit(x, y, 5, 2, 0, shuffle=False, validation_data=(x, y))
    other.fit(
        DataLoader(batches, batch_size=None), epochs=2, verbose=0, validation_data=DataLoader(batches, batch_size=None)
    )
    third.fit((b for b in batches * 2), epochs=2, steps_per_epoch=4, verbose=0, validation_data=(x, y))
    assert_same_weights(one, other)
    assert_same_weights(one, third)
    for name, values in one.history.history.items():
        np.testing.assert_allclose(values, other.history.history[name], rtol=1e-6)


def test_streams_with_weights_and_without_may_be_mixed() -> None:
    x, y = inputs(10), labels(10)
    weight = np.array([2.0, 0, 1, 1, 3])
    batches = [(taken(x, slice(5)), y[:5], weight), (taken(x, slice(5, 10)), y[5:])]
    one, other = ready("sgd"), ready("sgd")
    one.fit(DataLoader(batches, batch_size=None), verbose=0)
    other.fit(x, y, 5, verbose=0, shuffle=False, sample_weight=np.concatenate([weight, np.ones(5)]))
    assert_same_weights(one, other)
    assert one.history.history == other.history.history


def test_what_streams_cannot_do() -> None:
    model, batch = ready(), (inputs(5), labels(5))
    with pytest.raises(ValueError, match="the stream is empty"):
        model.fit(DataLoader([], batch_size=None), verbose=0)
    with pytest.raises(ValueError, match="read in an earlier epoch"):
        model.fit(iter([batch]), epochs=2, verbose=0)
    with pytest.raises(ValueError, match="carries its own labels"):
        model.fit(iter([batch]), labels(5), verbose=0)
    with pytest.raises(ValueError, match="carries its own labels, weights and group columns"):
        model.fit(iter([batch]), verbose=0, groups=np.zeros(5))
    with pytest.raises(ValueError, match="validation_split needs the data in memory"):
        model.fit(iter([batch]), verbose=0, validation_split=0.5)
    with pytest.raises(ValueError, match="no batch to evaluate"):
        model.evaluate(iter([]))
    with pytest.raises(ValueError, match="no batch to predict"):
        model.predict(iter([]))
    with pytest.raises(ValueError, match="labels are missing"):
        model.fit(inputs(), verbose=0)


# ------------------------------------------------------------------ reproducible


def state() -> Any:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # type: ignore[index]


def test_building_training_and_predicting_leave_the_global_generators_alone() -> None:
    before = state()
    model = ready(model=deepfm(dnn_dropout=0.5))
    x, y = inputs(), labels()
    model.fit(x, y, 10, 2, 0, validation_split=0.2)
    model.evaluate(x, y)
    model.predict(x)
    loader = DataLoader([(taken(x, slice(5)), y[:5])] * 4, batch_size=None, shuffle=True)
    model.fit(loader, verbose=0, epochs=2)
    model.evaluate(loader)
    model.predict(loader)
    assert state() == before


def test_two_fits_of_one_seed_are_equal_bit_for_bit() -> None:
    x, y = inputs(), labels()
    runs = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        np.random.seed(noise)
        model = ready(model=deepfm(dnn_dropout=0.5, seed=3))
        model.fit(x, y, 8, 3, 0, validation_split=0.2)
        runs.append(model)
    assert_same_weights(*runs)
    assert runs[0].history.history == runs[1].history.history
    other = ready(model=deepfm(dnn_dropout=0.5, seed=4))
    other.load_state_dict(deepfm(dnn_dropout=0.5, seed=3).state_dict())
    other.fit(x, y, 8, 3, 0, validation_split=0.2)
    assert other.history.history != runs[0].history.history


def test_dropout_and_order_differ_between_epochs() -> None:
    x, y = inputs(), labels()
    model = ready("sgd", model=deepfm(dnn_dropout=0.5), learning_rate=0.0)
    losses = model.fit(x, y, 40, 3, 0, shuffle=False).history["loss"]
    assert len(set(losses)) == 3
    recorder = Recorder()
    ready("sgd", learning_rate=0.0).fit(x, y, 10, 2, 0, callbacks=[recorder])
    assert recorder.losses[:4] != recorder.losses[4:]
    recorder = Recorder()
    ready("sgd", learning_rate=0.0).fit(x, y, 10, 2, 0, shuffle=False, callbacks=[recorder])
    assert recorder.losses[:4] == recorder.losses[4:]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adagrad"])
@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_two_fits_of_one_epoch_equal_one_of_two(optimizer: str, update: str) -> None:
    x, y = inputs(), labels()
    once, twice = (ready(optimizer, model=deepfm(dnn_dropout=0.3), embedding_update=update) for _ in range(2))
    once.fit(x, y, 8, 2, 0)
    twice.fit(x, y, 8, 1, 0)
    twice.fit(x, y, 8, 2, 0, initial_epoch=1)
    assert_same_weights(once, twice)
    assert twice.epochs_trained == 2


def test_inputs_are_never_changed() -> None:
    x, y, weight = inputs(), labels(), np.ones(40)
    kept = copy.deepcopy((x, y, weight))
    packed = [x["user"], x["item"], x["tags"], x["price"]]
    model = ready()
    model.fit(x, y, 10, 1, 0, sample_weight=weight, validation_split=0.2)
    model.fit(packed, y, 10, 1, 0)
    model.predict(packed)
    np.testing.assert_equal((x, y, weight), kept)
    assert [v.ndim for v in packed] == [1, 1, 2, 2]


# ------------------------------------------------------------------ interrupts


@pytest.mark.parametrize("verbose", [0, 1])
def test_an_interrupt_passes_through_and_leaves_a_usable_model(verbose: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)

    class Interrupt(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 1:
                raise KeyboardInterrupt

    class Look(Recorder):
        def on_train_begin(self, logs: Any = None) -> None:
            super().on_train_begin(logs)
            self.rate = self.model.optim.param_groups[0]["lr"]

    x, y = inputs(), labels()
    model = ready("sgd", learning_rate=0.1, lr_schedule=lambda step: 0.5)
    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, 10, 2, verbose, callbacks=[Interrupt()])
    assert torch.equal(before, torch.get_rng_state())
    if verbose:
        from tqdm import tqdm

        assert not getattr(tqdm, "_instances", ())
    look = Look()
    assert model.fit(x, y, 10, 2, 0, callbacks=[look]).epoch == [0, 1]
    assert look.rate == 0.1
    assert look.rates == [0.05] * 8
    assert np.isfinite(model.predict(x)).all()


def test_a_failing_callback_leaves_the_base_rate() -> None:
    class Fail(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise OSError("disk full")

    model = ready("sgd", learning_rate=0.1, lr_schedule=lambda step: 0.5)
    with pytest.raises(OSError, match="disk full"):
        model.fit(inputs(), labels(), verbose=0, callbacks=[Fail()])
    assert model.optim.param_groups[0]["lr"] == 0.1


# ------------------------------------------------------------------ somebody else's loop


def test_somebody_elses_loop_trains_everything() -> None:
    x, y = inputs(), torch.from_numpy(labels())
    model = deepfm(dnn_use_bn=True)
    before = weights_of(model)
    matrix = model.schema.pack(next(iter(source_of(model, x, y.numpy()).batches(40))).batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for batch, target in DataLoader(TensorDataset(matrix, y), batch_size=10):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy(model(batch)[:, 0], target).backward()
        optimizer.step()
    after = weights_of(model)
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    ready(model=model).fit(x, y.numpy(), verbose=0)


def test_plan_has_upstreams_defaults() -> None:
    assert (FitPlan().batch_size, FitPlan().epochs, FitPlan().shuffle) == (256, 1, True)


def test_a_metric_without_weights_is_refused_before_weighted_rows_are_trained_on() -> None:
    def bias(y_true: Any, y_pred: Any) -> float:
        return float(np.mean(y_pred - y_true))

    model = ready(metrics=[bias])
    before = weights_of(model)
    weights = np.ones(20)
    for options in ({"sample_weight": weights}, {"class_weight": {1: 2.0}}):
        with pytest.raises(ValueError, match="metric 'bias' must have a parameter sample_weight"):
            model.fit(inputs(20), labels(20), verbose=0, **options)
    with pytest.raises(ValueError, match="metric 'bias' must have a parameter sample_weight"):
        model.fit(inputs(20), labels(20), verbose=0, validation_data=(inputs(20), labels(20), weights))
    assert_same_weights(model, before)
