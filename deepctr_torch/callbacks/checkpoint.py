"""Save the model while it is trained."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any

import torch

from .._checks import check_at_least
from .._whole_files import replaced
from ._console import write
from .base import Logs
from .monitor import MonitorCallback

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(MonitorCallback):
    """Saves the model after every epoch, or after the best ones only.

    A file appears complete or not at all, and its folder is made. The best value is kept from one `fit` to the next.

    Args:
        filepath: where to save; `{epoch}` (counted from 1) and the names in the logs are filled in, such as
            `"{epoch:02d}-{val_loss:.2f}.pt"`; a metric's argument is left out: `{val_gauc}` for `val_gauc:user_id`.
        verbose: 1 to say what is saved.
        save_best_only: save only when the monitored number is the best so far.
        save_weights_only: save `model.state_dict()` instead of the whole model.
        mode: `min`, `max`, or `auto` for the direction in which the metric gets better.
        period: epochs between two checkpoints.
        save_freq: Keras's, refused: checkpoints follow epochs, and `fit(eval_every=...)` makes the epochs shorter.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        period: int = 1,
        *,
        save_freq: object = None,
    ) -> None:
        super().__init__(monitor, mode)
        if save_freq is not None:
            raise TypeError(
                f"save_freq must be left out, got {save_freq!r}: a checkpoint is saved every `period` epochs; "
                "to save within an epoch, give fit an eval_every=..., in steps or as a fraction of an epoch"
            )
        check_at_least("period", period, 1)
        self.filepath = os.fspath(filepath)
        _check_template(self.filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.period = period
        self.epochs_since_last_save = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epochs_since_last_save += 1
        if self.epochs_since_last_save < self.period:
            return
        self.epochs_since_last_save = 0
        if not self.save_best_only:
            self._save(epoch, logs, "")
            return
        value = self.monitored(logs)
        if value is None:
            return
        if self.improves(value, on=self.best):
            self._save(epoch, logs, f"{self.monitor} improved from {self.best:.5f} to {value:.5f}, ")
            self.best = value
        elif self.verbose:
            write(f"Epoch {epoch + 1:05d}: {self.monitor} did not improve from {self.best:.5f}")

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "epochs_since_last_save": self.epochs_since_last_save}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.epochs_since_last_save = state["epochs_since_last_save"]

    def _save(self, epoch: int, logs: Logs | None, reason: str) -> None:
        path = Path(_fill(self.filepath, {**(logs or {}), "epoch": epoch + 1}))
        if self.verbose:
            write(f"Epoch {epoch + 1:05d}: {reason}saving model to {path}")
        with replaced(path) as part, part.open("wb") as file:
            torch.save(self.model.state_dict() if self.save_weights_only else self.model, file)


def _check_template(filepath: str) -> None:
    """Find now what would otherwise be found after an epoch."""
    try:
        fields = [field for _, field, _, _ in Formatter().parse(filepath) if field is not None]
    except ValueError as error:
        raise ValueError(f"filepath must be a format string, got {filepath!r}: {error}") from None
    if any(not field or field.isdecimal() for field in fields):
        raise ValueError(f"filepath must name what it fills in, such as {{epoch}}, got {filepath!r}")


def _fill(filepath: str, values: dict[str, Any]) -> str:
    short = [re.split("[:@]", name)[0] for name in values]
    clear = {name: value for name, value in zip(short, values.values(), strict=True) if short.count(name) == 1}
    try:
        return filepath.format(**{**clear, **values})
    except KeyError as error:
        known = ", ".join(values)
        raise ValueError(f"filepath {filepath!r} names {error}, which is not in the logs; they have {known}") from None
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"filepath {filepath!r} cannot be filled in: {error}") from error
