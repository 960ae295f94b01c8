"""Helpers of the hand-written gradients.

Each stands for a plain formula that is right everywhere. On the CPU those of the interactions run chunk by chunk, so
that what lies between two operations stays in the cache, and nothing of a layer's inner size is allocated, kept or
read from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..._tracing import tracing

__all__ = ["Kernel", "chunks", "eager", "gradient_of_plain", "wants_plain", "watched"]

_IN_CACHE = 1 << 18  # numbers of one buffer; 1 MiB in float32


def watched() -> bool:
    """Return whether something besides autograd's backward pass records or transforms what must then be plain.

    A compiler, `torch.export`, `torch.jit.trace`, `torch.func` and derivatives in forward mode.
    """
    if torch.compiler.is_compiling() or tracing():
        return True
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def wants_plain(tensor: Tensor) -> bool:
    """Return whether to use the plain formula: off the CPU, under autocast, and where operations are watched."""
    return tensor.device.type != "cpu" or watched() or torch.is_autocast_enabled("cpu")


def eager(*tensors: Tensor) -> bool:
    """Return whether a hand-written backward pass for all devices may be used: nothing else looks on."""
    return torch.is_grad_enabled() and not watched() and not any(t.is_meta for t in tensors)


def chunks(total: int, each: int, at_least: int = 1, numbers: int | None = None) -> Iterator[slice]:
    """Cut `total` items of `each` numbers into pieces that fit the cache, none but the last below `at_least` items.

    >>> list(chunks(5, 1 << 17))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(at_least, (numbers or _IN_CACHE) // max(each, 1))
    for start in range(0, total, step):
        yield slice(start, min(start + step, total))


class Kernel(torch.autograd.Function):
    """A formula with a hand-written gradient of its inputs, which are kept for it."""

    @classmethod
    def of(cls, *inputs: Any) -> Any:
        """The value of the formula."""
        return cls.apply(*inputs)  # type: ignore[no-untyped-call]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs)


def gradient_of_plain(
    plain: Callable[..., Tensor], inputs: Sequence[Tensor | None], needed: Sequence[bool], grad: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients that can themselves be differentiated: those of the `plain` formula, as part of the graph."""
    wanted = [t for t, wants in zip(inputs, needed, strict=True) if wants and t is not None]
    with torch.enable_grad():
        found = iter(torch.autograd.grad(plain(*inputs), wanted, grad, create_graph=True))
    return tuple(next(found) if wants else None for wants in needed)
