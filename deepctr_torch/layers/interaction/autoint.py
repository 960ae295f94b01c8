"""AutoInt: fields that attend to each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..._checks import check_positive
from ._shared import as_fields, keep_scores, refuse

__all__ = ["InteractingLayer"]


class InteractingLayer(nn.Module):
    """Multi-head self-attention over fields, `[B, F, E] -> [B, F, E]`.

    Song et al., "AutoInt", CIKM 2019, equations 5 to 8. After a forward `normalized_att_scores` `[heads, B, F, F]`
    holds how much each field (third dimension) attends to each other (fourth), detached.

    Args:
        embedding_size: width E of a field, a multiple of `head_num`.
        head_num: number of attention heads.
        use_res: add a linear map of the input before the final ReLU.
        scaling: divide the scores by the square root of a head's width.
        seed: accepted for compatibility; randomness comes from torch's generator.
        device: where the parameters live.

    >>> layer = InteractingLayer(4, head_num=2)
    >>> layer(torch.ones(3, 5, 4)).shape
    torch.Size([3, 5, 4])
    >>> layer.normalized_att_scores.shape
    torch.Size([2, 3, 5, 5])
    """

    normalized_att_scores: Tensor | None

    @refuse(in_features="did you mean 'embedding_size'?")
    def __init__(
        self, embedding_size: int, head_num: int = 2, use_res: bool = True, scaling: bool = False, seed: int = 1024,
        device: str | torch.device = "cpu",
    ) -> None:  # fmt: skip
        super().__init__()
        check_positive(embedding_size=embedding_size, head_num=head_num)
        if embedding_size % head_num:
            raise ValueError(f"embedding_size must be a multiple of head_num = {head_num}, got {embedding_size}")
        self.head_num = head_num
        self.att_embedding_size = embedding_size // head_num
        self.seed = seed
        self.use_res = use_res
        self.scaling = scaling
        self.W_Query = nn.Parameter(torch.empty(embedding_size, embedding_size))
        self.W_key = nn.Parameter(torch.empty(embedding_size, embedding_size))
        self.W_Value = nn.Parameter(torch.empty(embedding_size, embedding_size))
        if use_res:
            self.W_Res = nn.Parameter(torch.empty(embedding_size, embedding_size))
        for weight in self.parameters():
            nn.init.normal_(weight, mean=0.0, std=0.05)
        self.normalized_att_scores = None
        self.to(device)

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = as_fields(inputs)
        batch, fields, width = inputs.shape
        narrow = width // self.head_num
        rows = inputs.transpose(1, 2)  # [B, E, F]: products of long rows run fastest, and a head needs no copy
        queries, keys, values = (
            (w.t().expand(batch, -1, -1) @ rows).view(batch * self.head_num, narrow, fields)  # [B heads, E / heads, F]
            for w in (self.W_Query, self.W_key, self.W_Value)
        )
        if self.scaling:
            queries = queries / narrow**0.5
        scores = (keys.transpose(1, 2) @ queries).softmax(dim=1)  # [B heads, F of the key, F of the query]
        by_query = scores.transpose(1, 2).view(batch, self.head_num, fields, fields)  # [B, heads, F, F]
        keep_scores(self, "normalized_att_scores", by_query.transpose(0, 1))
        result = (values @ scores).view(batch, width, fields)
        if self.use_res:
            result = torch.baddbmm(result, self.W_Res.t().expand(batch, -1, -1), rows)
        return result.relu().transpose(1, 2)

    def extra_repr(self) -> str:
        return f"head_num={self.head_num}, use_res={self.use_res}, scaling={self.scaling}"
