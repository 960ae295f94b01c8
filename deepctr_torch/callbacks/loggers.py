"""Write the logs where other programs read them."""

from __future__ import annotations

import csv
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from .._checks import check_at_least
from ._console import as_number
from .base import Callback, Logs

__all__ = ["CSVLogger", "TensorBoard"]


class CSVLogger(Callback):
    """Writes the logs of each epoch as a line of a CSV file, at once.

    A name that appears in a later epoch becomes a column at the end; cells for which there is no number stay empty.

    Args:
        filename: the file; its folder is made.
        separator: between two cells.
        append: add to a file that is there, instead of replacing it.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.path = Path(filename)
        self.separator = separator
        self.append = append
        self._columns: list[str] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._columns = []
        if not self.append:
            self.path.write_text("", encoding="utf-8")
        elif self.path.exists():
            self._columns = list(self._read()[0])

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        row = {"epoch": epoch, **{name: as_number(value) for name, value in (logs or {}).items()}}
        new = [name for name in row if name not in self._columns]
        if new:
            self._widen(new)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            self._writer(file).writerow(row)

    def state_dict(self) -> dict[str, Any]:
        return {"text": self.path.read_text(encoding="utf-8") if self.path.exists() else ""}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Lines of later epochs go: they will be written again."""
        self.path.write_text(state["text"], encoding="utf-8")
        self._columns = list(self._read()[0])

    def _writer(self, file: TextIO) -> csv.DictWriter[str]:
        return csv.DictWriter(file, self._columns, delimiter=self.separator, lineterminator="\n")

    def _read(self) -> tuple[list[str], list[dict[str, Any]]]:
        with self.path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter=self.separator)
            return list(reader.fieldnames or []), list(reader)

    def _widen(self, new: list[str]) -> None:
        """Write the file anew with more columns; the first row of a new file comes here too."""
        rows = self._read()[1] if self._columns else []
        self._columns = [*self._columns, *new]
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = self._writer(file)
            writer.writeheader()
            writer.writerows(rows)
        part.replace(self.path)


class TensorBoard(Callback):
    """Writes losses and metrics for TensorBoard: runs `train` and `validation` under `log_dir`, tags `epoch_<name>`.

    Args:
        log_dir: where TensorBoard is pointed to.
        update_freq: `"epoch"`, or a number of batches after which the loss is written too, as `batch_loss`.
    """

    def __init__(self, log_dir: str | os.PathLike[str] = "logs", update_freq: str | int = "epoch") -> None:
        super().__init__()
        if update_freq != "epoch":
            check_at_least("update_freq (where not 'epoch')", update_freq, 1)
        if importlib.util.find_spec("tensorboard") is None:
            raise ModuleNotFoundError(
                'TensorBoard needs the package tensorboard: pip install "deepctr-torch[tensorboard]"'
            )
        self.log_dir = Path(log_dir)
        self.update_freq = update_freq
        self._every = 0 if update_freq == "epoch" else int(update_freq)
        self._writers: dict[str, Any] = {}
        self._steps = 0

    @property
    def wants_batches(self) -> bool:
        return self._every > 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._steps += 1
        if self._every and self._steps % self._every == 0:
            for name, value in (logs or {}).items():
                self._scalar("train", f"batch_{name}", value, self._steps)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        for name, value in (logs or {}).items():
            run = "validation" if name.startswith("val_") else "train"
            self._scalar(run, f"epoch_{name.removeprefix('val_')}", value, epoch)
        for writer in self._writers.values():
            writer.flush()

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._steps = state["steps"]

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; `fit` does it too where it ends by an error."""
        while self._writers:
            self._writers.popitem()[1].close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "model": None, "_writers": {}}

    def _scalar(self, run: str, tag: str, value: object, step: int) -> None:
        number = as_number(value)
        if not isinstance(number, float):
            return
        if run not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            self._writers[run] = SummaryWriter(str(self.log_dir / run))
        self._writers[run].add_scalar(tag, number, step)
