"""Stop the training: when the model no longer gets better, or when its loss is no number."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from .._checks import check_at_least
from ._console import as_number, write
from .base import Callback, Logs
from .monitor import MonitorCallback

__all__ = ["EarlyStopping", "TerminateOnNaN"]

STATE = ("best", "best_epoch", "best_weights", "_kept", "stopped_epoch", "wait")


class EarlyStopping(MonitorCallback):
    """Stops the training when the monitored number has not improved for `patience` epochs (0 and 1 mean the same).

    `best` (at first the baseline) and `best_epoch` (an index, or None) tell of the best epoch, `wait` counts the
    epochs since; `stopped_epoch` is the number, from 1, of the epoch that ended the training, 0 if none did. The
    optimizer's state is not restored.

    Args:
        min_delta: a smaller change is no improvement.
        patience: epochs without improvement after which the training stops.
        verbose: 1 to say so.
        mode: `min`, `max`, or `auto` for the direction in which the metric gets better.
        baseline: value that has to be exceeded for an epoch to count as an improvement.
        restore_best_weights: at the end give the model the weights of the best epoch, whether it was stopped or not,
            and whether the baseline was reached or not.
        start_from_epoch: index of the first epoch that is watched.

    >>> class Model:
    ...     stop_training = False
    >>> stopper = EarlyStopping("val_auc", patience=2)
    >>> stopper.set_model(Model())
    >>> stopper.on_train_begin()
    >>> for epoch, auc in enumerate([0.70, 0.75, 0.74, 0.73]):
    ...     stopper.on_epoch_end(epoch, {"val_auc": auc})
    >>> stopper.model.stop_training, stopper.best, stopper.best_epoch, stopper.stopped_epoch
    (True, 0.75, 1, 4)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        check_at_least("patience", patience, 0)
        check_at_least("start_from_epoch", start_from_epoch, 0)
        if baseline is not None and not math.isfinite(baseline):
            raise ValueError(f"baseline must be a finite number, got {baseline!r}")
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = self.worst if self.baseline is None else self.baseline
        self.best_epoch: int | None = None
        self.best_weights: dict[str, Any] | None = None
        self._kept = self.worst  # the number that the kept weights reached, which need not reach the baseline

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.monitored(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        if self.improves(value, on=self.best):
            self.best, self.wait = value, 0
            self._keep(epoch, value)
            return
        if self._kept != self.best and self.improves(value, on=self._kept):  # best of those below the baseline
            self._keep(epoch, value)
        self.wait += 1
        if self.wait >= self.patience:
            self.stopped_epoch = epoch + 1
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch and self.verbose:
            write(f"Epoch {self.stopped_epoch:05d}: early stopping")
        if self.best_weights is None or self.best_epoch is None:
            return
        # NOTE[DIFF] C18: upstream 0.2.9 crashes here, and 0.3.0 restores only what it stopped.
        self.model.load_state_dict(self.best_weights)
        self.best_weights = None  # as large as the model
        if self.verbose:
            write(f"Restored the weights of epoch {self.best_epoch + 1:05d}")

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in STATE}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name in STATE:
            setattr(self, name, state[name])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "model": None}

    def _keep(self, epoch: int, value: float) -> None:
        self.best_epoch, self._kept = epoch, value
        if self.restore_best_weights:
            self.best_weights = None  # never two copies at a time
            self.best_weights = copy.deepcopy(self.model.state_dict())


class TerminateOnNaN(Callback):
    """Stops the training at the first batch whose loss is NaN or infinite, without an error; waits for every loss.

    >>> class Model:
    ...     stop_training = False
    >>> guard = TerminateOnNaN()
    >>> guard.set_model(Model())
    >>> guard.on_train_batch_end(7, {"loss": float("nan")})
    Batch 7: the loss is nan, training stops
    >>> guard.model.stop_training
    True
    """

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = as_number((logs or {}).get("loss"))
        if isinstance(loss, float) and not math.isfinite(loss):
            write(f"Batch {batch}: the loss is {loss}, training stops")
            self.model.stop_training = True
