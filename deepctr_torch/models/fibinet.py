"""Huang T, Zhang Z, Zhang J. FiBiNET: Combining Feature Importance and Bilinear Feature Interaction for CTR Prediction.

RecSys 2019.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..features import DenseFeat, FeatureColumn
from ..layers.activation import ActivationLike
from ..layers.interaction import BilinearInteraction, SENETLayer
from ._shared import field_count
from .basemodel import BaseModel, Fields, register_model

__all__ = ["FiBiNET"]


@register_model(one_dimension=True)
class FiBiNET(BaseModel):
    """DNN over bilinear products of the embeddings, plain and reweighted by importance (section 3), plus a linear side.

    Args:
        bilinear_type: one matrix for "all" pairs, one for "each" first field, or one for each pair ("interaction").
        reduction_ratio: how many fields share a unit of the inner layer that learns their importance.
    """

    def __init__(
        self, linear_feature_columns: Sequence[FeatureColumn], dnn_feature_columns: Sequence[FeatureColumn],
        bilinear_type: str = "interaction", reduction_ratio: int = 3, dnn_hidden_units: Sequence[int] = (128, 128),
        l2_reg_linear: float = 1e-5, l2_reg_embedding: float = 1e-5, l2_reg_dnn: float = 0, init_std: float = 0.0001,
        seed: int = 1024, dnn_dropout: float = 0, dnn_activation: ActivationLike = "relu", task: str = "binary",
        device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            linear_feature_columns, dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        self.field_size = field_count(self)
        width = self.compute_input_dim(self.dnn_feature_columns)
        # NOTE[DIFF] C14: the original fails where there is no pair; here the DNN then reads the numbers alone.
        self.use_dnn = width > 0
        if self.use_dnn and self.field_size:
            self.SE = SENETLayer(self.field_size, reduction_ratio)
            self.Bilinear = BilinearInteraction(self.field_size, self.embedding_size, bilinear_type)
        if self.use_dnn:
            # NOTE[DIFF] C13: the original fails without hidden units.
            # NOTE[DIFF] W12: the original takes l2_reg_dnn and makes nothing of it.
            self.add_dnn(width, dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout)

    def compute_input_dim(  # type: ignore[override]
        self, feature_columns: Iterable[FeatureColumn], include_sparse: bool = True, include_dense: bool = True
    ) -> int:
        """Width of the input that `feature_columns` give the DNN: the products of each pair, twice, and the numbers."""
        columns = list(feature_columns)
        sizes = [c.embedding_dim for c in columns if not isinstance(c, DenseFeat)]
        width = len(sizes) * (len(sizes) - 1) * sizes[0] if include_sparse and sizes else 0
        return width + (sum(c.dimension for c in columns if isinstance(c, DenseFeat)) if include_dense else 0)

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        if not self.use_dnn:
            return fields.linear
        deep = [fields.dense]
        if self.field_size:
            v = fields.stacked  # [B, F, E]
            deep = [self.Bilinear(self.SE(v)).flatten(1), self.Bilinear(v).flatten(1), *deep]
        logit: Tensor = fields.linear + self.dnn_linear(self.dnn(torch.cat(deep, dim=1)))
        return logit
