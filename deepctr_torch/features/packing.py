"""Packed matrices: one row of numbers a sample, as user code for the original passes them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

import torch
from torch import Tensor

from .._tracing import tracing
from ..hashing import hash_rows
from .columns import SparseColumn, VarLenSparseFeat

__all__ = ["EXACT", "check_exact", "checkable", "merged", "packed_ids", "rows_are_packed", "rows_packed"]

EXACT = {"float32": 2**24, "float16": 2**11, "bfloat16": 2**8}  # every integer up to here has a float of its own
_ROWS_PACKED: ContextVar[bool] = ContextVar("_ROWS_PACKED", default=False)


@contextlib.contextmanager
def rows_packed() -> Iterator[None]:
    """Inside, packed matrices come from `FeatureSchema.pack`: hashed columns hold rows, not to be hashed again."""
    token = _ROWS_PACKED.set(True)
    try:
        yield
    finally:
        _ROWS_PACKED.reset(token)


def rows_are_packed() -> bool:
    """Tell if the caller is inside `rows_packed`."""
    return _ROWS_PACKED.get()


def packed_ids(X: Tensor, where: tuple[int, int], column: SparseColumn) -> Tensor:
    """Return the table rows, int64 [B, n], of the feature that lies at (start, stop) in a packed matrix.

    Raises:
        ValueError: a tracer looks on, to which the rows of hashed ids would be constants.
    """
    ids = X[:, slice(*where)].long()
    if not column.use_hash or _ROWS_PACKED.get():
        return ids
    if tracing():
        raise ValueError(
            f"a traced graph cannot hash the ids of {column.name!r}: pass rows of hash_rows, inside rows_packed()"
        )
    rows = hash_rows(ids.cpu().numpy(), column.vocabulary_size, padded=isinstance(column, VarLenSparseFeat))
    return torch.from_numpy(rows).to(ids.device)


def checkable(ids: Tensor) -> bool:
    """Tell if looking at the values costs next to nothing: on the CPU, and not while a graph is being recorded."""
    return ids.device.type == "cpu" and not torch.compiler.is_compiling() and not tracing()


def check_exact(column: SparseColumn, dtype: str) -> None:
    """Raise if floats of type `dtype` round ids of the column: decided by its vocabulary, not by the data."""
    limit = EXACT.get(dtype)
    hashed = column.use_hash and not _ROWS_PACKED.get()
    if limit is not None and (column.vocabulary_size > limit or hashed):
        what = "hashes any 64-bit integer" if hashed else f"has a vocabulary of {column.vocabulary_size}"
        raise ValueError(f"{dtype} rounds ids above {limit}, and {column.name!r} {what}: pass int64 or float64")


def merged(pieces: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join neighbouring (start, stop) ranges; (0, 0) if there is none."""
    runs: list[tuple[int, int]] = []
    for start, stop in pieces:
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
    return runs or [(0, 0)]
