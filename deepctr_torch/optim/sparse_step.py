"""The sparse step: of the tables, only the rows of the batch move."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn, optim

from ..embedding import FusedTable
from ..embedding.sparse_grad import SparseGrad, added, take_gradients
from .dense_step import clip_gradients
from .fused import has_step_hooks, step_fused
from .fused_parameters import FusedParameters
from .regularizer import Regularizer
from .sparse import RowOptimizer, SharedStateOptimizer

__all__ = ["SparseStep"]


class SparseStep:
    """Hands the summed gradients of the batch's rows to a row-sparse optimizer, or to a torch one as sparse tensors.

    The penalty of a table covers the rows of the batch.

    Attributes:
        parts: fused tables that are updated table by table, with their parts.
    """

    def __init__(self) -> None:
        self.parts: dict[FusedTable, list[FusedTable]] = {}
        self._penalty, self._rest = Regularizer([]), Regularizer([])
        self._rows: RowOptimizer | None = None
        self._tables: list[FusedTable] = []
        self._fused: FusedParameters | None = None

    def prepare(
        self,
        rows: RowOptimizer | None,
        optimizer: optim.Optimizer,
        penalty: Regularizer,
        tables: Sequence[FusedTable],
        weights: Iterable[nn.Parameter],
    ) -> None:
        """Before the first step of a fit.

        Args:
            rows: what moves rows of the tables; None for a torch optimizer that takes sparse gradients.
            penalty: of all parameters.
            tables: laid tables.
            weights: of the tables, one each.
        """
        self._rows, self._penalty, self._tables = rows, penalty, list(tables)
        self._rest = penalty.without(weights)
        if isinstance(rows, SharedStateOptimizer):
            rows.prepare()
        self._fuse(optimizer)

    def _fuse(self, optimizer: optim.Optimizer) -> None:
        self._fused = None
        apart = self._tables
        if self._rows is not None:
            self._fused = FusedParameters(optimizer, self._tables, self._penalty, frozen=True)
            apart = self._fused.apart
        self.parts = {table: table.split() for table in apart}

    def refresh(self, optimizer: optim.Optimizer) -> None:
        """Follow what happened to tables, groups and states since the last step."""
        if self._fused is not None and not self._fused.is_current():
            self._fuse(optimizer)

    @torch.no_grad()
    def __call__(self, optimizer: optim.Optimizer, grads: Sequence[SparseGrad], clip: float | None) -> Tensor | float:
        """Step; returns the penalty before it."""
        value = self._rest.value()
        self._rest.add_gradients()
        grads = self._with_gradients_beside(grads)
        by_row = self._rows
        penalty = self._penalty if self._fused is None else self._fused.penalty
        fuses = by_row is not None and clip is None and not penalty.has_l1
        if not fuses:
            value = value + _penalize(penalty, grads)
        if clip is not None:
            dense = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            clip_gradients([*dense, *(t.gradient for t in grads)], clip, [t.distinct for t in grads])
        if by_row is None:
            with torch.sparse.check_sparse_tensor_invariants(enable=False):  # type: ignore[no-untyped-call]
                _give_sparse(optimizer, grads)
                optimizer.step()
            return value
        followed = has_step_hooks(optimizer)
        with self._fused or contextlib.nullcontext():
            for each in grads:
                l2 = penalty.of(each.weight)[1] if fuses else 0.0
                squares = by_row.update(each.weight, each.rows, each.gradient, l2=l2, once=each.coalesced.first)
                if squares is not None:
                    value = value + l2 * squares
            if not followed:
                step_fused(optimizer)
        if followed:
            step_fused(optimizer)  # last and outside, so that hooks after it see all of the step, and tables
        return value

    def _with_gradients_beside(self, grads: Sequence[SparseGrad]) -> list[SparseGrad]:
        """The gradients with those of tables that the model also reads beside the lookup."""
        found = {each.table: each for each in grads}
        for table in self._tables:
            for part in self.parts.get(table, [table]):
                beside = take_gradients(part)
                if beside is not None:
                    found[part] = added(found[part], beside) if part in found else beside
        return list(found.values())


@torch.no_grad()
def _penalize(penalty: Regularizer, grads: Sequence[SparseGrad]) -> Tensor | float:
    """The penalty of the rows that were read; its gradient joins theirs."""
    total: Tensor | float = 0.0
    for each in grads:
        l1, l2 = penalty.of(each.weight)
        if not (l1 or l2):
            continue
        rows = each.weight.index_select(0, each.rows)
        flat = each.distinct(rows).reshape(-1)
        total = total + l2 * torch.dot(flat, flat)
        each.gradient.add_(rows, alpha=2.0 * l2)
        if l1:
            total = total + l1 * flat.abs().sum()
            each.gradient.add_(rows.sign(), alpha=l1)
    return total


def _give_sparse(optimizer: optim.Optimizer, grads: Sequence[SparseGrad]) -> None:
    """Set the tables' gradients as sparse tensors; SparseAdam takes no others."""
    for each in grads:
        values = each.distinct(each.gradient)
        each.weight.grad = torch.sparse_coo_tensor(
            each.rows[None],
            values,
            each.weight.shape,
            is_coalesced=each.coalesced.first is None,
            check_invariants=False,
        )
    if isinstance(optimizer, optim.SparseAdam):
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None and not p.grad.is_sparse:
                    p.grad = p.grad.to_sparse(1)
