"""Cheng W, Shen Y, Huang L. Adaptive Factorization Network: Learning Adaptive-Order Feature Interactions. AAAI 2020."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..features import FeatureColumn
from ..layers.activation import ActivationLike
from ..layers.interaction import LogTransformLayer
from ._shared import field_count
from .basemodel import BaseModel, Fields, register_model

__all__ = ["AFN"]


@register_model(one_dimension=True)
class AFN(BaseModel):
    """Linear part, and a DNN over products of fields raised to learned powers (the logarithmic transformation layer).

    Args:
        ltl_hidden_size: number of logarithmic neurons, that is of learned products.
        afn_dnn_hidden_units: layer sizes of the DNN, always with batch normalisation; empty for its output layer alone.
    """

    def __init__(
        self, linear_feature_columns: Sequence[FeatureColumn], dnn_feature_columns: Sequence[FeatureColumn],
        ltl_hidden_size: int = 256, afn_dnn_hidden_units: Sequence[int] = (256, 128), l2_reg_linear: float = 1e-5,
        l2_reg_embedding: float = 1e-5, l2_reg_dnn: float = 0, init_std: float = 0.0001, seed: int = 1024,
        dnn_dropout: float = 0, dnn_activation: ActivationLike = "relu", task: str = "binary",
        device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            linear_feature_columns, dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        # NOTE[DIFF] C14: without fields the original fails; here the linear side is left.
        self.use_afn = field_count(self) > 0
        if self.use_afn:
            # W23, kept: dense features do not enter the products.
            self.ltl = LogTransformLayer(field_count(self), self.embedding_size, ltl_hidden_size)
            # NOTE[DIFF] W12: the original ignores l2_reg_dnn.
            width = self.embedding_size * ltl_hidden_size
            self.afn_dnn = self.build_dnn(
                width, afn_dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout, use_bn=True
            )
            self.afn_dnn_linear = self.penalized(nn.Linear(self.afn_dnn.output_dim, self.outputs), l2_reg_dnn)

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        if not self.use_afn:
            return fields.linear
        products = self.ltl(fields.stacked)  # [B, N * E]
        logit: Tensor = self.afn_dnn_linear(self.afn_dnn(products))
        return fields.linear + logit
