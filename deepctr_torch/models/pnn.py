"""Qu Y, Cai H, Ren K, et al. Product-based Neural Networks for User Response Prediction. ICDM 2016."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._checks import check_choice
from ..features import FeatureColumn
from ..layers.activation import ActivationLike
from ..layers.interaction import InnerProductLayer, OutterProductLayer
from ._shared import field_count
from .basemodel import BaseModel, Fields, register_model

__all__ = ["PNN"]


@register_model(one_dimension=True)
class PNN(BaseModel):
    """DNN over the embeddings and the products of each pair of them (equations 1 to 3).

    Args:
        use_inner: add the inner product of each pair; the sparse columns then need one embedding_dim.
        use_outter: add the outer product of each pair, under a kernel; the sparse columns then need one embedding_dim.
        kernel_type: that kernel is a matrix ("mat"), a vector ("vec") or a number ("num") for each pair.
    """

    def __init__(
        self, dnn_feature_columns: Sequence[FeatureColumn], dnn_hidden_units: Sequence[int] = (128, 128),
        l2_reg_embedding: float = 1e-5, l2_reg_dnn: float = 0, init_std: float = 0.0001, seed: int = 1024,
        dnn_dropout: float = 0, dnn_activation: ActivationLike = "relu", use_inner: bool = True,
        use_outter: bool = False, kernel_type: str = "mat", task: str = "binary", device: str | torch.device = "cpu",
        gpus: Sequence[Any] | None = None, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            [], dnn_feature_columns, l2_reg_linear=0, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        check_choice("kernel_type", kernel_type, ["mat", "num", "vec"])
        fields = field_count(self)
        # NOTE[DIFF] C14: the original fails where there is no pair.
        self.use_inner = use_inner and fields > 1
        self.use_outter = use_outter and fields > 1
        self.kernel_type = kernel_type
        width = self.compute_input_dim(self.dnn_feature_columns)
        size = self.embedding_size if self.use_inner or self.use_outter else 0
        if self.use_inner:
            self.innerproduct = InnerProductLayer()
        if self.use_outter:
            self.outterproduct = OutterProductLayer(fields, size, kernel_type)
        width += (self.use_inner + self.use_outter) * fields * (fields - 1) // 2
        # NOTE[DIFF] C13: the original fails without hidden units.
        self.add_dnn(width, dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout)

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        signals = [fields.flat_vectors]
        if self.use_inner:
            signals.append(self.innerproduct(fields.stacked).flatten(1))  # [B, F (F - 1) / 2]
        if self.use_outter:
            signals.append(self.outterproduct(fields.stacked))  # [B, F (F - 1) / 2]
        logits: Tensor = self.dnn_linear(self.dnn(torch.cat([*signals, fields.dense], dim=1)))
        return logits
