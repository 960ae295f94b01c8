"""Older checkpoints: weights that meet a wider input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

__all__ = ["widen_columns"]


def widen_columns(state: dict[str, Any], key: str, width: int, kept: Sequence[int]) -> None:
    """Give the weight `state[key]` [H, len(kept)] new columns of zeros, in place of the entry.

    Args:
        state: a state_dict.
        key: its entry; anything but a weight with `len(kept)` columns is left as it is.
        width: the new number of columns.
        kept: where each old column goes.

    >>> import torch
    >>> state = {"weight": torch.tensor([[1.0, 2.0]])}
    >>> widen_columns(state, "weight", 3, [0, 2])
    >>> state["weight"]
    tensor([[1., 0., 2.]])
    """
    old = state.get(key)
    if not isinstance(old, Tensor) or old.dim() != 2 or old.shape[1] != len(kept):
        return
    new = old.new_zeros(old.shape[0], width)
    new[:, list(kept)] = old.detach()
    state[key] = new
