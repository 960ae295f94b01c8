"""AFN: crosses of learned order in logarithmic space."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ..._checks import check_positive
from ..activation import BatchNorm
from ..kernels.afn import normalized_powers, powers_of
from ._shared import as_fields

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
        check_positive(field_size=field_size, embedding_size=embedding_size, ltl_hidden_size=ltl_hidden_size)
        self.ltl_weights = nn.Parameter(torch.empty(field_size, ltl_hidden_size).normal_(mean=0.0, std=0.1))
        self.ltl_biases = nn.Parameter(torch.zeros(1, 1, ltl_hidden_size))
        self.bn = nn.ModuleList([BatchNorm(embedding_size), BatchNorm(embedding_size)])
        self.to(device)

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = as_fields(inputs).transpose(1, 2)  # [B, E, F]
        logs_norm, powers_norm = (cast("BatchNorm", norm) for norm in self.bn)
        weight, bias = self.ltl_weights, self.ltl_biases.flatten()
        logs = inputs.abs().clamp(min=_SMALLEST).log()
        # NOTE[DIFF]: the original normalises a lone training row over its own fields; here, with running statistics.
        if not self.training or len(inputs) < 2:
            powers = powers_of(logs_norm.by_running(logs), weight, bias)  # [B, E, N]
            return powers_norm.by_running(powers).flatten(1)
        logs = nn.BatchNorm1d.forward(logs_norm, logs)
        out, mean, variance = normalized_powers(
            logs, weight, bias, powers_norm.weight, powers_norm.bias, powers_norm.eps
        )
        powers_norm.update(mean, variance, len(inputs) * weight.shape[1])
        return out.flatten(1)
