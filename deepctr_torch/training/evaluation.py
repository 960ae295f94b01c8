"""Predictions over a whole source, and what is computed of them: exact metrics, never averages over batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data.sampling import full_rate
from ..data.sources import Example, Source
from ..features import Batch
from .compiled import Compiled

__all__ = ["Seen", "evaluate_source", "predict_source", "to_device"]

Array = npt.NDArray[Any]
PREDICT_ROWS = 4096  # blocks of predict and evaluate are at least this large; the result does not depend on it


@dataclass
class Seen:
    """What an epoch or an evaluation saw: predictions before each update, and the loss; on the device to the end."""

    predictions: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    weights: list[Tensor | None] = field(default_factory=list)
    groups: list[dict[str, Array]] = field(default_factory=list)
    loss: Tensor | float = 0.0
    rows: int = 0
    steps: int = 0

    def add(self, example: Example, prediction: Tensor) -> None:
        self.predictions.append(prediction.detach())
        if example.y is not None:
            self.labels.append(example.y)
        self.weights.append(example.weight)
        self.groups.append(example.groups)
        self.rows += len(example.batch.ids)
        self.steps += 1

    def mean_loss(self) -> float:
        return float(self.loss) / max(self.rows, 1)

    def metrics(self, compiled: Compiled) -> dict[str, float]:
        if not any(compiled.metrics) or not self.rows:
            return {}
        weight = self._weight()
        groups = {name: np.concatenate([g[name] for g in self.groups]) for name in self.groups[0]}
        y = torch.cat(self.labels, dim=0).cpu().numpy().astype(np.float64)
        return compiled.evaluate(y, _joined(self.predictions), weight, groups)

    def _weight(self) -> Array | None:
        """[N]; a batch of a stream without weights weighs 1."""
        if all(w is None for w in self.weights):
            return None
        return _joined([y.new_ones(len(y)) if w is None else w for w, y in zip(self.weights, self.labels, strict=True)])


def _joined(parts: Sequence[Tensor]) -> Array:
    return torch.cat([p.float() for p in parts], dim=0).cpu().numpy().astype(np.float64)


def to_device(example: Example, device: torch.device) -> Example:
    """The example with its tensors on `device`."""
    if device.type == "cpu":
        return example
    batch = Batch(
        example.batch.ids.to(device, non_blocking=True),
        example.batch.dense.to(device, non_blocking=True),
        example.batch.widths,
    )
    y = None if example.y is None else example.y.to(device, non_blocking=True)
    weight = None if example.weight is None else example.weight.to(device, non_blocking=True)
    return Example(batch, y, weight, example.groups)


@torch.inference_mode()
def predict_source(model: Any, source: Source, batch_size: int) -> Iterator[tuple[Example, Tensor]]:
    """Examples in the order of the source, with predictions in evaluation mode, corrected for sampled negatives."""
    device = next(model.parameters()).device if any(True for _ in model.parameters()) else torch.device("cpu")
    model.eval()
    for example in source.examples(max(batch_size, PREDICT_ROWS)):
        moved = to_device(example, device)
        yield moved, full_rate(model.objective(moved.batch)[0], getattr(model, "negative_rate", 1.0))


def evaluate_source(model: Any, compiled: Compiled, source: Source, batch_size: int) -> dict[str, float]:
    """`loss` (of the data alone, a row) and every metric over a whole source."""
    seen = Seen()
    total: Tensor | float = 0.0
    with torch.inference_mode():
        for example, prediction in predict_source(model, source, batch_size):
            if example.weight is not None:
                compiled.check_weighted()
            seen.add(example, prediction)
            for t in range(len(compiled.tasks)):
                weight = compiled.task_weights[t] if compiled.task_weights else 1.0
                if example.y is not None:
                    total = total + weight * compiled.task_loss(t, prediction, example.y, example.weight, "sum")
    if not seen.rows:
        raise ValueError("no batch to evaluate: the stream is empty")
    return {"loss": float(total) / seen.rows, **seen.metrics(compiled)}
