"""Batches with labels, and what the loop asks of whatever yields them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from .._typing import Array
from ..features import Batch

__all__ = ["DataSource", "LabelSpec", "LabeledBatch", "map_tensors", "permutation", "take_rows"]


class LabeledBatch(NamedTuple):
    """A batch of rows with what training needs besides the inputs."""

    batch: Batch
    y: Tensor | None  # float32 [B, T], or None when predicting
    weight: Tensor | None  # float32 [B]
    groups: dict[str, Array]  # column name -> [B] values, for metrics by group
    complete: bool = False  # known to have every label; with several tasks some may be missing (NaN)


class LabelSpec(NamedTuple):
    """The labels that a source must yield, for checking them, and the columns that go with them."""

    tasks: Sequence[tuple[str, str]]  # name and type of each
    num_classes: int | None = None  # of a multiclass task
    group_columns: Sequence[str] = ()  # that metrics group by
    class_weight: Mapping[Any, float] | None = None  # label -> weight of its rows


class DataSource(Protocol):
    """Yields the batches of one pass after another."""

    @property
    def rows(self) -> int | None:
        """Number of rows of a pass; None where nobody can know before the end."""

    @property
    def batch_size(self) -> int | None:
        """Size of the batches, where the source decides on it; None where the caller does, or nobody knows."""

    @property
    def weighted(self) -> bool:
        """True where rows carry weights."""

    @property
    def once(self) -> bool:
        """True where there is one pass alone."""

    @property
    def negative_rate(self) -> float:
        """Share of the negative rows that it yields."""

    def steps(self, batch_size: int) -> int | None:
        """Number of batches of a pass; None where nobody can know."""

    def batches(self, batch_size: int, seed: Sequence[int] | None = None) -> Iterator[LabeledBatch]:
        """One pass: in order, or shuffled by a generator of `seed` that nothing else draws from."""


def map_tensors(batch: LabeledBatch, move: Callable[[Tensor], Tensor]) -> LabeledBatch:
    """The batch with `move` applied to every tensor."""
    inputs = batch.batch
    y, weight = (None if t is None else move(t) for t in (batch.y, batch.weight))
    return batch._replace(batch=inputs._replace(ids=move(inputs.ids), dense=move(inputs.dense)), y=y, weight=weight)


def take_rows(values: Tensor, rows: slice | Tensor) -> Tensor:
    """A view of a slice, or a copy of the rows of these numbers; three times faster than `values[rows]`."""
    return values[rows] if isinstance(rows, slice) else values.index_select(0, rows)


def permutation(rows: int, seed: Sequence[int]) -> Tensor:
    """`Generator.permutation(rows)`, in half the memory where row numbers fit into 32 bits.

    >>> permutation(4, [0])
    tensor([2, 0, 1, 3], dtype=torch.int32)
    """
    order = np.arange(rows, dtype=np.int32 if rows < 2**31 else np.int64)
    np.random.default_rng(list(seed)).shuffle(order)
    return torch.from_numpy(order)
