"""Where the time of a training step goes: `fit(profile="trace.json")`."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ..callbacks._console import write

__all__ = ["StepProfile"]

SPANS = ("data", "lookup", "forward", "backward", "update")
WARM, TIMED, TRACED = 5, 20, 10  # steps before anything is measured, steps on the clock, steps in the trace


class StepProfile:
    """Times the parts of some steps by the clock, then records some more for a trace viewer.

    The trace (JSON, for https://ui.perfetto.dev or chrome://tracing) is taken of steps of its own, since recording
    slows them down. On a GPU the timed steps wait for the device at the end of each part.

    Args:
        path: of the trace.
        device: where the model is.

    Attributes:
        milliseconds: part of a step -> its mean time; "rest" is what lies between steps, "step" the whole.
    """

    def __init__(self, path: str | os.PathLike[str], device: torch.device) -> None:
        self.path, self.device = Path(path), device
        if not self.path.parent.is_dir():
            raise ValueError(f"profile must be a path in a folder that exists, got {str(path)!r}")
        self.milliseconds: dict[str, float] = {}
        self._spent = dict.fromkeys(SPANS, 0.0)
        self._steps, self._rows, self._timed, self._begin = 0, 0, 0, 0.0
        self._recorder: Any = None

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Around a part of a step."""
        if self._recorder is not None:
            with torch.profiler.record_function(name):
                yield
            return
        begin = time.perf_counter()
        yield
        self._wait()
        if WARM <= self._steps < WARM + TIMED:
            self._spent[name] += time.perf_counter() - begin

    def step(self, rows: int) -> None:
        """After each step of `rows` rows."""
        self._steps += 1
        if self._steps == WARM:
            self._begin = time.perf_counter()
        elif WARM < self._steps <= WARM + TIMED:
            self._timed, self._rows = self._timed + 1, self._rows + rows
            self._last = time.perf_counter()
        if self._steps == WARM + TIMED:
            activities = [torch.profiler.ProfilerActivity.CPU]
            if self.device.type == "cuda":
                activities.append(torch.profiler.ProfilerActivity.CUDA)
            self._recorder = torch.profiler.profile(activities=activities)
            self._recorder.start()
        elif self._steps == WARM + TIMED + TRACED:
            self._write()

    def close(self) -> None:
        """At the end of the training: write the trace if there is one, and show the table."""
        self._write()
        if not self._timed:
            write(f"profile: nothing was measured, since the training ended within {WARM + 1} steps")
            return
        whole = (self._last - self._begin) / self._timed * 1e3
        parts = {name: spent / self._timed * 1e3 for name, spent in self._spent.items()}
        self.milliseconds = {**parts, "rest": max(whole - sum(parts.values()), 0.0), "step": whole}
        for line in self.table():
            write(line)

    def table(self) -> list[str]:
        """The lines of the table."""
        whole = self.milliseconds["step"]
        lines = [f"{'part':<10}{'ms a step':>10}{'share':>8}"]
        for name, spent in self.milliseconds.items():
            lines.append(f"{name:<10}{spent:>10.3f}{spent / whole:>8.1%}")
        lines.append(
            f"{self._timed} steps, {self._rows / self._timed / whole * 1e3:,.0f} samples/s; trace: {self.path}"
        )
        return lines

    def _write(self) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.stop()
            recorder.export_chrome_trace(str(self.path))

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
