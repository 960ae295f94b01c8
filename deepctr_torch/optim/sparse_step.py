"""The sparse step: of the tables, only the rows of the batch move."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn, optim

from ..embedding.sparse_grad import SparseGrad, with_gradient
from .dense_step import clip_gradients
from .fused import step_fused
from .regularizer import Regularizer
from .sparse import SharedStateOptimizer, SparseOptimizer

__all__ = ["SparseStep"]


class SparseStep:
    """Hands the summed gradients of the batch's rows to a row-sparse optimizer, or to a torch one as sparse tensors.

    The penalty of a table covers the rows of the batch.
    """

    def __init__(self) -> None:
        self._penalty, self._rest = Regularizer([]), Regularizer([])
        self._rows: SparseOptimizer | SharedStateOptimizer | None = None

    def begin(
        self, rows: SparseOptimizer | SharedStateOptimizer | None, penalty: Regularizer, tables: Iterable[nn.Parameter]
    ) -> None:
        """Before the first step of a fit.

        Args:
            rows: what moves rows of the tables; None for a torch optimizer that takes sparse gradients.
        """
        self._rows, self._penalty, self._rest = rows, penalty, penalty.without(tables)
        if isinstance(rows, SharedStateOptimizer):
            rows.begin()

    @torch.no_grad()
    def __call__(self, model: nn.Module, optimizer: Any, touched: Sequence[SparseGrad], clip: float | None) -> Any:
        """Step; returns the penalty before it."""
        penalty = self._rest.value()
        self._rest.add_gradients()
        touched = [each if each.weight.grad is None else with_gradient(each) for each in touched]
        by_row = self._rows
        fuses = by_row is not None and clip is None and not self._penalty.has_l1
        if not fuses:
            penalty = penalty + self._penalize(touched)
        if clip is not None:
            dense = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            clip_gradients([*dense, *(t.gradient for t in touched)], clip, [t.distinct for t in touched])
        if by_row is None:
            with torch.sparse.check_sparse_tensor_invariants(enable=False):  # type: ignore[no-untyped-call]
                _give_sparse(optimizer, touched)
                optimizer.step()
            return penalty
        for each in touched:
            l2 = self._penalty.of(each.weight)[1] if fuses else 0.0
            squares = by_row.update(each.weight, each.rows, each.gradient, l2=l2, once=each.sums.first)
            if squares is not None:
                penalty = penalty + l2 * squares
        if isinstance(by_row, SharedStateOptimizer):
            by_row.move_given()
        step_fused(optimizer)  # last, so that hooks after it see all of the step
        return penalty

    def _penalize(self, touched: Sequence[SparseGrad]) -> Tensor | float:
        """The penalty of the touched rows; its gradient joins theirs."""
        total: Tensor | float = 0.0
        for each in touched:
            l1, l2 = self._penalty.of(each.weight)
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


def _give_sparse(optimizer: Any, touched: Sequence[SparseGrad]) -> None:
    """Set the tables' gradients as sparse tensors; SparseAdam takes no others."""
    for each in touched:
        values = each.distinct(each.gradient)
        each.weight.grad = torch.sparse_coo_tensor(
            each.rows[None], values, each.weight.shape, is_coalesced=each.sums.first is None, check_invariants=False
        )
    if isinstance(optimizer, optim.SparseAdam):
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None and not p.grad.is_sparse:
                    p.grad = p.grad.to_sparse(1)
