"""The factorization machine in two passes over the vectors, with a gradient that autograd may add to in place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .autograd import eager, gradient_of_plain

__all__ = ["fm_interaction"]


class _FM(torch.autograd.Function):
    """`sum over i < j of <v_i, v_j>`; its gradient is `sum of v - v_i`."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        total = vectors.sum(dim=1)  # [B, E]
        ctx.save_for_backward(vectors, total)
        flat = vectors.flatten(1)
        squares = torch.linalg.vector_norm(flat, dim=1, keepdim=True).square_()  # one pass, no array of squares
        return total.square().sum(dim=1, keepdim=True).sub_(squares).mul_(0.5)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        vectors, total = ctx.saved_tensors
        if torch.is_grad_enabled():
            return gradient_of_plain(_fm, (vectors,), ctx.needs_input_grad, grad)
        out = torch.sub(total.unsqueeze(1), vectors)  # [B, F, E]
        out.flatten(1).mul_(grad)
        return (out,)  # no view: autograd adds to it in place


def _fm(vectors: Tensor) -> Tensor:
    total = vectors.sum(dim=1)
    return 0.5 * (total.square() - vectors.square().sum(dim=1)).sum(dim=1, keepdim=True)


def fm_interaction(vectors: Tensor) -> Tensor:
    """Sum over all pairs of fields of the inner product of their vectors, `[B, F, E] -> [B, 1]`.

    >>> fm_interaction(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([[11.0000]])
    """
    if eager(vectors) and vectors.shape[1]:
        out: Tensor = _FM.apply(vectors)  # type: ignore[no-untyped-call]
        return out
    return _fm(vectors)
