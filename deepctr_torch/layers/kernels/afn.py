"""Products of learned powers, batch-normalised: what the logarithmic transformation does after its logarithms."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .autograd import Kernel, chunks, gradient_of_plain, wants_plain

__all__ = ["normalized_powers", "powers_of"]


def normalized_powers(
    logs: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`exp(logs @ weight + bias)`, each embedding dimension normalised over samples and neurons.

    `[B, E, F], [F, N], [N], [E], [E] -> [B, E, N], [E], [E]`: the normalised powers; without gradient, mean and
    variance (divided by B N) of the powers.

    >>> one, zero = torch.ones(1), torch.zeros(1)
    >>> out, *moments = normalized_powers(torch.tensor([[[0.0]], [[1.0]]]), one.view(1, 1), zero, one, zero, eps=0.0)
    >>> out.flatten(), moments
    (tensor([-1.0000,  1.0000]), [tensor([1.8591]), tensor([0.7381])])
    """
    if wants_plain(logs):
        powers = powers_of(logs, weight, bias)
        variance, mean = torch.var_mean(powers.detach(), dim=(0, 2), correction=0)
        return _normalized(powers, scale, shift, eps), mean, variance
    out, _, mean, variance = _NormalizedPowers.of(logs, weight, bias, scale, shift, eps)
    return out, mean, variance


def powers_of(logs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`exp(logs @ weight + bias)` in the dtype of the bias, whatever autocast makes of the matrix product.

    `[B, E, F], [F, N], [N] -> [B, E, N]`

    >>> powers_of(torch.zeros(1, 1, 2), torch.ones(2, 3), torch.zeros(3))
    tensor([[[1., 1., 1.]]])
    """
    return functional.linear(logs, weight.t(), bias).to(bias.dtype).exp()


def _normalized(powers: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    return functional.batch_norm(powers, None, None, scale, shift, True, 0.0, eps)


def _plain(logs: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    return _normalized(powers_of(logs, weight, bias), scale, shift, eps)


def _sum(values: Tensor) -> Tensor:
    """`[B, E, N] -> [E]`."""
    return values.sum(dim=0).sum(dim=1)


def _with_one(logs: Tensor) -> Tensor:
    """`[B, E, F] -> [B E, F + 1]`: a column of ones, which meets the bias."""
    return functional.pad(logs, (0, 1), value=1.0).flatten(0, 1)


class _NormalizedPowers(Kernel):
    """`normalized_powers`; of all that has B E N numbers only the powers and the result are ever allocated."""

    @staticmethod
    def forward(
        logs: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        number, joint = weight.shape[1], torch.cat([weight, bias.unsqueeze(0)])  # [F + 1, N]
        powers = logs.new_empty(*logs.shape[:2], number)
        mean, squares, seen = torch.zeros_like(scale), torch.zeros_like(scale), 0
        for at in chunks(len(logs), powers[0].numel()):
            part = powers[at]
            torch.mm(_with_one(logs[at]), joint, out=part.view(-1, number)).exp_()
            new = len(part) * number
            ahead = _sum(part) / new - mean  # moments of the parts are joined as in Chan et al., 1979
            squares += _sum((part - (mean + ahead).unsqueeze(1)).square_())
            squares += ahead.square() * (seen * new / (seen + new))
            seen += new
            mean += ahead * (new / seen)
        variance = squares / seen
        slope = scale * torch.rsqrt(variance + eps)
        out = torch.addcmul((shift - mean * slope).unsqueeze(1), powers, slope.unsqueeze(1))
        return out, powers, mean, variance

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*inputs[:5], *output[1:])
        ctx.eps = inputs[5]

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * 6
        logs, weight, _, scale, _, powers, mean, variance = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs, needed = ctx.saved_tensors[:5], ctx.needs_input_grad[:5]
            return *gradient_of_plain(partial(_plain, eps=ctx.eps), inputs, needed, grad), None
        size, count = powers[0].numel(), powers.numel() // len(mean)
        rate = torch.rsqrt(variance + ctx.eps)
        of_shift = _sum(grad)
        products = torch.stack([_sum(grad[at] * powers[at]) for at in chunks(len(logs), size)]).sum(dim=0)
        of_scale = (products - mean * of_shift) * rate
        # the gradient of the powers before their normalisation is a line in that after it and in the powers
        slope = scale * rate
        tilt = -slope * rate * of_scale / count
        level = -slope * of_shift / count - tilt * mean
        of_logs = torch.empty_like(logs, memory_format=torch.contiguous_format)
        of_joint = weight.new_zeros(weight.shape[0] + 1, weight.shape[1])
        slope, tilt, level = (t.unsqueeze(1) for t in (slope, tilt, level))
        for at in chunks(len(logs), size):
            part = powers[at]
            inner = torch.addcmul(level, part, tilt).addcmul_(grad[at], slope).mul_(part).flatten(0, 1)  # [B E, N]
            of_joint.addmm_(_with_one(logs[at]).t(), inner)
            torch.mm(inner, weight.t(), out=of_logs[at].flatten(0, 1))
        return of_logs, of_joint[:-1], of_joint[-1], of_scale, of_shift, None
