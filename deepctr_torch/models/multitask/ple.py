"""Tang H, et al. Progressive Layered Extraction (PLE): A Novel Multi-Task Learning Model. RecSys 2020."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ..._checks import check_at_least
from ...features import FeatureColumn
from ...layers.activation import ActivationLike
from ...layers.core import DNN
from ...layers.parallel import ParallelDNN, ParallelLinear
from .._shared import mixture, set_tasks
from ..basemodel import BaseModel, Fields, register_model

__all__ = ["PLE"]

Levels: TypeAlias = Callable[[Sequence[nn.Module]], nn.ModuleList]


@register_model()
class PLE(BaseModel):
    """Levels of experts, some of one task, some shared; gates mix them for the next level and the towers (section 4.2).

    Args:
        shared_expert_num: shared experts of a level, S.
        specific_expert_num: experts of each task of a level, K.
        num_levels: number of levels; one is the paper's CGC.
        expert_dnn_hidden_units, gate_dnn_hidden_units, tower_dnn_hidden_units: layer sizes; empty for none.
        l2_reg_linear: no effect, there is no linear side.
        l2_reg_dnn: L2 penalty of experts, gates and towers.
        dnn_dropout, dnn_activation, dnn_use_bn: of experts, gates and towers.
        task_types: "binary" or "regression" for each task.
        task_names: names of the tasks; labels come in this order.
    """

    def __init__(
        self, dnn_feature_columns: Sequence[FeatureColumn], shared_expert_num: int = 1, specific_expert_num: int = 1,
        num_levels: int = 2, expert_dnn_hidden_units: Sequence[int] = (256, 128),
        gate_dnn_hidden_units: Sequence[int] = (64,), tower_dnn_hidden_units: Sequence[int] = (64,),
        l2_reg_linear: float = 1e-5, l2_reg_embedding: float = 1e-5, l2_reg_dnn: float = 0, init_std: float = 0.0001,
        seed: int = 1024, dnn_dropout: float = 0, dnn_activation: ActivationLike = "relu", dnn_use_bn: bool = False,
        task_types: Sequence[str] = ("binary", "binary"), task_names: Sequence[str] = ("ctr", "ctcvr"),
        device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            [], dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, device=device, gpus=gpus,
        )  # fmt: skip
        for name in ("shared_expert_num", "specific_expert_num", "num_levels"):
            check_at_least(name, locals()[name], 1)
        set_tasks(self, task_types, task_names)
        self.shared_expert_num = shared_expert_num
        self.specific_expert_num = specific_expert_num
        self.num_levels = num_levels
        self.input_dim = self.compute_input_dim(dnn_feature_columns)
        self.expert_dnn_hidden_units = expert_dnn_hidden_units
        self.gate_dnn_hidden_units = gate_dnn_hidden_units
        self.tower_dnn_hidden_units = tower_dnn_hidden_units
        tasks = [str(t) for t in range(self.num_tasks)]
        options: dict[str, Any] = dict(
            activation=dnn_activation, dropout_rate=dnn_dropout, use_bn=dnn_use_bn, init_std=init_std
        )
        extracted = expert_dnn_hidden_units[-1] if expert_dnn_hidden_units else self.input_dim
        sizes = [self.input_dim] + [extracted] * (num_levels - 1)

        def levels(parts: Sequence[nn.Module]) -> nn.ModuleList:
            return self.penalized(nn.ModuleList(parts), l2_reg_dnn)

        self._add_experts(sizes, expert_dnn_hidden_units, options, levels)
        self._add_gates(sizes, gate_dnn_hidden_units, options, levels)
        self.tower_dnn = self.penalized(ParallelDNN(extracted, tower_dnn_hidden_units, tasks, **options), l2_reg_dnn)
        self.tower_dnn_final_layer = self.penalized(ParallelLinear(self.tower_dnn.output_dim, 1, tasks), l2_reg_dnn)

    def _add_experts(self, sizes: list[int], hidden: Sequence[int], options: dict[str, Any], levels: Levels) -> None:
        """Experts of all levels: those of each task, and the shared ones."""
        own = [f"{t}.{e}" for t in range(self.num_tasks) for e in range(self.specific_expert_num)]
        # NOTE[DIFF] W18: as many shared experts as asked for; the original builds specific_expert_num of them.
        common = [f"0.{e}" for e in range(self.shared_expert_num)]
        self.specific_experts = levels([ParallelDNN(n, hidden, own, **options) for n in sizes])
        self.shared_experts = levels([ParallelDNN(n, hidden, common, **options) for n in sizes])

    def _add_gates(self, sizes: list[int], hidden: Sequence[int], options: dict[str, Any], levels: Levels) -> None:
        """Gates of all levels: one a task over its own and the shared experts, and one over all experts."""
        tasks = [str(t) for t in range(self.num_tasks)]
        gates = [ParallelDNN(n, hidden, [f"{t}.0" for t in tasks], **options) for n in sizes]
        self.specific_gate_dnn = levels(gates)
        mixed = self.specific_expert_num + self.shared_expert_num
        self.specific_gate_dnn_final_layer = levels([ParallelLinear(g.output_dim, mixed, tasks) for g in gates])
        # the last level's shared mixture would go nowhere, so it has no shared gate
        shared = [DNN(n, hidden, **options) for n in sizes[:-1]]
        self.shared_gate_dnn = levels(shared)
        mixed = self.num_tasks * self.specific_expert_num + self.shared_expert_num
        self.shared_gate_dnn_final_layer = levels([nn.Linear(g.output_dim, mixed, bias=False) for g in shared])

    def cgc_net(self, inputs: Sequence[Tensor], level_num: int) -> list[Tensor]:
        """One level, the paper's customized gate control (equations 1 to 3).

        Args:
            inputs: [B, D] for each task, and [B, D] for the shared experts.
            level_num: number of the level, from 0.

        Returns:
            [B, H] for each task, and, below the last level, [B, H] of all experts.
        """
        if len(inputs) != self.num_tasks + 1:
            raise ValueError(
                f"inputs must be {self.num_tasks + 1} tensors, one a task and the shared one, got {len(inputs)}"
            )
        tasks, shared = self._level(torch.stack(list(inputs[:-1]), dim=1), inputs[-1], level_num)
        return [*tasks.unbind(1), *([] if shared is None else [shared])]

    def _level(self, tasks: Tensor, shared: Tensor, level: int) -> tuple[Tensor, Tensor | None]:
        """[B, tasks, D] (or [B, D], the same for all) and [B, D] -> [B, tasks, H], and [B, H] below the last level."""
        count = self.specific_expert_num
        gates = self.specific_gate_dnn_final_layer[level](self.specific_gate_dnn[level](tasks))
        gates = torch.softmax(gates, dim=-1)  # [B, tasks, K + S]
        inputs = tasks if tasks.dim() == 2 or count == 1 else tasks.repeat_interleave(count, dim=1)
        own = self.specific_experts[level](inputs)  # [B, tasks * K, H]
        common = self.shared_experts[level](shared)  # [B, S, H]
        grouped = own.unflatten(1, (self.num_tasks, count))  # [B, tasks, K, H]
        out = mixture(gates[..., :count], grouped) + mixture(gates[..., count:], common.unsqueeze(1))  # [B, tasks, H]
        if level == self.num_levels - 1:
            return out, None
        gate = torch.softmax(self.shared_gate_dnn_final_layer[level](self.shared_gate_dnn[level](shared)), dim=-1)
        return out, mixture(gate, torch.cat([own, common], dim=1))

    def logits(self, fields: Fields) -> Tensor:  # [B, tasks]
        tasks = fields.flat  # [B, W]
        shared: Tensor | None = tasks
        for level in range(self.num_levels):
            tasks, shared = self._level(tasks, tasks if shared is None else shared, level)
        logits: Tensor = self.tower_dnn_final_layer(self.tower_dnn(tasks)).squeeze(-1)
        return logits

    def upgrade_state(self, state: dict[str, Any], prefix: str) -> None:
        """Drop what older checkpoints hold and nothing reads: the last level's shared gate, surplus shared experts."""
        last = self.num_levels - 1
        unread = [f"{prefix}{part}.{last}." for part in ("shared_gate_dnn", "shared_gate_dnn_final_layer")]
        for level in range(self.num_levels):
            surplus = range(self.shared_expert_num, self.specific_expert_num)
            unread += [f"{prefix}shared_experts.{level}.0.{e}." for e in surplus]
        for key in [k for k in state if k.startswith(tuple(unread))]:
            del state[key]
