"""Padded recurrences, sequences moved to the left, the linear side's order, mixtures, refused tasks."""

from __future__ import annotations

import pytest
import torch

from deepctr_torch.features import SparseFeat
from deepctr_torch.models import IFM, MMOE
from deepctr_torch.models._shared import PaddedGRU, last_state, left_aligned, linear_order, mixture
from tests.support.reference import randomized


def test_gru_is_torch_s() -> None:
    ours, theirs = randomized(PaddedGRU(3, 0.1)), torch.nn.GRU(3, 3, batch_first=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(ours(x), theirs(x)[0])


def test_left_alignment_keeps_the_order() -> None:
    x = torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]]])
    (moved,) = left_aligned(torch.tensor([[False, True, True], [True, False, True]]), [x])
    assert moved.squeeze(-1).tolist() == [[2.0, 3.0, 1.0], [4.0, 6.0, 5.0]]


def test_the_last_state_of_an_empty_sequence_is_zero() -> None:
    states = torch.arange(12.0).reshape(2, 3, 2)
    assert last_state(states, torch.tensor([2, 0])).tolist() == [[2.0, 3.0], [0.0, 0.0]]


def test_the_linear_side_finds_its_fields_on_the_deep_side() -> None:
    a, b, c = (SparseFeat(n, 5, 4) for n in "abc")
    assert linear_order(IFM([c, a], [a, b])) == [2, 0]


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
