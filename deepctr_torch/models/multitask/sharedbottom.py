"""Ruder S. An Overview of Multi-Task Learning in Deep Neural Networks. arXiv:1706.05098, 2017."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...features import FeatureColumn
from ...layers.activation import ActivationLike
from ...layers.parallel import ParallelDNN, ParallelLinear
from .._shared import set_tasks
from ..basemodel import BaseModel, Fields, register_model

__all__ = ["SharedBottom"]


@register_model()
class SharedBottom(BaseModel):
    """One DNN for all tasks, and a tower for each on top of it: hard parameter sharing (section 2.1).

    Args:
        bottom_dnn_hidden_units, tower_dnn_hidden_units: layer sizes; empty for none.
        l2_reg_linear: no effect, there is no linear side.
        l2_reg_dnn: L2 penalty of bottom and towers.
        dnn_dropout, dnn_activation, dnn_use_bn: of bottom and towers.
        task_types: "binary" or "regression" for each task.
        task_names: names of the tasks; labels come in this order.
    """

    def __init__(
        self, dnn_feature_columns: Sequence[FeatureColumn], bottom_dnn_hidden_units: Sequence[int] = (256, 128),
        tower_dnn_hidden_units: Sequence[int] = (64,), l2_reg_linear: float = 1e-5, l2_reg_embedding: float = 1e-5,
        l2_reg_dnn: float = 0, init_std: float = 0.0001, seed: int = 1024, dnn_dropout: float = 0,
        dnn_activation: ActivationLike = "relu", dnn_use_bn: bool = False,
        task_types: Sequence[str] = ("binary", "binary"), task_names: Sequence[str] = ("ctr", "ctcvr"),
        device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            [], dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, device=device, gpus=gpus,
        )  # fmt: skip
        set_tasks(self, task_types, task_names)
        self.input_dim = self.compute_input_dim(dnn_feature_columns)
        self.bottom_dnn_hidden_units = bottom_dnn_hidden_units
        self.tower_dnn_hidden_units = tower_dnn_hidden_units
        tasks = [str(t) for t in range(self.num_tasks)]
        self.bottom_dnn = self.build_dnn(
            self.input_dim, bottom_dnn_hidden_units, dnn_activation, l2_reg_dnn, dropout=dnn_dropout, use_bn=dnn_use_bn
        )
        towers = ParallelDNN(
            self.bottom_dnn.output_dim, tower_dnn_hidden_units, tasks, dnn_activation, dnn_dropout, dnn_use_bn, init_std
        )
        self.tower_dnn = self.penalized(towers, l2_reg_dnn)
        self.tower_dnn_final_layer = self.penalized(ParallelLinear(towers.output_dim, 1, tasks), l2_reg_dnn)

    def logits(self, fields: Fields) -> Tensor:  # [B, tasks]
        bottom = self.bottom_dnn(fields.flat)  # [B, H]
        logits: Tensor = self.tower_dnn_final_layer(self.tower_dnn(bottom)).squeeze(-1)
        return logits
