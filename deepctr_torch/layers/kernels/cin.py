"""Weighted sums over all products of two sets of rows, chunk by chunk, so that the products never leave the cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .autograd import Kernel, chunks, gradient_of_plain, wants_plain

__all__ = ["compress", "compress_plain"]

_IN_CACHE = 1 << 20  # products formed at a time; 4 MiB in float32


def compress(left: Tensor, right: Tensor, weight: Tensor) -> Tensor:
    """`y[h, n] = sum_{i,j} weight[h, i G + j] left[i, n] right[j, n]`: `[K, N], [G, N], [H, K G] -> [H, N]`.

    On the CPU, products are formed for some columns at a time and formed again in the backward pass: the matrix
    products stay the bulk of the work, and K G N numbers are never kept. Elsewhere, and where a compiler or autocast
    looks on, the plain formula.

    >>> compress(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[10.0]]))
    tensor([[30., 80.]])
    """
    result: Tensor = compress_plain(left, right, weight) if wants_plain(left) else _Compress.of(left, right, weight)
    return result


def compress_plain(left: Tensor, right: Tensor, weight: Tensor) -> Tensor:
    """`compress` in two operations."""
    return weight @ (left.unsqueeze(1) * right.unsqueeze(0)).flatten(0, 1)


def _chunks(left: Tensor, right: Tensor, buffers: int) -> Iterator[tuple[slice, list[Tensor]]]:
    """Columns whose products fit the cache, and `buffers` tensors [K, G, columns], the same memory for all chunks."""
    rows, total = len(left) * len(right), left.shape[1]
    memory = [left.new_empty(0) for _ in range(buffers)]
    for at in chunks(total, rows, at_least=64, numbers=_IN_CACHE):
        shape = (len(left), len(right), at.stop - at.start)
        memory = [m if m.numel() else left.new_empty(rows * shape[2]) for m in memory]  # the first chunk is the longest
        yield at, [m[: rows * shape[2]].view(shape) for m in memory]


class _Compress(Kernel):
    """`compress`, with products that are formed twice and kept never."""

    @staticmethod
    def forward(left: Tensor, right: Tensor, weight: Tensor) -> Tensor:
        out = left.new_empty(len(weight), left.shape[1])
        for at, (products,) in _chunks(left, right, buffers=1):
            torch.mul(left[:, None, at], right[None, :, at], out=products)
            out[:, at] = weight @ products.flatten(0, 1)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return gradient_of_plain(compress_plain, ctx.saved_tensors, ctx.needs_input_grad, grad)
        left, right, weight = ctx.saved_tensors
        of_rows, of_weight = any(ctx.needs_input_grad[:2]), ctx.needs_input_grad[2]
        results = torch.empty_like(left), torch.empty_like(right), torch.zeros_like(weight)
        for at, (products, of_products) in _chunks(left, right, buffers=2):
            a, b, g = left[:, None, at], right[None, :, at], grad[:, at]
            if of_weight:
                torch.mul(a, b, out=products)
                results[2].addmm_(g, products.flatten(0, 1).t())
            if of_rows:
                torch.mm(weight.t(), g, out=of_products.flatten(0, 1))
                results[0][:, at] = torch.mul(of_products, b, out=products).sum(dim=1)
                results[1][:, at] = of_products.mul_(a).sum(dim=0)
        return tuple(r if needed else None for r, needed in zip(results, ctx.needs_input_grad, strict=True))
