"""The k largest values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..._checks import check_at_least

__all__ = ["KMaxPooling"]


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
        if self.k > size:
            raise ValueError(f"k must be at most the {size} values along axis {self.axis}, got {self.k}")
        return torch.topk(inputs, self.k, dim=self.axis, sorted=True).values
