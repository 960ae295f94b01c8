"""Xiao J, et al. Attentional Factorization Machines: Learning the Weight of Feature Interactions. IJCAI 2017."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..features import FeatureColumn
from ..layers.interaction import AFMLayer
from ._shared import build_fm, field_count, refuse_dense
from .basemodel import BaseModel, Fields, register_model

__all__ = ["AFM"]


@register_model(one_dimension=True, dense_deep=False)
class AFM(BaseModel):
    """Linear part and factorization machine whose pairs are weighted by an attention network (equation 6).

    Args:
        use_attention: weight the pairs; without, it is a plain factorization machine.
        attention_factor: width of the attention network.
        l2_reg_att: L2 penalty of the attention network's hidden layer.
        afm_dropout: share of the attended sum's dimensions set to zero in training.
    """

    def __init__(
        self, linear_feature_columns: Sequence[FeatureColumn], dnn_feature_columns: Sequence[FeatureColumn],
        use_attention: bool = True, attention_factor: int = 8, l2_reg_linear: float = 1e-5,
        l2_reg_embedding: float = 1e-5, l2_reg_att: float = 1e-5, afm_dropout: float = 0, init_std: float = 0.0001,
        seed: int = 1024, task: str = "binary", device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None,
        num_classes: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            linear_feature_columns, dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        refuse_dense(self)
        self.use_attention = use_attention
        # NOTE[DIFF] C14: without fields the original fails; here the linear side is left.
        self.use_fm = field_count(self) > 0
        if self.use_fm and use_attention:
            attention = AFMLayer(self.embedding_size, attention_factor, dropout_rate=afm_dropout, outputs=self.outputs)
            self.add_regularization_weight([attention.attention_W], l2=l2_reg_att)
            self.fm: nn.Module = attention
        elif self.use_fm:
            self.fm = build_fm(self)

    def attention_maps(self, fields: Fields) -> dict[str, Tensor]:
        if not self.use_fm or not isinstance(self.fm, AFMLayer):
            return super().attention_maps(fields)
        self.fm(fields.stacked)
        scores = self.fm.normalized_att_score
        return {} if scores is None else {"fm": scores.squeeze(2)}  # [B, P]

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        return fields.linear + self.fm(fields.stacked) if self.use_fm else fields.linear
