"""What callbacks that watch a number have in common."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from deepctr_torch.callbacks import (
    CallbackList,
    EarlyStopping,
    ModelCheckpoint,
    MonitorCallback,
    ReduceLROnPlateau,
)
from deepctr_torch.callbacks.monitor import PlateauMonitor
from tests.support.callbacks import Tiny, run

NAN = float("nan")


GROWING = [
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
]
SHRINKING = [
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
]


class TestMonitor:
    @pytest.mark.parametrize(
        "name",
        GROWING,
    )
    def test_auto_maximises(self, name: str) -> None:
        assert MonitorCallback(name).mode == "max"

    @pytest.mark.parametrize(
        "name",
        SHRINKING,
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


class TestPlateauMonitor:
    def test_it_has_stalled_after_patience_epochs_and_counts_anew(self) -> None:
        plateau = PlateauMonitor("val_auc", patience=2)
        assert [plateau.stalled({"val_auc": auc}) for auc in (0.5, 0.4, 0.5, 0.45)] == [False, False, True, True]
        plateau.restart()
        assert [plateau.stalled({"val_auc": auc}) for auc in (0.45, 0.6, NAN, NAN)] == [False, False, False, True]
        assert plateau.best == 0.6

    def test_epochs_of_the_cooldown_do_not_count(self) -> None:
        plateau = PlateauMonitor("val_loss", patience=1, cooldown=3)
        plateau.restart()
        assert [plateau.stalled({"val_loss": 1.0}) for _ in range(4)] == [False, False, True, True]

    def test_a_new_training_begins_anew(self) -> None:
        plateau = PlateauMonitor(patience=1)
        assert [plateau.stalled({"val_loss": 1.0}) for _ in range(2)] == [False, True]
        plateau.on_train_begin()
        assert (plateau.best, plateau.wait) == (math.inf, 0)


def test_nothing_warns_in_an_ordinary_training() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run(CallbackList([EarlyStopping(), ReduceLROnPlateau()]), [0.5, 0.4])
    assert said == []  # type: ignore[arg-type]
