"""Yu Y, Wang Z, Yuan B. An Input-aware Factorization Machine for Sparse Prediction. IJCAI 2019."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..features import FeatureColumn
from ..layers.activation import ActivationLike
from ._shared import build_fm, field_count, linear_order, linear_refined
from .basemodel import BaseModel, Fields, register_model

__all__ = ["IFM"]


@register_model(one_dimension=True)
class IFM(BaseModel):
    """Factorization machine whose weights and vectors are scaled by factors that a network estimates for each sample.

    Args:
        dnn_hidden_units: layer sizes of the factor estimating network; empty for its output layer alone.
        l2_reg_dnn: L2 penalty of the factor estimating network.
        dnn_activation: activation of the network.
        dnn_use_bn: batch normalisation in the network.
    """

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
        # NOTE[DIFF] C14: without fields the original fails; here the linear side is left.
        self.sparse_feat_num = field_count(self)
        if self.sparse_feat_num:
            self.linear_order = linear_order(self)
            size = self.embedding_size
            self.fm = build_fm(self)
            # W23, kept: dense features do not enter the network.
            width = size * self.sparse_feat_num
            self.factor_estimating_net = self.build_dnn(
                width, dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout, use_bn=dnn_use_bn
            )
            projection = nn.Linear(self.factor_estimating_net.output_dim, self.sparse_feat_num, bias=False)
            self.transform_weight_matrix_P = self.penalized(projection, l2_reg_dnn)

    def factors(self, fields: Fields) -> Tensor:
        """[B, F]: the factor of each field, F in sum (the paper's factor estimating network)."""
        scores = self.transform_weight_matrix_P(self.factor_estimating_net(fields.flat_vectors))
        return self.sparse_feat_num * torch.softmax(scores, dim=1)

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        if not self.sparse_feat_num:
            return fields.linear
        factors = self.factors(fields)
        pairs: Tensor = self.fm(fields.stacked * factors.unsqueeze(-1))
        return linear_refined(fields, factors, self.linear_order) + pairs
