"""Padded recurrences, sequences moved to the left, and the order of the linear side."""

from __future__ import annotations

import torch

from deepctr_torch.features import SparseFeat
from deepctr_torch.models import IFM
from deepctr_torch.models._shared import PaddedGRU, last_state, left_aligned, linear_order
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
