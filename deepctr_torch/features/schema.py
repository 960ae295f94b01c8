"""The columns resolved: `FeatureSchema`, the layout of every `Batch`.

A sample travels as a `Batch`: integer ids and float numbers, apart from each other, so that an id never passes through
a float.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._tracing import tracing
from .columns import (
    DenseFeat,
    FeatureColumn,
    SparseColumn,
    SparseFeat,
    VarLenSparseFeat,
    build_input_features,
    input_width,
)
from .packing import EXACT, check_exact, checkable, merged, packed_ids, rows_are_packed

__all__ = ["Batch", "FeatureSchema"]


class Batch(NamedTuple):
    """One batch of inputs.

    Attributes:
        ids: int [B, I]: the ids, then the sequences (each as wide as `widths` says), then the sequence lengths.
        dense: float32 [B, D]: the numbers, then the element weights of sequences.
        widths: how many ids of each sequence are present, those of whole steps.
    """

    ids: Tensor
    dense: Tensor
    widths: tuple[int, ...]


class FeatureSchema:
    """The inputs of a model, resolved once: what each is, where it lies in a `Batch` and in the packed matrix.

    Args:
        columns: every column the model reads; the linear and the deep list may repeat a column.

    Attributes:
        feature_index: name -> (start, stop) in the packed matrix.
        packed_width: width of the packed matrix.
        ids: the SparseFeat of each single-id input, in batch order.
        sequences: the VarLenSparseFeat of each sequence input, in batch order.
        lengths: names of the length inputs, in batch order.
        dense: (name, width) of each float input, element weights last.

    Raises:
        ValueError: two columns of one name that differ in more than their embedding.
    """

    def __init__(self, columns: Sequence[FeatureColumn]) -> None:
        self.feature_index = build_input_features(columns)
        self.ids: list[SparseFeat] = []
        self.sequences: list[VarLenSparseFeat] = []
        numbers: list[tuple[str, int]] = []
        seen: dict[str, FeatureColumn] = {}
        for column in columns:
            if column.name in seen:
                _same_input(seen[column.name], column)
                continue
            seen[column.name] = column
            if isinstance(column, SparseFeat):
                self.ids.append(column)
            elif isinstance(column, VarLenSparseFeat):
                self.sequences.append(column)
            else:
                numbers.append((column.name, column.dimension))
        self.lengths = list(dict.fromkeys(s.length_name for s in self.sequences if s.length_name is not None))
        weights = dict.fromkeys((s.weight_name, s.maxlen) for s in self.sequences if s.weight_name is not None)
        self.dense = numbers + [w for w in weights if w not in numbers]
        self._check_helpers(seen)
        self.widths = tuple(input_width(s) for s in self.sequences)
        self.id_position = {c.name: i for i, c in enumerate(self.ids)}
        self.sequence_position = {c.name: i for i, c in enumerate(self.sequences)}
        self.dense_slice: dict[str, tuple[int, int]] = {}
        for name, width in self.dense:
            start = self.dense_width
            self.dense_slice[name] = (start, start + width)

    @property
    def sparse(self) -> list[SparseColumn]:
        """All columns of ids, in batch order."""
        return [*self.ids, *self.sequences]

    @property
    def packed_width(self) -> int:
        return max((stop for _, stop in self.feature_index.values()), default=0)

    @property
    def dense_width(self) -> int:
        return max((stop for _, stop in self.dense_slice.values()), default=0)

    @property
    def id_width(self) -> int:
        return len(self.ids) + sum(self.widths) + len(self.lengths)

    @property
    def id_dtype(self) -> torch.dtype:
        """int32 where the rows of all tables together can be counted in it, else int64."""
        rows = sum(c.vocabulary_size for c in self.sparse)
        return torch.int32 if rows < 2**31 else torch.int64

    def sequence_slice(self, name: str, widths: tuple[int, ...]) -> tuple[int, int]:
        """Return (start, stop) of the sequence in the `ids` of a batch whose sequences have these widths."""
        k = self.sequence_position[name]
        start = len(self.ids) + sum(widths[:k])
        return start, start + widths[k]

    def length_position(self, name: str, widths: tuple[int, ...]) -> int:
        return len(self.ids) + sum(widths) + self.lengths.index(name)

    def _check_helpers(self, seen: dict[str, FeatureColumn]) -> None:
        for column in self.sequences:
            name = column.length_name
            if name is not None and name in seen and input_width(seen[name]) != 1:
                raise ValueError(
                    f"length_name {name!r} of {column.name!r} must be one number a sample, but is {seen[name]}"
                )
            if name is not None and getattr(seen.get(name), "use_hash", False):
                raise ValueError(f"length_name {name!r} of {column.name!r} must hold numbers, but is {seen[name]}")
            name = column.weight_name
            start, stop = self.feature_index[name] if name is not None else (0, column.maxlen)
            if stop - start != column.maxlen:
                raise ValueError(
                    f"weight_name {name!r} of {column.name!r} must have width {column.maxlen}, got {stop - start}"
                )
            if name in seen and not isinstance(seen[name], DenseFeat):
                raise ValueError(f"weight_name {name!r} of {column.name!r} must hold numbers, but is {seen[name]}")

    def unpack(self, X: Tensor) -> Batch:
        """Take a packed matrix [B, W], laid out by `feature_index`, apart into a batch; hashed columns hold raw values.

        (Inside `rows_packed` they hold table rows.)

        Raises:
            ValueError: a matrix of the wrong width; a float32 one where a vocabulary exceeds 2**24 and ids would be
                rounded; an id beyond its vocabulary (looked for on the CPU only).
        """
        if X.dim() != 2 or (not tracing() and X.shape[1] != self.packed_width):
            raise ValueError(
                f"the packed input must have shape [B, {self.packed_width}] (see feature_index), got {list(X.shape)}"
            )
        # NOTE[DIFF] W11: the original rounds ids above 2**24 to a neighbour; here it must be float64 or integer.
        dtype = str(X.dtype).removeprefix("torch.")
        if dtype in EXACT:
            for column in self.sparse:
                check_exact(column, dtype)
        if rows_are_packed() or not any(c.use_hash for c in self.sparse):
            ids = _columns(X, self._packed_ids).long()
        else:
            parts = [packed_ids(X, self.feature_index[c.name], c) for c in self.sparse]
            parts += [X[:, slice(*self.feature_index[n])].long() for n in self.lengths]
            ids = torch.cat(parts, dim=1)
        if checkable(ids) and not rows_are_packed():
            self._check_rows(ids)
        return Batch(ids, _columns(X, self._packed_dense).float(), self.widths)

    def _check_rows(self, ids: Tensor) -> None:
        """Raise if an id lies beyond its vocabulary, where it would read the row of another table."""
        found = ids.numpy()[:, : len(self._limits)]
        wrong = (found < 0) | (found >= self._limits)
        if wrong.any():
            row, at = (int(i) for i in np.argwhere(wrong)[0])
            column = [c for c in self.sparse for _ in range(input_width(c))][at]
            raise ValueError(
                f"ids of {column.name!r} must be in [0, {column.vocabulary_size}) (its vocabulary_size is "
                f"{column.vocabulary_size}), got {int(found[row, at])} in row {row}"
            )

    @cached_property
    def _packed_ids(self) -> list[tuple[int, int]]:
        """Where the ids of a batch lie in a packed matrix."""
        return merged([self.feature_index[n] for n in [*(c.name for c in self.sparse), *self.lengths]])

    @cached_property
    def _packed_dense(self) -> list[tuple[int, int]]:
        """Where the numbers of a batch lie in a packed matrix."""
        return merged([self.feature_index[n] for n, _ in self.dense])

    @cached_property
    def _limits(self) -> NDArray[np.int64]:
        """One past the largest id of each position in `Batch.ids`, without the lengths."""
        return np.array([c.vocabulary_size for c in self.sparse for _ in range(input_width(c))], np.int64)

    def pack(self, batch: Batch) -> Tensor:
        """Invert `unpack` inside `rows_packed`: return [B, W] in float32, or float64 where that would round ids."""
        rows = batch.ids.shape[0]
        big = any(c.vocabulary_size > EXACT["float32"] for c in self.sparse)
        dtype = torch.float64 if big else torch.float32
        X = torch.zeros(rows, self.packed_width, dtype=dtype, device=batch.ids.device)
        for name, (start, stop) in self.dense_slice.items():
            a, b = self.feature_index[name]
            X[:, a:b] = batch.dense[:, start:stop]
        for name in self.lengths:
            X[:, self.feature_index[name][0]] = batch.ids[:, self.length_position(name, batch.widths)].to(dtype)
        for name, i in self.id_position.items():
            X[:, self.feature_index[name][0]] = batch.ids[:, i].to(dtype)
        for name in self.sequence_position:
            start, stop = self.sequence_slice(name, batch.widths)
            a = self.feature_index[name][0]
            X[:, a : a + stop - start] = batch.ids[:, start:stop].to(dtype)
        return X


def _columns(X: Tensor, runs: list[tuple[int, int]]) -> Tensor:
    """The columns of a packed matrix in (start, stop) runs, side by side."""
    pieces = [X[:, start:stop] for start, stop in runs]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)


_EMBEDDING_FIELDS = ("embedding_dim", "embedding_name", "group_name", "dtype", "combiner", "step_combiner")


def _same_input(first: FeatureColumn, second: FeatureColumn) -> None:
    """Raise unless two columns of one name read the same input (their embeddings may differ)."""
    if type(first) is type(second):
        fields = [f for f in first._fields if f not in (*_EMBEDDING_FIELDS, "sparsefeat")]
        fields += ["vocabulary_size", "use_hash"] if isinstance(first, VarLenSparseFeat) else []
        if all(getattr(first, f) == getattr(second, f) for f in fields):
            return
    raise ValueError(f"two different columns are named {first.name!r}: {first} and {second}")
