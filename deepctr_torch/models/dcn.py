"""Wang R, Fu B, Fu G, Wang M. Deep & Cross Network for Ad Click Predictions. ADKDD 2017.

With `cross_parameterization="matrix"`: Wang R, et al. DCN V2: Improved Deep & Cross Network and Practical Lessons for
Web-scale Learning to Rank Systems. WWW 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .._checks import check_at_least
from ..features import FeatureColumn
from ..layers.activation import ActivationLike
from ..layers.interaction import CrossNet
from .basemodel import BaseModel, Fields, register_model

__all__ = ["DCN", "CrossAndDeep"]


class CrossAndDeep(BaseModel):
    """A cross network and a DNN side by side over one input, then one output layer: what `DCN` and `DCNMix` share."""

    def add_sides(
        self,
        cross_net: Callable[[int], nn.Module],
        cross_num: int,
        dnn_hidden_units: Sequence[int],
        activation: ActivationLike,
        l2_reg_dnn: float,
        **dnn: Any,
    ) -> None:
        """Build both sides and the output layer; `cross_net` makes the cross network of an input of some width."""
        check_at_least("cross_num", cross_num, 0)
        self.cross_num = cross_num
        self.dnn_hidden_units = dnn_hidden_units
        width = self.compute_input_dim(self.dnn_feature_columns)
        # NOTE[DIFF] C13: without hidden units the original fails; here the cross network is left alone.
        self.use_dnn = width > 0 and len(dnn_hidden_units) > 0
        self.use_cross = width > 0 and cross_num > 0
        if self.use_dnn:
            self.dnn = self.build_dnn(width, dnn_hidden_units, activation, l2_reg_dnn, **dnn)
        if self.use_dnn or self.use_cross:
            joint = (width if self.use_cross else 0) + (self.dnn.output_dim if self.use_dnn else 0)
            self.dnn_linear = self.penalized(nn.Linear(joint, self.outputs, bias=False), l2_reg_dnn)
        if self.use_cross:
            self.crossnet = cross_net(width)

    def logits(self, fields: Fields) -> Tensor:  # [B, 1]
        x = fields.flat
        sides = ([self.crossnet(x)] if self.use_cross else []) + ([self.dnn(x)] if self.use_dnn else [])
        linear = fields.linear
        return linear + self.dnn_linear(torch.cat(sides, dim=1)) if sides else linear

    def upgrade_state(self, state: dict[str, Any], prefix: str) -> None:
        if not self.use_cross:  # the original keeps some for no cross layer
            for key in [k for k in state if k.startswith(f"{prefix}crossnet.")]:
                del state[key]


@register_model()
class DCN(CrossAndDeep):
    """Cross network and DNN side by side over the same input, then one output layer (equation 5), plus a linear side.

    Args:
        cross_num: layers of the cross network; 0 for none.
        cross_parameterization: "vector" (DCN) or "matrix" (DCN-V2): the weight of a cross layer.
        l2_reg_cross: L2 penalty of the kernels of the cross network.
    """

    def __init__(
        self, linear_feature_columns: Sequence[FeatureColumn], dnn_feature_columns: Sequence[FeatureColumn],
        cross_num: int = 2, cross_parameterization: str = "vector", dnn_hidden_units: Sequence[int] = (128, 128),
        l2_reg_linear: float = 1e-5, l2_reg_embedding: float = 1e-5, l2_reg_cross: float = 1e-5, l2_reg_dnn: float = 0,
        init_std: float = 0.0001, seed: int = 1024, dnn_dropout: float = 0, dnn_activation: ActivationLike = "relu",
        dnn_use_bn: bool = False, task: str = "binary", device: str | torch.device = "cpu",
        gpus: Sequence[Any] | None = None, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        # NOTE[DIFF] W12: the original always gives its linear side 1e-5, and l2_reg_linear to the output layer.
        super().__init__(
            linear_feature_columns, dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
        cross = partial(CrossNet, layer_num=cross_num, parameterization=cross_parameterization)
        dnn = dnn_hidden_units
        self.add_sides(cross, cross_num, dnn, dnn_activation, l2_reg_dnn, dropout=dnn_dropout, use_bn=dnn_use_bn)
        if self.use_cross:
            self.add_regularization_weight(self.crossnet.kernels, l2=l2_reg_cross)
