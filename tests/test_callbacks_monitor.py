"""Early stopping and the learning rate: exact sequences, and a naive reference."""

from __future__ import annotations

import math
import pickle
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.callbacks import (
    Callback,
    CallbackList,
    EarlyStopping,
    History,
    LearningRateScheduler,
    ModelCheckpoint,
    MonitorCallback,
    ReduceLROnPlateau,
    get_lr,
    set_lr,
)

NAN = float("nan")


class Tiny(torch.nn.Module):
    """One weight and an optimizer; as much of a compiled model as callbacks see."""

    def __init__(self, *rates: float) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.steps: torch.Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.stop_training = False
        groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates or (0.1,)]
        self.optim = torch.optim.SGD(groups)


def run(callback: Callback, values: Sequence[Any], name: str = "val_loss", model: Tiny | None = None) -> Tiny:
    """A training whose epoch e leaves the weight e + 1 and reports `values[e]`."""
    model = Tiny() if model is None else model
    model.stop_training = False
    callbacks = CallbackList(callback)
    callbacks.set_model(model)
    callbacks.on_train_begin()
    for epoch, value in enumerate(values):
        callbacks.on_epoch_begin(epoch)
        with torch.no_grad():
            model.weight.fill_(epoch + 1)
            model.steps.fill_(epoch + 1)
        callbacks.on_epoch_end(epoch, {"loss": 0.0, name: value})
        if model.stop_training:
            break
    callbacks.on_train_end()
    return model


class TestMonitor:
    @pytest.mark.parametrize(
        "name",
        [
            "auc",
            "val_auc",
            "gauc",
            "val_gauc:user_id",
            "acc",
            "val_acc",
            "accuracy",
            "val_accuracy",
            "pr_auc",
            "ndcg@10:user_id",
            "val_ndcg@5:q",
            "ctr_auc",
            "val_ctr_auc",
            "val_ctr_ndcg@10:user_id",
            "cvr_accuracy",
            "val_cvr_gauc:user",
            "fmeasure",
            "val_fmeasure_2",
            "ctr_fmeasure",
            "binary_acc",
            "roc_auc_score",
            "accuracy_score",
            "val_f1_score",
            "val_recall",
            "ctr_precision",
            "r2",
            "myauc",
        ],
    )
    def test_auto_maximises(self, name: str) -> None:
        assert MonitorCallback(name).mode == "max"

    @pytest.mark.parametrize(
        "name",
        [
            "loss",
            "val_loss",
            "logloss",
            "val_logloss",
            "binary_crossentropy",
            "val_binary_crossentropy",
            "mse",
            "val_mae",
            "rmse",
            "ne",
            "val_ne",
            "ctr_loss",
            "val_acc_loss",
            "auc_logloss",
            "val_auc_ne",
            "brier_score",
            "log_loss",
            "accumulated",
        ],
    )
    def test_auto_minimises(self, name: str) -> None:
        assert MonitorCallback(name).mode == "min"

    @pytest.mark.parametrize("name", ["calibration", "val_calibration", "val_ctr_calibration"])
    def test_calibration_has_no_direction_of_its_own(self, name: str) -> None:
        for kind in (EarlyStopping, ReduceLROnPlateau):
            with pytest.raises(ValueError, match=r"best at 1.*mode must be 'min' or 'max'"):
                kind(name)
            assert kind(name, mode="min").mode == "min"

    @pytest.mark.parametrize("mode", ["min", "max"])
    def test_a_given_mode_wins(self, mode: str) -> None:
        assert MonitorCallback("val_auc", mode).mode == mode

    @pytest.mark.parametrize("make", [EarlyStopping, ReduceLROnPlateau, lambda **kw: ModelCheckpoint("x", **kw)])
    def test_unknown_mode_suggests(self, make: Any) -> None:
        with pytest.raises(ValueError, match="unknown mode 'maxi': did you mean 'max'"):
            make(mode="maxi")

    def test_wrong_arguments(self) -> None:
        with pytest.raises(TypeError, match="monitor must be a name in the logs, got NoneType"):
            EarlyStopping(None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="min_delta must be a finite number, got nan"):
            EarlyStopping(min_delta=NAN)
        with pytest.raises(ValueError, match="patience must be an integer of at least 0, got -1"):
            EarlyStopping(patience=-1)
        with pytest.raises(ValueError, match=r"start_from_epoch must be an integer of at least 0, got 1\.5"):
            EarlyStopping(start_from_epoch=1.5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="baseline must be a finite number, got inf"):
            EarlyStopping(baseline=math.inf)

    def test_nan_never_improves_and_nothing_improves_on_nan(self) -> None:
        for mode, worst in (("min", math.inf), ("max", -math.inf)):
            monitor = MonitorCallback("x", mode)
            assert monitor.worst == worst
            assert not monitor.improves(NAN, on=worst)
            assert not monitor.improves(0.0, on=NAN)
            assert monitor.improves(0.0, on=worst)

    def test_missing_monitor_warns_once_a_fit_and_lists_what_there_is(self) -> None:
        stopper = EarlyStopping("val_auc")
        for _ in range(2):
            with pytest.warns(UserWarning, match="EarlyStopping does nothing: 'val_auc' is not in the logs") as caught:
                model = run(stopper, [3.0, 2.0, 1.0])
            assert len(caught) == 1
            assert str(caught[0].message).endswith("the logs have loss, val_loss")
            assert not model.stop_training

    def test_missing_monitor_without_any_logs(self) -> None:
        with pytest.warns(UserWarning, match="the logs have nothing"):
            EarlyStopping().on_epoch_end(0)

    def test_a_monitor_that_is_no_number_warns(self) -> None:
        with pytest.warns(UserWarning, match="'val_loss' is not a number: 'high'"):
            run(EarlyStopping(), ["high"])

    def test_a_monitor_that_appears_later_counts_from_then_on(self) -> None:
        stopper = EarlyStopping(patience=1)
        stopper.set_model(Tiny())
        with pytest.warns(UserWarning, match="does nothing"):
            stopper.on_epoch_end(0, {"loss": 1.0})
        stopper.on_epoch_end(1, {"val_loss": 1.0})
        assert (stopper.best, stopper.best_epoch, stopper.wait) == (1.0, 1, 0)

    @pytest.mark.parametrize("value", [0.5, np.float32(0.5), torch.tensor(0.5), np.array(0.5), 1])
    def test_numbers_of_all_libraries(self, value: Any) -> None:
        stopper = EarlyStopping()
        run(stopper, [value])
        assert type(stopper.best) is float
        assert stopper.best == float(value)


def naive_stop(values: Sequence[float], patience: int, delta: float, sign: int) -> tuple[int | None, int | None]:
    """The epoch that stops the training and the best one, straight from the definition."""
    best_epoch = None
    for epoch, value in enumerate(values):
        better = best_epoch is None or sign * (value - values[best_epoch]) > delta
        if better and not math.isnan(value):
            best_epoch = epoch
        since = epoch + 1 if best_epoch is None else epoch - best_epoch
        if since > 0 and since >= patience:
            return epoch, best_epoch
    return None, best_epoch


class TestEarlyStopping:
    @pytest.mark.parametrize(("patience", "stop", "wait"), [(0, 3, 1), (1, 3, 1), (2, 4, 2), (3, 5, 3), (4, 0, 3)])
    def test_patience(self, patience: int, stop: int, wait: int) -> None:
        stopper = EarlyStopping(patience=patience)
        model = run(stopper, [0.9, 0.8, 0.85, 0.86, 0.87])
        assert (stopper.stopped_epoch, stopper.wait) == (stop, wait)
        assert (stopper.best, stopper.best_epoch) == (0.8, 1)
        assert model.stop_training is (stop > 0)

    def test_an_equal_value_is_no_improvement(self) -> None:
        stopper = EarlyStopping()
        run(stopper, [0.5, 0.5, 0.4])
        assert stopper.stopped_epoch == 2

    def test_auc_is_maximised_without_saying_so(self) -> None:
        stopper = EarlyStopping("val_auc")
        run(stopper, [0.6, 0.7, 0.8, 0.75], "val_auc")
        assert (stopper.stopped_epoch, stopper.best) == (4, 0.8)

    @pytest.mark.parametrize("delta", [0.25, -0.25])
    @pytest.mark.parametrize(("mode", "values"), [("min", [4.0, 3.75, 3.5, 3.25]), ("max", [3.0, 3.25, 3.5, 3.75])])
    def test_min_delta_has_to_be_exceeded_whatever_its_sign(self, delta: float, mode: str, values: list[float]) -> None:
        stopper = EarlyStopping(min_delta=delta, patience=3, mode=mode)
        run(stopper, values)
        # a quarter is no improvement, a half (from the first to the third) is
        assert (stopper.best, stopper.best_epoch, stopper.wait) == (values[2], 2, 1)

    def test_nan_counts_as_no_improvement_also_in_the_first_epoch(self) -> None:
        stopper = EarlyStopping()
        model = run(stopper, [NAN, 0.5])
        assert model.stop_training
        assert (stopper.stopped_epoch, stopper.best, stopper.best_epoch) == (1, math.inf, None)

    def test_baseline_is_the_first_best(self) -> None:
        stopper = EarlyStopping(patience=2, baseline=0.5)
        run(stopper, [0.9, 0.8, 0.4])
        assert (stopper.stopped_epoch, stopper.best) == (2, 0.5)
        run(stopper, [0.9, 0.4, 0.8])
        assert (stopper.stopped_epoch, stopper.best, stopper.best_epoch) == (0, 0.4, 1)

    def test_start_from_epoch_looks_away_before(self) -> None:
        stopper = EarlyStopping(start_from_epoch=3)
        run(stopper, [0.1, 0.9, 0.9, 0.8, 0.7, 0.75])
        assert (stopper.stopped_epoch, stopper.best, stopper.best_epoch) == (6, 0.7, 4)

    def test_used_again_it_begins_anew(self) -> None:
        stopper = EarlyStopping(restore_best_weights=True)
        run(stopper, [0.1, 0.2])
        model = run(stopper, [0.9, 0.8])
        assert not model.stop_training
        assert (stopper.stopped_epoch, stopper.best, stopper.wait) == (0, 0.8, 0)
        assert model.weight.item() == 2

    @pytest.mark.parametrize(
        ("values", "patience", "weight"),
        [
            ([0.9, 0.8, 0.85, 0.86], 1, 2),  # stopped
            ([0.9, 0.8, 0.85, 0.86], 9, 2),  # ran out
            ([0.9, 0.8, 0.7], 9, 3),  # the last is the best
            ([0.8, NAN, NAN], 9, 1),
            ([NAN, NAN], 9, 2),  # no best: left alone
            ([], 9, 0),
        ],
    )
    def test_restores_the_best_weights_and_buffers(self, values: list[float], patience: int, weight: int) -> None:
        model = run(EarlyStopping(patience=patience, restore_best_weights=True), values)
        assert (model.weight.item(), model.steps.item()) == (weight, weight)

    def test_restores_the_best_epoch_though_none_reached_the_baseline(self) -> None:
        stopper = EarlyStopping(baseline=0.1, patience=3, restore_best_weights=True)
        model = run(stopper, [0.9, 0.8, 0.85])
        assert (stopper.stopped_epoch, stopper.best, stopper.best_epoch) == (3, 0.1, 1)
        assert model.weight.item() == 2

    def test_the_weights_stay_until_the_end_and_the_copy_goes_then(self) -> None:
        stopper, model = EarlyStopping(restore_best_weights=True), Tiny()
        seen: list[float] = []

        class Looks(Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                seen.append(model.weight.item())

        run(CallbackList([stopper, Looks()]), [0.5, 0.6], model=model)  # type: ignore[arg-type]
        assert seen == [1, 2]
        assert model.weight.item() == 1
        assert stopper.best_weights is None

    def test_without_restoring_nothing_is_copied(self) -> None:
        stopper = EarlyStopping(patience=5)
        model = run(stopper, [0.5, 0.6])
        assert stopper.best_weights is None
        assert model.weight.item() == 2

    def test_says_what_it_did(self, capsys: pytest.CaptureFixture[str]) -> None:
        run(EarlyStopping(verbose=1, restore_best_weights=True), [0.5, 0.6])
        assert capsys.readouterr().out == "Epoch 00002: early stopping\nRestored the weights of epoch 00001\n"
        run(EarlyStopping(verbose=1), [NAN])
        assert capsys.readouterr().out == "Epoch 00001: early stopping\n"
        run(EarlyStopping(verbose=1), [0.5])
        run(EarlyStopping(), [0.5, 0.6])
        assert capsys.readouterr().out == ""

    def test_pickles_without_the_model(self) -> None:
        stopper = EarlyStopping(patience=3)
        run(stopper, [0.5, 0.6])
        again = pickle.loads(pickle.dumps(stopper))
        assert again.model is None
        assert (again.best, again.wait) == (0.5, 1)

    @given(
        values=st.lists(st.integers(0, 8).map(float) | st.just(NAN), max_size=12),
        patience=st.integers(0, 4),
        delta=st.integers(0, 2),
        mode=st.sampled_from(["min", "max"]),
    )
    def test_agrees_with_the_definition(self, values: list[float], patience: int, delta: int, mode: str) -> None:
        stopper = EarlyStopping(min_delta=delta, patience=patience, mode=mode, restore_best_weights=True)
        model = run(stopper, values)
        stop, best = naive_stop(values, patience, delta, 1 if mode == "max" else -1)
        assert stopper.stopped_epoch == (0 if stop is None else stop + 1)
        assert model.stop_training is (stop is not None)
        assert stopper.best_epoch == best
        last = len(values) if stop is None else stop + 1
        assert model.weight.item() == (last if best is None else best + 1)


class TestRates:
    def test_one_group(self) -> None:
        model = Tiny(0.1)
        assert get_lr(model) == 0.1
        set_lr(model, 0.03)
        assert model.optim.param_groups[0]["lr"] == 0.03

    def test_groups_keep_their_proportions(self) -> None:
        model = Tiny(0.5, 2.0, 0.0)
        set_lr(model, 0.25)
        assert [group["lr"] for group in model.optim.param_groups] == [0.25, 1.0, 0.0]
        set_lr(model, 0.0)
        assert get_lr(model) == 0.0
        assert [group["lr"] for group in model.optim.param_groups] == [0.0, 0.0, 0.0]
        set_lr(model, 0.0)
        set_lr(model, 1.0)
        assert [group["lr"] for group in model.optim.param_groups] == [1.0, 4.0, 0.0]

    def test_a_first_group_of_rate_zero_stays_frozen(self) -> None:
        model = Tiny(0.0, 0.5)
        assert get_lr(model) == 0.5
        set_lr(model, 1.0)
        assert [group["lr"] for group in model.optim.param_groups] == [0.0, 1.0]

    def test_a_rate_in_a_tensor_stays_that_tensor(self) -> None:
        model = Tiny(0.5)
        rate = torch.tensor(0.5)
        model.optim.param_groups[0]["lr"] = rate
        set_lr(model, 0.25)
        assert model.optim.param_groups[0]["lr"] is rate
        assert rate.item() == get_lr(model) == 0.25

    def test_anything_with_param_groups_will_do(self) -> None:
        class Rows:
            param_groups = ({"lr": 0.5}, {"lr": 1.0})

        class Model:
            optim = Rows()

        set_lr(Model, 0.125)
        assert [group["lr"] for group in Rows.param_groups] == [0.125, 0.25]

    def test_a_model_that_is_not_compiled(self) -> None:
        with pytest.raises(ValueError, match="call compile first"):
            get_lr(torch.nn.Linear(1, 1))


class TestReduceLROnPlateau:
    def rates(self, callback: ReduceLROnPlateau, values: Sequence[float], lr: float = 1.0) -> list[float]:
        history = History()
        run(CallbackList([callback, history]), values, model=Tiny(lr))  # type: ignore[arg-type]
        return history.history["learning_rate"]

    def test_patience_cooldown_and_the_rate_in_the_logs(self) -> None:
        values = [1.0] * 8
        assert self.rates(ReduceLROnPlateau(factor=0.5, patience=2), values) == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]
        # reduced after epoch 2; epoch 3 only cools down; epochs 4 and 5 count
        slow = ReduceLROnPlateau(factor=0.5, patience=2, cooldown=2)
        assert self.rates(slow, values) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]

    def test_improving_within_the_cooldown_counts(self) -> None:
        callback = ReduceLROnPlateau(factor=0.5, patience=1, cooldown=3)
        assert self.rates(callback, [1.0, 1.0, 0.5, 0.4, 0.45]) == [1, 1, 0.5, 0.5, 0.5]
        assert (callback.best, callback.cooldown_counter) == (0.4, 3)
        assert get_lr(callback.model) == 0.25

    def test_min_lr_is_the_floor(self) -> None:
        callback = ReduceLROnPlateau(factor=0.1, patience=1, min_lr=0.05)
        assert self.rates(callback, [1.0] * 5) == [1, 1, 0.1, 0.05, 0.05]

    def test_min_delta_default_and_direction(self) -> None:
        assert self.rates(ReduceLROnPlateau(patience=1), [1.0, 0.99995, 0.9]) == [1, 1, pytest.approx(0.1)]
        auc = ReduceLROnPlateau("val_auc", patience=1)
        model = run(auc, [0.5, 0.6, 0.7], "val_auc", Tiny(1.0))
        assert get_lr(model) == 1.0

    def test_nan_does_not_improve(self) -> None:
        assert self.rates(ReduceLROnPlateau(patience=1, factor=0.5), [NAN, NAN]) == [1, 0.5]

    def test_all_groups_are_reduced(self) -> None:
        model = run(ReduceLROnPlateau(factor=0.5, patience=1), [1.0, 1.0], model=Tiny(0.5, 2.0))
        assert [group["lr"] for group in model.optim.param_groups] == [0.25, 1.0]

    def test_missing_monitor_changes_nothing(self) -> None:
        with pytest.warns(UserWarning, match="ReduceLROnPlateau does nothing"):
            assert self.rates(ReduceLROnPlateau("val_auc", patience=1), [1.0, 1.0]) == [1, 1]

    def test_used_again_it_begins_anew(self) -> None:
        callback = ReduceLROnPlateau(factor=0.5, patience=1, cooldown=5)
        assert self.rates(callback, [1.0, 1.0]) == [1, 1]
        assert self.rates(callback, [2.0, 2.0, 2.0]) == [1, 1, 0.5]

    def test_says_what_it_did(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.rates(ReduceLROnPlateau(factor=0.5, patience=1, verbose=1), [1.0, 1.0])
        assert capsys.readouterr().out == "Epoch 00002: ReduceLROnPlateau reducing learning rate to 0.5\n"

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"factor": 1.0}, r"factor must be in \[0, 1\), got 1\.0"),
            ({"patience": -1}, "patience must be"),
            ({"cooldown": 0.5}, "cooldown must be"),
            ({"min_lr": -1}, "min_lr must be"),
        ],
    )
    def test_wrong_arguments(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            ReduceLROnPlateau(**wrong)

    def test_without_logs_it_warns_and_changes_nothing(self) -> None:
        callback = ReduceLROnPlateau()
        callback.set_model(Tiny(0.5))
        with pytest.warns(UserWarning, match="does nothing"):
            callback.on_epoch_end(0)
        assert get_lr(callback.model) == 0.5


class TestLearningRateScheduler:
    def rates(self, schedule: Any, epochs: int, lr: float = 1.0, verbose: int = 0) -> list[float]:
        history = History()
        both = CallbackList([LearningRateScheduler(schedule, verbose), history])
        run(both, [0.0] * epochs, model=Tiny(lr))  # type: ignore[arg-type]
        return history.history["learning_rate"]

    def test_of_the_epoch(self) -> None:
        assert self.rates(lambda epoch: 1 / (epoch + 1), 3) == [1, 1 / 2, 1 / 3]
        assert self.rates([0.5, 0.25].__getitem__, 2) == [0.5, 0.25]

    def test_of_the_epoch_and_the_rate(self) -> None:
        assert self.rates(lambda epoch, lr: lr / 2 if epoch else lr, 3) == [1, 0.5, 0.25]
        assert self.rates(lambda *args: args[1] / 2, 2) == [0.5, 0.25]

    def test_numbers_of_all_libraries_and_zero(self) -> None:
        assert self.rates(lambda epoch: np.float64(0.5), 1) == [0.5]
        assert self.rates(lambda epoch: torch.tensor(0.5), 1) == [0.5]
        assert self.rates(lambda epoch: epoch, 2) == [0, 1]

    def test_an_error_inside_the_schedule_is_not_hidden(self) -> None:
        def broken(epoch: int, lr: float) -> float:
            raise TypeError("from within")

        with pytest.raises(TypeError, match="from within"):
            self.rates(broken, 1)

    @pytest.mark.parametrize("result", [None, "0.1", -0.1, NAN, math.inf, [0.1, 0.2]])
    def test_what_is_no_rate_is_refused(self, result: Any) -> None:
        with pytest.raises(ValueError, match=r"schedule must return a finite number >= 0, got .* for epoch 0"):
            self.rates(lambda epoch: result, 1)

    def test_not_a_function(self) -> None:
        with pytest.raises(TypeError, match="schedule must be a function of the epoch, got float"):
            LearningRateScheduler(0.1)  # type: ignore[arg-type]

    def test_says_what_it_did(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.rates(lambda epoch: 0.5, 1, verbose=1)
        assert capsys.readouterr().out == "Epoch 00001: LearningRateScheduler setting learning rate to 0.5\n"

    def test_without_logs(self) -> None:
        scheduler = LearningRateScheduler(lambda epoch: 0.5)
        scheduler.set_model(Tiny())
        scheduler.on_epoch_begin(0)
        scheduler.on_epoch_end(0)
        assert get_lr(scheduler.model) == 0.5


def test_nothing_warns_in_an_ordinary_training() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(CallbackList([EarlyStopping(), ReduceLROnPlateau()]), [0.5, 0.4])  # type: ignore[arg-type]
