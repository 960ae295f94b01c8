"""Ma X, et al. Entire Space Multi-Task Model: An Effective Approach for Estimating Post-Click Conversion Rate.

SIGIR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...features import Batch, FeatureColumn
from ...layers.activation import ActivationLike
from .._shared import set_tasks
from ..basemodel import BaseModel, Fields, register_model

__all__ = ["ESMM"]


@register_model(independent_heads=False, funnel=True)
class ESMM(BaseModel):
    """Two towers over the same embeddings; P(click and conversion) = P(click) P(conversion | click) (equation 1).

    Predictions are P(click) and P(click and conversion), both of all impressions, and so are the labels.

    Args:
        tower_dnn_hidden_units: layer sizes of the towers; empty for none.
        l2_reg_linear: no effect, there is no linear side.
        l2_reg_dnn: L2 penalty of the towers.
        dnn_dropout, dnn_activation, dnn_use_bn: of the towers.
        task_types: "binary" twice.
        task_names: names of the two tasks.
    """

    def __init__(
        self, dnn_feature_columns: Sequence[FeatureColumn], tower_dnn_hidden_units: Sequence[int] = (256, 128),
        l2_reg_linear: float = 1e-5, l2_reg_embedding: float = 1e-5, l2_reg_dnn: float = 0, init_std: float = 0.0001,
        seed: int = 1024, dnn_dropout: float = 0, dnn_activation: ActivationLike = "relu", dnn_use_bn: bool = False,
        task_types: Sequence[str] = ("binary", "binary"), task_names: Sequence[str] = ("ctr", "ctcvr"),
        device: str | torch.device = "cpu", gpus: Sequence[Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            [], dnn_feature_columns, l2_reg_linear=l2_reg_linear, l2_reg_embedding=l2_reg_embedding,
            init_std=init_std, seed=seed, device=device, gpus=gpus,
        )  # fmt: skip
        if list(task_types) != ["binary", "binary"] or len(task_names) != 2:
            raise ValueError(
                f"ESMM must have exactly two tasks, both binary, got {list(task_names)} of types {list(task_types)}"
            )
        set_tasks(self, task_types, task_names)
        self.input_dim = self.compute_input_dim(dnn_feature_columns)
        self.tower_dnn_hidden_units = tower_dnn_hidden_units

        tower = partial(
            self.build_dnn, self.input_dim, tower_dnn_hidden_units, dnn_activation, l2_reg_dnn,
            dropout=dnn_dropout, use_bn=dnn_use_bn,
        )  # fmt: skip
        self.ctr_dnn, self.cvr_dnn = tower(), tower()
        self.ctr_dnn_final_layer = self.penalized(nn.Linear(self.ctr_dnn.output_dim, 1, bias=False), l2_reg_dnn)
        self.cvr_dnn_final_layer = self.penalized(nn.Linear(self.cvr_dnn.output_dim, 1, bias=False), l2_reg_dnn)

    def logits(self, fields: Fields) -> Tensor:
        """[B, 2]: of click, and of conversion after a click."""
        inputs = fields.flat  # [B, W]
        click = self.ctr_dnn_final_layer(self.ctr_dnn(inputs))
        conversion = self.cvr_dnn_final_layer(self.cvr_dnn(inputs))
        return torch.cat([click, conversion], dim=1)

    def predict_rows(self, batch: Batch, rows: list[Tensor]) -> tuple[Tensor, None]:
        """Predictions [B, 2]: P(click), and P(click and conversion)."""
        click, conversion = super().predict_rows(batch, rows)[0].chunk(2, dim=1)
        return torch.cat([click, click * conversion], dim=1), None

    def upgrade_state(self, state: dict[str, Any], prefix: str) -> None:
        """The one bias of older checkpoints fills both."""
        # NOTE[DIFF] W17: the original adds one bias to both towers.
        bias = state.pop(f"{prefix}out.bias", None)
        if bias is not None:
            state[f"{prefix}out.0.bias"], state[f"{prefix}out.1.bias"] = bias, bias.clone()
