"""What an epoch or an evaluation saw, kept for its metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data.device import AsyncScalar
from ..data.sources import LabeledBatch
from ..training.compile_config import CompileConfig
from .stateful import BINS, BinnedCurve, StatefulMetric, add_blocks

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
        """Whether no number of column `at` of [N, W] lies outside."""
        return not any(bool(((b[:, at] < low) | (b[:, at] > high)).any()) for b in self._filled())

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
        self._joined: list[dict[str, Array]] = []
        self._parts: list[dict[str, Array]] = []

    def add(self, groups: dict[str, Array]) -> None:
        if groups:
            self._parts.append(groups)
        if len(self._parts) == PARTS:
            self._joined.append(_side_by_side(self._parts))
            self._parts = []

    def joined(self) -> dict[str, Array]:
        return _side_by_side([*self._joined, *self._parts])


def _side_by_side(parts: Sequence[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


class MetricState:
    """Predictions (of training: before each update), labels and weights for the metrics, and the loss.

    All stay on the device to the end. Beyond `EXACT_ROWS` rows, metrics that can be had of sums and of a histogram go
    on without the predictions; if one of them cannot, all predictions are kept. The log says so.

    Args:
        compiled: whose metrics are computed; without any, nothing is kept.
    """

    def __init__(self, compiled: CompileConfig) -> None:
        self.compiled = compiled
        self.loss: Tensor | float = 0.0
        self.rows = self.steps = 0
        self._wanted = any(compiled.metrics)
        self._predictions, self._labels, self._weights = TensorBuffer(), TensorBuffer(), TensorBuffer()
        self._weighted = False
        self._groups = _Groups()
        self._late = AsyncScalar()
        self._decided = False
        self._running: list[list[StatefulMetric]] | None = None

    def add(self, example: LabeledBatch, prediction: Tensor) -> None:
        """Take the rows of one batch; does not wait for the device below `EXACT_ROWS`."""
        rows = len(example.batch.ids)
        if self._wanted and example.y is not None:
            self._keep(example, example.y, prediction.detach())
        self.rows += rows
        self.steps += 1
        if self._wanted and self.rows > EXACT_ROWS:
            if not self._decided:
                self._decide()
            if self._running is not None:
                self._fold(self._running, last=False)

    def _keep(self, example: LabeledBatch, y: Tensor, prediction: Tensor) -> None:
        self._predictions.add(prediction)
        self._labels.add(y)
        self._groups.add(example.groups)
        if example.weight is not None and not self._weighted:  # a batch of a stream without weights weighs 1
            self._weighted = True
            self._weights.fill(1.0, self._labels.rows - len(y), y.device)
        if example.weight is not None:
            self._weights.add(example.weight)
        elif self._weighted:
            self._weights.fill(1.0, len(y), y.device)

    def mean_loss(self) -> float:
        return float(self.loss) / max(self.rows, 1)

    def late_loss(self) -> float:
        """The mean loss of a moment ago, to be shown; does not wait for the device."""
        return self._late.read(self.loss, max(self.rows, 1))

    def metrics(self) -> dict[str, float]:
        """Every metric, once: the rows are forgotten."""
        if not self._wanted or not self.rows:
            return {}
        if self._running is not None:
            self._fold(self._running, last=True)
            return self.compiled.by_name([[each.result() for each in task] for task in self._running])
        weight = self._weights.joined() if self._weighted else None
        y, prediction = self._labels.joined(), self._predictions.joined()
        return self.compiled.evaluate(y, prediction, weight, self._groups.joined())

    def _decide(self) -> None:
        """Whether the metrics can go on without the predictions."""
        self._decided = True
        made = [[m.running and m.running() for m in task] for task in self.compiled.metrics]
        needs = [m.name for task in self.compiled.metrics for m in task if m.running is None]
        for t, (_, kind) in enumerate(self.compiled.tasks):
            by_order = any(isinstance(each, BinnedCurve) for each in made[t])
            if kind == "multiclass" or (by_order and not self._predictions.within(0.0, 1.0, t)):
                needs += [m.name for m in self.compiled.metrics[t]]
        if needs:
            log.info("more than %s rows: all predictions are kept for %s", f"{EXACT_ROWS:,}", _listed(needs))
            return
        pairs = [pair for task in zip(made, self.compiled.metrics, strict=True) for pair in zip(*task, strict=True)]
        binned = [metric.name for each, metric in pairs if isinstance(each, BinnedCurve)]
        how = f"{_listed(binned)} from a histogram of {BINS:,} bins" if binned else "the metrics are sums"
        log.info("more than %s rows: predictions are not kept; %s", f"{EXACT_ROWS:,}", how)
        self._running = [[each for each in task if each is not None] for task in made]

    def _fold(self, running: list[list[StatefulMetric]], last: bool) -> None:
        """Count full blocks, or the `last` one too, into the metrics."""
        for y, prediction, weight in self._blocks(last):
            for t, each_of_task in enumerate(running):
                rows = ~np.isnan(y[:, t])
                w = None if weight is None else weight[rows]
                for each in each_of_task:
                    add_blocks(each, y[rows, t], prediction[rows, t], w)

    def _blocks(self, last: bool) -> Iterator[tuple[Array, Array, Array | None]]:
        weights = self._weights.full_blocks() if self._weighted else repeat(None)
        yield from zip(self._labels.full_blocks(), self._predictions.full_blocks(), weights, strict=False)
        if last and self._labels.rows:
            yield self._labels.joined(), self._predictions.joined(), self._weights.joined() if self._weighted else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))
