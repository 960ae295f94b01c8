"""Products of all pairs of fields, field by field: slices of memory instead of lists of indices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..._tracing import tracing
from .autograd import Kernel, chunks, gradient_of_plain, wants_plain

__all__ = ["Mates", "bilinear_products", "mate_products", "pair_products", "pairs", "runs"]


def pairs(fields: int, device: torch.device, offset: int = 1) -> tuple[Tensor, Tensor]:
    """First and second field of each pair, in the order (0, 1), (0, 2), ..., (1, 2), ..., `-> [P], [P]`.

    With offset 0 each field is paired with itself, too.

    Made anew at each call: a buffer would be lost where a model is built on `meta` and filled from a checkpoint.

    >>> pairs(3, torch.device("cpu"))
    (tensor([0, 0, 1]), tensor([1, 2, 2]))
    """
    if tracing():  # ONNX has no triu_indices
        steps = torch.arange(fields, device=device)
        both = (steps.unsqueeze(1) + offset <= steps).nonzero().T
    else:
        both = torch.triu_indices(fields, fields, offset=offset, device=device)
    first, second = both.unbind(dim=0)
    return first, second


def runs(fields: int) -> Iterator[tuple[int, slice]]:
    """For each first field, where the pairs with all later fields stand among all pairs."""
    start = 0
    for i in range(fields - 1):
        yield i, slice(start, start + fields - 1 - i)
        start += fields - 1 - i


def pair_products(left: Tensor, right: Tensor) -> Tensor:
    """Elementwise product of the first field's `left` and the second's `right` for each pair.

    `[B, F, E], [B, F, E] -> [B, P, E]`; the last field, nobody's first, may be missing on the left.

    >>> pair_products(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[[4.0], [5.0], [6.0]]])).flatten()
    tensor([ 5.,  6., 12.])
    """
    result: Tensor = _pair_products(left, right) if wants_plain(left) else _PairProducts.of(left, right)
    return result


def _pair_products(left: Tensor, right: Tensor) -> Tensor:
    first, second = pairs(right.shape[1], right.device)
    return left.index_select(1, first) * right.index_select(1, second)


class _PairProducts(Kernel):
    """`pair_products`; its gradient is summed run by run."""

    @staticmethod
    def forward(left: Tensor, right: Tensor) -> Tensor:
        batch, fields, width = right.shape
        out = left.new_empty(batch, fields * (fields - 1) // 2, width)
        for i, run in runs(fields):
            torch.mul(left[:, i : i + 1], right[:, i + 1 :], out=out[:, run])
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        left, right = ctx.saved_tensors
        if torch.is_grad_enabled():
            return gradient_of_plain(_pair_products, (left, right), ctx.needs_input_grad, grad)
        of_left, of_right = torch.zeros_like(left), torch.zeros_like(right)
        for i, run in runs(right.shape[1]):
            g = grad[:, run]
            torch.sum(g * right[:, i + 1 :], dim=1, out=of_left[:, i])
            of_right[:, i + 1 :].addcmul_(g, left[:, i : i + 1])
        return of_left, of_right


def bilinear_products(inputs: Tensor, weight: Tensor) -> Tensor:
    """`(W_p v_i) * v_j` for each pair p = (i, j), `[B, F, E], [P, E, E] -> [B, P, E]`.

    >>> bilinear_products(torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[10.0]]]))
    tensor([[[20.]]])
    """
    result: Tensor = _bilinear_products(inputs, weight) if wants_plain(inputs) else _BilinearProducts.of(inputs, weight)
    return result


def _bilinear_products(inputs: Tensor, weight: Tensor) -> Tensor:
    first, second = pairs(inputs.shape[1], inputs.device)
    projected = torch.einsum("bpe,pde->bpd", inputs.index_select(1, first), weight)
    return projected * inputs.index_select(1, second)


class _BilinearProducts(Kernel):
    """`bilinear_products`; one matrix product a first field, from its vectors to the partners of all its pairs."""

    @staticmethod
    def forward(inputs: Tensor, weight: Tensor) -> Tensor:
        batch, fields, width = inputs.shape
        out = inputs.new_empty(batch, len(weight), width)
        for i, run in runs(fields):
            projected = inputs[:, i] @ weight[run].flatten(0, 1).t()  # [B, partners E]
            torch.mul(projected.view(batch, fields - 1 - i, width), inputs[:, i + 1 :], out=out[:, run])
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        if torch.is_grad_enabled():
            return gradient_of_plain(_bilinear_products, (inputs, weight), ctx.needs_input_grad, grad)
        fields = inputs.shape[1]
        of_inputs, of_weight = torch.zeros_like(inputs), torch.empty_like(weight)
        for i, run in runs(fields):
            own, partners, w, g = inputs[:, i], inputs[:, i + 1 :], weight[run].flatten(0, 1), grad[:, run]
            projected = (own @ w.t()).view_as(g)
            of_inputs[:, i + 1 :].addcmul_(g, projected)
            inner = torch.mul(g, partners, out=projected).flatten(1)  # [B, partners E], the gradient of the projection
            of_inputs[:, i].addmm_(inner, w)
            torch.mm(inner.t(), own, out=of_weight[run].flatten(0, 1))
        return of_inputs, of_weight


class Mates(NamedTuple):
    """S vectors of a sample in P pairs, each in one."""

    first: Tensor  # places of the two vectors of each pair, [P]
    second: Tensor
    mate: Tensor  # for each vector, the place of the other one of its pair, [S]
    pair: Tensor  # for each vector, the number of its pair, [S]

    @classmethod
    def of(cls, first: Tensor, second: Tensor) -> Mates:
        """The four of them from the first two."""
        size = int(torch.cat([first, second]).max()) + 1
        mate, pair = first.new_zeros(size), first.new_zeros(size)
        numbers = torch.arange(len(first), device=first.device)
        mate[first], mate[second], pair[first], pair[second] = second, first, numbers, numbers
        return cls(first, second, mate, pair)


def mate_products(vectors: Tensor, beside: Tensor, mates: Mates) -> Tensor:
    """Elementwise product of the two vectors of each pair, and what stands beside: `[B, S, E], [B, D] -> [B, P E + D]`.

    >>> mates = Mates.of(torch.tensor([0]), torch.tensor([1]))
    >>> mate_products(torch.tensor([[[2.0], [3.0]]]), torch.tensor([[9.0]]), mates)
    tensor([[6., 9.]])
    """
    if wants_plain(vectors):
        return _mate_products(vectors, beside, *mates)
    result: Tensor = _MateProducts.of(vectors, beside, *mates)
    return result


def _mate_products(vectors: Tensor, beside: Tensor, first: Tensor, second: Tensor, *_: Tensor) -> Tensor:
    products = vectors.index_select(1, first) * vectors.index_select(1, second)
    return torch.cat([products.flatten(1), beside], dim=1)


class _MateProducts(Kernel):
    """`mate_products`; the gradient of a vector, which is in one pair, is written once and never summed."""

    @staticmethod
    def forward(vectors: Tensor, beside: Tensor, first: Tensor, second: Tensor, mate: Tensor, pair: Tensor) -> Tensor:
        shape = (len(first), vectors.shape[2])
        size = shape[0] * shape[1]
        out = vectors.new_empty(len(vectors), size + beside.shape[1])
        out[:, size:] = beside
        for at in chunks(len(vectors), size):
            part, result = vectors[at], out[at, :size].view(-1, *shape)
            torch.mul(part.index_select(1, first), part.index_select(1, second), out=result)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return gradient_of_plain(_mate_products, ctx.saved_tensors, ctx.needs_input_grad, grad)
        vectors, _, first, _, mate, pair = ctx.saved_tensors
        shape = (len(first), vectors.shape[2])
        size = shape[0] * shape[1]
        of_vectors = torch.empty_like(vectors) if ctx.needs_input_grad[0] else None
        if of_vectors is not None:
            for at in chunks(len(vectors), size):
                of_products = grad[at, :size].view(-1, *shape).index_select(1, pair)  # [n, S, E]
                torch.mul(vectors[at].index_select(1, mate), of_products, out=of_vectors[at])
        return of_vectors, grad[:, size:] if ctx.needs_input_grad[1] else None, None, None, None, None
