"""The mixture of experts, and what a model of several tasks refuses."""

from __future__ import annotations

import pytest
import torch

from deepctr_torch.features import SparseFeat
from deepctr_torch.models import MMOE
from deepctr_torch.models.multitask._tasks import mixture


@pytest.mark.parametrize("experts", [1, 3])
def test_a_mixture_is_a_weighted_sum(experts: int) -> None:
    weights, parts = torch.rand(5, 2, experts), torch.rand(5, 2, experts, 4)
    torch.testing.assert_close(mixture(weights, parts), (weights.unsqueeze(-1) * parts).sum(dim=-2))


@pytest.mark.parametrize(
    ("names", "types", "message"),
    [
        (["a"], ["binary"], "at least two task_names"),
        (["a", "a"], ["binary", "binary"], "task_names must differ"),
        (["a", "b"], ["binary"], "must be of one length, got 1 and 2"),
        (["a", "b"], ["binary", "multiclass"], "unknown task type 'multiclass'"),
    ],
)
def test_tasks_are_checked(names: list[str], types: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MMOE([SparseFeat("user", 5)], task_names=names, task_types=types)
