"""Wang R, et al. DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to Rank Systems.

WWW 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from ..features import FeatureColumn
from ..layers.activation import ActivationLike
from ..layers.interaction import CrossNetMix
from ._registry import register_model
from .dcn import CrossAndDeep

__all__ = ["DCNMix"]


@register_model()
class DCNMix(CrossAndDeep):
    """DCN-V2 whose cross layers are mixtures of low-rank experts (section 3.5), beside a DNN, plus a linear side.

    Args:
        cross_num: layers of the cross network; 0 for none.
        l2_reg_cross: L2 penalty of the experts' matrices U, V and C.
        low_rank: dimension of the experts' inner space.
        num_experts: experts of each cross layer.
    """

    def __init__(
        self, linear_feature_columns: Sequence[FeatureColumn], dnn_feature_columns: Sequence[FeatureColumn],
        cross_num: int = 2, dnn_hidden_units: Sequence[int] = (128, 128), l2_reg_linear: float = 1e-5,
        l2_reg_embedding: float = 1e-5, l2_reg_cross: float = 1e-5, l2_reg_dnn: float = 0, init_std: float = 0.0001,
        seed: int = 1024, dnn_dropout: float = 0, low_rank: int = 32, num_experts: int = 4,
        dnn_activation: ActivationLike = "relu", dnn_use_bn: bool = False, task: str = "binary",
        device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        # NOTE[DIFF] W12: the original always gives its linear side 1e-5, and l2_reg_linear to the output layer.
        super().__init__(
            linear_feature_columns, dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        cross = partial(CrossNetMix, low_rank=low_rank, num_experts=num_experts, layer_num=cross_num)
        dnn = dnn_hidden_units
        self.add_sides(cross, cross_num, dnn, dnn_activation, l2_reg_dnn, dropout=dnn_dropout, use_bn=dnn_use_bn)
        if self.use_cross:
            experts = [self.crossnet.U_list, self.crossnet.V_list, self.crossnet.C_list]
            self.add_regularization_weight(experts, l2=l2_reg_cross)
