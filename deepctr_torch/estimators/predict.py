"""Predictions and metrics of raw rows, read, encoded and predicted block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..metrics.task_metrics import TaskMetrics
from .batches import Encoded, blocks, read_encoded
from .inputs import Data
from .labels import NumberTargets, Targets

__all__ = ["evaluate", "predictions", "seen"]

Array = npt.NDArray[Any]


def _in_units(targets: Targets, values: Array) -> Array:
    """Predictions of the model, or its labels, in the units of the labels given."""
    return targets.decode(values) if isinstance(targets, NumberTargets) else values


def predictions(
    est: Any, data: Data, targets: Targets | None = None, keep: Sequence[str] = ()
) -> Iterator[tuple[Encoded, Array]]:
    """Rows with what the model predicts, float64 [n, T], in the units of the labels."""
    for block in blocks(read_encoded(est.encoder_, data, targets, keep=keep)):
        yield block, _in_units(est.targets_, est.model_.predict(block.x))


def evaluate(est: Any, data: Data, metrics: list[Any]) -> dict[str, float]:
    """Every metric, name -> value."""
    task_metrics = TaskMetrics(est.model_.tasks, metrics)
    y, predicted, weight, groups = seen(est, data, task_metrics.group_columns)
    return task_metrics.evaluate(y, predicted, weight, groups)


def seen(est: Any, data: Data, keep: Sequence[str] = ()) -> tuple[Array, Array, Array | None, dict[str, Array]]:
    """Labels and predictions [N, T] in their units, weights [N] (or None), and the columns `keep`, of all rows."""
    targets = est.targets_.renamed(data.labels)
    found = [  # without the inputs, which are larger
        (_in_units(targets, block.y.astype(np.float64)), predicted, block.weight, block.groups)
        for block, predicted in predictions(est, data, targets, keep)
    ]
    if not found:
        raise ValueError("Found array with 0 sample(s): X must have at least one row")
    y, p, weights, groups = zip(*found, strict=True)
    there = [w for w in weights if w is not None]
    by_group = {name: np.concatenate([g[name] for g in groups]) for name in keep}
    return np.concatenate(y), np.concatenate(p), np.concatenate(there) if there else None, by_group
