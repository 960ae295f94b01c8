"""As much of a model and a training as callbacks see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from deepctr_torch.callbacks import Callback, CallbackList

__all__ = ["Tiny", "run", "run_epochs"]


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


def run_epochs(callback: Any, epochs: Sequence[Mapping[str, Any]], model: Tiny | None = None) -> Tiny:
    """Train a model: epoch e leaves the weight e + 1 and reports `epochs[e]`."""
    model = Tiny() if model is None else model
    model.stop_training = False
    callbacks = CallbackList(callback)
    callbacks.set_model(model)
    callbacks.on_train_begin()
    for epoch, logs in enumerate(epochs):
        callbacks.on_epoch_begin(epoch)
        with torch.no_grad():
            model.weight.fill_(epoch + 1)
            model.steps.fill_(epoch + 1)
        callbacks.on_epoch_end(epoch, dict(logs))
        if model.stop_training:
            break
    callbacks.on_train_end()
    return model


def run(callback: Callback, values: Sequence[Any], name: str = "val_loss", model: Tiny | None = None) -> Tiny:
    """`run_epochs` that report `values` under one name."""
    return run_epochs(callback, [{"loss": 0.0, name: value} for value in values], model)
