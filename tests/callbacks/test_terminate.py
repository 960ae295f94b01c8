"""The guard against a loss that is no number."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from deepctr_torch.callbacks import TerminateOnNaN


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
