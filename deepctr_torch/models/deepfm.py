"""Guo H, Tang R, Ye Y, et al. DeepFM: A Factorization-Machine based Neural Network for CTR Prediction. IJCAI 2017."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..features import FeatureColumn
from ..layers.activation import ActivationLike
from ._shared import build_fm
from .basemodel import BaseModel, Fields, register_model

__all__ = ["DeepFM"]


@register_model(one_dimension=True)
class DeepFM(BaseModel):
    """Linear part, factorization machine and DNN over the same embeddings (equation 1).

    Args:
        use_fm: add the factorization machine; the sparse columns then need one embedding_dim.
    """

    def __init__(
        self, linear_feature_columns: Sequence[FeatureColumn], dnn_feature_columns: Sequence[FeatureColumn],
        use_fm: bool = True, dnn_hidden_units: Sequence[int] = (256, 128), l2_reg_linear: float = 1e-5,
        l2_reg_embedding: float = 1e-5, l2_reg_dnn: float = 0, init_std: float = 0.0001, seed: int = 1024,
        dnn_dropout: float = 0, dnn_activation: ActivationLike = "relu", dnn_use_bn: bool = False, task: str = "binary",
        device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            linear_feature_columns, dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        self.use_fm = use_fm and len(self.embedding_dict) > 0
        self.use_dnn = len(self.dnn_feature_columns) > 0 and len(dnn_hidden_units) > 0
        if self.use_fm:
            self.fm = build_fm(self)
        if self.use_dnn:
            width = self.compute_input_dim(self.dnn_feature_columns)
            self.add_dnn(width, dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout, use_bn=dnn_use_bn)

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        # The FM comes last: autograd then begins with its gradient, to which it can add that of the DNN in place.
        deep = self.dnn_linear(self.dnn(fields.flat_parts)) if self.use_dnn else None
        logit = fields.linear
        if self.use_fm:
            logit = logit + self.fm(fields.stacked)
        return logit if deep is None else logit + deep
