"""AFM: factorization machine whose pairs are weighted by attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..._checks import check_fraction, check_positive
from ..kernels.afm import attended_pairs
from ._shared import as_fields, keep_scores

__all__ = ["AFMLayer"]


class AFMLayer(nn.Module):
    """Attentional sum of the pairwise products, without bias and linear term, `[B, F, E] -> [B, outputs]`.

    Xiao et al., "Attentional Factorization Machines", IJCAI 2017, the attention-based pooling layer. After a forward
    `normalized_att_score` `[B, P, 1]` holds the weight of each pair, detached; pairs come in the order
    (0, 1), (0, 2), ..., (1, 2), .... A single field has no pair and gives zeros.

    Args:
        in_features: width E of a field.
        attention_factor: width A of the attention network.
        l2_reg_w: accepted for compatibility; the penalty is declared by the model.
        dropout_rate: of the attended sum.
        seed: accepted for compatibility; randomness comes from torch's generator.
        device: where the parameters live.
        outputs: number of results of a sample, more than one for several classes.

    The input is one tensor `[B, F, E]` or a list of F tensors `[B, 1, E]`.

    >>> layer = AFMLayer(2)
    >>> _ = layer.attention_W.data.zero_(), layer.projection_p.data.fill_(1.0)
    >>> layer(torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]))  # equal weights: (3 + 8 + 5 + 12 + 15 + 24) / 3
    tensor([[22.3333]], grad_fn=<MmBackward0>)
    """

    normalized_att_score: Tensor | None

    def __init__(
        self, in_features: int, attention_factor: int = 4, l2_reg_w: float = 0, dropout_rate: float = 0,
        seed: int = 1024, device: str | torch.device = "cpu", outputs: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        check_positive(in_features=in_features, attention_factor=attention_factor, outputs=outputs)
        check_fraction("dropout_rate", dropout_rate)
        self.attention_factor = attention_factor
        self.l2_reg_w = l2_reg_w
        self.dropout_rate = dropout_rate
        self.seed = seed
        self.attention_W = nn.Parameter(torch.empty(in_features, attention_factor))
        self.attention_b = nn.Parameter(torch.zeros(attention_factor))
        self.projection_h = nn.Parameter(torch.empty(attention_factor, 1))
        self.projection_p = nn.Parameter(torch.empty(in_features, outputs))
        for weight in (self.attention_W, self.projection_h, self.projection_p):
            nn.init.xavier_normal_(weight)
        self.dropout = nn.Dropout(dropout_rate)
        self.normalized_att_score = None
        self.to(device)

    def forward(self, inputs: Tensor | Sequence[Tensor]) -> Tensor:
        inputs = as_fields(inputs)
        # NOTE[DIFF] C14: a sum over no pairs is zero, so one field works.
        attended, scores = attended_pairs(inputs, self.attention_W, self.attention_b, self.projection_h)
        keep_scores(self, "normalized_att_score", scores.unsqueeze(dim=2))  # [B, P, 1]
        kept: Tensor = self.dropout(attended)
        return kept @ self.projection_p
