"""AFN: crosses of learned order in logarithmic space."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..._checks import check_at_least
from ..activation import BatchNorm
from ._fields import as_fields

__all__ = ["LogTransformLayer"]

_SMALLEST = 1e-7  # what the logarithm sees of a zero


class LogTransformLayer(nn.Module):
    """Logarithmic transformation: N products of fields raised to learned powers, `[B, F, E] -> [B, N * E]`.

    `y_j = exp(sum_i w_ij ln |v_i| + b_j)` (Cheng, Shen and Huang, "Adaptive Factorization Network", AAAI 2020, the
    logarithmic transformation layer), with batch normalisation of the logarithms and of the result. The output of a
    sample is ordered by embedding dimension, then neuron.

    Args:
        field_size: number of fields F.
        embedding_size: width E of a field.
        ltl_hidden_size: number of logarithmic neurons N.
        device: where the parameters live.

    >>> LogTransformLayer(3, 4, 5)(torch.ones(2, 3, 4)).shape
    torch.Size([2, 20])
    """

    def __init__(
        self, field_size: int, embedding_size: int, ltl_hidden_size: int, device: str | torch.device = "cpu"
    ) -> None:
        super().__init__()
        check_at_least("field_size", field_size, 1)
        check_at_least("embedding_size", embedding_size, 1)
        check_at_least("ltl_hidden_size", ltl_hidden_size, 1)
        self.ltl_weights = nn.Parameter(torch.empty(field_size, ltl_hidden_size).normal_(mean=0.0, std=0.1))
        self.ltl_biases = nn.Parameter(torch.zeros(1, 1, ltl_hidden_size))
        self.bn = nn.ModuleList([BatchNorm(embedding_size), BatchNorm(embedding_size)])
        self.to(device)

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = as_fields(inputs)
        mask = None
        if self.training and inputs.shape[0] == 1:
            # NOTE[DIFF]: the original normalises a lone training row over its own fields; here, with the running
            # statistics.
            mask = inputs.new_zeros(1, 1, dtype=torch.bool)
        logs = self._normalize(0, inputs.abs().clamp(min=_SMALLEST).log(), mask)  # [B, F, E]
        powers = (self.ltl_weights.t() @ logs + self.ltl_biases.transpose(1, 2)).exp()  # [B, N, E]
        return self._normalize(1, powers, mask).transpose(1, 2).flatten(1)

    def _normalize(self, which: int, values: Tensor, mask: Tensor | None) -> Tensor:
        """Normalise each embedding dimension over the samples and fields that `mask` admits."""
        valid = None if mask is None else mask.expand(values.shape[:2])
        return self.bn[which](values, valid)  # type: ignore[no-any-return]
