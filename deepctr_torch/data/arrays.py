"""`ArraySource`: samples held in memory, checked and laid out once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._typing import Array
from ..features import Batch, FeatureSchema
from ..tables import ColumnLike
from .batch import LabeledBatch, LabelSpec, permutation, take_rows
from .checks import Arrays, to_arrays
from .interop import InputsLike, LabelsLike
from .labels import class_weights, group_values, labels_by_name, to_labels, to_weights

__all__ = ["ArraySource", "array_source"]


class ArraySource:
    """Samples in memory: a batch is a slice of two arrays, never a row-by-row collation."""

    batch_size: int | None = None
    once = False
    negative_rate = 1.0

    def __init__(
        self,
        schema: FeatureSchema,
        arrays: Arrays,
        y: Array | None = None,  # float32 [N, T]
        weight: Array | None = None,  # float32 [N]
        groups: Mapping[str, Array] | None = None,  # column name -> [N] values
        class_weight: Mapping[Any, float] | None = None,  # label -> weight, of the rows trained on
    ) -> None:
        self.schema = schema
        self.rows: int | None = len(arrays.ids)
        self.ids = torch.from_numpy(arrays.ids)
        self.dense = torch.from_numpy(arrays.dense)
        self.used = torch.from_numpy(arrays.used)
        self.y = None if y is None else torch.from_numpy(y)
        self.weight = None if weight is None else torch.from_numpy(weight)
        self.groups = dict(groups or {})
        self.class_weight = class_weight
        # looked at here, once and on the host, so that no step waits for a device to tell
        self.complete = self.y is None or self.y.shape[1] == 1 or not bool(torch.isnan(self.y).any())

    @property
    def weighted(self) -> bool:
        """True where rows carry weights."""
        return self.weight is not None or bool(self.class_weight)

    def __len__(self) -> int:
        return len(self.ids)

    def steps(self, batch_size: int) -> int:
        return -(-len(self) // batch_size)

    def batches(self, batch_size: int, seed: Sequence[int] | None = None) -> Iterator[LabeledBatch]:
        """Batches in order, or shuffled by a generator of `seed` that nothing else draws from."""
        order = self.order(seed)
        for start in range(0, len(self), batch_size):
            yield self.take(slice(start, start + batch_size) if order is None else order[start : start + batch_size])

    def order(self, seed: Sequence[int] | None) -> Tensor | None:
        """Row numbers of an epoch, int32 [N] (int64 from 2**31 rows on); None for the order of the rows."""
        return None if seed is None else permutation(len(self), seed)

    def take(self, rows: slice | Tensor) -> LabeledBatch:
        """The batch of these rows."""
        y = None if self.y is None else take_rows(self.y, rows)
        return self.assemble(rows, take_rows(self.ids, rows), take_rows(self.dense, rows), y, self.weights(rows))

    def assemble(
        self, rows: slice | Tensor, ids: Tensor, dense: Tensor, y: Tensor | None, weight: Tensor | None
    ) -> LabeledBatch:
        """The batch of these rows, whose tensors were taken from copies of those here, wherever they lie."""
        ids, widths = self._trim(ids, take_rows(self.used, rows))
        groups = {n: values[rows if isinstance(rows, slice) else rows.numpy()] for n, values in self.groups.items()}
        return LabeledBatch(Batch(ids, dense, widths), y, weight, groups, self.complete)

    def weights(self, rows: slice | Tensor) -> Tensor | None:
        """Weights of these rows, those of their classes included."""
        weight = None if self.weight is None else take_rows(self.weight, rows)
        if not self.class_weight or self.y is None:
            return weight
        by_class = torch.from_numpy(class_weights(take_rows(self.y, rows).numpy(), self.class_weight))
        return by_class if weight is None else weight * by_class

    def _trim(self, ids: Tensor, used: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Cut every sequence to the longest of the batch (at least one step)."""
        full = self.schema.widths
        if not full:
            return ids, full
        longest = used.amax(dim=0)
        widths = tuple(max(c.step_width, int(w)) for c, w in zip(self.schema.sequences, longest, strict=True))
        if widths == full:
            return ids, full
        at = len(self.schema.ids)
        pieces = [ids[:, :at]]
        for width, whole in zip(widths, full, strict=True):
            pieces.append(ids[:, at : at + width])
            at += whole
        return torch.cat([*pieces, ids[:, at:]], dim=1), widths

    def split(self, fraction: float) -> tuple[ArraySource, ArraySource]:
        """The first `1 - fraction` of the rows, and the rest, as upstream cuts them: `int(N * (1 - fraction))`."""
        at = int(len(self) * (1.0 - fraction))
        if not 0 < at < len(self):
            left = f"{at} to train on and {len(self) - at} to validate on"
            raise ValueError(f"validation_split={fraction} of {len(self)} rows leaves {left}")
        first, rest = self.part(slice(0, at)), self.part(slice(at, None))
        rest.class_weight = None  # a validation is not weighted by class
        return first, rest

    def part(self, rows: slice | Tensor) -> ArraySource:
        """A source of these rows alone."""
        ids, dense, used = (take_rows(t, rows).numpy() for t in (self.ids, self.dense, self.used))
        y, weight = (None if t is None else take_rows(t, rows).numpy() for t in (self.y, self.weight))
        at = rows if isinstance(rows, slice) else rows.numpy()
        groups = {name: values[at] for name, values in self.groups.items()}
        return ArraySource(self.schema, Arrays(ids, dense, used), y, weight, groups, self.class_weight)

    @staticmethod
    def concatenate(parts: Sequence[ArraySource]) -> ArraySource:
        """A source of the rows of several, at least one, that have the same columns."""
        first = parts[0]
        if len(parts) == 1:
            return first
        arrays = Arrays(
            ids=np.concatenate([part.ids.numpy() for part in parts]),
            dense=np.concatenate([part.dense.numpy() for part in parts]),
            used=np.concatenate([part.used.numpy() for part in parts]),
        )
        y, weight = _concatenated([part.y for part in parts]), _concatenated([part.weight for part in parts])
        groups = {name: np.concatenate([part.groups[name] for part in parts]) for name in first.groups}
        return ArraySource(first.schema, arrays, y, weight, groups, first.class_weight)


def _concatenated(tensors: Sequence[Tensor | None]) -> Array | None:
    there = [values.numpy() for values in tensors if values is not None]
    return np.concatenate(there) if there else None


def array_source(
    schema: FeatureSchema,
    x: InputsLike,
    y: LabelsLike = None,
    labels: LabelSpec | None = None,
    weight: ColumnLike = None,
    groups: ColumnLike | Mapping[str, ColumnLike] = None,
    offset: int = 0,
) -> ArraySource:
    """Samples in memory as a source, checked; `offset` is the number of the first row, for messages."""
    arrays = to_arrays(x, schema, offset)
    rows = len(arrays.ids)
    if labels is None:
        return ArraySource(schema, arrays)
    checked = to_labels(labels_by_name(x, y, len(labels.tasks)), labels.tasks, rows, labels.num_classes, offset)
    weights = None if weight is None else to_weights(weight, rows, offset)
    found = {name: group_values(x, name, groups, schema) for name in labels.group_columns}
    for name, values in found.items():
        if len(values) != rows:
            raise ValueError(f"the group {name!r} must have one value for each of {rows} rows, got {len(values)}")
    return ArraySource(schema, arrays, checked, weights, found, labels.class_weight)
