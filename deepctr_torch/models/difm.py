"""Lu W, Yu Y, Chang Y, et al. A Dual Input-aware Factorization Machine for CTR Prediction. IJCAI 2020."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..features import FeatureColumn
from ..layers.activation import ActivationLike
from ..layers.interaction import InteractingLayer
from ._shared import build_fm, field_count, linear_order, linear_refined
from .basemodel import BaseModel, Fields, register_model

__all__ = ["DIFM"]


@register_model(one_dimension=True)
class DIFM(BaseModel):
    """Factorization machine whose weights and vectors are scaled by factors from a vector-wise and a bit-wise network.

    Args:
        att_head_num: attention heads of the vector-wise network, a divisor of the embedding_dim.
        att_res: residual connection in the vector-wise network.
        dnn_hidden_units: layer sizes of the bit-wise network; empty for its output layer alone.
        l2_reg_dnn: L2 penalty of both networks.
        dnn_dropout: share of units of the bit-wise network set to zero in training.
        dnn_activation: activation of the bit-wise network.
        dnn_use_bn: batch normalisation in the bit-wise network.
    """

    def __init__(
        self, linear_feature_columns: Sequence[FeatureColumn], dnn_feature_columns: Sequence[FeatureColumn],
        att_head_num: int = 4, att_res: bool = True, dnn_hidden_units: Sequence[int] = (256, 128),
        l2_reg_linear: float = 1e-5, l2_reg_embedding: float = 1e-5, l2_reg_dnn: float = 0, init_std: float = 0.0001,
        seed: int = 1024, dnn_dropout: float = 0, dnn_activation: ActivationLike = "relu", dnn_use_bn: bool = False,
        task: str = "binary", device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None,
        num_classes: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            linear_feature_columns, dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        # NOTE[DIFF] C14: without fields the original fails; here the linear side is left.
        self.sparse_feat_num = field_count(self)
        if self.sparse_feat_num:
            self.linear_order = linear_order(self)
            size, fields = self.embedding_size, self.sparse_feat_num
            self.fm = build_fm(self)
            # NOTE[DIFF] W12: the original has no penalty on the attention.
            attention = InteractingLayer(size, att_head_num, att_res, scaling=True)
            self.vector_wise_net = self.penalized(attention, l2_reg_dnn)
            # W23, kept: dense features do not enter the networks.
            self.bit_wise_net = self.build_dnn(
                fields * size, dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout, use_bn=dnn_use_bn
            )
            self.transform_matrix_P_vec = self.penalized(nn.Linear(fields * size, fields, bias=False), l2_reg_dnn)
            self.transform_matrix_P_bit = self.penalized(
                nn.Linear(self.bit_wise_net.output_dim, fields, bias=False), l2_reg_dnn
            )

    def factors(self, fields: Fields) -> Tensor:
        """[B, F]: the factor of each field, vector-wise plus bit-wise (the paper's dual factor estimating network)."""
        vector_wise: Tensor = self.transform_matrix_P_vec(self.vector_wise_net(fields.stacked).flatten(1))
        bit_wise: Tensor = self.transform_matrix_P_bit(self.bit_wise_net(fields.flat_vectors))
        return bit_wise + vector_wise

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        if not self.sparse_feat_num:
            return fields.linear
        factors = self.factors(fields)
        pairs: Tensor = self.fm(fields.stacked * factors.unsqueeze(-1))
        return linear_refined(fields, factors, self.linear_order) + pairs
