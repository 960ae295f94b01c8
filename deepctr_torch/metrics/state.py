"""Accumulates predictions and labels of an epoch or an evaluation, and computes their metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .stateful import BINS, BinnedCurve, StatefulMetric, update_blocks
from .task_metrics import TaskMetrics

__all__ = ["MetricState", "TensorBuffer"]

log = logging.getLogger("deepctr_torch")

Array = npt.NDArray[Any]
EXACT_ROWS = 20_000_000  # up to here predictions are kept, and every metric is exact
BLOCK_ROWS = 1 << 20  # rows of one piece of memory, and those that leave the device at a time beyond EXACT_ROWS
PARTS = 64  # arrays of groups that are joined at a time


class TensorBuffer:
    """Rows of float32 numbers [N] or [N, W] that come a batch at a time, on the device that they come on.

    They are copied into few large blocks: small tensors that stay would scatter over the memory and keep the space
    between them from being used again.

    >>> column = TensorBuffer()
    >>> column.add(torch.tensor([1.0, 2.0]))
    >>> column.joined()
    array([1., 2.], dtype=float32)
    """

    def __init__(self) -> None:
        self.rows = 0
        self._blocks: list[Tensor] = []
        self._free = 0

    def add(self, values: Tensor) -> None:
        """Copy rows; does not wait for the device."""
        start = 0
        while start < len(values):
            if not self._free:
                shape = (BLOCK_ROWS, *values.shape[1:])
                self._blocks.append(torch.empty(shape, dtype=torch.float32, device=values.device))
                self._free = BLOCK_ROWS
            count = min(self._free, len(values) - start)
            at = BLOCK_ROWS - self._free
            self._blocks[-1][at : at + count].copy_(values[start : start + count])
            start, self._free, self.rows = start + count, self._free - count, self.rows + count

    def fill(self, value: float, rows: int, device: torch.device) -> None:
        """Add rows of one number."""
        self.add(torch.full((1,), value, device=device).expand(rows))

    def within(self, low: float, high: float, at: int) -> bool:
        """Return True if no number of column `at` of [N, W] lies outside."""
        return not any(bool(((b[:, at] < low) | (b[:, at] > high)).any()) for b in self._filled())

    def state_dict(self) -> list[Tensor]:
        """The rows, in blocks that are not copied."""
        return self._filled()

    def load_state_dict(self, blocks: Sequence[Tensor], device: torch.device) -> None:
        """Take over what `state_dict` gave."""
        self.__init__()  # type: ignore[misc]
        for block in blocks:
            self.add(block.to(device))

    def _filled(self) -> list[Tensor]:
        return [*self._blocks[:-1], *(block[: BLOCK_ROWS - self._free] for block in self._blocks[-1:])]

    def full_blocks(self) -> Iterator[Array]:
        """The blocks that hold all they can, on the host; each is forgotten here."""
        while self.rows >= BLOCK_ROWS:
            self.rows -= BLOCK_ROWS
            yield self._blocks.pop(0).cpu().numpy()

    def joined(self) -> Array:
        """All rows on the host; they are forgotten here."""
        blocks = self._filled()
        rows, self.rows, self._free, self._blocks = self.rows, 0, 0, []
        if len(blocks) == 1:
            return blocks[0].cpu().numpy()
        out = np.empty((rows, *blocks[0].shape[1:]) if blocks else (0,), dtype=np.float32)
        at = 0
        while blocks:
            block = blocks.pop(0)
            out[at : at + len(block)] = block.cpu().numpy()
            at += len(block)
        return out


class _Groups:
    """Columns of group values, joined some at a time."""

    def __init__(self) -> None:
        self._joined: list[Mapping[str, Array]] = []
        self._parts: list[Mapping[str, Array]] = []

    def add(self, groups: Mapping[str, Array] | None) -> None:
        if groups:
            self._parts.append(groups)
        if len(self._parts) == PARTS:
            self._joined.append(_side_by_side(self._parts))
            self._parts = []

    def joined(self) -> dict[str, Array]:
        return _side_by_side([*self._joined, *self._parts])


def _side_by_side(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


class MetricState:
    """Accumulates the rows of an epoch or an evaluation for its metrics.

    Predictions, labels and weights stay on their device until the metrics are computed. Beyond `EXACT_ROWS` rows,
    metrics that can be had of sums and of a histogram go on without the predictions; if one of them cannot, all
    predictions are kept. The log says so.

    Args:
        metrics: computed at the end; without any, nothing is kept.

    >>> state = MetricState(TaskMetrics([("", "binary")], ["auc"]))
    >>> state.update(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.2], [0.7]]))
    >>> state.compute()
    {'auc': 1.0}
    """

    def __init__(self, metrics: TaskMetrics) -> None:
        self.metrics = metrics
        self.rows = 0
        self._predictions, self._labels, self._weights = TensorBuffer(), TensorBuffer(), TensorBuffer()
        self._weighted = False
        self._groups = _Groups()
        self._decided = False
        self._streamed: list[list[StatefulMetric]] | None = None  # for each task, once predictions are not kept

    def update(
        self, y: Tensor, prediction: Tensor, weight: Tensor | None = None, groups: Mapping[str, Array] | None = None
    ) -> None:
        """Take the rows of one batch; does not wait for the device below `EXACT_ROWS`.

        Args:
            y: labels [B, T]; NaN: not observed.
            prediction: [B, T], or [B, C] of one task with several classes.
            weight: [B]; None weighs 1, also where other batches have weights.
            groups: a column [B] for each of the metrics' group columns.
        """
        self.rows += len(y)
        if not self.metrics:
            return
        self._keep(y, prediction.detach(), weight)
        self._groups.add(groups)
        if self.rows > EXACT_ROWS:
            if not self._decided:
                self._decided = True
                self._streamed = self._stream()
            if self._streamed is not None:
                self._fold(self._streamed, last=False)

    def state_dict(self) -> dict[str, Any]:
        """All that was taken so far, not copied."""
        buffers = (self._predictions, self._labels, self._weights)
        return {
            "rows": self.rows,
            "buffers": [buffer.state_dict() for buffer in buffers],
            "weighted": self._weighted,
            "groups": self._groups.joined(),
            "decided": self._decided,
            "streamed": self._streamed and [[metric.state_dict() for metric in of_task] for of_task in self._streamed],
        }

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take over what `state_dict` gave; rows will be on `device`."""
        self.rows, self._weighted, self._decided = state["rows"], state["weighted"], state["decided"]
        for buffer, blocks in zip((self._predictions, self._labels, self._weights), state["buffers"], strict=True):
            buffer.load_state_dict(blocks, device)
        self._groups.add(state["groups"])
        if state["streamed"] is not None:
            made = [[metric.stateful and metric.stateful() for metric in of_task] for of_task in self.metrics.of_task]
            self._streamed = [[metric for metric in of_task if metric is not None] for of_task in made]
            for of_task, states in zip(self._streamed, state["streamed"], strict=True):
                for metric, saved in zip(of_task, states, strict=True):
                    metric.load_state_dict(saved)

    def _keep(self, y: Tensor, prediction: Tensor, weight: Tensor | None) -> None:
        self._predictions.add(prediction)
        self._labels.add(y)
        if weight is not None and not self._weighted:
            self._weighted = True
            self._weights.fill(1.0, self._labels.rows - len(y), y.device)
        if weight is not None:
            self._weights.add(weight)
        elif self._weighted:
            self._weights.fill(1.0, len(y), y.device)

    def compute(self) -> dict[str, float]:
        """Compute every metric, once: the rows are forgotten."""
        if not self.metrics or not self.rows:
            return {}
        if self._streamed is not None:
            self._fold(self._streamed, last=True)
            return self.metrics.by_name([[metric.compute() for metric in of_task] for of_task in self._streamed])
        weight = self._weights.joined() if self._weighted else None
        y, prediction = self._labels.joined(), self._predictions.joined()
        return self.metrics.evaluate(y, prediction, weight, self._groups.joined())

    def _stream(self) -> list[list[StatefulMetric]] | None:
        """Metrics of each task that go on without the predictions; None where one needs them all."""
        made = [[metric.stateful and metric.stateful() for metric in of_task] for of_task in self.metrics.of_task]
        needs = [metric.name for metric in self.metrics if metric.stateful is None]
        for t, (_, kind) in enumerate(self.metrics.tasks):
            by_order = any(isinstance(each, BinnedCurve) for each in made[t])
            if kind == "multiclass" or (by_order and not self._predictions.within(0.0, 1.0, t)):
                needs += [metric.name for metric in self.metrics.of_task[t]]
        if needs:
            log.info("more than %s rows: all predictions are kept for %s", f"{EXACT_ROWS:,}", _listed(needs))
            return None
        flat = [each for of_task in made for each in of_task]
        binned = [metric.name for each, metric in zip(flat, self.metrics, strict=True) if isinstance(each, BinnedCurve)]
        how = f"{_listed(binned)} from a histogram of {BINS:,} bins" if binned else "the metrics are sums"
        log.info("more than %s rows: predictions are not kept; %s", f"{EXACT_ROWS:,}", how)
        return [[each for each in of_task if each is not None] for of_task in made]

    def _fold(self, streamed: list[list[StatefulMetric]], last: bool) -> None:
        """Count full blocks, or the `last` one too, into the metrics."""
        for y, prediction, weight in self._blocks(last):
            for t, metrics in enumerate(streamed):
                rows = ~np.isnan(y[:, t])
                w = None if weight is None else weight[rows]
                for metric in metrics:
                    update_blocks(metric, y[rows, t], prediction[rows, t], w)

    def _blocks(self, last: bool) -> Iterator[tuple[Array, Array, Array | None]]:
        weights = self._weights.full_blocks() if self._weighted else repeat(None)
        yield from zip(self._labels.full_blocks(), self._predictions.full_blocks(), weights, strict=False)
        if last and self._labels.rows:
            yield self._labels.joined(), self._predictions.joined(), self._weights.joined() if self._weighted else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))
