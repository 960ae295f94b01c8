"""Which kind each column of a table seems to be."""

from __future__ import annotations

from typing import Any

from .kinds import Kind

__all__ = ["propose"]


def propose(data: Any, label: Any = None) -> tuple[dict[str, Kind], dict[str, str], dict[str, str]]:
    raise NotImplementedError
