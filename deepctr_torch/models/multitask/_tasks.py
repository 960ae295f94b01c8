"""Names and types of the tasks of a multi-task model, a head for each, and the mixture of experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..._checks import check_choice
from ...layers.core import PredictionLayer

if TYPE_CHECKING:
    from ..basemodel import BaseModel

__all__ = ["mixture", "set_tasks"]


def mixture(weights: Tensor, parts: Tensor) -> Tensor:
    """Weighted sum of K vectors, `[..., K], [..., K, H] -> [..., H]`.

    One vector is no sum: as a batch of matrix products of one row and column it would cost several times as much.

    >>> import torch
    >>> mixture(torch.tensor([[1.0, 10.0]]), torch.tensor([[[2.0], [3.0]]]))
    tensor([[32.]])
    """
    if parts.shape[-2] == 1:
        return weights * parts.squeeze(dim=-2)
    return (weights.unsqueeze(dim=-2) @ parts).squeeze(dim=-2)


def set_tasks(model: BaseModel, task_types: Sequence[str], task_names: Sequence[str]) -> None:
    """Give `model` its tasks, and a head with a bias of its own for each.

    Raises:
        ValueError: fewer than two tasks, as many names as types are not given, or an unknown type.
    """
    if len(task_names) < 2:
        raise ValueError(f"a multi-task model needs at least two task_names, got {list(task_names)}")
    if len(set(task_names)) != len(task_names):
        raise ValueError(f"task_names must differ, got {list(task_names)}")
    if len(task_types) != len(task_names):
        raise ValueError(
            f"task_types and task_names must be of one length, got {len(task_types)} and {len(task_names)}"
        )
    for kind in task_types:
        check_choice("task type", kind, ["binary", "regression"])
    model.num_tasks, model.task_names = len(task_names), task_names
    model.task_specs = tuple(zip(task_names, task_types, strict=True))
    model.out = nn.ModuleList([PredictionLayer(kind) for kind in task_types])
