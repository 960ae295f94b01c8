"""Attentional pooling of the products of all pairs of fields."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .autograd import Kernel, chunks, gradient_of_plain, wants_plain
from .pairwise import pair_products, runs

__all__ = ["attended_pairs"]

_IN_CACHE = 1 << 20  # numbers of one buffer: a chunk has some hundred small operations, which must pay


def attended_pairs(inputs: Tensor, weight: Tensor, bias: Tensor, projection: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the products of all pairs, weighted by `softmax(relu(products @ weight + bias) @ projection)`.

    `[B, F, E], [E, A], [A], [A, 1] -> [B, E], [B, P]`: the means, zeros of a single field, and the weights, without
    gradient.

    >>> attended_pairs(torch.tensor([[[1.0], [2.0], [4.0]]]), torch.zeros(1, 1), torch.zeros(1), torch.ones(1, 1))[0]
    tensor([[4.6667]])
    """
    if wants_plain(inputs) or inputs.shape[1] < 2:
        scores = _scores(inputs, weight, bias, projection)
        return _pool(inputs, scores), scores.detach()
    pooled, scores = _AttendedPairs.of(inputs, weight, bias, projection)
    return pooled, scores


def _scores(inputs: Tensor, weight: Tensor, bias: Tensor, projection: Tensor) -> Tensor:
    hidden = functional.linear(pair_products(inputs, inputs), weight.t(), bias).relu()  # [B, P, A]
    return (hidden @ projection).squeeze(dim=2).softmax(dim=1)


def _pool(inputs: Tensor, scores: Tensor) -> Tensor:
    return (scores.unsqueeze(dim=2) * pair_products(inputs, inputs)).sum(dim=1)


def _plain(inputs: Tensor, weight: Tensor, bias: Tensor, projection: Tensor) -> Tensor:
    return _pool(inputs, _scores(inputs, weight, bias, projection))


class _AttendedPairs(Kernel):
    """`attended_pairs`; products and hidden units are made chunk by chunk, in both passes, and never kept.

    Within a chunk of n samples these come last, `[E, P, n]`: every operation runs along contiguous rows.
    """

    @staticmethod
    def forward(inputs: Tensor, weight: Tensor, bias: Tensor, projection: Tensor) -> tuple[Tensor, Tensor]:
        batch, fields, width = inputs.shape
        scores = inputs.new_empty(batch, fields * (fields - 1) // 2)
        pooled = inputs.new_empty(batch, width)
        for at, made in _Made.of_chunks(inputs, weight, bias):
            logits = (projection.t() @ made.hidden.flatten(1)).view(scores.shape[1], -1)  # [P, n]
            weights = logits.softmax(dim=0)
            scores[at] = weights.t()
            pooled[at] = made.products.mul_(weights).sum(dim=1).t()
        return pooled, scores

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return None, None, None, None
        *inputs, scores = ctx.saved_tensors
        if torch.is_grad_enabled():
            return gradient_of_plain(_plain, inputs, ctx.needs_input_grad, grad)
        fields, weight, bias, projection = inputs
        of_fields = torch.empty_like(fields)
        of_joint = weight.new_zeros(weight.shape[0] + 1, weight.shape[1])
        of_projection = torch.zeros_like(projection)
        for at, made in _Made.of_chunks(fields, weight, bias):
            g, s = grad[at].t().contiguous().unsqueeze(dim=1), scores[at].t().contiguous()  # [E, 1, n], [P, n]
            of_scores = torch.mul(made.products, g, out=made.scratch).sum(dim=0)  # [P, n]
            of_logits = s * (of_scores - (of_scores * s).sum(dim=0))
            of_projection += made.hidden.flatten(1) @ of_logits.view(-1, 1)
            active = made.hidden.sign_()  # the slope of ReLU
            of_hidden = active.mul_(of_logits).mul_(projection.unsqueeze(dim=2))  # [A, P, n]
            of_joint.addmm_(made.joint.flatten(1), of_hidden.flatten(1).t())
            of_products = made.scratch
            torch.mm(weight, of_hidden.flatten(1), out=of_products.flatten(1))
            of_products.addcmul_(g, s)
            of_fields[at] = _gradient_of_rows(made.rows, of_products).permute(2, 1, 0)
        return of_fields, of_joint[:-1], of_joint[-1], of_projection


class _Made(NamedTuple):
    """The inner values of a chunk of n samples; the memory is that of the chunk before."""

    rows: Tensor  # the fields, [E, F, n]
    joint: Tensor  # the products of all pairs, and ones, which meet the bias, [E + 1, P, n]
    hidden: Tensor  # the hidden units, [A, P, n]
    scratch: Tensor  # [E, P, n]

    @property
    def products(self) -> Tensor:
        return self.joint[:-1]

    @classmethod
    def of_chunks(cls, inputs: Tensor, weight: Tensor, bias: Tensor) -> Iterator[tuple[slice, _Made]]:
        """Each chunk of the samples [B, F, E], with what is made of it."""
        batch, fields, width = inputs.shape
        number = fields * (fields - 1) // 2
        joint_weight = torch.cat([weight, bias.unsqueeze(dim=0)]).t()  # [A, E + 1]
        memory: list[Tensor] = []
        for at in chunks(batch, number * width, at_least=16, numbers=_IN_CACHE):
            rows = inputs[at].permute(2, 1, 0).contiguous()
            sizes = [(n, number, rows.shape[2]) for n in (width + 1, weight.shape[1], width)]
            memory = memory or [inputs.new_empty(math.prod(size)) for size in sizes]  # the first chunk is the longest
            made = cls(rows, *(m[: math.prod(size)].view(size) for m, size in zip(memory, sizes, strict=True)))
            for i, run in runs(fields):
                torch.mul(rows[:, i : i + 1], rows[:, i + 1 :], out=made.joint[:-1, run])
            made.joint[-1] = 1.0
            torch.mm(joint_weight, made.joint.flatten(1), out=made.hidden.flatten(1)).relu_()
            yield at, made


def _gradient_of_rows(rows: Tensor, grad: Tensor) -> Tensor:
    """From the gradient of the products [E, P, n] to that of the rows [E, F, n]."""
    out = torch.zeros_like(rows)
    for i, run in runs(rows.shape[1]):
        g, later = grad[:, run], slice(i + 1, None)
        out[:, later].addcmul_(g, rows[:, i : i + 1])
        out[:, i] += g.mul_(rows[:, later]).sum(dim=1)
    return out
