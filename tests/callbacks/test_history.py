"""The record that `fit` returns."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from deepctr_torch.callbacks import History


class FakeModel:
    history: Any = None


class TestHistory:
    def test_records_epochs_and_python_floats(self) -> None:
        history = History()
        history.on_train_begin()
        history.on_epoch_end(3, {"loss": torch.tensor(0.5), "auc": np.float32(0.25), "note": "warm"})
        history.on_epoch_end(4, {"loss": 0, "auc": np.array(1.0), "val_auc": 0.75})
        assert history.epoch == [3, 4]
        expected = {"loss": [0.5, 0.0], "auc": [0.25, 1.0], "note": ["warm"], "val_auc": [0.75]}
        assert history.history == expected
        assert all(type(value) is float for name in ("loss", "auc", "val_auc") for value in history.history[name])

    def test_what_is_no_number_is_kept_as_it_is(self) -> None:
        history, several = History(), torch.ones(2)
        history.on_epoch_end(0, {"several": several})
        assert history.history["several"][0] is several

    def test_a_second_fit_begins_anew_and_the_model_holds_the_history(self) -> None:
        history, model = History(), FakeModel()
        history.set_model(model)
        history.on_train_begin()
        history.on_epoch_end(0, {"loss": 1.0})
        first = history.history
        history.on_train_begin()
        assert model.history is history
        assert (history.epoch, history.history) == ([], {})
        assert first == {"loss": [1.0]}

    def test_without_logs(self) -> None:
        history = History()
        history.on_epoch_end(0)
        assert (history.epoch, history.history) == ([0], {})

    def test_repr_shows_first_and_last(self) -> None:
        history = History()
        assert repr(history) == str(history) == "History(0 epochs)"
        history.on_epoch_end(0, {"loss": 0.6, "lr": 1e-5})
        assert repr(history) == "History(1 epoch, loss: 0.6000, lr: 1.0000e-05)"
        history.on_epoch_end(1, {"loss": 0.5, "lr": 1e-5, "note": "x"})
        assert repr(history) == "History(2 epochs, loss: 0.6000 -> 0.5000, lr: 1.0000e-05 -> 1.0000e-05, note: x)"

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda history: pickle.loads(pickle.dumps(history))])
    def test_copies_and_pickles_without_the_model(self, copied: Any) -> None:
        history, model = History(), FakeModel()
        model.unpicklable = lambda: None  # type: ignore[attr-defined]
        history.set_model(model)
        history.set_params({"epochs": 1})
        history.on_epoch_end(0, {"loss": 0.5})
        again = copied(history)
        assert (again.epoch, again.history, again.params) == ([0], {"loss": [0.5]}, {"epochs": 1})
        assert again.model is None
        assert history.model is model
