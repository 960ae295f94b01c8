"""The base of callbacks that watch one number of the logs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

from .._checks import check_at_least, check_choice
from ..metrics.registry import higher_is_better
from ._console import as_number
from .base import Callback, Logs

__all__ = ["MonitorCallback", "PlateauMonitor"]


class MonitorCallback(Callback):
    """Watches `logs[monitor]` and knows whether it has improved.

    Args:
        monitor: name in the logs, such as `val_loss` or `val_ctr_auc`.
        mode: `min`, `max`, or `auto` for the direction in which that metric gets better.
        min_delta: a smaller change is no improvement.

    >>> MonitorCallback("val_gauc:user_id").mode, MonitorCallback("val_logloss").mode
    ('max', 'min')
    """

    def __init__(self, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0) -> None:
        super().__init__()
        if not math.isfinite(min_delta):
            raise ValueError(f"min_delta must be a finite number, got {min_delta!r}")
        check_choice("mode", mode, ("auto", "min", "max"))
        self.monitor = monitor
        self.mode = _direction(monitor) if mode == "auto" else mode
        self.min_delta = abs(min_delta)
        self.best = self.worst
        self._warned = False

    @property
    def worst(self) -> float:
        """The value that any number improves on."""
        return -math.inf if self.mode == "max" else math.inf

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._warned = False

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best = state["best"]

    def improves(self, value: float, on: float) -> bool:
        """Return True if `value` is better than `on` by more than `min_delta`; NaN never is."""
        return value - self.min_delta > on if self.mode == "max" else value + self.min_delta < on

    def monitored(self, logs: Mapping[str, Any] | None) -> float | None:
        """The watched number, or None where the logs lack it: with a warning, once a fit, that lists what there is."""
        value = as_number((logs or {}).get(self.monitor))
        if isinstance(value, float):
            return value
        if not self._warned:
            self._warned = True
            problem = "is not in the logs" if value is None else f"is not a number: {value!r}"
            known = ", ".join(logs or {}) or "nothing"
            message = f"{type(self).__name__} does nothing: {self.monitor!r} {problem}; the logs have {known}"
            warnings.warn(message, UserWarning, stacklevel=2)
        return None


class PlateauMonitor(MonitorCallback):
    """Counts the epochs since the monitored number last improved.

    Args:
        monitor, mode, min_delta: as of `MonitorCallback`.
        patience: epochs without improvement after which the number has `stalled`.
        cooldown: epochs after a `restart` in which none are counted.

    Attributes:
        best: the best number so far, `worst` before the first.
        wait: epochs since then, or since the last `restart`.

    >>> plateau = PlateauMonitor("val_auc", patience=1)
    >>> [plateau.stalled({"val_auc": auc}) for auc in (0.7, 0.8, 0.75)]
    [False, False, True]
    """

    def __init__(
        self, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0, patience: int = 0, cooldown: int = 0
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        check_at_least("patience", patience, 0)
        check_at_least("cooldown", cooldown, 0)
        self.patience = patience
        self.cooldown = cooldown
        self.wait = self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self.wait = self.cooldown_counter = 0
        self.best = self.worst

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "wait": self.wait, "cooldown_counter": self.cooldown_counter}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.wait, self.cooldown_counter = state["wait"], state["cooldown_counter"]

    def stalled(self, logs: Mapping[str, Any] | None) -> bool:
        """Take the number of an epoch; return True if it has not improved for `patience` epochs."""
        value = self.monitored(logs)
        if value is None:
            return False
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improves(value, on=self.best):
            self.best, self.wait = value, 0
            return False
        if self.cooldown_counter:
            return False
        self.wait += 1
        return self.wait >= self.patience

    def restart(self) -> None:
        """Count anew, after the `cooldown`."""
        self.cooldown_counter, self.wait = self.cooldown, 0


def _direction(monitor: str) -> str:
    """The direction in which the metric of a key of the logs gets better."""
    if not isinstance(monitor, str):
        raise TypeError(f"monitor must be a name in the logs, got {type(monitor).__name__}")
    higher = higher_is_better(monitor)
    if higher is None:
        raise ValueError(
            f"monitor {monitor!r} is best at 1, neither high nor low: mode must be 'min' or 'max' for it, got 'auto' "
            "(or monitor 'val_loss')"
        )
    # NOTE[DIFF] W20: upstream 0.2.9 minimises an AUC.
    return "max" if higher else "min"
