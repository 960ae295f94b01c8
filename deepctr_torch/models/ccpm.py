"""Liu Q, Yu F, Wu S, Wang L. A Convolutional Click Prediction Model. CIKM 2015."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..features import FeatureColumn
from ..layers.activation import ActivationLike
from ..layers.interaction import ConvLayer
from ._shared import field_count, refuse_dense
from .basemodel import BaseModel, Fields, register_model

__all__ = ["CCPM"]


@register_model(one_dimension=True, dense_deep=False)
class CCPM(BaseModel):
    """Linear part, and a DNN over convolutions of neighbouring fields with flexible p-max pooling (section 3).

    The order of `dnn_feature_columns` matters: a convolution sees neighbours only. Sequences come after single ids.

    Args:
        conv_kernel_width: width of each convolution, in fields.
        conv_filters: number of filters of each convolution.
    """

    def __init__(
        self, linear_feature_columns: Sequence[FeatureColumn], dnn_feature_columns: Sequence[FeatureColumn],
        conv_kernel_width: Sequence[int] = (6, 5), conv_filters: Sequence[int] = (4, 4),
        dnn_hidden_units: Sequence[int] = (256,), l2_reg_linear: float = 1e-5, l2_reg_embedding: float = 1e-5,
        l2_reg_dnn: float = 0, dnn_dropout: float = 0, init_std: float = 0.0001, seed: int = 1024, task: str = "binary",
        device: str | torch.device = "cpu", dnn_use_bn: bool = False, dnn_activation: ActivationLike = "relu",
        gpus: Sequence[Any] | None = None, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            linear_feature_columns, dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        refuse_dense(self)
        # NOTE[DIFF] C14: without fields the original fails; here the linear side is left.
        self.use_conv = field_count(self) > 0
        if self.use_conv:
            self.conv_layer = ConvLayer(field_count(self), conv_kernel_width, conv_filters)
            self.dnn_input_dim = width = self.conv_layer.filed_shape * self.embedding_size * conv_filters[-1]
            self.add_dnn(width, dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout, use_bn=dnn_use_bn)

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        if not self.use_conv:
            return fields.linear
        pooled = self.conv_layer(fields.stacked.unsqueeze(1))  # [B, filters, kept, E]
        logit: Tensor = self.dnn_linear(self.dnn(pooled.flatten(1)))
        return fields.linear + logit
