"""Output of commands: results on stdout, bars and failures on stderr, and an exit code.

Exit codes: 0 done, 1 the run failed, 2 it was called in a wrong way. A failure is one line.
"""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from ..callbacks import Callback
from ..callbacks._console import format_logs
from ..callbacks.base import Logs

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

TRACEBACK: ContextVar[bool] = ContextVar("traceback", default=False)  # show where an error came from
WIDE = 200  # columns
FEATURES = ("feature", "kind", "missing", "cardinality", "coverage", "table rows", "mean", "std")
F = TypeVar("F", bound=Callable[..., None])


class UsageError(ValueError):
    """A command line that makes no sense, whatever the data: exit code 2."""


def reported(command: F) -> F:
    """Decorate a command: its errors become one line on stderr and an exit code; `--traceback` shows where."""
    import typer

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except UsageError as problem:
            raise typer.BadParameter(str(problem)) from problem
        except BrokenPipeError:
            raise
        except Exception as error:
            if isinstance(error, (typer.Exit, typer.Abort, typer.BadParameter)) or TRACEBACK.get():
                raise
            sys.stderr.write(f"Error: {_one_line(error)}\n")
            raise typer.Exit(1) from error

    return run  # type: ignore[return-value]  # the same signature


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    expected = isinstance(error, (ValueError, TypeError, OSError, RuntimeError, ModuleNotFoundError))
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    return text if expected else f"{type(error).__name__}: {text} (an error of the program: --traceback shows where)"


def print_json(value: Any) -> None:
    """Print a JSON value in one line on stdout; numbers that JSON does not have are null."""
    sys.stdout.write(json.dumps(_plain(value), allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if hasattr(value, "item"):  # of numpy
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def as_cell(value: Any) -> str:
    """Return a value as people read it.

    >>> as_cell(0.72345678), as_cell(1234567), as_cell(None), as_cell(["a", 1])
    ('0.7235', '1,234,567', '', 'a, 1')
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 or not math.isfinite(value) else f"{value:.2e}"


def print_table(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """Print dicts as the rows of a table, a column for each key; numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in names:
        values = [row.get(name) for row in rows]
        numeric = all(v is None or (isinstance(v, (int, float)) and not isinstance(v, bool)) for v in values)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(as_cell(row.get(name)) for name in names))
    # What is not read on a terminal is not wrapped to the width of one.
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDE)
    if title:
        console.print(f"\n{title}")
    console.print(table)


def print_features(described: Sequence[Mapping[str, Any]]) -> None:
    """Print the most telling columns of what an encoder describes."""
    shown = [name for name in FEATURES if any(name in row for row in described)]
    print_table([{name: row.get(name) for name in shown} for row in described], "Features")


def print_metrics(metrics: Mapping[str, float], tasks: Sequence[str], title: str) -> None:
    """Print metrics as a table: of several tasks a row for each, and one for the mean."""
    if len(tasks) < 2:
        print_table([{"metric": name, "value": value} for name, value in metrics.items()], title)
        return
    rows: dict[str, dict[str, Any]] = {task: {"task": task} for task in tasks}
    mean: dict[str, Any] = {"task": "mean"}
    for name, value in metrics.items():
        task = max((t for t in tasks if name.startswith(f"{t}_")), key=len, default=None)  # click_buy, if not click
        if task is None:
            mean[name] = value
        else:
            rows[task][name.removeprefix(f"{task}_")] = value
    print_table([*rows.values(), mean], title)


def print_facts(values: Mapping[str, Any]) -> None:
    """Print names and values, one a line."""
    shown = {name: as_cell(value) for name, value in values.items() if value is not None}
    width = max(map(len, shown))
    for name, value in shown.items():
        sys.stdout.write(f"{name:<{width}}  {value}\n")


class Progress:
    """A bar; nothing unless it is `shown` and stderr is a terminal."""

    def __init__(self, shown: bool = True) -> None:
        self.shown = shown and sys.stderr.isatty()
        self._bars = _bars() if self.shown else None
        self._task: TaskID | None = None

    def begin(self, title: str, rows: int | None = None) -> None:
        """Begin a task of so many rows, None if nobody knows."""
        if self._bars is not None:
            self.end()
            self._task = self._bars.add_task(title, total=rows)

    def advance(self, rows: int) -> None:
        if self._bars is not None and self._task is not None:
            task = self._bars.tasks[-1]
            if task.total is not None and task.completed + rows > task.total:  # the number was a guess
                self._bars.update(self._task, total=task.completed + rows)
            self._bars.advance(self._task, rows)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bars is not None:
            self._bars.console.print(line, highlight=False, markup=False)

    def end(self) -> None:
        """Take the bar away."""
        if self._bars is not None and self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None

    def __enter__(self) -> Progress:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bars is not None:
            self.end()
            self._bars.stop()


def _bars() -> RichProgress:
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
    """Shows the training in a bar for each epoch (or part of one between evaluations), and a line at its end."""

    def __init__(self, progress: Progress, rows: int | None = None) -> None:
        super().__init__()
        self.progress, self.rows = progress, rows  # about how many an epoch has, where the training does not know

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
