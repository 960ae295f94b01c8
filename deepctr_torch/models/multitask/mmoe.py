"""Ma J, et al. Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts. KDD 2018."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..._checks import check_at_least
from ...features import FeatureColumn
from ...layers.activation import ActivationLike
from ...layers.parallel import ParallelDNN, ParallelLinear
from .._shared import set_tasks
from ..basemodel import BaseModel, Fields, register_model

__all__ = ["MMOE"]


@register_model()
class MMOE(BaseModel):
    """Experts shared by all tasks; a gate for each task mixes them for its tower (equations 5 to 7).

    Args:
        num_experts: number of experts, at least 2.
        expert_dnn_hidden_units, gate_dnn_hidden_units, tower_dnn_hidden_units: layer sizes; empty for none.
        l2_reg_linear: no effect, there is no linear side.
        l2_reg_dnn: L2 penalty of experts, gates and towers.
        dnn_dropout, dnn_activation, dnn_use_bn: of experts, gates and towers.
        task_types: "binary" or "regression" for each task.
        task_names: names of the tasks; labels come in this order.
    """

    def __init__(
        self, dnn_feature_columns: Sequence[FeatureColumn], num_experts: int = 3,
        expert_dnn_hidden_units: Sequence[int] = (256, 128), gate_dnn_hidden_units: Sequence[int] = (64,),
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
        check_at_least("num_experts", num_experts, 2)
        set_tasks(self, task_types, task_names)
        self.num_experts = num_experts
        self.input_dim = self.compute_input_dim(dnn_feature_columns)
        self.expert_dnn_hidden_units = expert_dnn_hidden_units
        self.gate_dnn_hidden_units = gate_dnn_hidden_units
        self.tower_dnn_hidden_units = tower_dnn_hidden_units
        experts, tasks = [str(e) for e in range(num_experts)], [str(t) for t in range(self.num_tasks)]
        options: dict[str, Any] = dict(
            activation=dnn_activation, dropout_rate=dnn_dropout, use_bn=dnn_use_bn, init_std=init_std
        )
        self.expert_dnn = self.penalized(
            ParallelDNN(self.input_dim, expert_dnn_hidden_units, experts, **options), l2_reg_dnn
        )
        self.gate_dnn = self.penalized(ParallelDNN(self.input_dim, gate_dnn_hidden_units, tasks, **options), l2_reg_dnn)
        self.gate_dnn_final_layer = self.penalized(
            ParallelLinear(self.gate_dnn.output_dim, num_experts, tasks), l2_reg_dnn
        )
        self.tower_dnn = self.penalized(
            ParallelDNN(self.expert_dnn.output_dim, tower_dnn_hidden_units, tasks, **options), l2_reg_dnn
        )
        self.tower_dnn_final_layer = self.penalized(ParallelLinear(self.tower_dnn.output_dim, 1, tasks), l2_reg_dnn)

    def logits(self, fields: Fields) -> Tensor:  # [B, tasks]
        inputs = fields.flat  # [B, W]
        experts = self.expert_dnn(inputs)  # [B, K, H]
        gates = torch.softmax(self.gate_dnn_final_layer(self.gate_dnn(inputs)), dim=-1)  # [B, tasks, K]
        logits: Tensor = self.tower_dnn_final_layer(self.tower_dnn(gates @ experts))  # [B, tasks, 1]
        return logits.squeeze(-1)
