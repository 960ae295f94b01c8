"""What all callbacks that watch one number of the logs have in common."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any

from .._checks import check_choice
from ._console import as_number
from .base import Callback, Logs

__all__ = ["MonitorCallback"]

# A task's name may stand in front, with an underscore. Scikit-learn calls what should grow `..._score`.
_MAXIMISED = re.compile(
    r"fmeasure.*|.*(auc|acc|accuracy)|(.*_)?(ndcg|fmeasure|f1|precision|recall|r2|mrr|map|hit_rate)|(?!.*brier).*_score"
)


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

    def improves(self, value: float, on: float) -> bool:
        """Whether `value` is better than `on` by more than `min_delta`; NaN never is."""
        return value - self.min_delta > on if self.mode == "max" else value + self.min_delta < on

    def monitored(self, logs: Logs | None) -> float | None:
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


def _direction(monitor: Any) -> str:
    """The direction in which the metric gets better: by its name without `val_` and without its argument."""
    if not isinstance(monitor, str):
        raise TypeError(f"monitor must be a name in the logs, got {type(monitor).__name__}")
    metric = re.split("[:@]", monitor.removeprefix("val_"))[0]
    if metric == "calibration" or metric.endswith("_calibration"):
        raise ValueError(
            f"monitor {monitor!r} is best at 1, neither high nor low: mode must be 'min' or 'max' for it, got 'auto' "
            "(or monitor 'val_loss')"
        )
    # NOTE[DIFF] W20: upstream 0.2.9 minimises an AUC.
    return "max" if _MAXIMISED.fullmatch(metric) else "min"
