"""Metrics over all rows of raw data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.values import column_of, to_numpy
from ..training.compiled import Compiled, compile_losses, compile_metrics
from .data import Data
from .fitting import LOSSES, read_encoded
from .targets import NumberTargets, Targets

__all__ = ["evaluate", "in_units"]

Array = npt.NDArray[Any]


def in_units(targets: Targets, predictions: Array) -> Array:
    """Predictions of the model, or its labels, in the units of the labels given."""
    return targets.decode(predictions) if isinstance(targets, NumberTargets) else predictions


def evaluate(est: Any, data: Data, metrics: list[Any]) -> dict[str, float]:
    """Every metric, name -> value; rows are read, encoded and predicted chunk by chunk."""
    tasks, targets = est.model_.tasks, est.targets_
    names, _, per_task = compile_metrics(metrics, tasks)
    compiled = Compiled(tasks, compile_losses(LOSSES[targets.kind], tasks)[1], per_task, names)
    theirs = type(targets).restore(data.labels, targets.state())  # the same meaning under the names of these columns
    groups: dict[str, list[Array]] = {name: [] for name in compiled.group_columns}
    y, p, weights = [], [], []
    for chunk, encoded in read_encoded(est.encoder_, data, theirs, keep=tuple(groups)):
        y.append(in_units(targets, encoded.y.astype(np.float64)))
        p.append(in_units(targets, est.model_.predict(encoded.x)))
        weights.append(encoded.weight)
        for name, values in groups.items():
            values.append(to_numpy(column_of(chunk.table, name)))
    if not y:
        raise ValueError("Found array with 0 sample(s): X must have at least one row")
    there = [w for w in weights if w is not None]
    weight = np.concatenate(there) if there else None
    joined = {name: np.concatenate(values) for name, values in groups.items()}
    return compiled.evaluate(np.concatenate(y), np.concatenate(p), weight, joined)
