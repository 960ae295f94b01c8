"""Recurrence over padded sequences, in a form that `torch.compile` and `torch.export` can follow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["PaddedGRU", "last_state", "left_aligned"]


class PaddedGRU(nn.Module):
    """A GRU with the parameters of `nn.GRU`, over padded sequences: `[B, T, H] -> [B, T, H]`.

    Unlike torch's module it can be traced by `torch.compile`. Steps after the end of a sequence are computed too.
    """

    def __init__(self, size: int, init_std: float) -> None:
        super().__init__()
        self.weight_ih_l0 = nn.Parameter(torch.randn(3 * size, size) * init_std)
        self.weight_hh_l0 = nn.Parameter(torch.randn(3 * size, size) * init_std)
        bound = 1.0 / math.sqrt(size)
        self.bias_ih_l0 = nn.Parameter(torch.empty(3 * size).uniform_(-bound, bound))
        self.bias_hh_l0 = nn.Parameter(torch.empty(3 * size).uniform_(-bound, bound))

    def forward(self, inputs: Tensor) -> Tensor:
        weights: list[Tensor] = [self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0]
        if inputs.is_cuda:  # cuDNN reads them from one piece of memory, and warns where it has to copy them itself
            pieces = torch.split(torch.cat([w.flatten() for w in weights], dim=0), [w.numel() for w in weights], dim=0)
            weights = [piece.view_as(w) for piece, w in zip(pieces, weights, strict=True)]
        inputs = inputs.to(self.weight_ih_l0.dtype)
        start = inputs.new_zeros(1, inputs.shape[0], inputs.shape[2])
        return torch.gru(inputs, start, weights, True, 1, 0.0, self.training, False, True)[0]


def left_aligned(mask: Tensor, sequences: Sequence[Tensor]) -> list[Tensor]:
    """Move the valid steps of every row to its front, in their order: `[B, T], [B, T, E] -> [B, T, E]`."""
    order = torch.argsort((~mask).byte(), dim=1, stable=True).unsqueeze(-1)
    return [s.gather(1, order.expand_as(s)) for s in sequences]


def last_state(states: Tensor, lengths: Tensor) -> Tensor:
    """The state after the last valid step, zeros where there is none: `[B, T, H], [B] -> [B, H]`."""
    at = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, states.shape[2])
    return states.gather(1, at).squeeze(1).masked_fill((lengths == 0).unsqueeze(1), 0.0)
