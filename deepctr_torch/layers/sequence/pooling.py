"""Pooling: of sequences with a length of their own, and of the k largest values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..._checks import check_at_least, check_choice
from ..._tracing import tracing
from ..utils import sequence_mask

__all__ = ["KMaxPooling", "SequencePoolingLayer", "pool", "pool_steps", "valid_steps"]

_MODES = ("sum", "mean", "max")


def pool(embeddings: Tensor, mask: Tensor, mode: str, weights: Tensor | None = None) -> Tensor:
    """Pool the valid positions of each sequence; none valid gives zeros: `[..., T, E], [..., T] -> [..., E]`.

    Args:
        embeddings: [..., T, E].
        mask: bool [..., T], True at valid positions.
        mode: "sum", "mean" or "max".
        weights: [..., T], not negative: the sum becomes a weighted sum, the mean is divided by the sum of the weights,
            and the maximum is that of the weighted values. None for equal weights.

    >>> values, mask = torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]])
    >>> [pool(values, mask, mode).item() for mode in ("sum", "mean", "max")]
    [4.0, 2.0, 3.0]
    >>> pool(values, mask, "mean", weights=torch.tensor([[3.0, 1.0, 5.0]]))
    tensor([[1.5000]])
    """
    check_choice("mode", mode, _MODES)
    valid = mask.unsqueeze(-1)  # [..., T, 1]
    values = embeddings if weights is None else embeddings * weights.unsqueeze(-1).to(embeddings.dtype)  # [..., T, E]
    if mode == "max":
        largest = values.masked_fill(~valid, float("-inf")).amax(dim=-2)
        # NOTE[DIFF] W8: zeros for an empty sequence; upstream gives -1e9.
        return largest.masked_fill(~valid.any(dim=-2), 0.0)
    total = values.masked_fill(~valid, 0.0).sum(dim=-2)  # [..., E]
    if mode == "sum":
        return total
    if weights is None:
        return (total / valid.sum(dim=-2).clamp(min=1).float()).to(total.dtype)
    mass = weights.masked_fill(~mask, 0.0).sum(dim=-1, keepdim=True)  # [..., 1]
    return (total / torch.where(mass > 0, mass, 1.0)).to(total.dtype)


def pool_steps(embeddings: Tensor, ids: Tensor, width: int, mode: str) -> Tensor:
    """Pool the ids of each step, those that are not 0: `[B, T * width, E], [B, T * width] -> [B, T, E]`.

    Args:
        embeddings: the vectors of the ids, step after step.
        ids: 0 is padding.
        width: ids of a step.
        mode: "sum", "mean" or "max".

    >>> pool_steps(torch.tensor([[[1.0], [3.0], [5.0], [7.0]]]), torch.tensor([[8, 9, 8, 0]]), 2, "mean")
    tensor([[[2.],
             [5.]]])
    """
    return pool(_by_step(embeddings, width), _by_step(ids, width) != 0, mode)


def valid_steps(ids: Tensor, width: int) -> Tensor:
    """Tell which steps have an id that is not 0, bool: `[B, T * width] -> [B, T]`."""
    valid = ids != 0
    return valid if width == 1 else _by_step(valid, width).any(dim=2)


def _by_step(values: Tensor, width: int) -> Tensor:
    """`[B, T * width, ...] -> [B, T, width, ...]`."""
    return values.reshape(values.shape[0], values.shape[1] // width, width, *values.shape[2:])


class SequencePoolingLayer(nn.Module):
    """Sum, mean or maximum over the valid positions of a sequence: `[B, T, E], [B, 1] or [B, T] -> [B, 1, E]`.

    Args:
        mode: "sum", "mean" or "max".
        supports_masking: the second input is a mask [B, T] instead of lengths [B, 1].
        device: accepted for compatibility; the layer holds no tensor.

    >>> values, length = torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[2]])
    >>> SequencePoolingLayer("max")([values, length])
    tensor([[[3.]]])
    """

    def __init__(self, mode: str = "mean", supports_masking: bool = False, device: str | torch.device = "cpu") -> None:
        super().__init__()
        check_choice("mode", mode, _MODES)
        self.mode = mode
        self.device = device
        self.supports_masking = supports_masking

    def forward(self, seq_value_len_list: Sequence[Tensor]) -> Tensor:
        embeddings, marks = seq_value_len_list
        # NOTE[DIFF] C4: the mask is bool throughout, so "max" works with lengths too.
        mask = marks.bool() if self.supports_masking else sequence_mask(marks, embeddings.shape[1])  # [B, T]
        return pool(embeddings, mask, self.mode).unsqueeze(1)


class KMaxPooling(nn.Module):
    """The k largest values along one axis, largest first: `[B, ..., T, ...] -> [B, ..., k, ...]`.

    Kept from upstream on purpose: the values are sorted, where the paper (Kalchbrenner et al., A Convolutional Neural
    Network for Modelling Sentences, 2014, section 3.3) keeps their positions' order.

    Args:
        k: how many values.
        axis: the dimension to look along.
        device: accepted for compatibility; the layer holds no tensor.

    >>> KMaxPooling(2, axis=1)(torch.tensor([[3.0, 1.0, 2.0]]))
    tensor([[3., 2.]])
    """

    def __init__(self, k: int, axis: int, device: str | torch.device = "cpu") -> None:
        super().__init__()
        check_at_least("k", k, 1)
        self.k = k
        self.axis = axis

    def forward(self, inputs: Tensor) -> Tensor:
        if not -inputs.ndim <= self.axis < inputs.ndim:
            raise ValueError(f"axis must be a dimension of the {inputs.ndim}-dimensional input, got {self.axis}")
        size = inputs.shape[self.axis]
        if not tracing() and self.k > size:
            raise ValueError(f"k must be at most the {size} values along axis {self.axis}, got {self.k}")
        return torch.topk(inputs, self.k, dim=self.axis, sorted=True).values
