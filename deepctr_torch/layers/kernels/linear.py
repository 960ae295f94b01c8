"""Two formulas with a backward pass of their own, where autograd's would do work that nobody needs.

Where the operations are watched (`torch.compile`, `torch.export`, `torch.jit.trace`, `torch.func`) the plain formula is
used, which compilers fuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .autograd import gradient_of_plain, watched

__all__ = ["fm_interaction", "linear_of_parts"]


def eager(*tensors: Tensor) -> bool:
    """Whether a hand-written backward pass may be used: there is one, and nothing else looks on."""
    return torch.is_grad_enabled() and not watched() and not any(t.is_meta for t in tensors)


def _linear(weight: Tensor, bias: Tensor | None, *parts: Tensor) -> Tensor:
    return functional.linear(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1), weight, bias)


class _LinearOfParts(torch.autograd.Function):
    """`cat(parts) @ weight.T + bias`; in the backward pass parts that need no gradient cost nothing."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, *parts: Tensor) -> Tensor:
        together = torch.cat(parts, dim=1)
        ctx.save_for_backward(together, weight, bias, *parts)
        ctx.widths = [p.shape[1] for p in parts]
        return functional.linear(together, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        together, weight, *others = ctx.saved_tensors
        needed = ctx.needs_input_grad
        if torch.is_grad_enabled():
            return gradient_of_plain(_linear, (weight, *others), needed, grad)
        of_weight = grad.t() @ together if needed[0] else None
        of_bias = grad.sum(dim=0) if needed[1] else None
        out, start = [], 0
        for width, wanted in zip(ctx.widths, needed[2:], strict=True):
            # Kernels are a third slower where a row's length is odd, so the columns are copied.
            out.append(grad @ weight[:, start : start + width].contiguous() if wanted else None)
            start += width
        return of_weight, of_bias, *out


def linear_of_parts(parts: Sequence[Tensor], weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear layer over parts that lie side by side: `[B, D1], [B, D2], ..., [H, D1 + D2 + ...], [H] -> [B, H]`.

    >>> linear_of_parts([torch.ones(1, 2), torch.full((1, 1), 3.0)], torch.ones(1, 3), None)
    tensor([[5.]])
    """
    alike = all(p.dtype == weight.dtype for p in parts)
    if len(parts) > 1 and alike and eager(weight) and not torch.is_autocast_enabled(weight.device.type):
        out: Tensor = _LinearOfParts.apply(weight, bias, *parts)  # type: ignore[no-untyped-call]
        return out
    if len(parts) > 1 and torch.compiler.is_compiling():  # a product a part: those that need no gradient have none
        pieces = torch.split(weight, [p.shape[1] for p in parts], dim=1)
        total = functional.linear(parts[0], pieces[0], bias)
        for part, piece in zip(parts[1:], pieces[1:], strict=True):
            total = total + functional.linear(part, piece)
        return total
    return _linear(weight, bias, *parts)


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
