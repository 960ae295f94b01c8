"""Columns that several tests declare."""

from __future__ import annotations

from typing import Any

from deepctr_torch.features import SparseFeat, VarLenSparseFeat


def sequence(name: str = "genres", maxlen: int = 3, **kwargs: Any) -> VarLenSparseFeat:
    return VarLenSparseFeat(SparseFeat(name, 20), maxlen, **kwargs)
