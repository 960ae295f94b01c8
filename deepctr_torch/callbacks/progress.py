"""The progress that `fit(verbose=...)` shows."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from typing import Any

from ._console import format_logs, format_value, write
from .base import Callback, Logs

__all__ = ["ProgressBar"]

_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 5.0  # between two lines where there is no terminal to draw on
_BAR_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
_DONE_FORMAT = "{desc}: {n_fmt} samples [{elapsed}, {rate_fmt}]"


class ProgressBar(Callback):
    """Shows how the training gets on: a bar, a line an epoch, or nothing.

    The loop calls `step` after each batch; the loss is asked for only when the bar is drawn anew, at most ten times a
    second, so that showing it does not make the device wait. Where the standard error is a file, a line takes the place
    of the bar, every five seconds.

    Args:
        verbose: 1 for a bar with rate, remaining time and loss; 2 for one line an epoch; 0 for silence.
    """

    def __init__(self, verbose: int = 1) -> None:
        super().__init__()
        if verbose not in (0, 1, 2):
            raise ValueError(f"verbose must be 0 (silent), 1 (progress bar) or 2 (one line per epoch), got {verbose!r}")
        self.verbose = int(verbose)
        self._bar: Any = None
        self._begin = self._last = self._drawn = 0.0
        self._seen = 0
        self._live = True

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.close()
        self._begin = self._last = self._drawn = time.perf_counter()
        self._seen = 0
        if self.verbose == 1:
            self._live = _is_live()
            self._bar = _new_bar(self._title(epoch), self._total(), self._live)

    def step(self, n_samples: int, loss_fn: Callable[[], float]) -> None:
        """`n_samples` more were trained on; `loss_fn` gives the loss so far, and is called only when it is shown."""
        self._seen += n_samples
        self._last = time.perf_counter()
        if self._bar is None:
            return
        due = self._last - self._drawn >= (_REDRAW_SECONDS if self._live else _LINE_SECONDS)
        if due or (self._live and self._seen == self._bar.total):
            self._drawn = self._last
            self._bar.set_postfix_str(f"loss: {format_value(loss_fn())}", refresh=False)
            self._bar.update(self._seen - self._bar.n)
            if not self._live:
                sys.stderr.write(f"{self._bar}\n")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.verbose == 2:
            rate = self._seen / max(self._last - self._begin, 1e-9)
            took = f"{time.perf_counter() - self._begin:.0f}s" + (f" ({rate:,.0f} samples/s)" if self._seen else "")
            shown = format_logs(logs or {})
            write(" - ".join(part for part in (self._title(epoch), took, shown) if part))
        elif self._bar is not None:
            self._finish(format_logs(logs or {}))

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.close()

    def close(self) -> None:
        """Leave the bar as it stands, if there is one: for a training that ends before its epoch does."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "model": None, "_bar": None}  # a bar holds a stream and a lock

    def _finish(self, shown: str) -> None:
        """Put a line that a narrow terminal does not cut in the place of the bar."""
        bar, self._bar = self._bar, None
        took = {"n": self._seen, "elapsed": self._last - self._begin, "rate": None, "ncols": None, "postfix": None}
        line = bar.format_meter(**{**bar.format_dict, **took, "bar_format": _DONE_FORMAT})
        bar.leave = False
        bar.close()
        target = bar.fp if self._live else sys.stderr
        bar.write(f"{line} - {shown}" if shown else line, file=target)
        target.flush()

    def _title(self, epoch: int) -> str:
        epochs = self.params.get("epochs")
        return f"Epoch {epoch + 1}/{epochs}" if epochs and epoch < epochs else f"Epoch {epoch + 1}"

    def _total(self) -> int | None:
        """Samples of an epoch, as far as they are known."""
        steps, samples, size = (self.params.get(key) or 0 for key in ("steps", "samples", "batch_size"))
        if not steps or not size or -(-samples // size) == steps:
            return samples or None
        return int(steps * size)


def _is_live() -> bool:
    """True if what is written to the standard error can be drawn over: on a terminal, and in a notebook."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()


def _new_bar(title: str, total: int | None, live: bool) -> Any:
    from tqdm import tqdm

    silent = type("Bar", (tqdm,), {"monitor_interval": 0})  # no thread that watches the bar
    bar_format = _BAR_FORMAT if total else None
    return silent(
        total=total, desc=title, unit=" samples", unit_scale=True, mininterval=0, miniters=1, bar_format=bar_format,
        file=None if live else io.StringIO(),
    )  # fmt: skip
