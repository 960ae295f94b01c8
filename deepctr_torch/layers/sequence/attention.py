"""Attention of a candidate over a user's history."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..activation import ActivationLike
from ..core import LocalActivationUnit
from ..utils import sequence_mask, valid_rows

__all__ = ["AttentionSequencePoolingLayer"]


class AttentionSequencePoolingLayer(nn.Module):
    """History weighted by its relevance for the candidate: `[B, 1, E], [B, T, E], [B, 1] -> [B, 1, E]`.

    The weights come from a `LocalActivationUnit` and, as in the paper, need not sum to one (Zhou et al., Deep Interest
    Network, 2018, section 4.3). An empty history gives zeros.

    Args:
        att_hidden_units: layer sizes of the attention net.
        att_activation: of the attention net; whatever `activation_layer` takes.
        weight_normalization: softmax of the weights over the valid positions.
        return_score: return the weights [B, 1, T] instead of the weighted history.
        supports_masking: a mask must be given to `forward`.
        embedding_dim: E.
        dropout_rate: of the attention net.
        use_bn: batch normalisation in the attention net.
        init_std: standard deviation of the attention net's initial kernels.
        device: where the parameters live.

    >>> attention = AttentionSequencePoolingLayer(embedding_dim=2)
    >>> attention(torch.rand(3, 1, 2), torch.rand(3, 4, 2), torch.tensor([[4], [1], [0]])).shape
    torch.Size([3, 1, 2])
    """

    def __init__(
        self, att_hidden_units: Sequence[int] = (80, 40), att_activation: ActivationLike = "sigmoid",
        weight_normalization: bool = False, return_score: bool = False, supports_masking: bool = False,
        embedding_dim: int = 4, *, dropout_rate: float = 0, use_bn: bool = False, init_std: float = 0.0001,
        device: str | torch.device = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        self.weight_normalization = weight_normalization
        self.return_score = return_score
        self.supports_masking = supports_masking
        self.local_att = LocalActivationUnit(
            att_hidden_units, embedding_dim, att_activation, dropout_rate, use_bn=use_bn, init_std=init_std
        )
        self.to(device)

    def forward(
        self, query: Tensor, keys: Tensor, keys_length: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Pool the history.

        Args:
            query: the candidate, [B, 1, E].
            keys: the history, [B, T, E].
            keys_length: valid positions of each history, [B, 1] or [B]; not needed with a mask.
            mask: [B, T], True at valid positions; goes before `keys_length`.
        """
        if mask is None:
            if self.supports_masking:
                raise ValueError("mask must be given when supports_masking is True, got None")
            if keys_length is None:
                raise ValueError("keys_length or mask must be given, got None for both")
            mask = sequence_mask(keys_length, keys.shape[1])
        score = self.weights(query, keys, mask.bool().reshape(keys.shape[:2]))  # [B, 1, T]
        return score if self.return_score else torch.matmul(score, keys)  # [B, 1, E]

    def weights(self, query: Tensor, keys: Tensor, valid: Tensor) -> Tensor:
        """The weight of each step, zero where it is not valid: `[B, 1, E], [B, T, E], [B, T] -> [B, 1, T]`."""
        score, padding = self._scores(query, keys, valid), ~valid.unsqueeze(1)
        if self.weight_normalization:
            score = score.masked_fill(padding, torch.finfo(score.dtype).min).softmax(dim=-1)
        # NOTE[DIFF] W9: an empty history weighs zero; upstream averages its padding.
        return score.masked_fill(padding, 0.0)

    def _scores(self, query: Tensor, keys: Tensor, valid: Tensor) -> Tensor:
        """The score of every valid position, `[B, 1, T]`; what invalid ones hold is without meaning."""
        at = valid_rows(valid)
        if at is None:
            scores: Tensor = self.local_att(query, keys, valid)  # [B, T, 1]
            return scores.transpose(1, 2)
        steps = keys.shape[1]
        queries = query.index_select(0, at // steps)  # [N, 1, E]
        rows = keys.flatten(0, 1).index_select(0, at).unsqueeze(1)  # [N, 1, E]
        found: Tensor = self.local_att(queries, rows).flatten()
        return found.new_zeros(valid.numel()).index_put((at,), found).view(len(keys), 1, steps)
