"""The dense step: every row of every table moves, as the original's steps do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, optim

from ..embedding import FusedTable
from ..embedding.sparse_grad import SparseGrad
from .fused import has_step_hooks, step_fused
from .fused_parameters import ELEMENTWISE, FusedParameters
from .regularizer import Regularizer

__all__ = ["DenseStep", "clip_gradients", "zero_grads"]


COUPLED = (optim.Adam, optim.Adagrad, optim.RMSprop, optim.SGD)  # whose weight_decay w adds w * weight to the gradient


class DenseStep:
    """Gives the optimizer a gradient for every parameter, the penalty's included, and lets it step.

    The gradient of a fused table lives in a buffer that stays: a step writes the rows of its batch, and clears them
    again. Where the optimizer was given by name, no norm is clipped and nobody counts its steps, the penalty is the
    optimizer's own decay, on top of what its groups have, so that it costs no pass over the tables.
    """

    def __init__(self) -> None:
        self._buffers: dict[FusedTable, Tensor] = {}
        self._penalty = Regularizer([])
        self._decays = self._named = False
        self._tables: list[FusedTable] = []
        self._fused: FusedParameters | None = None

    def prepare(
        self, named: bool, optimizer: optim.Optimizer, penalty: Regularizer, tables: Sequence[FusedTable]
    ) -> None:
        """Before the first step of a fit.

        Args:
            named: the optimizer was given by name.
            penalty: of all parameters.
            tables: laid tables, whose gradients come row by row.
        """
        members = getattr(optimizer, "members", [optimizer])
        moved = {p for group in optimizer.param_groups for p in group["params"]}
        whole = all(p in moved for p in penalty.strengths)  # else some are parts of a parameter
        self._decays = named and all(type(m) in COUPLED for m in members) and not penalty.has_l1 and whole
        self._penalty, self._buffers, self._tables = penalty, {}, list(tables)
        self._named = named
        self._fused = None
        if all(type(member) in ELEMENTWISE for member in members):
            self._fused = FusedParameters(optimizer, tables, penalty, named=named)

    @torch.no_grad()
    def __call__(self, optimizer: optim.Optimizer, grads: Sequence[SparseGrad], clip: float | None) -> Tensor | float:
        """Step; returns the penalty before it."""
        fused = self._fused
        if fused is not None and (not fused.is_current() or self._is_followed(optimizer) or _are_read(fused.tables)):
            if not fused.is_current():
                self._fused = fused = FusedParameters(optimizer, self._tables, self._penalty, named=self._named)
            if self._is_followed(optimizer) or _are_read(fused.tables):
                fused = None  # whoever follows the steps sees the tables
        if fused is None:
            return self._step_with(optimizer, grads, clip, self._penalty, ())
        with fused:
            return self._step_with(optimizer, grads, clip, fused.penalty, fused.tables)

    def _step_with(
        self,
        optimizer: optim.Optimizer,
        grads: Sequence[SparseGrad],
        clip: float | None,
        penalty: Regularizer,
        fused: Sequence[FusedTable],
    ) -> Tensor | float:
        value = penalty.value()
        for each in grads:
            self._give(each, each.table in fused)
        try:
            if self._decays and clip is None and not self._is_followed(optimizer):
                self._step_by_decay(optimizer, penalty)
            else:
                penalty.add_gradients()
                if clip is not None:
                    parameters = [p for group in optimizer.param_groups for p in group["params"]]
                    clip_gradients([p.grad for p in parameters if p.grad is not None], clip)
                optimizer.step()
                for buffer in self._buffers.values():
                    buffer.zero_()
        except BaseException:
            self._buffers = {}  # whose rows are those of this batch
            raise
        for each in grads:
            if each.table in self._buffers:
                self._buffers[each.table].index_fill_(0, each.rows, 0.0)
            for weight in (each.weight, *each.table.weights):
                weight.grad = None
        return value

    def _is_followed(self, optimizer: optim.Optimizer) -> bool:
        """True if somebody counts steps, of which there must then be one a batch."""
        return has_step_hooks(optimizer) or any(map(has_step_hooks, getattr(optimizer, "members", ())))

    def _give(self, each: SparseGrad, fused: bool) -> None:
        """Set the gradient of a fused table, or those of its tables, beside what they got elsewhere."""
        table = each.table
        buffer = self._buffers.get(table)
        if buffer is None or buffer.device != table.fused.device or buffer.dtype != table.fused.dtype:
            buffer = self._buffers[table] = torch.zeros_like(table.fused)
        buffer.index_copy_(0, each.rows, each.gradient.to(buffer.dtype))
        if fused:
            each.weight.grad = buffer
            return
        for weight, part in zip(table.weights, table.slices(buffer), strict=True):
            if weight.requires_grad:
                weight.grad = part if weight.grad is None else weight.grad + part

    def _step_by_decay(self, optimizer: optim.Optimizer, penalty: Regularizer) -> None:
        """One step of the optimizer for each strength of the penalty, over the parameters that have it."""
        groups = optimizer.param_groups
        given = [(p, p.grad) for group in groups for p in group["params"] if p.requires_grad]
        strengths = {p: penalty.of(p)[1] for p, _ in given}
        own = [group["weight_decay"] for group in groups]
        try:
            for strength in dict.fromkeys(strengths.values()):
                for p, grad in given:
                    mine = strengths[p] == strength
                    if mine and grad is None and strength:
                        grad = torch.zeros_like(p)  # out of the loss, but not of the penalty
                    p.grad = grad if mine else None
                for group, decay in zip(groups, own, strict=True):
                    group["weight_decay"] = decay + 2.0 * strength
                step_fused(optimizer)
        finally:
            for group, decay in zip(groups, own, strict=True):
                group["weight_decay"] = decay


def _are_read(tables: Sequence[FusedTable]) -> bool:
    """True if the weight of some table got a gradient beside the lookup."""
    return any(weight.grad is not None for table in tables for weight in table.weights)


CLIP_EPSILON = 1e-6


@torch.no_grad()
def clip_gradients(
    gradients: Sequence[Tensor], limit: float, distinct: Sequence[Callable[[Tensor], Tensor]] = ()
) -> None:
    """Scale all gradients, in place, so that their common norm is at most `limit`.

    Args:
        gradients: those of parameters, then those of rows.
        distinct: for each of rows, what sets all but one of a repeated row to zero, so that it counts once.
    """
    if not gradients:
        return
    counted = list(gradients)
    for i, once in enumerate(reversed(distinct), start=1):
        counted[-i] = once(counted[-i])
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in counted]))
    scale = (limit / (norm + CLIP_EPSILON)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale)


def zero_grads(optimizer: optim.Optimizer) -> None:
    """Drop the gradients of all parameters; torch's `zero_grad` does the same and takes ten times as long about it."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None
