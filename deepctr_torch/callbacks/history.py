"""The record that `fit` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._console import as_number, format_value
from .base import Callback, Logs

__all__ = ["History"]


class History(Callback):
    """Losses and metrics of every epoch of one `fit`.

    `epoch` lists the epochs, `history` maps each name in the logs to its values. A later `fit` begins anew.

    >>> history = History()
    >>> history.on_epoch_end(0, {"loss": 0.6, "val_auc": 0.7})
    >>> history.on_epoch_end(1, {"loss": 0.5, "val_auc": 0.75})
    >>> history.epoch, history.history
    ([0, 1], {'loss': [0.6, 0.5], 'val_auc': [0.7, 0.75]})
    >>> history
    History(2 epochs, loss: 0.6000 -> 0.5000, val_auc: 0.7000 -> 0.7500)
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        # NOTE[DIFF] W25: upstream 0.2.9 lets `history` grow over several fits while `epoch` starts again.
        self.epoch = []
        self.history = {}
        if self.model is not None:
            self.model.history = self

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(as_number(value))

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "history": self.history}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.epoch, self.history = list(state["epoch"]), {k: list(v) for k, v in state["history"].items()}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "model": None}  # the model holds the history; a copy of the record needs no model

    def __repr__(self) -> str:
        count = f"{len(self.epoch)} epoch{'' if len(self.epoch) == 1 else 's'}"
        spans = (f"{name}: {_span(values)}" for name, values in self.history.items())
        return f"History({', '.join((count, *spans))})"


def _span(values: list[Any]) -> str:
    first, last = format_value(values[0]), format_value(values[-1])
    return last if len(values) == 1 else f"{first} -> {last}"
