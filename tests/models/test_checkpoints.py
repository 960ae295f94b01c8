"""Weights of older checkpoints that meet a wider input."""

from __future__ import annotations

from typing import Any

import torch

from deepctr_torch.models._serialization import widen_columns


def test_columns_move_and_the_others_are_zero() -> None:
    state: dict[str, Any] = {"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "b": torch.ones(2)}
    given = state["w"].clone()
    widen_columns(state, "w", 4, [3, 1])
    assert state["w"].tolist() == [[0, 2, 0, 1], [0, 4, 0, 3]]
    assert given.tolist() == [[1, 2], [3, 4]]


def test_what_does_not_fit_is_left_alone() -> None:
    state: dict[str, Any] = {"w": torch.ones(2, 3), "b": torch.ones(2)}
    for key in ("w", "b", "absent"):
        widen_columns(state, key, 4, [0, 1])
    assert {k: tuple(v.shape) for k, v in state.items()} == {"w": (2, 3), "b": (2,)}
