"""Trainings that are cut off and gone on with, for the tests of checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepctr_torch.callbacks import Callback
from deepctr_torch.training.checkpoint import flatten
from tests.support.training import assert_same_weights

__all__ = ["CutOff", "CutOffError", "assert_same_end", "resumed_until_done"]


class CutOffError(Exception):
    """Stands for the end of a process."""


class CutOff(Callback):
    """Ends a training after step number `step` of it, counted from 1 in this process."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step -= 1
        if not self.step:
            raise CutOffError


def resumed_until_done(train: Callable[..., Any], folder: Path, every: int, after: int) -> Any:
    """Train anew, each time for `after` steps at most, with a checkpoint every `every` steps, until it is done.

    Args:
        train: called with `checkpoint_dir`, `checkpoint_every`, `resume` and a list of further callbacks.
    """
    for _ in range(100):
        try:
            how = {"checkpoint_dir": folder, "checkpoint_every": every, "resume": True}
            return train(callbacks=[CutOff(after)], **how)
        except CutOffError:
            continue
    raise AssertionError("the training never ends")


def assert_same_end(one: Any, other: Any, x: Any) -> None:
    """Weights, history, predictions and optimizer state, bit for bit."""
    assert_same_weights(one, other)
    assert one.history.epoch == other.history.epoch
    assert one.history.history == other.history.history
    assert one.epochs_trained == other.epochs_trained
    states: list[dict[str, torch.Tensor]] = [{}, {}]
    plain = [flatten(model.optim.state_dict(), found) for model, found in zip((one, other), states, strict=True)]
    assert plain[0] == plain[1]
    assert_same_weights(*states)
    assert np.array_equal(one.predict(x), other.predict(x))
