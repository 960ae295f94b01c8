"""Early stopping: exact sequences, and a naive reference; the guard against a loss that is no number."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepctr_torch.callbacks import Callback, CallbackList, EarlyStopping, TerminateOnNaN
from tests.support.callbacks import Tiny, run

NAN = float("nan")


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


class FakeModel:
    stop_training = False


class TestTerminateOnNaN:
    @pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf"), torch.tensor(float("nan"))])
    def test_stops_and_says_where(self, loss: Any, capsys: pytest.CaptureFixture[str]) -> None:
        guard, model = TerminateOnNaN(), FakeModel()
        guard.set_model(model)
        guard.on_train_batch_end(17, {"loss": loss})
        assert model.stop_training
        assert capsys.readouterr().out == f"Batch 17: the loss is {float(loss)}, training stops\n"

    @pytest.mark.parametrize("logs", [{"loss": 0.0}, {"loss": -1e30}, {}, None, {"auc": float("nan")}])
    def test_goes_on_otherwise(self, logs: Any, capsys: pytest.CaptureFixture[str]) -> None:
        guard, model = TerminateOnNaN(), FakeModel()
        guard.set_model(model)
        guard.on_train_batch_end(0, logs)
        assert not model.stop_training
        assert capsys.readouterr().out == ""
