"""The learning rate: exact sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from deepctr_torch.callbacks import (
    CallbackList,
    History,
    LearningRateScheduler,
    ReduceLROnPlateau,
    get_lr,
    set_lr,
)
from tests.support.callbacks import Tiny, run

NAN = float("nan")


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
