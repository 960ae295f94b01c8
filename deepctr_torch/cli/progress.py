"""How far a command is: a bar with rows a second and the time that is left, on stderr, where that is a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from ..callbacks import Callback
from ..callbacks._console import format_logs
from ..callbacks.base import Logs

__all__ = ["Progress", "TrainingProgress"]


class Progress:
    """A bar; where it is not shown, nothing.

    Args:
        shown: False to show nothing; nor is anything shown where stderr is no terminal.
    """

    def __init__(self, shown: bool = True) -> None:
        self.shown = shown and sys.stderr.isatty()
        self._bars: Any = _bars() if self.shown else None
        self._task: Any = None

    def begin(self, title: str, rows: int | None = None) -> None:
        """A new task of so many rows, None if nobody knows."""
        if self._bars is not None:
            self.end()
            self._task = self._bars.add_task(title, total=rows)

    def advance(self, rows: int) -> None:
        if self._task is not None:
            task = self._bars.tasks[-1]
            if task.total is not None and task.completed + rows > task.total:  # the number was a guess
                self._bars.update(self._task, total=task.completed + rows)
            self._bars.advance(self._task, rows)

    def say(self, line: str) -> None:
        """One line above the bar."""
        if self._bars is not None:
            self._bars.console.print(line, highlight=False, markup=False)

    def end(self) -> None:
        """Take the bar away."""
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None

    def __enter__(self) -> Progress:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self.end()
            self._bars.stop()


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Rows(ProgressColumn):
        """Rows done, of how many, and how many a second."""

        def render(self, task: Any) -> Text:
            if not task.completed and task.total is None:
                return Text("")
            of = "" if task.total is None else f" of {task.total:,.0f}"
            speed = task.finished_speed or task.speed
            return Text(f"{task.completed:,.0f}{of} rows" + (f", {speed:,.0f}/s" if speed else ""))

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), Rows(), TimeRemainingColumn())
    return Bars(*columns, console=Console(stderr=True), transient=True)


class TrainingProgress(Callback):
    """Shows the training in a bar for each epoch (or part of one between evaluations), and a line at its end.

    Args:
        progress: where.
        rows: about how many an epoch has, where the training does not know.
    """

    def __init__(self, progress: Progress, rows: int | None = None) -> None:
        super().__init__()
        self.progress, self.rows = progress, rows

    @property
    def wants_batches(self) -> bool:
        return self.progress.shown

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        steps, samples, size = (self.params.get(key) for key in ("steps", "samples", "batch_size"))
        known = steps * size if steps and size else None
        self.progress.begin(f"{self._title(epoch)}: training", samples or known or self.rows)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.progress.advance(int((logs or {}).get("size", 0)))

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self.progress.begin("validation")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.progress.end()
        self.progress.say(f"{self._title(epoch)}: {format_logs(logs or {})}")

    def _title(self, epoch: int) -> str:
        epochs = self.params.get("epochs")
        return f"epoch {epoch + 1} of {epochs}" if epochs else f"part {epoch + 1}"
