"""He X, Chua T-S. Neural Factorization Machines for Sparse Predictive Analytics. SIGIR 2017."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .._checks import check_fraction
from ..features import FeatureColumn
from ..layers.activation import ActivationLike
from ..layers.interaction.fm import BiInteractionPooling
from .basemodel import BaseModel, Fields, register_model

__all__ = ["NFM"]


@register_model(one_dimension=True)
class NFM(BaseModel):
    """Linear side and a DNN over the pooled pairwise products of the embeddings (equations 2 and 3).

    The numbers of the deep side join the pooled products in front of the DNN.

    Args:
        bi_dropout: share of the pooled products set to zero in training.
    """

    renamed_arguments: ClassVar[Mapping[str, str]] = {"biout_dropout": "bi_dropout"}

    def __init__(
        self, linear_feature_columns: Sequence[FeatureColumn], dnn_feature_columns: Sequence[FeatureColumn],
        dnn_hidden_units: Sequence[int] = (128, 128), l2_reg_embedding: float = 1e-5, l2_reg_linear: float = 1e-5,
        l2_reg_dnn: float = 0, init_std: float = 0.0001, seed: int = 1024, bi_dropout: float = 0,
        dnn_dropout: float = 0, dnn_activation: ActivationLike = "relu", task: str = "binary",
        device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            linear_feature_columns, dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        check_fraction("bi_dropout", bi_dropout)
        self.bi_dropout = bi_dropout
        # NOTE[DIFF] C14: without a sparse column the original fails; here the DNN then reads the numbers alone.
        size = self.embedding_size if len(self.embedding_dict) else 0
        width = size + self.compute_input_dim(self.dnn_feature_columns, include_sparse=False)
        self.use_dnn = width > 0
        if size:
            self.bi_pooling = BiInteractionPooling()
            if bi_dropout:
                self.dropout = nn.Dropout(bi_dropout)
        if self.use_dnn:
            # NOTE[DIFF] C13: the original fails without hidden units.
            self.add_dnn(width, dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout)

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        logit, deep = fields.linear, fields.dense
        if len(self.embedding_dict):
            pooled = self.bi_pooling(fields.stacked).squeeze(1)  # [B, E]
            pooled = self.dropout(pooled) if self.bi_dropout else pooled
            deep = torch.cat([pooled, deep], dim=1)
        return logit + self.dnn_linear(self.dnn(deep)) if self.use_dnn else logit
