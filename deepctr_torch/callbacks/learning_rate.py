"""Change the learning rate while the model is trained."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch

from .._checks import check_fraction, check_non_negative
from ._console import as_number, write
from .base import Callback, Logs
from .monitor import PlateauMonitor

__all__ = ["LearningRateScheduler", "ReduceLROnPlateau", "get_lr", "set_lr"]

_RATIO = "lr_ratio"  # kept in a group while its rate is 0


def get_lr(model: object) -> float:
    """The learning rate of `model.optim`: of its first parameter group whose rate is not 0."""
    return next((float(group["lr"]) for group in _groups(model) if group["lr"]), 0.0)


def set_lr(model: object, lr: float) -> None:
    """Make `get_lr(model)` equal to `lr`; groups whose rates differ keep their proportions.

    >>> class Model:
    ...     optim = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 0.1}, {"params": [torch.zeros(1)], "lr": 0.4}])
    >>> set_lr(Model, 0.0)
    >>> set_lr(Model, 0.2)
    >>> [group["lr"] for group in Model.optim.param_groups]
    [0.2, 0.8]
    """
    now = get_lr(model)
    for group in _groups(model):
        ratio = float(group["lr"]) / now if now else group.pop(_RATIO, 1.0)
        if not lr:
            group[_RATIO] = ratio
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr * ratio)  # a captured or compiled step reads this very tensor
        else:
            group["lr"] = lr * ratio


def _groups(model: object) -> list[dict[str, Any]]:
    optimizer = getattr(model, "optim", None)
    if optimizer is None:
        raise ValueError("the model must have an optimizer before its learning rate can change: call compile first")
    groups: list[dict[str, Any]] = optimizer.param_groups
    return groups


class ReduceLROnPlateau(PlateauMonitor):
    """Multiplies the learning rate by `factor` when the monitored number has not improved for `patience` epochs.

    Adds `learning_rate`, that of the epoch, to the logs.

    Args:
        factor: in [0, 1).
        patience: epochs without improvement after which the rate is reduced.
        verbose: 1 to say so.
        mode: `min`, `max`, or `auto` for the direction in which the metric gets better.
        min_delta: a smaller change is no improvement.
        cooldown: epochs after a reduction in which none are counted.
        min_lr: the rate is not reduced below this.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta, patience=patience, cooldown=cooldown)
        check_fraction("factor", factor)
        check_non_negative("min_lr", min_lr)
        self.factor = factor
        self.verbose = verbose
        self.min_lr = min_lr

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        stalled = self.stalled(logs)
        if logs is not None:
            logs["learning_rate"] = get_lr(self.model)  # for those after it in the list: the dict is shared
        if stalled:
            self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        before = get_lr(self.model)
        if before <= self.min_lr:
            return
        after = max(before * self.factor, self.min_lr)
        set_lr(self.model, after)
        self.restart()
        if self.verbose:
            write(f"Epoch {epoch + 1:05d}: {type(self).__name__} reducing learning rate to {after:.6g}")


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of every epoch; adds it to the logs as `learning_rate`.

    Args:
        schedule: `schedule(epoch)` or `schedule(epoch, lr)`, with the rate so far, gives the rate.
        verbose: 1 to say so.

    >>> halve = LearningRateScheduler(lambda epoch, lr: lr / 2 if epoch else lr)
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule):
            raise TypeError(f"schedule must be a function of the epoch, got {type(schedule).__name__}")
        self.schedule = schedule
        self.verbose = verbose
        self._takes_lr = _takes_two(schedule)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        before = get_lr(self.model)
        result = self.schedule(epoch, before) if self._takes_lr else self.schedule(epoch)
        lr = as_number(result)
        if not isinstance(lr, float) or not 0 <= lr < math.inf:
            raise ValueError(f"schedule must return a finite number >= 0, got {result!r} for epoch {epoch}")
        set_lr(self.model, lr)
        if self.verbose:
            write(f"Epoch {epoch + 1:05d}: {type(self).__name__} setting learning rate to {lr:.6g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = get_lr(self.model)


def _takes_two(function: Callable[..., float]) -> bool:
    """Return True if `function` can be called with two positions."""
    try:
        inspect.signature(function).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # a built-in that does not tell
        return False
    return True
