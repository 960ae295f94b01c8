"""Gradients of looked-up rows, summed for each row of a table: the part that dense and sparse updates share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..features import Batch
from .collection import FusedTable
from .lookup import EmbeddingLookup, FusedGroup

__all__ = ["CoalescedIndex", "SparseGrad", "added", "coalesce_grads", "lookup_as_leaves", "take_gradients"]


class SparseGrad(NamedTuple):
    """The gradient of the rows of one fused table that a batch reads."""

    table: FusedTable  # [R, E]
    rows: Tensor  # int64 [U], its rows that the batch reads
    gradient: Tensor  # [U, E], summed over the batch
    coalesced: CoalescedIndex  # how they were summed; it knows where rows repeat

    @property
    def weight(self) -> nn.Parameter:
        """The table as a parameter: the fused one, or the weight of a table by itself."""
        return self.table.parameter

    def distinct(self, values: Tensor) -> Tensor:
        """`values` [U, ...] with all but one of each repeated row set to zero."""
        first = self.coalesced.first
        return values if first is None else values * first.unsqueeze(-1)


def lookup_as_leaves(embedding: EmbeddingLookup, indices: Sequence[Tensor]) -> list[Tensor]:
    """The rows of a lookup as leaves of autograd, [B, n, E] each."""
    rows = embedding.gather(indices)
    return [row.requires_grad_(_trained(group.table)) for group, row in zip(embedding.groups, rows, strict=True)]


def _trained(table: FusedTable) -> bool:
    return any(weight.requires_grad for weight in table.weights)


@torch.no_grad()
def coalesce_grads(
    embedding: EmbeddingLookup,
    batch: Batch,
    indices: Sequence[Tensor],
    rows: Sequence[Tensor],
    parts: Mapping[FusedTable, Sequence[FusedTable]] | None = None,
) -> list[SparseGrad]:
    """The gradients of all lookups, summed per row: one entry a fused table.

    Lookups that share an index are sorted once. Rows of frozen tables are left out.

    Args:
        parts: tables whose gradients are to come apart, with what `FusedTable.split` made of them.
    """
    readers: dict[FusedTable, list[tuple[Tensor, Tensor]]] = {}
    for group, index, row in zip(embedding.groups, indices, rows, strict=True):
        gradient = row.grad
        if gradient is None:
            continue
        apart = None if parts is None else parts.get(group.table)
        if apart is None:
            if not all(weight.requires_grad for weight in group.table.weights):
                keep = _trained_positions(embedding, group, batch.widths)
                index, gradient = index.index_select(1, keep), gradient.index_select(1, keep)
            readers.setdefault(group.table, []).append((index, gradient))
            continue
        for name, start, stop in embedding.spans(group, batch.widths):
            _, first, _ = group.tables.where(group.table_of[name])
            part = next(p for p in apart if p.first_row == first)
            if _trained(part):
                readers.setdefault(part, []).append((index[:, start:stop] - first, gradient[:, start:stop]))
    made: dict[int, tuple[Tensor, CoalescedIndex]] = {}  # the index is kept, so that its id stays its own
    out = []
    for table, reads in readers.items():
        flat = [g.reshape(-1, table.embedding_dim) for _, g in reads]
        if len(reads) == 1:
            index = reads[0][0]
            if id(index) not in made:
                made[id(index)] = index, CoalescedIndex(index.reshape(-1))
            sums = made[id(index)][1]
        else:  # one table read by several lookups: one update of a row, with all its gradients
            sums = CoalescedIndex(torch.cat([i.reshape(-1) for i, _ in reads], dim=0))
        together = flat[0] if len(flat) == 1 else torch.cat(flat, dim=0)
        out.append(SparseGrad(table, sums.rows, sums.sum(together), sums))
    return out


def _trained_positions(embedding: EmbeddingLookup, group: FusedGroup, widths: tuple[int, ...]) -> Tensor:
    """int64 [m]: positions of the rows of the group's lookup that come from tables that are not frozen."""
    # filled on the device: a tensor made of a list would be copied there, which waits for the device
    frozen, device = group.tables.frozen, group.table.fused.device
    runs = [(start, stop) for name, start, stop in embedding.spans(group, widths) if group.table_of[name] not in frozen]
    return torch.cat([torch.arange(start, stop, device=device) for start, stop in runs or [(0, 0)]], dim=0)


@torch.no_grad()
def take_gradients(table: FusedTable) -> SparseGrad | None:
    """Take away the gradients that the weights of a table got beside its lookup; None if there are none."""
    weights = table.weights
    if all(weight.grad is None for weight in weights):
        return None
    whole = torch.zeros_like(table.fused)
    for part, weight in zip(table.slices(whole), weights, strict=True):
        if weight.grad is not None:
            part.add_(weight.grad.to_dense() if weight.grad.is_sparse else weight.grad)
            weight.grad = None
    rows = whole.ne(0).any(dim=1).nonzero()[:, 0]
    return SparseGrad(table, rows, whole.index_select(0, rows), CoalescedIndex(rows))


@torch.no_grad()
def added(first: SparseGrad, second: SparseGrad) -> SparseGrad:
    """The sum of two gradients of one table."""
    index = CoalescedIndex(torch.cat([first.rows, second.rows], dim=0))
    both = [first.distinct(first.gradient), second.distinct(second.gradient).to(first.gradient.dtype)]
    return SparseGrad(first.table, index.rows, index.sum(torch.cat(both, dim=0)), index)


class CoalescedIndex:
    """Which positions of an index read the same row; made once for all gradients that share the index.

    On the CPU, `rows` are distinct. On a device that runs behind the program, their number is known only after waiting
    for it, so there every position keeps an entry: `rows` may repeat, a repeated row has the same sum in each place (to
    write it twice is to write it once), and `first` marks one of them.

    Args:
        index: int [n], row numbers.

    Attributes:
        rows: int64 [U], ascending.
        first: bool [U], one True for each distinct row; None where all are distinct.
    """

    def __init__(self, index: Tensor) -> None:
        self.first: Tensor | None = None
        if index.device.type == "cpu":
            self.rows, self._order, self._starts = _sorted_on_cpu(index)
        else:
            self._sort_in_place(index)

    def _sort_in_place(self, index: Tensor) -> None:
        """No step of this waits for the device."""
        self.rows, self._order = torch.sort(index.long(), stable=True)
        head = torch.ones_like(self.rows, dtype=torch.bool)
        if len(index):
            torch.ne(self.rows[1:], self.rows[:-1], out=head[1:])
        self.first, self._segment = head, head.cumsum(dim=0) - 1

    def counts(self) -> Tensor:
        """int64 [U]: how often the index reads each row."""
        if self.first is not None:
            ones = torch.ones_like(self.rows)
            return torch.zeros_like(self.rows).index_add_(0, self._segment, ones).index_select(0, self._segment)
        return torch.diff(self._starts, append=self._starts.new_tensor([len(self._order)]))

    def sum(self, grad: Tensor) -> Tensor:
        """[n, E] -> [U, E]: the gradients of each row, added in the order of the batch on the CPU."""
        if self.first is not None:
            sums = torch.zeros_like(grad).index_add_(0, self._segment, grad.index_select(0, self._order))
            return sums.index_select(0, self._segment)
        if not len(grad):
            return grad
        return F.embedding_bag(self._order, grad, self._starts, mode="sum")


def _sorted_on_cpu(index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(distinct rows, positions in the order of their rows, where each row's positions begin)."""
    # Measured on one CPU thread with 106,496 Zipf-distributed ids of a million rows, E = 16 (4096 samples, 26 fields):
    # this packed sort 1.0 ms; torch.sort 1.4; numpy's argsort 4.7; unique with index_add_ 3.7, with scatter_add_ 2.6;
    # a marker over the table 2.1 (and 10 of ten million rows); embedding_dense_backward 5; coalesce 5. It is also the
    # fastest, or level, for 768 ids, for uniform ids, E = 1 and tables of 10,000 rows, so there is no second way.
    n = len(index)
    bits = n.bit_length()
    small = index.dtype == torch.int32 and bits <= 32
    if n and (small or int(index.max()) < 1 << (63 - bits)):
        packed = index.numpy().astype(np.int64)
        packed <<= bits
        packed |= np.arange(n)  # the position breaks ties: a stable sort of values
        packed.sort()
        ids, order = packed >> bits, packed & ((1 << bits) - 1)
        head = np.empty(n, dtype=bool)
        head[0] = True
        np.not_equal(ids[1:], ids[:-1], out=head[1:])
        starts = np.flatnonzero(head)
        return torch.from_numpy(ids[starts]), torch.from_numpy(order), torch.from_numpy(starts)
    ordered, position = torch.sort(index.long(), stable=True)
    rows, counts = torch.unique_consecutive(ordered, return_counts=True)
    return rows, position, counts.cumsum(dim=0) - counts
