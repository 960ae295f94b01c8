"""A linear layer over parts that lie side by side, without the gradients of parts that need none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .autograd import eager, gradient_of_plain

__all__ = ["linear_of_parts"]


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
