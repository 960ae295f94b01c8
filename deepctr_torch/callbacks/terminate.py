"""Stop when the loss is no number."""

from __future__ import annotations

import math

from ._console import as_number, write
from .base import Callback, Logs

__all__ = ["TerminateOnNaN"]


class TerminateOnNaN(Callback):
    """Stops the training at the first batch whose loss is NaN or infinite. The loop waits for every loss then.

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
