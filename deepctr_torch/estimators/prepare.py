"""The rows to train on and to validate on, encoded or ready to be as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..data.interop import to_numpy
from ..data.negative_sampling import keep_rows
from ..encoding import FeatureEncoder
from ..tables import RowSubset, read_chunks
from .batches import Encoded, joined, read_encoded
from .inputs import Data, open_data
from .labels import ClassTargets, Targets
from .split import Split

__all__ = ["Trained", "open_validation", "row_count", "train_inputs", "trained", "validation_inputs"]

Array = npt.NDArray[Any]


class Trained(NamedTuple):
    """What an epoch is trained on: how many rows, and the biases that predict the mean of their labels."""

    rows: int
    start: list[float] | None


def trained(data: Data, parts: Split, targets: Targets) -> Trained:
    """All rows of the training part; with a `negative_rate`, those that it keeps."""
    if data.negative_rate == 1 or not isinstance(targets, ClassTargets) or targets.kind != "binary":
        return Trained(parts.train_rows, targets.start)
    rows, seen, positive = 0, np.zeros(len(targets.names)), np.zeros(len(targets.names))
    for y in _kept_labels(data, parts.train, targets):
        rows += len(y)
        seen += (~np.isnan(y)).sum(axis=0)
        positive += (y > 0).sum(axis=0)
    if not rows:
        raise ValueError(f"{data.where} must hold rows that negative_rate={data.negative_rate} keeps, got none")
    shares = positive / np.maximum(seen, 1)
    rates = [[1 - share, share] for share in shares.tolist()]
    return Trained(rows, ClassTargets(targets.names, targets.classes, rates).start)


def _kept_labels(data: Data, part: RowSubset | None, targets: Targets) -> Iterator[Array]:
    """[n, T] of each chunk: the labels of the rows that `FileSource` will keep."""
    for chunk in read_chunks(data.where, data.labels, **data.options):
        columns = [to_numpy(chunk.table.column(name)) for name in data.labels]
        named = zip(data.labels, columns, strict=True)
        y = np.stack([targets.encode(name, values, chunk.where) for name, values in named], axis=1)
        name, seed = Path(chunk.file).name, data.table.seed
        kept = keep_rows(np.asarray((y > 0).any(axis=1)), name, chunk.first_row, data.negative_rate, seed)
        yield y[kept if part is None else kept & part.of(chunk, len(y))]


def open_validation(validation: Any, data: Data) -> Data:
    """Rows to validate on that were given, with as many labels as those to train on."""
    if isinstance(validation, tuple):
        if len(validation) not in (2, 3):
            raise ValueError(f"validation must be (X, y), (X, y, sample_weight) or files, got {len(validation)} parts")
        X, y, weight = (*validation, None)[:3]
        opened = open_data(X, y, weight)
    else:
        opened = open_data(validation, list(data.labels), data.weight if isinstance(data.weight, str) else None)
    if len(opened.labels) != len(data.labels):
        raise ValueError(f"validation must have the labels {list(data.labels)}, got {list(opened.labels)}")
    return opened


def labels_of(targets: Targets, data: Data, part: RowSubset | None) -> Array:
    """[N, T] of rows in memory."""
    columns = [targets.encode(name, y, lambda i: f"row {i}") for name, y in zip(targets.names, data.y, strict=True)]
    out = np.stack(columns, axis=1)
    return out if part is None else out[part.mask]


def train_inputs(
    encoder: FeatureEncoder, data: Data, part: RowSubset | None, targets: Targets, seed: int, update: bool
) -> Any:
    """Learn the encoder, and encode the training rows: `Encoded`, or the `Files` that do it as they are read."""
    if data.in_files:
        if update:
            encoder.update(data.where, part=part, **data.options)
        elif not encoder.fitted:
            encoder.fit(data.where, part=part, **data.options)
        names = {"label": list(data.labels), "weight": data.weight}
        return replace(data.table, **names, encoder=encoder, part=part, targets=targets.encode)
    y = labels_of(targets, data, part)
    weight = data.weight if part is None or data.weight is None else data.weight[part.mask]
    if update:
        encoder.update(data.where, part=part)
    if encoder.fitted:
        return Encoded(encoder.transform(data.where, training=True, seed=seed, part=part), y, weight)
    return Encoded(encoder.fit_transform(data.where, training=True, seed=seed, part=part), y, weight)


def validation_inputs(encoder: FeatureEncoder, data: Data, parts: Split, targets: Targets, given: Data | None) -> Any:
    """Rows to validate on, as `model.fit` takes them; those cut off are held in memory, files given are read."""
    if given is None:
        return None if parts.validation is None else _gathered(encoder, data, parts.validation, targets)
    theirs = targets.renamed(given.labels)
    if not given.in_files:
        return _gathered(encoder, given, None, theirs)
    names = {"label": list(given.labels), "weight": given.weight}
    return replace(given.table, **names, encoder=encoder, targets=theirs.encode)


def _gathered(encoder: FeatureEncoder, data: Data, part: RowSubset | None, targets: Targets) -> Encoded:
    if not data.in_files:
        weight = data.weight if part is None or data.weight is None else data.weight[part.mask]
        return Encoded(encoder.transform(data.where, part=part), labels_of(targets, data, part), weight)
    return joined(list(read_encoded(encoder, data, targets, part)))


def row_count(parts: Split, given: Data | None) -> int:
    """How many rows are validated on."""
    if given is not None:
        return given.starts()[1]
    return 0 if parts.validation is None else parts.validation.rows
