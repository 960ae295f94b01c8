"""Song W, et al. AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks. CIKM 2019."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .._checks import check_at_least
from ..features import FeatureColumn
from ..layers.activation import ActivationLike
from ..layers.interaction import InteractingLayer
from ._shared import field_count
from .basemodel import BaseModel, Fields, register_model

__all__ = ["AutoInt"]


@register_model(one_dimension=True)
class AutoInt(BaseModel):
    """Linear part, and fields that attend to each other, beside a DNN (equation 9, with the DNN of AutoInt+).

    Args:
        att_layer_num: number of interacting layers; 0 for the DNN alone.
        att_head_num: attention heads, a divisor of the embedding_dim.
        att_res: residual connection in each interacting layer.
    """

    def __init__(
        self, linear_feature_columns: Sequence[FeatureColumn], dnn_feature_columns: Sequence[FeatureColumn],
        att_layer_num: int = 3, att_head_num: int = 2, att_res: bool = True,
        dnn_hidden_units: Sequence[int] = (256, 128), dnn_activation: ActivationLike = "relu", l2_reg_dnn: float = 0,
        l2_reg_embedding: float = 1e-5, dnn_use_bn: bool = False, dnn_dropout: float = 0, init_std: float = 0.0001,
        seed: int = 1024, task: str = "binary", device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None,
        l2_reg_linear: float = 0.0, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        # NOTE[DIFF] W12: the original has no penalty of the linear part; 0 gives its numbers.
        super().__init__(
            linear_feature_columns, dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        check_at_least("att_layer_num", att_layer_num, 0)
        if att_layer_num == 0 and len(dnn_hidden_units) == 0:
            raise ValueError("att_layer_num must be at least 1 where dnn_hidden_units is empty, got 0")
        self.att_layer_num = att_layer_num
        self.dnn_hidden_units = dnn_hidden_units
        # NOTE[DIFF] C14: without fields the original fails; here the DNN and the linear side are left.
        self.use_att = att_layer_num > 0 and field_count(self) > 0
        self.use_dnn = len(dnn_feature_columns) > 0 and len(dnn_hidden_units) > 0
        size = self.embedding_size if self.use_att else 0
        deep = dnn_hidden_units[-1] if self.use_dnn else 0
        if self.use_att or self.use_dnn:
            self.dnn_linear = nn.Linear(deep + size * field_count(self), self.outputs, bias=False)
        if self.use_dnn:
            width = self.compute_input_dim(dnn_feature_columns)
            self.dnn = self.build_dnn(
                width, dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout, use_bn=dnn_use_bn
            )
        if self.use_att:
            self.int_layers = nn.ModuleList(InteractingLayer(size, att_head_num, att_res) for _ in range(att_layer_num))

    def attention_maps(self, fields: Fields) -> dict[str, Tensor]:
        if not self.use_att:
            return super().attention_maps(fields)
        vectors = fields.stacked
        for layer in self.int_layers:
            vectors = layer(vectors)
        maps: list[Any] = [layer.normalized_att_scores for layer in self.int_layers]  # [heads, B, F, F] each
        return {"int_layers": torch.stack(maps, dim=0).permute(2, 0, 1, 3, 4)}

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        parts = []
        if self.use_att:
            vectors = fields.stacked  # [B, F, E]
            for layer in self.int_layers:
                vectors = layer(vectors)
            parts.append(vectors.flatten(1))
        if self.use_dnn:
            parts.append(self.dnn(fields.flat))
        return fields.linear + self.dnn_linear(torch.cat(parts, dim=1)) if parts else fields.linear
