"""The dense step: every row of every table moves, as the original's steps do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn, optim

from ..embedding import EmbeddingCollection
from ..embedding.sparse_grad import SparseGrad
from .fused import has_step_hooks, step_fused
from .regularizer import Regularizer

__all__ = ["DenseStep", "FrozenRows", "clip_gradients", "zero_grads"]


COUPLED = (optim.Adam, optim.Adagrad, optim.RMSprop, optim.SGD)  # whose weight_decay w adds w * weight to the gradient


class DenseStep:
    """Gives the optimizer a gradient for every parameter, the penalty's included, and lets it step.

    The gradient of a table lives in a buffer that stays: a step writes the rows of its batch, and clears them again.
    Where the optimizer was given by name, no norm is clipped and nobody counts its steps, the penalty is the
    optimizer's own decay, on top of what its groups have, so that it costs no pass over the tables.
    """

    def __init__(self) -> None:
        self._buffers: dict[nn.Parameter, Tensor] = {}
        self._penalty = Regularizer([])
        self._decays = False

    def begin(self, named: bool, optimizer: Any, penalty: Regularizer) -> None:
        """Before the first step of a fit."""
        members = getattr(optimizer, "members", [optimizer])
        moved = {p for group in optimizer.param_groups for p in group["params"]}
        whole = all(p in moved for p in penalty.strengths)  # else some are parts of a fused parameter
        self._decays = named and all(type(m) in COUPLED for m in members) and not penalty.has_l1 and whole
        self._penalty = penalty
        self._buffers = {}

    @torch.no_grad()
    def __call__(self, model: nn.Module, optimizer: Any, touched: Sequence[SparseGrad], clip: float | None) -> Any:
        """Step; returns the penalty before it."""
        penalty = self._penalty.value()
        for each in touched:
            self._give(each)
        frozen = FrozenRows(model)
        try:
            if self._decays and clip is None and not frozen and not self._is_followed(optimizer):
                self._step_by_decay(optimizer)
                for each in touched:
                    if each.weight in self._buffers:
                        self._buffers[each.weight].index_fill_(0, each.rows, 0.0)
            else:
                self._step_once(optimizer, frozen, clip)
        except BaseException:
            self._buffers = {}  # whose rows are those of this batch
            raise
        for each in touched:
            each.weight.grad = None
        return penalty

    def _is_followed(self, optimizer: Any) -> bool:
        """Whether somebody counts steps, of which there must then be one a batch."""
        return has_step_hooks(optimizer) or any(map(has_step_hooks, getattr(optimizer, "members", ())))

    def _step_once(self, optimizer: Any, frozen: FrozenRows, clip: float | None) -> None:
        """One step of the optimizer, the penalty in the gradients."""
        self._penalty.add_gradients()
        frozen.drop_gradients()
        if clip is not None:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            clip_gradients([p.grad for p in parameters if p.grad is not None], clip)
        with frozen:
            optimizer.step()
        for buffer in self._buffers.values():
            buffer.zero_()

    def _give(self, each: SparseGrad) -> None:
        weight = each.weight
        if weight.grad is not None:  # the model also reads the table beside the lookup
            weight.grad.index_add_(0, each.rows, each.distinct(each.gradient).to(weight.dtype))
            return
        buffer = self._buffers.get(weight)
        if buffer is None or buffer.device != weight.device or buffer.dtype != weight.dtype:
            buffer = self._buffers[weight] = torch.zeros_like(weight)
        buffer.index_copy_(0, each.rows, each.gradient.to(weight.dtype))
        weight.grad = buffer

    def _step_by_decay(self, optimizer: Any) -> None:
        """One step of the optimizer for each strength of the penalty, over the parameters that have it."""
        groups = optimizer.param_groups
        given = [(p, p.grad) for group in groups for p in group["params"] if p.requires_grad]
        strengths = {p: self._penalty.of(p)[1] for p, _ in given}
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


def zero_grads(optimizer: Any) -> None:
    """Drop the gradients of all parameters; torch's `zero_grad` does the same and takes ten times as long about it."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


class FrozenRows:
    """Keeps the rows of frozen tables as they are through a dense step, whatever momentum or decay an optimizer has."""

    def __init__(self, model: nn.Module) -> None:
        self._spans = [
            (m.weights[str(table.width)], start, start + table.rows)
            for m in model.modules()
            if isinstance(m, EmbeddingCollection)
            for table, start in map(m.where, m.frozen)
        ]

    def __bool__(self) -> bool:
        return bool(self._spans)

    def drop_gradients(self) -> None:
        """So that they enter neither the clipped norm nor the state of an optimizer."""
        for weight, start, stop in self._spans:
            if weight.grad is not None:
                weight.grad[start:stop] = 0.0

    def __enter__(self) -> None:
        self._saved = [weight.data[start:stop].clone() for weight, start, stop in self._spans]

    def __exit__(self, *error: object) -> None:
        for (weight, start, stop), saved in zip(self._spans, self._saved, strict=True):
            weight.data[start:stop] = saved
