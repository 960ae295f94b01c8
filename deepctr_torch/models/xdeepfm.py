"""Lian J, Zhou X, et al. xDeepFM: Combining Explicit and Implicit Feature Interactions for Recommender Systems.

KDD 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..features import FeatureColumn
from ..layers.activation import ActivationLike
from ..layers.interaction import CIN
from ._shared import field_count
from .basemodel import BaseModel, Fields, register_model

__all__ = ["xDeepFM"]


@register_model(one_dimension=True)
class xDeepFM(BaseModel):  # noqa: N801 - upstream's name
    """Linear side, compressed interaction network and DNN over the same embeddings (section 3.3).

    Args:
        cin_layer_size: feature maps of each layer of the CIN; empty for none. With a CIN the sparse columns need one
            embedding_dim.
        cin_split_half: one half of a layer's maps goes to the next layer, the other to the output; else all go to both.
        cin_activation: activation of the CIN.
        l2_reg_cin: L2 penalty of the weights of the CIN.
    """

    def __init__(
        self, linear_feature_columns: Sequence[FeatureColumn], dnn_feature_columns: Sequence[FeatureColumn],
        dnn_hidden_units: Sequence[int] = (256, 256), cin_layer_size: Sequence[int] = (256, 128),
        cin_split_half: bool = True, cin_activation: ActivationLike = "relu", l2_reg_linear: float = 1e-5,
        l2_reg_embedding: float = 1e-5, l2_reg_dnn: float = 0, l2_reg_cin: float = 0, init_std: float = 0.0001,
        seed: int = 1024, dnn_dropout: float = 0, dnn_activation: ActivationLike = "relu", dnn_use_bn: bool = False,
        task: str = "binary", device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None,
        num_classes: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            linear_feature_columns, dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        self.dnn_hidden_units = dnn_hidden_units
        self.cin_layer_size = cin_layer_size
        width = self.compute_input_dim(self.dnn_feature_columns)
        field_size = field_count(self)
        self.use_dnn = width > 0 and len(dnn_hidden_units) > 0
        # NOTE[DIFF] C14: the original fails without a sparse column; here the CIN is left out.
        self.use_cin = field_size > 0 and len(cin_layer_size) > 0
        if self.use_dnn:
            self.add_dnn(width, dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout, use_bn=dnn_use_bn)
        if self.use_cin:
            _ = self.embedding_size  # the fields are stacked: this fails where their dimensions differ
            self.cin = self.penalized(CIN(field_size, cin_layer_size, cin_activation, cin_split_half), l2_reg_cin)
            self.featuremap_num = self.cin.featuremap_num
            self.cin_linear = nn.Linear(self.featuremap_num, self.outputs, bias=False)

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        logit = fields.linear
        if self.use_cin:
            logit = logit + self.cin_linear(self.cin(fields.stacked))
        if self.use_dnn:
            logit = logit + self.dnn_linear(self.dnn(fields.flat))
        return logit
