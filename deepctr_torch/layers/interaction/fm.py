"""Factorization machines: all pairwise products of field embeddings in linear time."""

from __future__ import annotations

from torch import Tensor, nn

from ..kernels.fm import fm_interaction

__all__ = ["FM", "BiInteractionPooling", "MulticlassFM", "pairwise_sum"]


def pairwise_sum(inputs: Tensor) -> Tensor:
    """Sum over all pairs of fields of their elementwise product, `[B, F, E] -> [B, E]`.

    Uses `sum_{i<j} x_i x_j = ((sum_i x_i)^2 - sum_i x_i^2) / 2`: no pair is ever formed. Fewer than two fields give
    zeros.

    >>> import torch
    >>> pairwise_sum(torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]))
    tensor([[23., 44.]])
    """
    square_of_sum = inputs.sum(dim=1).square()  # [B, E]
    sum_of_squares = inputs.square().sum(dim=1)  # [B, E]
    return 0.5 * (square_of_sum - sum_of_squares)


class FM(nn.Module):
    """Second-order part of a factorization machine, without bias and linear term, `[B, F, E] -> [B, 1]`.

    Rendle, "Factorization Machines", ICDM 2010, lemma 3.1. Fewer than two fields give zeros.

    >>> import torch
    >>> FM()(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([[11.0000]])
    """

    def forward(self, inputs: Tensor) -> Tensor:
        return fm_interaction(inputs)


class BiInteractionPooling(nn.Module):
    """Pairwise products summed over the pairs but not over the dimensions, `[B, F, E] -> [B, 1, E]`.

    He and Chua, "Neural Factorization Machines", SIGIR 2017, equation 3. Fewer than two fields give zeros.

    >>> import torch
    >>> BiInteractionPooling()(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([[[3., 8.]]])
    """

    def forward(self, inputs: Tensor) -> Tensor:
        return pairwise_sum(inputs).unsqueeze(dim=1)


class MulticlassFM(nn.Module):
    """A factorization machine with a logit a class: the pooled interactions, projected. [B, F, E] -> [B, C]"""

    def __init__(self, embedding_size: int, num_classes: int) -> None:
        super().__init__()
        self.pooling = BiInteractionPooling()
        self.projection = nn.Linear(embedding_size, num_classes, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.projection(self.pooling(inputs).squeeze(1))
        return logits
