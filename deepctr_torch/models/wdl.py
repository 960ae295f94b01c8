"""Cheng H-T, Koc L, Harmsen J, et al. Wide & Deep Learning for Recommender Systems. DLRS 2016."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..features import FeatureColumn
from ..layers.activation import ActivationLike
from .basemodel import BaseModel, Fields, register_model

__all__ = ["WDL"]


@register_model()
class WDL(BaseModel):
    """A wide linear side and a deep DNN, added before the sigmoid (equation 3)."""

    def __init__(
        self, linear_feature_columns: Sequence[FeatureColumn], dnn_feature_columns: Sequence[FeatureColumn],
        dnn_hidden_units: Sequence[int] = (256, 128), l2_reg_linear: float = 1e-5, l2_reg_embedding: float = 1e-5,
        l2_reg_dnn: float = 0, init_std: float = 0.0001, seed: int = 1024, dnn_dropout: float = 0,
        dnn_activation: ActivationLike = "relu", dnn_use_bn: bool = False, task: str = "binary",
        device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            linear_feature_columns, dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        width = self.compute_input_dim(self.dnn_feature_columns)
        self.use_dnn = width > 0 and len(dnn_hidden_units) > 0
        if self.use_dnn:
            self.add_dnn(width, dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout, use_bn=dnn_use_bn)

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        wide = fields.linear
        return wide + self.dnn_linear(self.dnn(fields.flat_parts)) if self.use_dnn else wide
